"""CSV files as sources: what is cut is bytes, at the ends of records.

A file is gone through once before it is read, for the ends: only from the start can be said what is within quotes.
Values are read as the bytes that they are; `texts` says what they stand for.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyarrow import csv as arrow_csv

from modelroll_server.errors import BatchFailed, shortened
from modelroll_server.offline import places, sources
from modelroll_server.offline.options import Options
from modelroll_server.offline.records import OpenQuote, Scanner

_BLOCK = 2**18
_LEAST_BLOCK = 2**20
_SHARD_BYTES = 2**28


@dataclass(frozen=True)
class CsvSource:
    """A CSV in UTF-8 with names in its first line. Raises BatchFailed where it is none."""

    place: places.Place
    schema: Any
    cut: tuple[sources.Piece, ...]
    longest: int
    has_quotes: bool
    delimiter: str

    @classmethod
    def open(cls, place: places.Place, options: Options) -> "CsvSource":
        """Go through it."""
        scanner = Scanner(options.delimiter)
        cutter = _Cutter(options.shard_rows)
        with sources.reading(place, "CSV"), place.open(in_order=True) as file:
            try:
                for ends in scanner.ends(iter(lambda: file.read(_BLOCK), b"")):
                    cutter.take(ends.offsets.tolist(), ends.longest)
            except OpenQuote:
                line = cutter.rows + 1
                raise BatchFailed(f"{place} ends within quotes, which were opened in or after record {line}") from None
            if not cutter.header:
                raise BatchFailed(f"{place} is empty: a CSV has names in its first line")
            file.seek(0)
            names = _names(file.read(cutter.header), place, options.delimiter)
        schema = pa.schema([(name, pa.binary()) for name in names])
        pieces = cutter.pieces()
        return cls(place, schema, pieces, cutter.longest, scanner.has_quotes, options.delimiter)

    def pieces(self) -> list[sources.Piece]:
        """As of `Source`: bytes."""
        return list(self.cut)

    def read(self, piece: sources.Piece, columns: Sequence[str], malformed: list[sources.Malformed]) -> Iterator[Any]:
        """As of `Source`."""

        def skip(row: Any) -> str:
            found = f"{row.actual_columns} values, and the first line has {row.expected_columns} names"
            malformed.append(sources.Malformed(row.number - 1, f"{found}: {shortened(row.text, 1_000)}"))
            return "skip"

        names = self.schema.names
        reading = arrow_csv.ReadOptions(
            column_names=names, use_threads=False, block_size=max(_LEAST_BLOCK, 2 * self.longest)
        )
        parsing = arrow_csv.ParseOptions(
            delimiter=self.delimiter, newlines_in_values=self.has_quotes, invalid_row_handler=skip
        )
        converting = arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.binary()),
            null_values=[],
            strings_can_be_null=False,
            include_columns=list(columns),
            check_utf8=False,
        )
        with sources.reading(self.place, "CSV"), self.place.open(in_order=True) as file:
            segment = file.get_stream(piece.start, piece.stop - piece.start)
            yield from arrow_csv.open_csv(segment, reading, parsing, converting)


class _Cutter:
    """Makes pieces of records as their ends are found.

    Attributes:
        header: Bytes of the first record.
        rows: How many came after it.
        longest: Bytes of the longest record.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.header = self.rows = self.longest = 0
        self._found: list[sources.Piece] = []
        self._start = self._first = self._end = 0

    def take(self, ends: list[int], longest: int) -> None:
        """The ends of the records that come next."""
        self.longest = max(self.longest, longest)
        if ends and not self.header:
            self.header = self._start = self._end = ends[0]
            ends = ends[1:]
        at = 0
        while at < len(ends):
            room = self._most - (self.rows - self._first)
            some = ends[at : at + room]
            self.rows += len(some)
            self._end = some[-1]
            at += len(some)
            if len(some) == room or self._end - self._start >= _SHARD_BYTES:
                self._cut()

    def pieces(self) -> tuple[sources.Piece, ...]:
        """All pieces, once all ends are known."""
        if self.rows > self._first:
            self._cut()
        return tuple(self._found)

    def _cut(self) -> None:
        self._found.append(sources.Piece(self._start, self._end, self._first, self.rows - self._first))
        self._start, self._first = self._end, self.rows


def _names(header: bytes, place: places.Place, delimiter: str) -> list[str]:
    try:
        text = header.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BatchFailed(f"{place} is not CSV in UTF-8: {error}") from error
    try:
        names = next(csv.reader([text], delimiter=delimiter), [])
    except csv.Error as error:
        raise BatchFailed(
            f"{place} has no names in its first line: {error}; its lines must end with LF or CRLF"
        ) from error
    if len(names) == 1 and delimiter == "," and (";" in names[0] or "\t" in names[0]):
        separator = ";" if ";" in names[0] else "\\t"
        raise BatchFailed(f"{place} has other separators in its first line: say --delimiter '{separator}'")
    return names
