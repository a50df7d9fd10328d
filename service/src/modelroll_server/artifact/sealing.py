"""Bytes read once: hashed on the way into a sealed anonymous file, from which they are then loaded.

What was hashed is what is loaded, whatever happens to the volume in between.
"""

import contextlib
import fcntl
import hashlib
import os
import stat
import tempfile
from dataclasses import dataclass
from typing import BinaryIO

from modelroll_server.errors import ArtifactIncomplete, ArtifactUnreadable, PathRefused

_CHUNK = 1 << 20
# Links are not followed; a FIFO does not block the one who opens it.
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Sealed:
    """A file's bytes, held in memory, that nothing can change any more.

    Attributes:
        file: At position 0; the caller closes it.
        sha256: Of the bytes, in hexadecimal.
        size: How many bytes.
    """

    file: BinaryIO
    sha256: str
    size: int


def open_regular(name: str, directory: int | None = None) -> int:
    """A descriptor of the regular file `name`, never through a link.

    Raises:
        ArtifactIncomplete: It is not there.
        PathRefused: It is a link, a directory, a device or the like.
        ArtifactUnreadable: It cannot be read.
    """
    try:
        descriptor = os.open(name, _FLAGS, dir_fd=directory)
    except FileNotFoundError as error:
        raise ArtifactIncomplete(f"{name} is not there", expected=name) from error
    except OSError as error:
        if is_link(name, directory):
            raise PathRefused(f"{name} is a link; the files of an artifact are regular files", found=name) from error
        raise ArtifactUnreadable(f"{name} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise PathRefused(f"{name} is not a regular file", found=name)
    return descriptor


def is_link(name: str, directory: int | None) -> bool:
    """Whether `name` is a symbolic link."""
    with contextlib.suppress(OSError):
        return stat.S_ISLNK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    return False


def seal(descriptor: int, name: str) -> Sealed:
    """Read all of a regular file into a sealed anonymous file, hashing on the way.

    Raises:
        ArtifactUnreadable: Reading failed.
    """
    hashing = hashlib.sha256()
    size = 0
    file = anonymous(name)
    try:
        while chunk := os.read(descriptor, _CHUNK):
            hashing.update(chunk)
            size += len(chunk)
            file.write(chunk)
        file.flush()
        file.seek(0)
        _forbid_changes(file)
    except OSError as error:
        file.close()
        raise ArtifactUnreadable(f"{name} cannot be read: {error.strerror}") from error
    return Sealed(file, hashing.hexdigest(), size)


def checksum(descriptor: int, name: str) -> tuple[str, int]:
    """The sha256 in hexadecimal and the size of a regular file, read to its end and not kept.

    Raises:
        ArtifactUnreadable: Reading failed.
    """
    hashing = hashlib.sha256()
    size = 0
    try:
        while chunk := os.read(descriptor, _CHUNK):
            hashing.update(chunk)
            size += len(chunk)
    except OSError as error:
        raise ArtifactUnreadable(f"{name} cannot be read: {error.strerror}") from error
    return hashing.hexdigest(), size


def anonymous(name: str) -> BinaryIO:
    """An empty file that has no name and no place on a disk, open for both; the caller closes it."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        return os.fdopen(descriptor, "w+b")
    return tempfile.TemporaryFile()  # systems without memfd: nameless, private


def _forbid_changes(file: BinaryIO) -> None:
    if hasattr(fcntl, "F_ADD_SEALS"):
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
        fcntl.fcntl(file.fileno(), fcntl.F_ADD_SEALS, seals)
