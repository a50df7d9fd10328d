"""What all formats of input have in common: a source that is cut into pieces, and a piece that is read in batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from modelroll_server.errors import BatchFailed, BatchInterrupted
from modelroll_server.offline import places


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of one file that are read alone.

    Attributes:
        start: The first of its row groups, record batches or bytes.
        stop: The one after the last.
        first: Index of its first row in the file.
        rows: How many it has.
    """

    start: int
    stop: int
    first: int
    rows: int


@dataclass(frozen=True, slots=True)
class Malformed:
    """A row that is none: its index in the piece, and what is wrong with it."""

    row: int
    reason: str


class Source(Protocol):
    """One file of rows."""

    @property
    def schema(self) -> Any:
        """An Arrow schema of its columns; of a CSV all are binary."""

    def pieces(self) -> list[Piece]:
        """The pieces that it is cut into, in order; the same whenever it is asked."""

    def read(self, piece: Piece, columns: Sequence[str], malformed: list[Malformed]) -> Iterator[Any]:
        """The rows of a piece as Arrow record batches of any size, with these columns.

        Args:
            piece: One of `pieces`.
            columns: Names of the schema.
            malformed: Gets the rows that are none, before the batch that comes after them.
        """


def grouped(rows: Sequence[int], most: int) -> list[Piece]:
    """Pieces of neighbouring groups (row groups, record batches), of about `most` rows or one group.

    Args:
        rows: Of each group.
        most: Rows that a piece has at most, unless one group has more.
    """
    found: list[Piece] = []
    start = first = count = 0
    for index, more in enumerate(rows):
        if count and count + more > most:
            found.append(Piece(start, index, first, count))
            start, first, count = index, first + count, 0
        count += more
    if start < len(rows):
        found.append(Piece(start, len(rows), first, count))
    return found


class reading:  # noqa: N801 - it reads as a part of `with`
    """What goes wrong while a file is read, as a sentence that names it."""

    def __init__(self, place: places.Place, kind: str) -> None:
        self._place = place
        self._kind = kind

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, pa.ArrowInvalid | pa.ArrowNotImplementedError | EOFError | UnicodeDecodeError):
            raise BatchFailed(f"{self._place} is not {self._kind}, or not whole: {error}") from error
        if isinstance(error, FileNotFoundError):
            raise BatchFailed(f"{self._place} is not there any more") from error
        if isinstance(error, OSError):
            raise BatchInterrupted(f"{self._place} cannot be read, or is not whole: {error}") from error
