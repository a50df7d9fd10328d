"""One run over a file, in a process of its own.

    python -m benchmarks.offline_run bare|alike|modelroll ARTIFACT IN OUT THREADS

Writes the seconds from the first row read to the output in its place (loading the model comes before), and the bytes of
the largest resident memory. The bare loop is what a careful person would write: it reads, calls the same runtime with
as many rows, and writes row groups of the same size, encoded as pyarrow does by itself; `alike`, as the batch job does.
It checks nothing, keeps no journal, waits for no disk, and what it wrote when it is killed is lost.
"""

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from modelroll_server.artifact.policy import Policy
from modelroll_server.offline import formats, job
from modelroll_server.offline.options import CHUNK, Options
from modelroll_server.registry.loader import Loader
from modelroll_server.registry.target import Content
from modelroll_server.registry.terms import Terms
from modelroll_server.registry.version import Version
from modelroll_server.settings import Settings
from modelroll_server.tensors import Table


class Silent:
    """Progress that nobody looks at."""

    def begin(self, rows: int, finished: int, shards: int) -> None:
        """As of `job.Progress`."""

    def advance(self, rows: int) -> None:
        """As of `job.Progress`."""

    def assemble(self) -> None:
        """As of `job.Progress`."""


def bare(version: Version, source: str, out: str, *, alike: bool) -> None:
    """Read, predict, write."""
    file = pq.ParquetFile(source, pre_buffer=False, buffer_size=2**18)
    writer = None
    gathered: list[Any] = []
    for batch in file.iter_batches(CHUNK):
        columns = tuple(
            batch.column(column.name).to_numpy(zero_copy_only=False).astype(column.datatype.dtype)
            for column in version.schema.inputs
        )
        outputs = version.runtime.predict(Table(version.schema.names, columns, batch.num_rows))
        assert isinstance(outputs.probability, np.ndarray)
        now = pa.scalar(datetime.now(UTC), pa.timestamp("us", "UTC"))
        added = {
            "prediction": pa.array(outputs.prediction),
            "probability": pa.array(np.ascontiguousarray(outputs.probability[:, 1])),
            "predicted_at": pa.repeat(now, batch.num_rows),
            "model": pa.repeat(version.model, batch.num_rows),
            "version": pa.repeat(version.number, batch.num_rows),
            "digest": pa.repeat(version.digest, batch.num_rows),
        }
        for name, array in added.items():
            batch = batch.append_column(name, array)  # noqa: PLW2901
        if writer is None:
            chosen = formats.repeating(pa.Table.from_batches([batch])) if alike else True
            writer = pq.ParquetWriter(out, batch.schema, use_dictionary=chosen)
        gathered.append(batch)
        if sum(one.num_rows for one in gathered) >= formats.GROUP_ROWS:
            writer.write_table(pa.Table.from_batches(gathered))
            gathered.clear()
    assert writer is not None
    if gathered:
        writer.write_table(pa.Table.from_batches(gathered))
    writer.close()


def _peak() -> int:
    """Bytes, of this program alone: what `wait4` says begins with what the process was forked from."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def main() -> None:
    """The run."""
    kind, artifact, source, out, threads = sys.argv[1:]
    settings = Settings(model_path=artifact)
    terms = Terms(settings.model_root, Policy.ANY)
    version = Loader(terms).load(Content(path=artifact))
    began = time.monotonic()
    if kind != "modelroll":
        bare(version, source, out, alike=kind == "alike")
    else:
        order = job.Order(source, out, overwrite=True, threads=int(threads))
        job.run(order, version, Options(), Silent())
    sys.stdout.write(f"{time.monotonic() - began} {_peak()}")


if __name__ == "__main__":
    main()
