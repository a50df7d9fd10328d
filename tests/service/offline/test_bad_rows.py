"""Rows that a model cannot be given, or raises on, are kept with the reason; only a broken model's end the job."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import feather

from modelroll_server.errors import BatchFailed
from modelroll_server.offline import chunks
from modelroll_server.tensors import Outputs, Table
from offline_jobs import Parity, Run, answering, expected, names, predicted, rows, table


def rejects(place: Path) -> list[tuple[str, int, str]]:
    columns = ("reject_source", "reject_row", "reject_reason")
    return [tuple(row[name] for name in columns) for row in pq.read_table(place).to_pylist()]


def test_bad_rows_go_to_the_rejects_with_the_reason(run: Run, tmp_path: Path) -> None:
    found = rows(345)
    found[5]["tenure"] = None
    found[5]["contract"] = "weekly"
    found[130]["contract"] = None
    pq.write_table(table(found), tmp_path / "rows.parquet", row_group_size=100)
    summary = run(tmp_path / "rows.parquet")
    assert (summary.rows, summary.rejected) == (343, 2)
    assert summary.rejects == str(tmp_path / "out.rejects.parquet")
    good = [row for at, row in enumerate(rows(345)) if at not in {5, 130}]
    assert predicted(tmp_path / "out.parquet") == expected(good)
    assert rejects(tmp_path / "out.rejects.parquet") == [
        (
            "rows.parquet",
            5,
            "tenure must be an integer, got null; contract must be one of 'month', 'year'; got 'weekly'",
        ),
        ("rows.parquet", 130, "contract must be a string, got null"),
    ]
    kept = pq.read_table(tmp_path / "out.rejects.parquet").to_pylist()
    assert [row["id"] for row in kept] == ["customer 5", "customer 130"]


def test_a_bad_row_can_end_the_job(run: Run, tmp_path: Path) -> None:
    found = rows(345)
    found[130]["contract"] = "weekly"
    pq.write_table(table(found), tmp_path / "rows.parquet", row_group_size=100)
    with pytest.raises(BatchFailed, match=r"row 130 of rows.parquet: contract must be one of .*got 'weekly'"):
        run(tmp_path / "rows.parquet", bad_rows="fail")
    assert not (tmp_path / "out.parquet").exists()
    assert not [name for name in names(tmp_path / "out.parquet.parts") if "00001" in name]


def test_all_rows_may_be_bad(run: Run, tmp_path: Path) -> None:
    found = [{**row, "contract": "weekly"} for row in rows(120)]
    pq.write_table(table(found), tmp_path / "rows.parquet", row_group_size=100)
    summary = run(tmp_path / "rows.parquet")
    assert (summary.rows, summary.rejected) == (0, 120)
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 0
    assert pq.read_table(tmp_path / "out.rejects.parquet")["reject_row"].to_pylist() == list(range(120))


def test_rows_of_csv_that_are_none(run: Run, tmp_path: Path) -> None:
    lines = ["id,tenure,charges,contract"]
    lines += [f"{at},{at},1.5,month" if at % 50 else f"{at},{at},1.5" for at in range(230)]
    lines[8] = '7,"7",,year'
    lines[10] = ""
    lines[21] = '"20\n,",x,1.5,month'
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    summary = run(tmp_path / "rows.csv")
    assert (summary.rows, summary.rejected) == (223, 6)
    # The blank line is no row: what comes after it counts one less.
    wrong = {at - (at > 9): f"3 values, and the first line has 4 names: {at},{at},1.5" for at in range(0, 230, 50)}
    wrong[19] = "tenure must be an integer, got a string: 'x'"
    assert {row: reason for _, row, reason in rejects(tmp_path / "out.rejects.parquet")} == wrong
    found = pq.read_table(tmp_path / "out.parquet")["id"].to_pylist()
    assert found == [str(at) for at in range(230) if at % 50 and at not in {9, 20}]


def test_a_row_that_the_model_raises_on_is_rejected_alone(run: Run, tmp_path: Path) -> None:
    class Raising(Parity):
        def predict(self, table: Table) -> Outputs:
            if (table.columns[0] == 13).any():
                raise ArithmeticError("thirteen")
            return super().predict(table)

    pq.write_table(table(rows(70)), tmp_path / "rows.parquet")
    run(tmp_path / "rows.parquet", version=answering(Raising()))
    assert predicted(tmp_path / "out.parquet") == expected([row for row in rows(70) if row["tenure"] != 13])
    assert rejects(tmp_path / "out.rejects.parquet") == [
        ("rows.parquet", 13, "the model raised on this row: ArithmeticError: thirteen")
    ]


@pytest.mark.parametrize("bad", [{10}, {8, 9, 10}, {11, *range(20, 30)}])
def test_rows_that_the_model_raises_on_may_be_alone_in_their_chunk(run: Run, tmp_path: Path, bad: set[int]) -> None:
    class Raising(Parity):
        def predict(self, table: Table) -> Outputs:
            if np.isin(table.columns[0], list(bad)).any():
                raise ArithmeticError("bad")
            return super().predict(table)

    count = max(bad) + 1
    pq.write_table(table(rows(count)), tmp_path / "rows.parquet")
    summary = run(tmp_path / "rows.parquet", version=answering(Raising()))
    assert (summary.rows, summary.rejected) == (count - len(bad), len(bad))
    assert predicted(tmp_path / "out.parquet") == expected([row for row in rows(count) if row["tenure"] not in bad])
    assert [row for _, row, _ in rejects(tmp_path / "out.rejects.parquet")] == sorted(bad)


@pytest.mark.parametrize(("count", "chunk"), [(1, 10), (70, 100), (345, 100)])
def test_a_model_that_raises_on_everything_ends_the_job(run: Run, tmp_path: Path, count: int, chunk: int) -> None:
    class Broken(Parity):
        def predict(self, table: Table) -> Outputs:
            raise ArithmeticError("never")

    pq.write_table(table(rows(count)), tmp_path / "rows.parquet")
    sentence = f"the model raised on each of {min(count, chunk)} rows: ArithmeticError: never"
    with pytest.raises(BatchFailed, match=sentence):
        run(tmp_path / "rows.parquet", version=answering(Broken()), chunk=chunk)


def test_a_model_that_answers_with_too_few_rows_ends_the_job(run: Run, tmp_path: Path) -> None:
    class Short(Parity):
        def predict(self, table: Table) -> Outputs:
            return Outputs(np.empty(0, np.int64), np.empty((0, 2)))

    pq.write_table(table(rows(70)), tmp_path / "rows.parquet")
    with pytest.raises(BatchFailed, match="answered"):
        run(tmp_path / "rows.parquet", version=answering(Short()), chunk=100)


def test_a_column_that_the_output_has_no_form_for_is_named_before_anything_is_computed(
    run: Run, tmp_path: Path
) -> None:
    spans = pa.array([pa.MonthDayNano([1, 2, 3])] * 20, pa.month_day_nano_interval())
    feather.write_feather(table(rows(20)).append_column("span", spans), tmp_path / "rows.feather")
    for suffix, name in (("parquet", "Parquet"), ("csv", "CSV")):
        sentence = rf"{name} has no form for span \(month_day_nano_interval\): leave them out with --keep"
        with pytest.raises(BatchFailed, match=sentence):
            run(tmp_path / "rows.feather", tmp_path / f"out.{suffix}")
        assert names(tmp_path) == ["rows.feather"]
    assert run(tmp_path / "rows.feather", tmp_path / "out.arrow").rows == 20


def test_rows_that_are_lost_on_the_way_end_the_job(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lossy(*arguments: Any) -> Iterator[chunks.Chunk]:
        for chunk in read(*arguments):
            yield replace(chunk, batch=chunk.batch.slice(0, 9), rows=chunk.rows[:9])

    read = chunks.read
    monkeypatch.setattr(chunks, "read", lossy)
    pq.write_table(table(rows(100)), tmp_path / "rows.parquet")
    with pytest.raises(BatchFailed, match=r"90 of 100 rows of a shard of rows\.parquet were computed"):
        run(tmp_path / "rows.parquet")
    assert not (tmp_path / "out.parquet").exists()
