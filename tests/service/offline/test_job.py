"""Batch jobs: every row once, in order, with its answer, whatever the format and wherever the files are."""

import csv
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from pyarrow import feather

from modelroll_server.artifact.manifest import Output
from modelroll_server.errors import BatchFailed
from modelroll_server.offline import chunks, formats
from modelroll_server.offline.places import Place
from modelroll_server.tensors import Datatype, Outputs, Table
from offline_jobs import Parity, Rows, Run, Silent, answering, expected, predicted, rows, table

THREADS = 2  # of `run`
ADDED = ["prediction", "probability", "predicted_at", "model", "version", "digest"]


def write_csv(found: Rows, place: Path, **options: Any) -> Path:
    with place.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, found[0], **options)
        writer.writeheader()
        writer.writerows(found)
    return place


def read_csv(place: Path) -> list[dict[str, str]]:
    with place.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    """345 rows in row groups of 64."""
    place = tmp_path / "rows.parquet"
    pq.write_table(table(rows(345)), place, row_group_size=64)
    return place


def test_parquet_to_parquet(run: Run, parquet: Path, tmp_path: Path) -> None:
    began = datetime.now(UTC)
    summary = run(parquet)
    out = tmp_path / "out.parquet"
    assert (summary.rows, summary.rejected, summary.computed, summary.rejects) == (345, 0, 345, None)
    assert predicted(out) == expected(rows(345))
    schema = pq.read_schema(out)
    assert schema.names == ["id", "tenure", "charges", "contract", *ADDED]
    assert schema.field("predicted_at").type == pa.timestamp("us", "UTC")
    moments = pq.read_table(out)["predicted_at"].to_pylist()
    assert began <= moments[0] <= moments[-1] <= datetime.now(UTC)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["out.parquet", "rows.parquet"]


def test_arrow_to_arrow(run: Run, tmp_path: Path) -> None:
    feather.write_feather(table(rows(345)), tmp_path / "rows.feather", chunksize=50, compression="lz4")
    run(tmp_path / "rows.feather", tmp_path / "out.arrow", keep=["id"], shard_rows=120)
    found = feather.read_table(tmp_path / "out.arrow").to_pylist()
    assert [row["id"] for row in found] == [row["id"] for row in rows(345)]
    assert [row["probability"] for row in found] == [row["probability"] for row in expected(rows(345))]


def test_csv_is_put_together_by_its_own_delimiter_though_a_name_has_a_line_end(run: Run, tmp_path: Path) -> None:
    found = [{"id": row["id"], "a\nb": "x", **row} for row in rows(250)]
    run(write_csv(found, tmp_path / "rows.csv", delimiter=";"), tmp_path / "out.csv", delimiter=";")
    with (tmp_path / "out.csv").open(newline="") as file:
        lines = list(csv.DictReader(file, delimiter=";"))
    assert [line["id"] for line in lines] == [row["id"] for row in found]
    assert {line["a\nb"] for line in lines} == {"x"}


def test_a_csv_comes_out_of_parquet_with_its_numbers_as_numbers(run: Run, tmp_path: Path) -> None:
    run(write_csv(rows(345), tmp_path / "rows.csv"))
    assert predicted(tmp_path / "out.parquet") == expected(rows(345))


def test_csv_to_csv_leaves_every_text_as_it_was(run: Run, tmp_path: Path) -> None:
    given = [
        {**row, "id": f'"{at}",\nline 2', "note": ["007", "", " x ", "NA", "1e5"][at % 5], "charges": "2.50"}
        for at, row in enumerate(rows(230))
    ]
    source = write_csv(given, tmp_path / "rows.csv")
    run(source, tmp_path / "out.csv")
    found = read_csv(tmp_path / "out.csv")
    names = ["id", "tenure", "charges", "contract", "note"]
    assert [[row[name] for name in names] for row in found] == [[str(row[name]) for name in names] for row in given]
    assert [row["prediction"] for row in found] == [str(row["tenure"] % 2) for row in given]


