"""The receiving end: whatever the stream holds, only whole and right versions come to lie on the volume."""

import errno
import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from modelroll_server.artifact import catalog
from modelroll_server.errors import ReceiveFailed
from modelroll_server.pushing import archive, receive

CHURN = Path(__file__).parents[3] / "models/churn"


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    (tmp_path / "volume").mkdir()
    return tmp_path / "volume"


def stream_of(*versions: str, source: Path = CHURN) -> bytes:
    stream = io.BytesIO()
    archive.write([catalog.read(source / version) for version in versions], stream, lambda _: None)
    return stream.getvalue()


def tar_of(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = link
    return info


def names(volume: Path) -> list[str]:
    return sorted(str(path.relative_to(volume)) for path in volume.rglob("*") if path.is_file())


def taken(data: bytes, volume: Path) -> list[str]:
    return [f"{one.model}/{one.version} {one.outcome}" for one in receive.receive(io.BytesIO(data), volume)]


class Watched(io.BytesIO):
    """A stream that looks at the volume each time that more of it is read."""

    def __init__(self, data: bytes, volume: Path) -> None:
        super().__init__(data)
        self.volume = volume
        self.visible: list[str] = []
        self.arriving: set[int] = set()

    def read(self, size: int | None = -1, /) -> bytes:
        self.visible += [path.name for path in self.volume.iterdir() if not path.name.startswith(".")]
        self.arriving |= {path.stat().st_ino for path in self.volume.rglob("model*") if path.is_file()}
        return super().read(size)


def test_a_version_is_nowhere_to_be_seen_until_it_is_renamed_whole(volume: Path) -> None:
    stream = Watched(stream_of("1.2.0"), volume)
    receive.receive(stream, volume)
    assert stream.visible == []
    assert stream.arriving
    came = {path.stat().st_ino for path in (volume / "churn" / "1.2.0").iterdir()}
    assert stream.arriving <= came, "renamed: what was checked is what lies there, not a copy of it"


def test_versions_come_to_lie_under_their_model_byte_for_byte(volume: Path) -> None:
    assert taken(stream_of("1.2.0", "2.0.0"), volume) == ["churn/1.2.0 written", "churn/2.0.0 written"]
    assert sorted(os.listdir(volume)) == ["churn"]  # noqa: PTH208 - hidden leftovers too
    for version in ("1.2.0", "2.0.0"):
        for name in ("modelroll.json", "model.joblib", "model.onnx"):
            assert (volume / "churn" / version / name).read_bytes() == (CHURN / version / name).read_bytes()


def test_the_receipt_has_the_digest_of_what_lies_there(volume: Path) -> None:
    [received] = receive.receive(io.BytesIO(stream_of("1.2.0")), volume)
    assert received.digest == catalog.read(volume / "churn/1.2.0").digest


def test_everybody_may_read_what_was_written(volume: Path) -> None:
    taken(stream_of("1.2.0"), volume)
    assert (volume / "churn/1.2.0").stat().st_mode & 0o777 == 0o755


def test_the_same_version_again_is_done(volume: Path) -> None:
    taken(stream_of("1.2.0"), volume)
    inode = (volume / "churn/1.2.0").stat().st_ino
    assert taken(stream_of("1.2.0"), volume) == ["churn/1.2.0 present"]
    assert (volume / "churn/1.2.0").stat().st_ino == inode


def test_the_same_version_with_other_content_is_refused(volume: Path, tmp_path: Path) -> None:
    taken(stream_of("1.2.0"), volume)
    shutil.copytree(CHURN / "1.2.0", tmp_path / "1.2.0")
    manifest = tmp_path / "1.2.0/modelroll.json"
    manifest.write_bytes(manifest.read_bytes() + b" ")
    with pytest.raises(ReceiveFailed, match="a version never changes"):
        taken(stream_of("1.2.0", source=tmp_path), volume)
    assert catalog.read(volume / "churn/1.2.0").digest == catalog.read(CHURN / "1.2.0").digest


HOSTILE: dict[str, Callable[[], bytes]] = {
    "above": lambda: tar_of((member("../1.0.0/x"), b"x")),
    "above within": lambda: tar_of((member("1.0.0/../../x"), b"x")),
    "absolute": lambda: tar_of((member("/etc/x"), b"x")),
    "deep": lambda: tar_of((member("1.0.0/a/b"), b"x")),
    "hidden": lambda: tar_of((member("1.0.0/.x"), b"x")),
    "no version": lambda: tar_of((member("latest/x"), b"x")),
    "symbolic link": lambda: tar_of((member("1.0.0/x", tarfile.SYMTYPE, "/etc/passwd"), b"")),
    "hard link": lambda: tar_of((member("1.0.0/x", tarfile.LNKTYPE, "/etc/passwd"), b"")),
    "linked directory": lambda: tar_of((member("1.0.0", tarfile.SYMTYPE, "/tmp"), b""), (member("1.0.0/x"), b"x")),
    "device": lambda: tar_of((member("1.0.0/x", tarfile.CHRTYPE), b"")),
    "pipe": lambda: tar_of((member("1.0.0/x", tarfile.FIFOTYPE), b"")),
    "directory": lambda: tar_of((member("1.0.0/x", tarfile.DIRTYPE), b"")),
    "the same file twice": lambda: tar_of((member("1.0.0/x"), b"x"), (member("1.0.0/x"), b"y")),
    "no manifest": lambda: tar_of((member("1.0.0/model.joblib"), b"x")),
    "no manifest at all": tar_of,
    "a manifest that is none": lambda: tar_of((member("1.0.0/modelroll.json"), b"{}")),
    "another version's manifest": lambda: tar_of(
        (member("9.0.0/model.joblib"), (CHURN / "1.2.0/model.joblib").read_bytes()),
        (member("9.0.0/modelroll.json"), (CHURN / "1.2.0/modelroll.json").read_bytes()),
    ),
    "other bytes of the same size": lambda: tar_of(
        (member("1.2.0/model.joblib"), bytes((CHURN / "1.2.0/model.joblib").stat().st_size)),
        (member("1.2.0/modelroll.json"), (CHURN / "1.2.0/modelroll.json").read_bytes()),
    ),
    "a file too many": lambda: tar_of(
        (member("1.2.0/extra"), b"x"),
        (member("1.2.0/model.joblib"), (CHURN / "1.2.0/model.joblib").read_bytes()),
        (member("1.2.0/modelroll.json"), (CHURN / "1.2.0/modelroll.json").read_bytes()),
    ),
    "empty": lambda: b"",
    "no tar": lambda: b"hello" * 1000,
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_stream_is_refused_and_leaves_nothing(data: Callable[[], bytes], volume: Path) -> None:
    with pytest.raises(ReceiveFailed):
        receive.receive(io.BytesIO(data()), volume)
    assert list(volume.rglob("*")) == []


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.95])
def test_a_stream_that_is_cut_short_leaves_nothing_of_the_version(share: float, volume: Path) -> None:
    data = stream_of("1.2.0")
    end = data.rindex(b"}") + 1  # what follows is padding
    with pytest.raises(ReceiveFailed):
        receive.receive(io.BytesIO(data[: int(end * share)]), volume)
    assert list(volume.rglob("*")) == []


