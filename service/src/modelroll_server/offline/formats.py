"""The formats by their file names: how each is read, written, and put together from its parts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv as arrow_csv

from modelroll_server.errors import BatchFailed
from modelroll_server.offline import columnar, csvs, footer
from modelroll_server.offline.options import Options
from modelroll_server.offline.places import Place
from modelroll_server.offline.records import Scanner
from modelroll_server.offline.sources import Source

# A row group or record batch is written when it has so many rows, or bytes in memory; it has a chunk more at most.
GROUP_ROWS = 2**17
GROUP_BYTES = 2**26
_LOOKED_AT = 2**13  # rows by which it is decided how a part is encoded
_BLOCK = 2**18  # stays in a core's cache: blocks of megabytes take up to six times as long to copy


class Writer(Protocol):
    """Writes record batches to an open file."""

    def write(self, table: Any) -> None:
        """Write an Arrow table of the writer's schema, as one row group."""

    def close(self) -> None:
        """Write what comes at the end."""


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        name: As people know it.
        suffix: Of the files that are written.
        open: Opens a file to read.
        writer: Begins a file: the sink, its Arrow schema, and the options.
        join: Writes finished files, of one schema and the options, as one to a sink.
        of_texts: Whether its files say nothing of what their columns hold.
    """

    name: str
    suffix: str
    open: Callable[[Place, Options], Source]
    writer: Callable[[Any, Any, Options], Writer]
    join: Callable[[Sequence[Place], Any, Options], None]
    of_texts: bool = False


class _ParquetWriter:
    def __init__(self, sink: Any, schema: Any, _options: Options) -> None:
        self._sink = sink
        self._schema = schema
        self._writer: Any = None

    def write(self, table: Any) -> None:
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._sink, self._schema, use_dictionary=repeating(table))
        self._writer.write_table(table)

    def close(self) -> None:
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._sink, self._schema)
        self._writer.close()


def check_takes(kind: Format, schema: Any, options: Options) -> None:
    """See that files of a format can have these columns, before any is computed.

    Raises:
        BatchFailed: They cannot; the message names them.
    """
    if not _takes(kind, schema, options):
        wrong = [f"{one.name} ({one.type})" for one in schema if not _takes(kind, pa.schema([one]), options)]
        raise BatchFailed(f"{kind.name} has no form for {', '.join(wrong)}: leave them out with --keep")


def _takes(kind: Format, schema: Any, options: Options) -> bool:
    try:
        writer = kind.writer(pa.BufferOutputStream(), schema, options)
        writer.write(pa.Table.from_arrays([pa.nulls(1, field.type) for field in schema], schema=schema))
        writer.close()
    except pa.ArrowException:
        return False
    return True


def repeating(table: Any) -> list[str]:
    """The columns of a table, as Parquet names them, of which a file is smaller with a dictionary of their values.

    To make one of values that are all different, as measurements and probabilities are, takes ten times as long as to
    write them, and the file is larger for it.
    """
    some = table.slice(0, _LOOKED_AT)
    different = {field.name for field in table.schema if _is_different(some.column(field.name))}
    empty = pa.BufferOutputStream()
    pq.write_table(table.schema.empty_table(), empty)
    written = pq.ParquetFile(empty.getvalue()).schema
    return [path for path in (written.column(at).path for at in range(len(written))) if path not in different]


def _is_different(column: Any) -> bool:
    """Whether most of these values are there once."""
    try:
        return bool(2 * pc.count_distinct(column).as_py() > len(column))
    except pa.ArrowNotImplementedError:  # of nested values
        return False


class _ArrowWriter:
    def __init__(self, sink: Any, schema: Any, _options: Options) -> None:
        self._writer = pa.ipc.new_file(sink, schema)

    def write(self, table: Any) -> None:
        self._writer.write_table(table.combine_chunks())

    def close(self) -> None:
        self._writer.close()


class _CsvWriter:
    def __init__(self, sink: Any, schema: Any, options: Options) -> None:
        if binary := [field.name for field in schema if pa.types.is_binary(field.type)]:  # Arrow writes it as it is
            raise BatchFailed(f"CSV has no form for {', '.join(binary)}: write Parquet, or leave them out with --keep")
        self._writer = arrow_csv.CSVWriter(
            sink, schema, write_options=arrow_csv.WriteOptions(delimiter=options.delimiter)
        )

    def write(self, table: Any) -> None:
        self._writer.write_table(table)

    def close(self) -> None:
        self._writer.close()


def _join_parquet(parts: Sequence[Place], sink: Any, _options: Options) -> None:
    """Row groups are copied as they are; what they hold is not decoded."""
    merged = footer.Merged()
    sink.write(footer.MAGIC)
    position = len(footer.MAGIC)
    for part in parts:
        with part.open(in_order=True) as file:
            size = file.size()
            end = footer.read(file)
            pages = size - len(end) - 8 - len(footer.MAGIC)
            file.seek(len(footer.MAGIC))
            _copy(file, sink, pages)
        merged.add(end, position - len(footer.MAGIC))
        position += pages
    sink.write(merged.end())


def _join_arrow(parts: Sequence[Place], sink: Any, _options: Options) -> None:
    writer = None
    for part in parts:
        with part.open(in_order=True) as file:
            reader = pa.ipc.open_file(file)
            if writer is None:
                writer = pa.ipc.new_file(sink, reader.schema)
            for index in range(reader.num_record_batches):
                writer.write_batch(reader.get_batch(index))
    assert writer is not None
    writer.close()


def _join_csv(parts: Sequence[Place], sink: Any, options: Options) -> None:
    """Each part begins with the same names, which the result has once."""
    names = 0
    for part in parts:
        with part.open(in_order=True) as file:
            size = file.size()
            file.seek(names)
            _copy(file, sink, size - names)
            if not names:
                names = _names(file, options.delimiter)


def _names(file: Any, delimiter: str) -> int:
    """Bytes of the first record, which quotes names that have line ends in them."""
    file.seek(0)
    for ends in Scanner(delimiter).ends(iter(lambda: file.read(_BLOCK), b"")):
        if len(ends.offsets):
            return int(ends.offsets[0])
    return 0


def _copy(file: Any, sink: Any, count: int) -> None:
    while count:
        block = file.read(min(count, _BLOCK))
        if not block:
            raise BatchFailed("a part is shorter than it was when it was written: say --restart to begin anew")
        sink.write(block)
        count -= len(block)


FORMATS = (
    Format("Parquet", ".parquet", columnar.ParquetSource.open, _ParquetWriter, _join_parquet),
    Format("CSV", ".csv", csvs.CsvSource.open, _CsvWriter, _join_csv, of_texts=True),
    Format("Arrow", ".arrow", columnar.ArrowSource.open, _ArrowWriter, _join_arrow),
)
_BY_SUFFIX = {one.suffix: one for one in FORMATS} | {
    ".pq": FORMATS[0],
    ".tsv": FORMATS[1],
    ".feather": FORMATS[2],
    ".ipc": FORMATS[2],
}
SUFFIXES = frozenset(_BY_SUFFIX)


def of(name: str) -> Format:
    """The format of a file of that name.

    Raises:
        BatchFailed: There is none.
    """
    found = next((kind for suffix, kind in _BY_SUFFIX.items() if name.lower().endswith(suffix)), None)
    if found is None:
        raise BatchFailed(
            f"{name} has no format that is known here: its name must end with one of {', '.join(_BY_SUFFIX)}"
        )
    return found
