"""Files wherever they are: on this machine's disks, or on any file system that fsspec knows.

Owns how a file is found, told from its successor, and replaced as a whole. Knows nothing of what is in one.
"""

import contextlib
import errno
import os
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import glob_translate

from modelroll_server.errors import BatchFailed, BatchInterrupted

TEMPORARY = "_tmp-"
_MAGIC = frozenset("*?[")
# What object stores say of a file's content, then what disks say of its last change.
_IDENTITIES = ("ETag", "etag", "md5Hash", "generation", "content_md5", "mtime", "LastModified", "created")
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oss"})
# Of these a file is there when its upload is ended, and not before: what was there until then stays.
_UPLOADED_WHOLE = frozenset({"s3", "s3a", "gs", "gcs"})
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs"}


@dataclass(frozen=True)
class Place:
    """One path of one file system.

    Attributes:
        fs: That, an fsspec AbstractFileSystem.
        path: As it writes it; absolute.
    """

    fs: Any
    path: str

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rsplit("/", 1)[-1]

    @property
    def is_local(self) -> bool:
        """Whether it lies on this machine's disks."""
        return isinstance(self.fs, LocalFileSystem)

    def __str__(self) -> str:
        return self.path if self.is_local else str(self.fs.unstrip_protocol(self.path))

    def __truediv__(self, name: str) -> "Place":
        return Place(self.fs, f"{self.path.rstrip('/')}/{name}")

    def beside(self, name: str) -> "Place":
        """The file of that name in the same directory."""
        parent, separator, _ = self.path.rpartition("/")
        return Place(self.fs, f"{parent}{separator}{name}")

    def exists(self) -> bool:
        """Whether something is there."""
        self.fs.invalidate_cache(self.path)
        return bool(self.fs.exists(self.path))

    def is_directory(self) -> bool:
        """Whether a directory is there."""
        return bool(self.fs.isdir(self.path))

    def size(self) -> int:
        """Bytes."""
        return int(self.fs.size(self.path))

    def identity(self) -> list[str]:
        """What changes when the file does: its size, and what the file system has to say of its content.

        Raises:
            BatchFailed: It is not there.
        """
        self.fs.invalidate_cache(self.path)
        try:
            info = self.fs.info(self.path)
        except FileNotFoundError as error:
            raise BatchFailed(f"{self} is not there any more") from error
        return [str(info["size"]), *(f"{key} {info[key]}" for key in _IDENTITIES if info.get(key))][:2]

    def names(self) -> list[str]:
        """The names in this directory; none where there is no such directory."""
        self.fs.invalidate_cache(self.path)
        try:
            found = self.fs.ls(self.path, detail=False)
        except FileNotFoundError:
            return []
        return sorted(path.rstrip("/").rsplit("/", 1)[-1] for path in found)

    def make_directory(self) -> None:
        """Make it, and those above it, where they are not there. Of object stores it would make a bucket."""
        if not self._is_of(_OBJECT_STORES):
            self.fs.makedirs(self.path, exist_ok=True)

    def remove(self) -> None:
        """Remove the file, where it is there.

        Raises:
            BatchInterrupted: A store does not let it be removed.
        """
        # Not by `rm`: it takes a name for a glob, and s3fs says nothing there of what it was not let remove.
        try:
            try:
                self.fs.rm_file(self.path)
            except NotImplementedError:  # of some file systems, which have but that
                self.fs.rm(self.path)
        except FileNotFoundError:
            return
        except OSError as error:
            if self.is_local:
                raise
            raise BatchInterrupted(f"{self} cannot be removed: {error.strerror or error}".rstrip(".")) from error

    def remove_empty(self) -> None:
        """Remove the directory if nothing is in it; object stores have no such directories."""
        # Looked at first: some file systems remove it with all that is in it.
        if self.is_local or not (self._is_of(_OBJECT_STORES) or self.names()):
            with contextlib.suppress(OSError):
                self.fs.rmdir(self.path)

    def read(self) -> bytes:
        """All of it."""
        found: bytes = self.fs.cat_file(self.path)
        return found

    def open(self, *, in_order: bool = False) -> Any:
        """A pyarrow.NativeFile to read; `in_order`: mostly from the start to the end."""
        if self.is_local:
            return pa.OSFile(self.path)
        cache = "readahead" if in_order else "none"
        return pa.PythonFile(self.fs.open(self.path, "rb", cache_type=cache), mode="r")

    def replace(self, data: bytes) -> None:
        """Write the file as a whole."""
        with self.replacing() as sink:
            sink.write(data)

    def create(self, data: bytes) -> bool:
        """Write the file as a whole, unless it is there; whether it was not.

        Where a file system knows no such thing, of two who write at once each may be told that it was the first.
        """
        if self.exists():
            return False
        if not self.is_local:
            self.replace(data)
            return True
        temporary = self.beside(f"{TEMPORARY}{uuid.uuid4().hex}")
        with temporary.replacing() as sink:
            sink.write(data)
        try:
            os.link(temporary.path, self.path)
            _synchronize(str(Path(self.path).parent))
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            self.replace(data)
        finally:
            temporary.remove()
        return True

    @contextlib.contextmanager
    def replacing(self, directory: "Place | None" = None, *, for_good: bool = False) -> Iterator[Any]:
        """A pyarrow.NativeFile to write, which stands in this file's place once it is whole and on the disk.

        Args:
            directory: Where it is until then, on the same file system; beside it where none is given. S3 and Google
                Cloud Storage keep by themselves what is no file yet.
            for_good: Whether it is there after a power cut, too; else what was there before may be. To wait for that
                takes as long as to write some megabytes: parts that are lost are made again.
        """
        if self._is_of(_UPLOADED_WHOLE):
            with self._uploading() as sink:
                yield sink
            return
        unique = f"{TEMPORARY}{uuid.uuid4().hex}"
        temporary = self.beside(unique) if directory is None else directory / unique
        try:
            with temporary._created() as sink:  # noqa: SLF001 - of the same class
                yield sink
            if self.is_local:
                _replace(temporary.path, self.path, for_good=for_good)
            else:
                self.fs.mv(temporary.path, self.path)
        except BaseException:
            with contextlib.suppress(Exception):
                temporary.remove()
            raise

    @contextlib.contextmanager
    def _uploading(self) -> Iterator[Any]:
        """A pyarrow.NativeFile to write, of which nothing is seen unless it comes to its end."""
        file = self.fs.open(self.path, "wb")
        try:
            yield pa.PythonFile(file, mode="w")
            file.close()
        except BaseException:
            file.closed = True  # to close it would be to end the upload, with half of what was to be written
            with contextlib.suppress(Exception):
                file.discard()
            raise

    def _is_of(self, protocols: frozenset[str]) -> bool:
        own = {self.fs.protocol} if isinstance(self.fs.protocol, str) else set(self.fs.protocol)
        return not own.isdisjoint(protocols)

    def _created(self) -> Any:
        if self.is_local:
            return pa.OSFile(self.path, mode="wb")
        return pa.PythonFile(self.fs.open(self.path, "wb"), mode="w")