def test_a_model_that_is_a_link_on_the_volume_is_not_written_through(volume: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (volume / "churn").symlink_to(tmp_path / "outside")
    with pytest.raises(ReceiveFailed, match="is a link"):
        receive.receive(io.BytesIO(stream_of("1.2.0")), volume)
    assert list((tmp_path / "outside").iterdir()) == []


@pytest.mark.parametrize(
    ("number", "sentence"), [(errno.ENOSPC, "the volume is full"), (errno.EROFS, "cannot be written")]
)
def test_a_volume_that_takes_nothing_says_why_and_is_left_clean(
    number: int, sentence: str, volume: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(ReceiveFailed, match=sentence):
        receive.receive(io.BytesIO(stream_of("1.2.0")), volume)
    assert list(volume.rglob("*")) == []


def test_what_a_killed_push_left_a_day_ago_is_swept(volume: Path) -> None:
    for name, age in (("old", 25 * 3600), ("new", 60)):
        directory = volume / f".modelroll-push-{name}"
        directory.mkdir()
        then = directory.stat().st_mtime - age
        os.utime(directory, (then, then))
    taken(stream_of("1.2.0"), volume)
    assert [path.name for path in volume.glob(".*")] == [".modelroll-push-new"]


def test_a_refused_stream_is_read_to_its_end(volume: Path) -> None:
    code = "from modelroll_server.cli.receive import receive; receive()"
    command = [sys.executable, "-c", code, "--root", str(volume)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        for _ in range(64):
            process.stdin.write(b"no tar" * 20_000)  # fails as soon as nobody is at the other end
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (1, b"ready\n")
    assert b"is no tar" in errors