@pytest.mark.parametrize(("delimiter", "end"), [(";", "\r\n"), ("\t", "\n")])
def test_other_separators_and_line_ends(run: Run, tmp_path: Path, delimiter: str, end: str) -> None:
    source = write_csv(rows(250), tmp_path / "rows.csv", delimiter=delimiter, lineterminator=end)
    source.write_bytes(b"\xef\xbb\xbf" + source.read_bytes().rstrip())
    with pytest.raises(BatchFailed, match="other separators in its first line: say --delimiter"):
        run(source)
    run(source, delimiter=delimiter)
    assert predicted(tmp_path / "out.parquet") == expected(rows(250))


def test_a_glob_and_a_directory_are_their_files_in_order(run: Run, tmp_path: Path) -> None:
    place = tmp_path / "in"
    for index in range(3):
        (place / f"day={index + 9}").mkdir(parents=True)
        pq.write_table(table(rows(50, 50 * index)), place / f"day={index + 9}" / "rows.parquet")
    (place / "_SUCCESS").touch()
    (place / ".hidden.parquet").write_text("not data")
    (place / "_temporary").mkdir()
    (place / "_temporary" / "half.parquet").write_text("not data")
    run(place)
    found = predicted(tmp_path / "out.parquet")
    days = [row.pop("day") for row in found]
    assert days == [10] * 50 + [11] * 50 + [9] * 50  # in the order of their names
    assert found == expected(rows(100, 50) + rows(50))
    run(f"{place}/day=1*/*.parquet", tmp_path / "some.parquet", keep=["id", "day"])
    assert pq.read_table(tmp_path / "some.parquet")["day"].to_pylist() == [10] * 50 + [11] * 50


def test_a_directorys_name_can_be_an_input(run: Run, tmp_path: Path) -> None:
    for contract in ("month", "year"):
        (tmp_path / "in" / f"contract={contract}").mkdir(parents=True)
        some = [row for row in rows(90) if row["contract"] == contract]
        pq.write_table(table(some).drop_columns("contract"), tmp_path / "in" / f"contract={contract}" / "0.parquet")
    run(tmp_path / "in")
    by_id = {row["id"]: row for row in predicted(tmp_path / "out.parquet")}
    assert [by_id[row["id"]] for row in rows(90)] == expected(rows(90))


def test_a_file_system_in_memory(run: Run, parquet: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/jobs/in/rows.parquet", parquet.read_bytes())
    run("memory://jobs/in/*.parquet", "memory://jobs/out.parquet")
    with memory.open("/jobs/out.parquet") as file:
        found = pq.read_table(file).drop_columns("predicted_at").to_pylist()
    assert found == expected(rows(345))
    assert sorted(memory.ls("/jobs", detail=False)) == ["/jobs/in", "/jobs/out.parquet"]
    memory.rm("/jobs", recursive=True)


def test_csv_on_a_file_system_in_memory_with_rejects(run: Run, tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    found = [*rows(220), {**rows(1)[0], "tenure": "often"}]
    memory.pipe("/jobs/rows.csv", write_csv(found, tmp_path / "rows.csv").read_bytes())
    summary = run("memory://jobs/rows.csv", "memory://jobs/out.csv")
    assert (summary.rows, summary.rejected) == (220, 1)
    assert b"often" in memory.cat_file("/jobs/out.rejects.csv")
    memory.rm("/jobs", recursive=True)


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "csv"])
def test_an_input_without_rows_gives_an_output_without_rows(run: Run, tmp_path: Path, suffix: str) -> None:
    pq.write_table(table([]), tmp_path / "none.parquet")
    summary = run(tmp_path / "none.parquet", tmp_path / f"out.{suffix}")
    assert summary.rows == 0
    run(tmp_path / f"out.{suffix}", tmp_path / "again.parquet", prefix="second_")
    found = pq.read_table(tmp_path / "again.parquet")
    assert (found.num_rows, found.schema.names[-1]) == (0, "second_digest")


