"""Rows, what a stand-in model answers to them, and who watches a batch job."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import stand_in
from modelroll_server.artifact.manifest import Output
from modelroll_server.offline import job
from modelroll_server.registry.version import Version
from modelroll_server.runtimes.base import Runtime
from modelroll_server.tensors import Datatype, Outputs, Table

Rows = list[dict[str, Any]]
Run = Callable[..., job.Summary]


class Silent:
    """Progress that nobody looks at, and remembers what it was told."""

    def __init__(self) -> None:
        self.began: tuple[int, int, int] | None = None
        self.rows = 0

    def begin(self, rows: int, finished: int, shards: int) -> None:
        """As of `job.Progress`."""
        self.began = (rows, finished, shards)

    def advance(self, rows: int) -> None:
        """As of `job.Progress`."""
        self.rows += rows

    def assemble(self) -> None:
        """As of `job.Progress`."""


def answering(runtime: Runtime | None = None, *, outputs: list[Output] | None = None, **changes: Any) -> Version:
    """A version of the stand-in model, which takes tenure, charges and contract; its manifest with these changes."""
    version = stand_in.version(runtime=runtime)
    described = outputs or [Output("prediction", Datatype.INT64, [-1]), Output("probability", Datatype.FP64, [-1, 2])]
    manifest = msgspec.structs.replace(version.manifest, outputs=described, **changes)
    return Version(version.content, manifest, version.json, version.runtime, version.digest, 0.01)


class Parity:
    """Answers a row with whether its tenure is odd, and its charges over 100 as the probability of that."""

    kind = "stand-in"

    def predict(self, table: Table) -> Outputs:
        """The answers."""
        tenure, charges = table.columns[0], np.nan_to_num(np.asarray(table.columns[1], np.float64)) / 100
        return Outputs(tenure % 2, np.stack([1 - charges, charges], axis=1))


def rows(count: int, start: int = 0) -> Rows:
    """Good rows, with a column `id` that the model does not take."""
    return [
        {
            "id": f"customer {at}",
            "tenure": at % 73,
            "charges": None if at % 7 == 3 else (at * 37 % 100) + 0.25,
            "contract": ("month", "year")[at % 3 == 1],
        }
        for at in range(start, start + count)
    ]


def table(found: Rows) -> Any:
    """Rows as an Arrow table."""
    schema = [("id", pa.string()), ("tenure", pa.int64()), ("charges", pa.float64()), ("contract", pa.string())]
    return pa.Table.from_pylist(found, pa.schema(schema))


def predicted(place: Path) -> Rows:
    """The rows of an output without the time of day."""
    return [{name: row[name] for name in row if name != "predicted_at"} for row in pq.read_table(place).to_pylist()]


def expected(found: Rows) -> Rows:
    """What the stand-in answers to these rows."""
    constants = {"model": "churn", "version": "1.0.0", "digest": "sha256:" + "100" * 16}
    return [
        {
            **row,
            "prediction": row["tenure"] % 2,
            "probability": (row["charges"] or 0.0) / 100,
            **constants,
        }
        for row in found
    ]


def names(place: Path) -> list[str]:
    """What is in a directory."""
    return sorted(one.name for one in place.iterdir())
