"""Parquet and Arrow IPC files as sources: what is cut is row groups, and record batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from modelroll_server.offline import places, sources
from modelroll_server.offline.options import Options


@dataclass(frozen=True)
class ParquetSource:
    """A Parquet file. Raises BatchFailed where it is none, or not whole."""

    place: places.Place
    schema: Any
    groups: tuple[int, ...]
    options: Options

    @classmethod
    def open(cls, place: places.Place, options: Options) -> "ParquetSource":
        """Read its footer."""
        with sources.reading(place, "Parquet"), place.open() as file, _parquet(file) as parquet:
            metadata = parquet.metadata
            rows = tuple(metadata.row_group(index).num_rows for index in range(metadata.num_row_groups))
            return cls(place, parquet.schema_arrow, rows, options)

    def pieces(self) -> list[sources.Piece]:
        """As of `Source`: row groups."""
        return sources.grouped(self.groups, self.options.shard_rows)

    def read(self, piece: sources.Piece, columns: Sequence[str], malformed: list[sources.Malformed]) -> Iterator[Any]:
        """As of `Source`."""
        is_local = self.place.is_local
        with (
            sources.reading(self.place, "Parquet"),
            self.place.open() as file,
            _parquet(file, ahead=not is_local) as parquet,
        ):
            for group in range(piece.start, piece.stop):
                # One by one: what is fetched ahead is kept until the end of what was asked for at once.
                yield from parquet.iter_batches(self.options.chunk, row_groups=[group], columns=list(columns))


def _parquet(file: Any, *, ahead: bool = False) -> Any:
    """The reader of an open file.

    Over a network a row group's columns are fetched together; on a disk page by page, whatever a row group's size.
    Pages that were written with checksums are held against them.
    """
    return pq.ParquetFile(file, pre_buffer=ahead, buffer_size=0 if ahead else 2**18, page_checksum_verification=True)


@dataclass(frozen=True)
class ArrowSource:
    """An Arrow IPC file (Feather 2). Raises BatchFailed where it is none, or not whole."""

    place: places.Place
    schema: Any
    batches: tuple[int, ...]
    options: Options

    @classmethod
    def open(cls, place: places.Place, options: Options) -> "ArrowSource":
        """Read its footer, and how long its record batches are."""
        with sources.reading(place, "Arrow"), place.open() as file:
            schema = pa.ipc.open_file(file).schema
            # The footer does not say how many rows a batch has. One column of it does.
            first = pa.ipc.IpcReadOptions(included_fields=[0] if len(schema) else [])
            reader = pa.ipc.open_file(file, options=first)
            rows = tuple(reader.get_batch(at).num_rows for at in range(reader.num_record_batches))
            return cls(place, schema, rows, options)

    def pieces(self) -> list[sources.Piece]:
        """As of `Source`: record batches."""
        return sources.grouped(self.batches, self.options.shard_rows)

    def read(self, piece: sources.Piece, columns: Sequence[str], malformed: list[sources.Malformed]) -> Iterator[Any]:
        """As of `Source`."""
        wanted = pa.ipc.IpcReadOptions(included_fields=[self.schema.get_field_index(name) for name in columns])
        with sources.reading(self.place, "Arrow"), self.place.open(in_order=True) as file:
            reader = pa.ipc.open_file(file, options=wanted)
            for index in range(piece.start, piece.stop):
                yield reader.get_batch(index).select(list(columns))
