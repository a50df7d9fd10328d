"""The directory of parts: whose it is, and when that is looked at again."""

import os
from pathlib import Path

import msgspec
import pytest

from modelroll_server.errors import BatchFailed
from modelroll_server.offline import places
from modelroll_server.offline.options import Options
from modelroll_server.offline.parts import Journal, Parts

JOURNAL = Journal(
    input={"rows.parquet": ["1", "mtime 1"]},
    model="churn",
    version="1.0.0",
    digest="sha256:0",
    runtime="onnx",
    options=Options(),
    shards=4,
)
SAME_JOB = msgspec.structs.replace(JOURNAL, run="b")
ANOTHER = msgspec.structs.replace(JOURNAL, version="2.0.0")
NO_MORE = "is not this job's any more"


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    found = Parts(places.place(str(tmp_path / "out.parquet")), ".parquet")
    found.begin(JOURNAL)
    found.check_held()
    return found


def replace(parts: Parts, journal: Journal) -> None:
    """As another process does it, and so that its length and times tell nothing."""
    place = Path(parts.directory.path) / "_journal.json"
    before = place.stat()
    (parts.directory / place.name).replace(msgspec.json.encode(journal))
    os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_journal_that_nobody_replaced_is_not_decoded_again(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[Journal | None] = []
    original = Parts.journal

    def journal(self: Parts) -> Journal | None:
        decoded.append(original(self))
        return decoded[-1]

    monkeypatch.setattr(Parts, "journal", journal)
    for _ in range(3):
        parts.check_held()
    assert not decoded
    replace(parts, SAME_JOB)
    for _ in range(3):
        parts.check_held()
    assert len(decoded) == 1


@pytest.mark.parametrize("survive", range(3))
def test_what_was_removed_in_part_is_still_known_as_ours(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, survive: int
) -> None:
    (Path(parts.directory.path) / "part-00000.parquet").touch()
    (Path(parts.directory.path) / "_shard-00000.json").touch()
    remove, left = places.Place.remove, survive

    def removed(self: places.Place) -> None:
        nonlocal left
        if not left:
            raise KeyboardInterrupt
        left -= 1
        remove(self)

    with monkeypatch.context() as patched:
        patched.setattr(places.Place, "remove", removed)
        with pytest.raises(KeyboardInterrupt):
            parts.remove()
    parts.remove()
    assert not parts.directory.exists()


def test_who_lost_the_directory_finds_out_each_time(parts: Parts) -> None:
    replace(parts, ANOTHER)
    for _ in range(2):
        with pytest.raises(BatchFailed, match=NO_MORE):
            parts.check_held()
    replace(parts, JOURNAL)
    parts.check_held()
    parts.remove()
    for _ in range(2):
        with pytest.raises(BatchFailed, match=NO_MORE):
            parts.check_held()
