"""Reading how much memory a cgroup leaves."""

from pathlib import Path

import pytest

from modelroll_server.telemetry import memory


@pytest.mark.parametrize(
    ("limit", "used", "inactive", "expected"),
    [("1000", "700", "200", 500), ("1000", "1200", "0", 0), ("max", "700", "200", None), ("1000", "none", "0", None)],
)
def test_cgroup_v2(tmp_path: Path, limit: str, used: str, inactive: str, expected: int | None) -> None:
    (tmp_path / "memory.max").write_text(f"{limit}\n")
    (tmp_path / "memory.current").write_text(f"{used}\n")
    (tmp_path / "memory.stat").write_text(f"anon 500\ninactive_file {inactive}\nactive_file 90\n")
    assert memory.left(tmp_path) == expected


@pytest.mark.parametrize(("limit", "expected"), [("1000", 500), (str(2**63 - 4096), None)])
def test_cgroup_v1(tmp_path: Path, limit: str, expected: int | None) -> None:
    folder = tmp_path / "memory"
    folder.mkdir()
    (folder / "memory.limit_in_bytes").write_text(limit)
    (folder / "memory.usage_in_bytes").write_text("700")
    (folder / "memory.stat").write_text("inactive_file 1\ntotal_inactive_file 200\n")
    assert memory.left(tmp_path) == expected


def test_without_a_cgroup_nothing_is_known(tmp_path: Path) -> None:
    assert memory.left(tmp_path) is None


def test_the_peak_of_a_piece_of_work_counts_what_it_gave_back() -> None:
    size = 64 * 2**20

    def work() -> None:
        bytearray(b"x") * size

    peak = memory.peak_of(work)
    assert peak is not None
    assert size * 0.9 < peak < size * 1.5


def test_where_the_kernel_does_not_say_the_work_is_done_all_the_same(tmp_path: Path) -> None:
    done: list[bool] = []
    assert memory.peak_of(lambda: done.append(True), tmp_path / "nowhere") is None
    assert done == [True]