def test_columns_that_are_kept(run: Run, parquet: Path, tmp_path: Path) -> None:
    run(parquet, keep=["id", "charges"])
    assert pq.read_schema(tmp_path / "out.parquet").names == ["id", "charges", *ADDED]
    run(parquet, tmp_path / "none.parquet", keep=[], prefix="churn_")
    assert pq.read_schema(tmp_path / "none.parquet").names == [f"churn_{name}" for name in ADDED]
    with pytest.raises(BatchFailed, match="has no column name to keep; it has id, tenure, charges, contract"):
        run(parquet, tmp_path / "more.parquet", keep=["name"])


def test_dictionaries_are_written_of_values_that_repeat_alone(run: Run, tmp_path: Path) -> None:
    found = table(rows(250)).append_column("tags", pa.array([["new"], []] * 125))
    found = found.append_column("no", pa.array(range(250))).append_column("a.b", pa.array(["same"] * 250))
    pq.write_table(found, tmp_path / "rows.parquet")
    run(tmp_path / "rows.parquet")
    written = pq.ParquetFile(tmp_path / "out.parquet")
    group = written.metadata.row_group(0)
    chunks = [group.column(at) for at in range(group.num_columns)]
    plain = {chunk.path_in_schema for chunk in chunks if not chunk.has_dictionary_page}
    assert plain == {"id", "no"}
    assert {"tags.list.element", "a.b", "digest"} < {chunk.path_in_schema for chunk in chunks}
    assert written.read().select(found.schema.names) == found


