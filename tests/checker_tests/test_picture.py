"""The picture of a run."""

from pathlib import Path

from checker import picture
from checker.verdict import Record, judge

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def record(start: float, version: str | None, error: str | None = None) -> Record:
    return {
        "start": start,
        "end": start + 0.01,
        "ms": 10.0,
        "version": version,
        "digest": "sha256:0",
        "ok": error is None,
        "error": error,
        "cut": None,
    }


def drawn(tmp_path: Path, records: list[Record]) -> bytes:
    timeline = [(0.0, frozenset({"1.2.0"})), (105.0, frozenset({"1.2.0", "2.0.0"})), (106.0, frozenset({"2.0.0"}))]
    file = tmp_path / "rollout.png"
    picture.draw(records, timeline, judge(records, timeline), 105.0, file)
    return file.read_bytes()


def test_a_failure_is_seen_in_it(tmp_path: Path) -> None:
    good = [record(100 + number / 10, "1.2.0" if number < 55 else "2.0.0") for number in range(100)]
    without, again = drawn(tmp_path, good), drawn(tmp_path, good)
    failing = drawn(tmp_path, [*good, record(104.0, None, "status 500")])
    assert without.startswith(SIGNATURE)
    assert without == again
    assert failing != without


def test_a_run_of_less_than_a_second_is_drawn(tmp_path: Path) -> None:
    assert drawn(tmp_path, [record(105.0, "1.2.0")]).startswith(SIGNATURE)
