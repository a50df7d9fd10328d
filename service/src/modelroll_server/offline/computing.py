"""A chunk of rows to the same rows with their answers, and those that got none with the reason.

Owns the columns of the output and of the rejects. Threads may share it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from modelroll_server.artifact.manifest import Output
from modelroll_server.errors import BatchFailed, shortened
from modelroll_server.offline import answers, chunks, texts
from modelroll_server.offline.chunks import Chunk
from modelroll_server.offline.dataset import Dataset, Shard, plain
from modelroll_server.offline.decoding import Decoder, Refusals, refuse
from modelroll_server.offline.options import Options
from modelroll_server.openinference import metadata
from modelroll_server.registry.version import Version
from modelroll_server.runtimes import estimators
from modelroll_server.tensors import Array, Datatype, Outputs, Table

_REJECTS = (
    pa.field("reject_source", pa.string()),
    pa.field("reject_row", pa.int64()),
    pa.field("reject_reason", pa.string()),
)
_TYPES = {
    Datatype.FP64: pa.float64(),
    Datatype.FP32: pa.float32(),
    Datatype.INT64: pa.int64(),
    Datatype.BOOL: pa.bool_(),
}
_TELLING = 100  # rows of a chunk that the model raises on, all of them: it is the model's fault, and not theirs
_BARE = "; a bare file does not say what a CSV's texts stand for: `modelroll pack` it with samples"


@dataclass(frozen=True, slots=True)
class Computed:
    """What became of a chunk.

    Attributes:
        shard: That it is of.
        answered: Arrow record batches of the rows that were answered, one or none.
        rejected: Of those that were not; None where there are none.
        lost: How many of the former have a prediction that is not finite.
    """

    shard: Shard
    answered: list[Any]
    rejected: Any
    lost: int

    @property
    def rows(self) -> int:
        """How many rows the chunk had."""
        batches = self.answered if self.rejected is None else [*self.answered, self.rejected]
        return sum(int(batch.num_rows) for batch in batches)


class Computer:
    """Computes the chunks of one input with one version.

    Attributes:
        schema: Arrow schema of what is answered.
        rejects: Arrow schema of what is rejected.
    """

    def __init__(self, version: Version, data: Dataset, options: Options, *, as_texts: bool) -> None:
        """What computes.

        Args:
            version: The model.
            data: The input.
            options: As chosen.
            as_texts: Whether what comes as texts goes out as texts: from CSV to CSV nothing is written otherwise.

        Raises:
            BatchFailed: The columns that are added have names that are taken.
        """
        self._version = version
        self._runtime = version.runtime
        self._decoder = Decoder(version.schema, version.arrays, of_texts=data.of_texts)
        self._kept = data.kept
        self._reading = data.schema
        self._of_texts = data.of_texts
        self._fails = options.bad_rows == "fail"
        self._telling = min(_TELLING, data.rows)
        self._typed = _typed(version, data, as_texts=as_texts)
        bare = any(column.datatype is Datatype.ANY for column in version.schema.inputs)
        self._hint = _BARE if data.of_texts and bare else ""
        outputs = version.manifest.outputs or self._probed(data, options)
        self._columns = answers.columns(outputs, version.manifest, per_class=options.per_class)
        texts = [("model", version.model), ("version", version.number), ("digest", version.digest)]
        self._constants = [pa.repeat(text, options.chunk) for _, text in texts]
        added = [
            *((column.name, column.type) for column in self._columns),
            ("predicted_at", pa.timestamp("us", "UTC")),
            *((name, pa.string()) for name, _ in texts),
        ]
        passed = [(name, self._kind(name)) for name in data.kept]
        self.schema = pa.schema([*passed, *((f"{options.prefix}{name}", kind) for name, kind in added)])
        self.rejects = pa.schema([*((field.name, self._untyped(field.type)) for field in data.schema), *_REJECTS])
        for schema, way in (
            (self.schema, "--prefix puts something before the names that are added, and --keep leaves columns out"),
            (self.rejects, "rename them"),
        ):
            twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
            if twice:
                raise BatchFailed(f"the input has columns named as those that are added, {', '.join(twice)}: {way}")

    def compute(self, chunk: Chunk) -> Computed:
        """Answer the rows of a chunk.

        Raises:
            BatchFailed: The model raised on all of them, and they are 100 or all of the input; or there are bad rows,
                and those are to end the job.
        """
        batch, refusals = chunk.batch, Refusals()
        passed = {name: self._passed(name, batch.column(name), refusals) for name in self._kept}
        decoded = self._decoder.decode(batch, refusals)
        table, kept = decoded.table, decoded.kept
        outputs, failed = self._answered(table)
        if failed:
            rows = np.arange(batch.num_rows) if kept is None else np.flatnonzero(kept)
            for at, reason in failed.items():
                refuse(refusals, int(rows[at]), reason)
            answered = np.ones(table.rows, np.bool_)
            answered[list(failed)] = False
            table = Table(table.names, tuple(column[answered] for column in table.columns), int(answered.sum()))
            kept = np.zeros(batch.num_rows, np.bool_)
            kept[rows[answered]] = True
        if self._fails and (refusals or chunk.malformed):
            raise self._failure(chunk, refusals)
        rejected = self._rejected(chunk, refusals) if refusals or chunk.malformed else None
        if outputs is None:
            return Computed(chunk.shard, [], rejected, 0)
        arrays = [*self._carried(passed, table, kept), *(column.make(outputs) for column in self._columns)]
        arrays += self._stamps(table.rows)
        lost = table.rows - int(np.count_nonzero(outputs.finite))
        return Computed(chunk.shard, [pa.RecordBatch.from_arrays(arrays, schema=self.schema)], rejected, lost)

    def _probed(self, data: Dataset, options: Options) -> Sequence[Output]:
        """What a bare file's model answers with: it has to be asked."""
        for shard in data.shards:
            for chunk in chunks.read(shard, data.schema, options.chunk):
                outputs, _ = self._answered(self._decoder.decode(chunk.batch, Refusals()).table)
                if outputs is not None:
                    return estimators.outputs(outputs.prediction, outputs.probability, outputs.score)
        described = metadata.outputs(self._version.manifest)
        return [Output("prediction", Datatype(one.datatype), one.shape) for one in described[:1]]

    def _answered(self, table: Table) -> tuple[Outputs | None, dict[int, str]]:
        """The answers to the rows of a table; without those that the model raised on, which come with the reason."""
        if not table.rows:
            return None, {}
        try:
            return self._predict(table), {}
        except MemoryError as error:
            raise BatchFailed(f"{table.rows} rows take more memory than there is: say --chunk with fewer") from error
        except Exception as error:  # noqa: BLE001 - a model raises what it likes
            first = error
        failed: dict[int, str] = {}
        parts = self._halved(table, 0, first, failed)
        if parts:
            return Outputs.concat(parts), failed
        # What came before is not asked: after a restart, or in another process, that would be something else.
        if table.rows >= self._telling:
            raise BatchFailed(f"the model raised on each of {table.rows} rows: {_said(first)}{self._hint}") from first
        return None, failed

    def _halved(self, table: Table, start: int, error: Exception, failed: dict[int, str]) -> list[Outputs]:
        """The answers of a table on which the model raised, half by half, down to the rows that it raises on."""
        if table.rows == 1:
            failed[start] = f"the model raised on this row: {_said(error)}"
            return []
        middle = table.rows // 2
        found = []
        for begin, end in ((0, middle), (middle, table.rows)):
            half = table.slice(begin, end)
            try:
                found.append(self._predict(half))
            except Exception as another:  # noqa: BLE001 - as above
                found += self._halved(half, start + begin, another, failed)
        return found

    def _predict(self, table: Table) -> Outputs:
        outputs = self._runtime.predict(table)
        if outputs.rows != table.rows:
            raise ValueError(f"the model answered {table.rows} rows with {outputs.rows}")
        return outputs

    def _kind(self, name: str) -> Any:
        kind = self._typed.get(name)
        return self._untyped(self._reading.field(name).type) if kind is None else kind

    def _untyped(self, kind: Any) -> Any:
        """The type of a column that passes through: of a CSV texts."""
        return pa.string() if self._is_text(kind) else plain(kind)

    def _is_text(self, kind: Any) -> bool:
        return self._of_texts and bool(pa.types.is_binary(kind))

    def _passed(self, name: str, column: Any, refusals: Refusals) -> Any:
        """A column of the input as the output has it, of all rows; None where that is made of what was decoded."""
        if name in self._typed:
            return None
        if self._is_text(column.type):
            column, refused = texts.strings(column)
            for row, sentence in refused:
                refuse(refusals, row, f"{name} {sentence}")
        return column if column.type == self._kind(name) else column.cast(self._kind(name))

    def _carried(self, passed: dict[str, Any], table: Table, kept: Array | None) -> list[Any]:
        """The columns of the input, of the rows that were answered."""
        mask = None if kept is None else pa.array(kept)
        by_name = dict(zip(table.names, table.columns, strict=True)) if self._typed else {}
        found = []
        for name, column in passed.items():
            if column is None:
                found.append(pa.array(by_name[name], self._typed[name], from_pandas=True))
            else:
                found.append(column if mask is None else column.filter(mask))
        return found

    def _stamps(self, rows: int) -> list[Any]:
        now = pa.scalar(datetime.now(UTC), self.schema.field(len(self.schema) - 4).type)
        return [pa.repeat(now, rows), *(text.slice(0, rows) for text in self._constants)]

    def _rejected(self, chunk: Chunk, refusals: Refusals) -> Any:
        at = pa.array(sorted(refusals), pa.int64())
        malformed, source = chunk.malformed, chunk.shard.file.name
        arrays = []
        for field in self.rejects:
            if field in _REJECTS:
                continue
            column = chunk.batch.column(field.name).take(at)
            if self._is_text(column.type):
                column, _ = texts.strings(column)
            column = column if column.type == field.type else column.cast(field.type)
            arrays.append(pa.concat_arrays([column, pa.nulls(len(malformed), field.type)]))
        rows = [*(int(chunk.rows[row]) for row in at.to_pylist()), *(one.row for one in malformed)]
        reasons = [*(refusals[row] for row in at.to_pylist()), *(one.reason for one in malformed)]
        arrays += [pa.repeat(source, len(rows)), pa.array(rows, pa.int64()), pa.array(reasons, pa.string())]
        return pa.RecordBatch.from_arrays(arrays, schema=self.rejects)

    def _failure(self, chunk: Chunk, refusals: Refusals) -> BatchFailed:
        found = [(int(chunk.rows[row]), reason) for row, reason in refusals.items()]
        row, reason = min([*found, *((one.row, one.reason) for one in chunk.malformed)])
        way = "with --bad-rows reject such rows go to a file of their own"
        return BatchFailed(f"row {row} of {chunk.shard.file.name}: {shortened(reason, 500)}; {way}")


def _said(error: Exception) -> str:
    return shortened(f"{type(error).__name__}: {error}", 500)


def _typed(version: Version, data: Dataset, *, as_texts: bool) -> dict[str, Any]:
    """The columns that go out as they were decoded, with their types: numbers that came as texts."""
    if as_texts or not data.of_texts:
        return {}
    return {
        column.name: _TYPES[column.datatype]
        for column in version.schema.inputs
        if column.datatype in _TYPES and pa.types.is_binary(data.schema.field(column.name).type)
    }