def test_a_row_group_is_bounded_by_rows_and_by_bytes(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(table(rows(100)), tmp_path / "rows.parquet")
    for bound, least, groups in (("GROUP_ROWS", 25, [30, 30, 30, 10]), ("GROUP_BYTES", 2_000, [20] * 5)):
        with monkeypatch.context() as patched:
            patched.setattr(formats, bound, least)
            run(tmp_path / "rows.parquet", tmp_path / f"{bound}.parquet")
        written = pq.ParquetFile(tmp_path / f"{bound}.parquet")
        assert [written.metadata.row_group(at).num_rows for at in range(written.num_row_groups)] == groups
        assert predicted(tmp_path / f"{bound}.parquet") == expected(rows(100))


def test_texts_in_dictionaries_come_out_as_texts(run: Run, tmp_path: Path) -> None:
    found = table(rows(250))
    encoded = found.set_column(3, "contract", found["contract"].dictionary_encode())
    pq.write_table(encoded, tmp_path / "rows.parquet", row_group_size=50)
    run(tmp_path / "rows.parquet", tmp_path / "out.arrow")
    read = feather.read_table(tmp_path / "out.arrow")
    assert read.schema.field("contract").type == pa.string()
    assert read["contract"].to_pylist() == found["contract"].to_pylist()


class Three:
    """Answers with one of three labels, by tenure."""

    kind = "stand-in"

    def predict(self, table: Table) -> Outputs:
        """The answers."""
        at = table.columns[0] % 3
        probability = np.full((table.rows, 3), 0.25)
        probability[np.arange(table.rows), (at + 1) % 3] = 0.5  # not that of the predicted one
        return Outputs(np.array(["no", "maybe", "yes"], object)[at], probability)


def test_a_column_for_each_class(run: Run, parquet: Path, tmp_path: Path) -> None:
    outputs = [Output("prediction", Datatype.BYTES, [-1]), Output("probability", Datatype.FP64, [-1, 3])]
    version = answering(Three(), outputs=outputs, classes=["no", "maybe", "yes"])
    run(parquet, version=version, per_class=True, keep=[])
    found = pq.read_table(tmp_path / "out.parquet").slice(0, 3).to_pylist()
    names = ["prediction", "probability", "probability_no", "probability_maybe", "probability_yes"]
    assert [[row[name] for name in names] for row in found] == [
        ["no", 0.25, 0.25, 0.5, 0.25],
        ["maybe", 0.25, 0.25, 0.25, 0.5],
        ["yes", 0.25, 0.5, 0.25, 0.25],
    ]


class Several:
    """Answers two things at once; the second has three classes."""

    kind = "stand-in"

    def predict(self, table: Table) -> Outputs:
        """The answers."""
        tenure = table.columns[0]
        probability = [np.full((table.rows, 2), 0.5), np.tile([0.1, 0.2, 0.7], (table.rows, 1))]
        return Outputs(np.stack([tenure % 2, np.full(table.rows, 2)], axis=1), probability)


def test_a_model_of_several_outputs(run: Run, parquet: Path, tmp_path: Path) -> None:
    outputs = [Output("prediction", Datatype.INT64, [-1, 2]), Output("probability", Datatype.FP64, [-1, 2, 3])]
    version = answering(Several(), outputs=outputs, classes=[[0, 1], [0, 1, 2]])
    run(parquet, tmp_path / "out.csv", version=version, per_class=True, keep=[])
    first = read_csv(tmp_path / "out.csv")[1]
    shown = {name: first[name] for name in first if name.startswith(("prediction", "probability"))}
    assert shown == {
        "prediction_0": "1",
        "prediction_1": "2",
        "probability_0": "0.5",
        "probability_0_0": "0.5",
        "probability_0_1": "0.5",
        "probability_1": "0.7",
        "probability_1_0": "0.1",
        "probability_1_1": "0.2",
        "probability_1_2": "0.7",
    }


class Numbers:
    """Answers with the charges, which may be missing, and with scores."""

    kind = "stand-in"

    def predict(self, table: Table) -> Outputs:
        """The answers."""
        charges = table.columns[1]
        return Outputs(charges, None, np.stack([charges, -charges], axis=1))


def test_what_is_not_finite_is_null_and_counted(run: Run, parquet: Path, tmp_path: Path) -> None:
    outputs = [Output("prediction", Datatype.FP64, [-1]), Output("score", Datatype.FP64, [-1, 2])]
    version = answering(Numbers(), outputs=outputs, task="regressor", classes=None)
    summary = run(parquet, version=version)
    found = pq.read_table(tmp_path / "out.parquet")
    charges = [row["charges"] for row in rows(345)]
    assert found["prediction"].to_pylist() == found["score_0"].to_pylist() == charges
    assert summary.lost == found["prediction"].null_count == charges.count(None)


def test_an_object_store_is_given_no_bucket_that_is_not_there() -> None:
    made: list[str] = []

    class Store(MemoryFileSystem):  # type: ignore[misc] # fsspec has no types
        protocol: ClassVar[tuple[str, ...]] = ("s3", "s3a")

        def makedirs(self, path: str, exist_ok: bool = False) -> None:
            made.append(path)

    Place(Store(), "bucket-with-a-typing-error/out.parquet.parts").make_directory()
    assert made == []


def test_memory_holds_no_more_than_some_chunks(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks are of the size that was asked for, whatever the size of row groups, and no more than some are open."""
    read, told = chunks.read, Silent()
    opened, most = 0, 0

    def counted(*arguments: Any) -> Iterator[chunks.Chunk]:
        nonlocal opened, most
        for chunk in read(*arguments):
            opened += 1
            most = max(most, opened - told.rows // 10)  # written are those that progress was told of
            yield chunk

    monkeypatch.setattr(chunks, "read", counted)
    pq.write_table(table(rows(1000)), tmp_path / "rows.parquet", row_group_size=7)
    sizes: list[int] = []

    class Watching(Parity):
        def predict(self, table: Table) -> Outputs:
            sizes.append(table.rows)
            return super().predict(table)

    run(tmp_path / "rows.parquet", version=answering(Watching()), shard_rows=10_000, progress=told)
    assert sizes == [10] * 100
    assert 1 < most <= 2 * THREADS + 3
