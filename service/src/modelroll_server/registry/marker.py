"""What survives a crash while loading: a small file that names the revision being loaded.

A process that is killed while it loads a version (out of memory, most likely) finds the marker when it starts again,
and does not take that revision as a move a second time.
"""

from pathlib import Path

import msgspec
import structlog

_log = structlog.get_logger(__name__)


class _Document(msgspec.Struct):
    loading: int | None = None
    crashed: list[int] = []


class Marker:
    """The marker of one pod. Without a directory it remembers nothing."""

    def __init__(self, directory: Path | None) -> None:
        self._path = None if directory is None else directory / "loading.json"
        self._document = self._read()
        self.found = self._document.loading
        if self.found is not None:
            self._document.crashed = [*self._document.crashed[-99:], self.found]
            self._document.loading = None
            self._write()

    @property
    def crashed(self) -> frozenset[int]:
        """Revisions whose load once took the process down."""
        return frozenset(self._document.crashed)

    def set(self, revision: int) -> None:
        """Say that a load begins."""
        self._document.loading = revision
        self._write()

    def crash(self, revision: int) -> None:
        """Say that a load took down a process that was not this one."""
        self._document.crashed = [*self._document.crashed[-99:], revision]
        self._write()

    def clear(self) -> None:
        """Say that it ended, well or not."""
        self._document.loading = None
        self._write()

    def _read(self) -> _Document:
        if self._path is None:
            return _Document()
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Document)
        except (OSError, msgspec.DecodeError):
            return _Document()

    def _write(self) -> None:
        if self._path is None:
            return
        temporary = self._path.with_suffix(".tmp")
        try:
            temporary.write_bytes(msgspec.json.encode(self._document))
            temporary.replace(self._path)
        except OSError as error:  # to go on without a marker is better than not to go on
            _log.warning("the load marker cannot be written", path=str(self._path), error=error.strerror)
