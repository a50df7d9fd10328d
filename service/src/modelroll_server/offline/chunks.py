"""The rows of a shard in chunks of one size, each row with its index in its file."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from modelroll_server.errors import BatchFailed
from modelroll_server.offline import sources
from modelroll_server.offline.dataset import Shard
from modelroll_server.tensors import Array


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of a shard.

    Attributes:
        shard: That.
        batch: An Arrow record batch of them; may be of none.
        rows: Their indexes in the file, [rows].
        malformed: Those before the end of this chunk that are no rows, by the same indexes.
    """

    shard: Shard
    batch: Any
    rows: Array
    malformed: list[sources.Malformed]


def read(shard: Shard, schema: Any, size: int) -> Iterator[Chunk]:
    """All rows of a shard, at least one chunk.

    Args:
        shard: That.
        schema: Arrow schema of the columns, those that directories name included.
        size: Rows of each chunk but the last.
    """
    first, partition = shard.piece.first, shard.file.partition
    columns = [name for name in schema.names if name not in partition]
    malformed: list[sources.Malformed] = []
    skipped: list[int] = []  # of all that were malformed so far, the row
    told = count = 0

    def chunk(batch: Any) -> Chunk:
        nonlocal told, count
        skipped.extend(one.row for one in malformed)
        new = [sources.Malformed(first + one.row, one.reason) for one in malformed]
        malformed.clear()
        rows = first + _indexes(count, batch.num_rows, skipped)
        count += batch.num_rows
        told += 1
        return Chunk(shard, _completed(batch, schema, partition), rows, new)

    if shard.piece.rows:
        for batch in _of_size(shard.file.source.read(shard.piece, columns, malformed), size):
            yield chunk(batch)
    if malformed or not told:
        yield chunk(pa.RecordBatch.from_pylist([], pa.schema([schema.field(name) for name in columns])))


def _indexes(start: int, count: int, skipped: list[int]) -> Array:
    """The indexes among all rows of `count` that were not skipped, of which `start` came before."""
    found = np.arange(start, start + count)
    if skipped:
        before = np.array(skipped)
        found += np.searchsorted(before - np.arange(len(before)), found, side="right")
    return found


def _of_size(batches: Iterable[Any], size: int) -> Iterator[Any]:
    """The same rows in batches of one size; the last may be smaller."""
    waiting: list[Any] = []
    count = 0
    for batch in batches:
        if not waiting and batch.num_rows == size:
            yield batch
            continue
        waiting.append(batch)
        count += batch.num_rows
        if count < size:
            continue
        joined = _joined(waiting)
        whole = count - count % size
        yield from (joined.slice(at, size) for at in range(0, whole, size))
        waiting, count = ([joined.slice(whole)] if count > whole else []), count - whole
    if count:
        yield _joined(waiting)


def _joined(batches: list[Any]) -> Any:
    if len(batches) == 1:
        return batches[0]
    first, *more = pa.Table.from_batches(batches).combine_chunks().to_batches()
    if more:
        raise BatchFailed("a chunk of rows has a column of more than 2 GiB of texts: say --chunk with fewer")
    return first


def _completed(batch: Any, schema: Any, partition: dict[str, int | str | None]) -> Any:
    """The columns of the schema in its order, with those that directories name."""
    if not partition and batch.schema.names == schema.names:
        return batch
    arrays = [
        _repeated(partition[name], schema.field(name).type, batch.num_rows) if name in partition else batch.column(name)
        for name in schema.names
    ]
    return pa.RecordBatch.from_arrays(arrays, names=schema.names)


def _repeated(value: int | str | None, kind: Any, count: int) -> Any:
    return pa.nulls(count, kind) if value is None else pa.repeat(pa.scalar(value, kind), count)
