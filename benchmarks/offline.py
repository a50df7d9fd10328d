"""Batch jobs beside a bare loop over the same runtime, in the same run: rows a second, and peak memory at two sizes.

Each run is a process of its own. They take turns, and a ratio is taken of two neighbours: on a machine that others
share too, absolute figures of two minutes are not comparable.
"""

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import models, places
from modelroll_server.telemetry import cpu

BARE = "bare loop"
GROUP_ROWS = 131_072
_SMALLER = 4  # times that the smaller file is smaller


@dataclass(frozen=True)
class Measured:
    """One run.

    Attributes:
        rows: Of its input.
        seconds: From the first row read to the output in its place.
        cpu_seconds: That the process computed, its start included.
        peak: Its largest resident memory, bytes.
    """

    rows: int
    seconds: float
    cpu_seconds: float
    peak: int

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds


@dataclass(frozen=True)
class Found:
    """What one subject showed.

    Attributes:
        name: Of it.
        rate: Rows a second, median.
        ratio: Rows a second to the bare loop's beside it, median.
        cpu: Processor time to the bare loop's, median.
        peak: Memory, bytes, median.
        growth: Memory to that at a quarter of the rows.
    """

    name: str
    rate: float
    ratio: float
    cpu: float
    peak: int
    growth: float


def measure(name: str, rows: int, times: int) -> Iterator[Found]:
    """The bare loop, and a batch job by one thread and by as many as there are CPUs."""
    model = models.open_model(name)
    artifact = model.compiled or model.uncompiled
    subjects = {BARE: ("bare", 1), "modelroll batch, one thread": ("modelroll", 1)}
    if cpu.usable() > 1:
        subjects[f"modelroll batch, {cpu.usable()} threads"] = ("modelroll", cpu.usable())
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        files = [_rows(model, count, place / f"{count}.parquet") for count in (rows, rows // _SMALLER)]
        large: dict[str, list[Measured]] = {subject: [] for subject in subjects}
        small: dict[str, list[Measured]] = {subject: [] for subject in subjects}
        for _ in range(times):
            for subject, (kind, threads) in subjects.items():
                large[subject].append(_run(kind, threads, artifact, files[0], rows))
        for subject, (kind, threads) in subjects.items():
            small[subject].append(_run(kind, threads, artifact, files[1], rows // _SMALLER))
    for subject, runs in large.items():
        pairs = list(zip(runs, large[BARE], strict=True))
        peak = statistics.median_low(one.peak for one in runs)
        yield Found(
            name=subject,
            rate=statistics.median(one.rate for one in runs),
            ratio=statistics.median(one.rate / other.rate for one, other in pairs),
            cpu=statistics.median(one.cpu_seconds / other.cpu_seconds for one, other in pairs),
            peak=peak,
            growth=peak / statistics.median_low(one.peak for one in small[subject]),
        )


def _rows(model: models.Model, count: int, file: Path) -> Path:
    """So many of the model's rows, at random, with a number each."""
    table = pa.Table.from_pylist(model.rows)
    random = np.random.default_rng(0)
    schema = pa.schema([*table.schema, pa.field("number", pa.int64())])
    with pq.ParquetWriter(file, schema) as writer:
        for start in range(0, count, GROUP_ROWS):
            some = min(GROUP_ROWS, count - start)
            chosen = table.take(pa.array(random.integers(0, len(table), some)))
            writer.write_table(chosen.append_column("number", pa.array(np.arange(start, start + some))))
    return file


def _run(kind: str, threads: int, artifact: Path, file: Path, rows: int) -> Measured:
    out = file.with_name("out.parquet")
    command = [sys.executable, "-m", "benchmarks.offline_run", kind, str(artifact), str(file), str(out), str(threads)]
    environment = {**os.environ, **cpu.thread_variables(1, os.environ)}
    with subprocess.Popen(command, cwd=places.ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    assert pq.ParquetFile(out).metadata.num_rows == rows
    return Measured(rows, float(said), usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)
