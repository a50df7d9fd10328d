"""`modelroll receive`: the end of a push that runs in a pod, with the volume mounted.

Owns what is believed of a stream: nothing. A tar of <version>/<file> is unpacked under a temporary name, each version
held against its manifest, made durable, and renamed into place. Versions are immutable, but for who vouches for them: a
signature may come later, or take the place of another. It is carried, and not checked: who trusts whom is known where a
model is served.
"""

import contextlib
import errno
import filecmp
import os
import shutil
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from modelroll_server.artifact import catalog
from modelroll_server.artifact import manifest as manifests
from modelroll_server.artifact import signature as signatures
from modelroll_server.artifact.opening import open_artifact
from modelroll_server.artifact.policy import Policy
from modelroll_server.artifact.version import is_version
from modelroll_server.errors import LoadError, ReceiveFailed

READY = "ready"  # the line that asks for the stream: whatever can be refused before it, is
_CHUNK = 1 << 20
_UNFINISHED = ".modelroll-push-"
_ABANDONED = 24 * 3600


@dataclass(frozen=True, slots=True)
class Received:
    """One version that now lies on the volume.

    Attributes:
        model: Its model.
        version: Which.
        digest: Of its manifest as stored.
        outcome: `written`; `present` when the same was there before; `signed` when it was, without this signature.
    """

    model: str
    version: str
    digest: str
    outcome: str


def check_room(root: Path, size: int) -> None:
    """See that so many bytes fit, before they are sent.

    Raises:
        ReceiveFailed: They do not.
    """
    free = shutil.disk_usage(root).free
    if free < size:
        raise ReceiveFailed(f"the volume is full: {size:,} bytes are to come, and {free:,} are free")


def drain(stream: BinaryIO) -> None:
    """Read a refused stream to its end: a sender whose connection has nobody left at its end waits a minute to hear."""
    while stream.read(_CHUNK):
        pass


def receive(stream: BinaryIO, root: Path) -> list[Received]:
    """Unpack a tar stream of versions into ROOT/<model>/<version>/.

    Raises:
        ReceiveFailed: The stream is cut short or hostile, an artifact is not what its manifest says, a version is there
            with other content, or the disk is full. What was renamed before stays; nothing else does.
    """
    try:
        _sweep(root)
        unfinished = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=root))
    except OSError as error:
        raise _from_os(error, root) from error
    try:
        _unpack(stream, unfinished)
        entries = [_verified(directory) for directory in sorted(unfinished.iterdir())]
        if not entries:
            raise ReceiveFailed("the stream holds no artifact")
        return [_place(entry, root) for entry in entries]
    except OSError as error:
        raise _from_os(error, root) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _sweep(root: Path) -> None:
    """Remove what a push left behind whose pod was killed; one that is under way is younger."""
    for directory in root.glob(f"{_UNFINISHED}*"):
        with contextlib.suppress(FileNotFoundError):  # another push, which ended in between
            if time.time() - directory.stat().st_mtime > _ABANDONED:
                shutil.rmtree(directory, ignore_errors=True)


def _unpack(stream: BinaryIO, directory: Path) -> None:
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                _unpack_member(archive, member, directory)
    except (tarfile.TarError, EOFError) as error:
        raise ReceiveFailed(f"the stream is cut short, or is no tar: {error}") from error


def _unpack_member(archive: tarfile.TarFile, member: tarfile.TarInfo, directory: Path) -> None:
    version, _, name = member.name.partition("/")
    if not is_version(version) or not manifests.is_file_name(name):
        raise ReceiveFailed(f"the stream names {member.name!r}: only <version>/<file> is taken")
    if member.type not in {tarfile.REGTYPE, tarfile.AREGTYPE} or member.issparse():
        raise ReceiveFailed(f"{member.name} is not a regular file")
    (directory / version).mkdir(exist_ok=True)
    content = archive.extractfile(member)
    assert content is not None
    with (directory / version / name).open("xb") as file:
        shutil.copyfileobj(content, file, _CHUNK)  # raises when the stream ends before the member does
        file.flush()
        os.fsync(file.fileno())


def _verified(directory: Path) -> catalog.Entry:
    """An unpacked version whose every file was hashed."""
    try:
        entry = catalog.read(directory)
        with open_artifact(directory, policy=Policy.ANY, digest=entry.digest) as opened:
            for name in entry.manifest.files:
                opened.check(name)
    except LoadError as error:
        raise ReceiveFailed(f"{directory.name}: {error.message}") from error
    if entry.version.text != directory.name:
        raise ReceiveFailed(f"{directory.name} holds version {entry.version}")
    unlisted = {file.name for file in directory.iterdir()} - {manifests.NAME, signatures.NAME, *entry.manifest.files}
    if unlisted:
        raise ReceiveFailed(f"{directory.name}: the manifest does not list {', '.join(sorted(unlisted))}")
    return entry


def _place(entry: catalog.Entry, root: Path) -> Received:
    model = entry.manifest.model
    place = root / model / entry.version.text
    if place.parent.is_symlink():
        raise ReceiveFailed(f"{model} on the volume is a link; a model's directory is a directory")
    if (present := _present(place, entry)) is not None:
        return present
    place.parent.mkdir(mode=0o755, exist_ok=True)
    entry.path.chmod(0o755)
    _sync(entry.path)
    try:
        entry.path.rename(place)
    except OSError as error:
        if error.errno in {errno.EEXIST, errno.ENOTEMPTY} and (present := _present(place, entry)) is not None:
            return present  # another push was faster
        raise
    _sync(place.parent)
    return Received(model, entry.version.text, entry.digest, "written")


def _present(place: Path, entry: catalog.Entry) -> Received | None:
    if not place.exists():
        return None
    try:
        found = catalog.read(place).digest
    except LoadError as error:
        found = f"something that is no artifact: {error.message}"
    if found != entry.digest:
        raise ReceiveFailed(
            f"{entry.manifest.model} {entry.version} is on the volume with other content ({found}; pushed:"
            f" {entry.digest}): a version never changes, give the new one another number"
        )
    outcome = "signed" if _take_signature(entry.path, place) else "present"
    return Received(entry.manifest.model, entry.version.text, entry.digest, outcome)


def _take_signature(arrived: Path, place: Path) -> bool:
    """Move the signature that came with a version to the same version on the volume, unless it lies there already."""
    new, old = arrived / signatures.NAME, place / signatures.NAME
    if not new.exists() or (old.is_file() and filecmp.cmp(new, old, shallow=False)):
        return False
    new.replace(old)
    _sync(place)
    return True


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _from_os(error: OSError, root: Path) -> ReceiveFailed:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return ReceiveFailed(f"the volume is full: {shutil.disk_usage(root).free:,} bytes are free")
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return ReceiveFailed(
            f"the volume cannot be written ({error.strerror}): it must let user {os.getuid()} or group {os.getgid()} in"
        )
    return ReceiveFailed(f"the volume refuses: {error.strerror or error}")
