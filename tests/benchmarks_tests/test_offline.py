"""Inputs of batch jobs, whatever their size, and what is made of the runs over them."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks import models, offline, tables
from benchmarks.machine import Machine, Source

OURS = "modelroll batch, one thread"


def run() -> offline.Run:
    return offline.Run("logistic", Machine("cpu", 2, 8.0, "Linux"), Source("0" * 40, False), {})


def measured(subject: str, round_: int, seconds: float, *, rows: int = 100, peak: int = 2**20) -> offline.Measured:
    return offline.Measured(subject, rows, "Parquet", round_, seconds, 2 * seconds, peak)


def test_a_batch_jobs_ratio_is_taken_within_each_round() -> None:
    # The machine was ten times slower in the second round.
    found = run()
    for round_, slower in enumerate((1, 10, 1)):
        found.speed += [
            measured(offline.BARE, round_, 1.0 * slower),
            measured(offline.ALIKE, round_, 0.4 * slower),
            measured(OURS, round_, 0.5 * slower),
        ]
    _, _, *rows = tables.batch_speed(found).splitlines()
    assert [cell.strip() for cell in rows[2].split("|")[1:-1]] == [OURS, "200", "2.00×", "0.80×", "0.50×", "1.25×"]


def test_memory_is_compared_with_that_of_the_fewest_rows_of_the_same_kind() -> None:
    found = run()
    found.memory = [
        measured(OURS, 0, 1.0, rows=400, peak=3 * 2**20),
        measured(OURS, 0, 1.0, rows=100, peak=2 * 2**20),
    ]
    _, _, *rows = tables.batch_memory(found).splitlines()
    assert ["1.50×" in rows[0], "1.00×" in rows[1]] == [True, True]


@pytest.mark.parametrize(("group", "groups"), [(40, 3), (1_000, 1), (None, None)])
def test_an_input_is_written_by_parts(tmp_path: Path, group: int | None, groups: int | None) -> None:
    asked: list[models.Row] = [{"length": 1.5, "kind": "a"}, {"length": None, "kind": "b"}]
    model = models.Model("m", True, tmp_path, asked, [0, 1], frozenset({"kind"}), tmp_path, None)
    file = offline.Input(100, group).write(model, tmp_path)
    if group is None:
        lines = file.read_text().splitlines()
        assert (lines[0], len(lines)) == ('"length","kind","number"', 101)
        return
    written = pq.ParquetFile(file)
    assert (written.metadata.num_rows, written.num_row_groups) == (100, groups)
    table = written.read().to_pydict()
    assert table["number"] == list(range(100))
    lengths = [value for value in table["length"] if value is not None]
    assert len(set(lengths)) == len(lengths) == table["kind"].count("a")
