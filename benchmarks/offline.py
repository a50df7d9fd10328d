"""Batch jobs beside a bare loop over the same runtime, in the same run: rows a second; and peak memory by size.

Each run is a process of its own. They take turns, each round in another order, and a ratio is taken within a round: on
a machine that others share too, absolute figures of two minutes are not comparable.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import csv

from benchmarks import machine, models, places
from benchmarks.machine import Machine, Source
from modelroll_server.telemetry import cpu

BARE = "bare loop"
ALIKE = "bare loop, encoded alike"
GROUP_ROWS = 131_072
_BATCH = 100_000  # rows that an input is written by
_NOISE = 0.1  # of each double, so that they are as different as measurements are


class Subject(msgspec.Struct, frozen=True):
    """What predicts a file: which program of `offline_run`, and by how many threads."""

    name: str
    kind: Literal["bare", "alike", "modelroll"]
    threads: int


class Measured(msgspec.Struct, frozen=True):
    """One run."""

    subject: str
    rows: int
    input: str
    """Format, and rows of a row group."""
    round: int
    seconds: float
    """From the first row read to the output in its place."""
    cpu_seconds: float
    """That the process computed, its start included."""
    peak: int
    """Its largest resident memory, bytes; of files, only libraries that it has mapped are in it."""

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.rows / self.seconds


class Run(msgspec.Struct):
    """All that was measured."""

    model: str
    machine: Machine
    source: Source
    versions: dict[str, str]
    speed: list[Measured] = []
    memory: list[Measured] = []


@dataclass(frozen=True)
class Input:
    """A file of so many of a model's rows at random, as Parquet of such row groups; as CSV where there is no group."""

    rows: int
    group: int | None = GROUP_ROWS

    @property
    def name(self) -> str:
        """As of `Measured.input`."""
        return "CSV" if self.group is None else f"Parquet, {self.group:,} a group"

    def write(self, model: models.Model, directory: Path) -> Path:
        """Write it, whatever its size, by some rows at a time."""
        table = pa.Table.from_pylist(model.rows)
        schema = pa.schema([*table.schema, pa.field("number", pa.int64())])
        file = directory / ("rows.csv" if self.group is None else "rows.parquet")
        step = self.group or _BATCH
        random = np.random.default_rng(0)
        with csv.CSVWriter(file, schema) if self.group is None else pq.ParquetWriter(file, schema) as writer:
            for start in range(0, self.rows, step):
                some = min(step, self.rows - start)
                chosen = table.take(pa.array(random.integers(0, len(table), some)))
                columns = [_noisy(column, random) for column in chosen.columns]
                numbers = pa.array(np.arange(start, start + some))
                writer.write_table(pa.Table.from_arrays([*columns, numbers], schema=schema))
        return file


LARGE = [
    *(Input(rows, 1_000_000) for rows in (1_000_000, 10_000_000, 50_000_000)),
    *(Input(rows, 100_000) for rows in (1_000_000, 50_000_000)),
    *(Input(rows, None) for rows in (1_000_000, 10_000_000)),
]


def _noisy(column: Any, random: np.random.Generator) -> Any:
    if not pa.types.is_floating(column.type):
        return column
    return pc.multiply(column, pa.array(1 + _NOISE * random.standard_normal(len(column))))


def begin(name: str) -> Run:
    """Nothing yet of the model of that name."""
    versions = machine.versions() | {"pyarrow": pa.__version__}
    return Run(name, machine.this(), machine.source(), versions)


def subjects() -> list[Subject]:
    """The bare loops, and batch jobs by one thread and by as many as there are CPUs."""
    found = [
        Subject(BARE, "bare", 1),
        Subject(ALIKE, "alike", 1),
        Subject("modelroll batch, one thread", "modelroll", 1),
    ]
    if cpu.usable() > 1:
        found.append(Subject(f"modelroll batch, {cpu.usable()} threads", "modelroll", cpu.usable()))
    return found


def measure_speed(run: Run, rows: int, times: int, directory: Path) -> None:
    """Add rounds in which all subjects predict one file."""
    model = models.open_model(run.model)
    wanted = Input(rows)
    file = wanted.write(model, directory)
    compared = subjects()
    for round_ in range(times):
        first = round_ % len(compared)
        for subject in [*compared[first:], *compared[:first]]:
            run.speed.append(_run(subject, model, file, wanted, round_))
    file.unlink()


def measure_memory(run: Run, inputs: Sequence[Input], directory: Path) -> None:
    """Add a run of a batch job, by a thread for each CPU, for each of these inputs."""
    model = models.open_model(run.model)
    for wanted in inputs:
        file = wanted.write(model, directory)
        run.memory.append(_run(subjects()[-1], model, file, wanted, 0))
        file.unlink()


def _run(subject: Subject, model: models.Model, file: Path, wanted: Input, round_: int) -> Measured:
    artifact, out = model.compiled or model.uncompiled, file.with_name("out.parquet")
    command = [sys.executable, "-m", "benchmarks.offline_run", subject.kind, str(artifact), str(file), str(out)]
    command.append(str(subject.threads))
    environment = {**os.environ, **cpu.thread_variables(1, os.environ)}
    with subprocess.Popen(command, cwd=places.ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    assert pq.ParquetFile(out).metadata.num_rows == wanted.rows
    out.unlink()
    seconds, peak = said.split()
    used = usage.ru_utime + usage.ru_stime
    return Measured(subject.name, wanted.rows, wanted.name, round_, float(seconds), used, int(peak))