def _replace(temporary: str, path: str, *, for_good: bool) -> None:
    """Rename what is on the disk: after a power cut either the old file is there or the new one."""
    _synchronize(temporary)
    Path(temporary).replace(path)
    if for_good:
        _synchronize(str(Path(path).parent))


def _synchronize(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def place(url: str) -> Place:
    """The place that a person names: a path of this machine, or such as s3://bucket/rows.parquet.

    Raises:
        BatchFailed: No such file system is installed.
    """
    try:
        fs, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        extra = _EXTRAS.get(url.partition("://")[0])
        how = f"install modelroll-server[{extra}]" if extra else str(error)
        raise BatchFailed(f"{url} cannot be reached: {how}") from error
    except ValueError as error:
        raise BatchFailed(f"{url} is on no file system that is known here: {error}") from error
    return Place(fs, path)


@dataclass(frozen=True)
class Listing:
    """What a person named as input.

    Attributes:
        root: The directory that the files are in, or below.
        files: At least one, sorted by path.
        is_directory: Whether all that lies in the root was meant.
        pattern: Of their paths, where it was a glob.
    """

    root: str
    files: list[Place]
    is_directory: bool
    pattern: str | None = None

    def would_have(self, place: Place) -> bool:
        """Whether a file there is input, or would be to the next run."""
        if self.is_directory:
            return place.path.startswith(f"{self.root.rstrip('/')}/")
        if self.pattern is not None:
            return re.fullmatch(glob_translate(self.pattern), place.path) is not None
        return any(file.path == place.path for file in self.files)


def listing(url: str, suffixes: frozenset[str]) -> Listing:
    """The files of a path, of a glob, or of a directory and those below it.

    In directories files of other suffixes are passed over, and what begins with `_` or `.`, as by all readers of
    partitioned data.

    Raises:
        BatchFailed: There are none.
    """
    named = place(url)
    fs = named.fs
    if named.is_directory():
        below = (Place(fs, path) for path in sorted(fs.find(named.path)))
        found = [one for one in below if _is_data(one.path[len(named.path) :], suffixes)]
        if not found:
            raise BatchFailed(f"no file in {url} ends with {', '.join(sorted(suffixes))}")
        return Listing(named.path, found, is_directory=True)
    if named.exists():
        return Listing(named.path.rpartition("/")[0], [named], is_directory=False)
    if not _MAGIC & set(url):
        raise BatchFailed(f"nothing is at {url}")
    try:
        paths = sorted(fs.glob(named.path))
    except ValueError as error:
        raise BatchFailed(f"{url} is no glob: {error}") from error
    matches = [Place(fs, path) for path in paths if not fs.isdir(path)]
    if not matches:
        raise BatchFailed(f"nothing matches {url}")
    plain = named.path[: min(at for at, letter in enumerate(named.path) if letter in _MAGIC)]
    return Listing(plain.rpartition("/")[0], matches, is_directory=False, pattern=named.path)


def _is_data(relative: str, suffixes: frozenset[str]) -> bool:
    parts = relative.strip("/").split("/")
    return not any(part.startswith(("_", ".")) for part in parts) and any(map(parts[-1].lower().endswith, suffixes))
