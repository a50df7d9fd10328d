"""Reading the share of CPU that a cgroup allows."""

from pathlib import Path

import pytest

from modelroll_server.telemetry import cpu


@pytest.mark.parametrize(
    ("text", "expected"), [("max 100000", None), ("150000 100000", 1.5), ("50000 100000\n", 0.5), ("nonsense", None)]
)
def test_cgroup_v2(tmp_path: Path, text: str, expected: float | None) -> None:
    (tmp_path / "cpu.max").write_text(text)
    assert cpu.quota(tmp_path) == expected
    assert cpu.usable(tmp_path) >= 1


@pytest.mark.parametrize(("allowed", "expected"), [("-1", None), ("200000", 2.0)])
def test_cgroup_v1(tmp_path: Path, allowed: str, expected: float | None) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(allowed)
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    assert cpu.quota(tmp_path) == expected


def test_without_a_cgroup_there_is_no_quota(tmp_path: Path) -> None:
    assert cpu.quota(tmp_path) is None


def test_half_a_cpu_is_one_thread(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("50000 100000")
    assert cpu.usable(tmp_path) == 1


def test_a_cap_that_somebody_set_stays() -> None:
    assert "OMP_NUM_THREADS" not in cpu.thread_variables(1, {"OMP_NUM_THREADS": "4"})
    assert cpu.thread_variables(1, {})["OPENBLAS_NUM_THREADS"] == "1"
