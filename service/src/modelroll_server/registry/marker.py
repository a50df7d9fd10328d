"""What survives a crash: a small file that names the revision being loaded, and that of the candidate there is.

A process that is killed while it loads a version (out of memory, most likely) finds the marker when it starts again,
and does not take that revision as a move a second time. One that dies beside a candidate takes it once more, and no
third time.
"""

from pathlib import Path

import msgspec
import structlog

_log = structlog.get_logger(__name__)


class _Document(msgspec.Struct):
    loading: int | None = None
    beside: int | None = None
    died: int | None = None
    crashed: list[int] = []


class Marker:
    """The marker of one pod. Without a directory it remembers nothing.

    Attributes:
        found: The revision that the process died of while it loaded it; None: it did not.
        lost: The revision of the candidate beside which it died for the second time.
    """

    def __init__(self, directory: Path | None) -> None:
        self._path = None if directory is None else directory / "loading.json"
        self._document = document = self._read()
        self.found, self.lost = document.loading, None
        if document.loading is not None:
            self._crashed(document.loading)
        elif document.beside is not None and document.beside == document.died:
            self.lost = document.beside
            self._crashed(document.beside)
        elif document.beside is not None:
            document.died = document.beside  # it may have been anything that killed it, once
        if document.loading is not None or document.beside is not None:
            document.loading = document.beside = None
            self._write()

    @property
    def crashed(self) -> frozenset[int]:
        """Revisions that once took the process down as they were loaded, or twice as candidates."""
        return frozenset(self._document.crashed)

    def set(self, revision: int) -> None:
        """Say that a load begins."""
        self._document.loading = revision
        self._write()

    def crash(self, revision: int) -> None:
        """Say that a load took down a process that was not this one."""
        self._crashed(revision)
        self._write()

    def clear(self) -> None:
        """Say that it ended, well or not."""
        self._document.loading = None
        self._write()

    def accompany(self, revision: int | None) -> None:
        """Say whose candidate is beside the live version; None: nobody's, or the process ends as it should."""
        if self._document.beside != revision:
            self._document.beside = revision
            self._write()

    def _crashed(self, revision: int) -> None:
        self._document.crashed = [*self._document.crashed[-99:], revision]

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
