"""What is wrong with input or output is said before anything is lost, and leaves nothing half-written."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from pyarrow import feather

from modelroll_server.errors import BatchFailed
from modelroll_server.offline import places
from modelroll_server.offline.parts import Finished, Parts
from offline_jobs import Run, expected, names, predicted, rows, table


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_parquet_that_is_cut_short(run: Run, tmp_path: Path, share: float) -> None:
    whole = tmp_path / "whole.parquet"
    pq.write_table(table(rows(345)), whole)
    data = whole.read_bytes()
    (tmp_path / "rows.parquet").write_bytes(data[: int(share * len(data))])
    with pytest.raises(BatchFailed, match=r"rows.parquet is not Parquet, or not whole"):
        run(tmp_path / "rows.parquet")
    assert names(tmp_path) == ["rows.parquet", "whole.parquet"]


def test_a_page_that_was_changed_ends_the_job_and_keeps_what_was_finished(run: Run, tmp_path: Path) -> None:
    place = tmp_path / "rows.parquet"
    pq.write_table(table(rows(345)), place, row_group_size=100, compression="snappy", use_dictionary=False)
    at = pq.ParquetFile(place).metadata.row_group(2).column(0).data_page_offset
    data = bytearray(place.read_bytes())
    data[at + 2 : at + 60] = b"\xff" * 58
    place.write_bytes(data)
    with pytest.raises(BatchFailed, match=r"rows.parquet (is not Parquet|cannot be read)"):
        run(place)
    assert not (tmp_path / "out.parquet").exists()
    assert {"_shard-00000.json", "_shard-00001.json"} <= set(names(tmp_path / "out.parquet.parts"))
    assert not [name for name in names(tmp_path / "out.parquet.parts") if name.startswith("_tmp-")]


def test_a_value_that_was_changed_under_a_checksum_ends_the_job(run: Run, tmp_path: Path) -> None:
    place = tmp_path / "rows.parquet"
    pq.write_table(table(rows(345)), place, compression="none", use_dictionary=False, write_page_checksum=True)
    at = place.read_bytes().index(b"customer 77")
    data = bytearray(place.read_bytes())
    data[at + 10] ^= 1
    place.write_bytes(data)
    with pytest.raises(BatchFailed, match=r"rows.parquet cannot be read, or is not whole: .*CRC"):
        run(place)
    assert not (tmp_path / "out.parquet").exists()


def test_an_arrow_file_that_is_cut_short(run: Run, tmp_path: Path) -> None:
    feather.write_feather(table(rows(345)), tmp_path / "whole.arrow")
    data = (tmp_path / "whole.arrow").read_bytes()
    (tmp_path / "rows.arrow").write_bytes(data[: len(data) // 2])
    with pytest.raises(BatchFailed, match=r"rows.arrow is not Arrow, or not whole"):
        run(tmp_path / "rows.arrow")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is empty: a CSV has names in its first line"),
        (b'tenure,charges,contract\n1,2,"month\n3,4,year\n', "ends within quotes"),
        ("tenure,charges,contract\n1,2,month\n".encode("utf-16"), "is not CSV in UTF-8"),
        (b"tenure,charges,contract,tenure\n1,2,month,1\n", "more than one column 'tenure'"),
        (b"1,2,month\n", "has no column tenure, charges, contract"),
        (b"tenure,charges,contract\r1,2,month\r", "its lines must end with LF or CRLF"),
    ],
)
def test_a_csv_that_is_none(run: Run, tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "rows.csv").write_bytes(data)
    with pytest.raises(BatchFailed, match=message):
        run(tmp_path / "rows.csv")
    assert names(tmp_path) == ["rows.csv"]


def test_columns_that_are_absent_or_of_another_type(run: Run, tmp_path: Path) -> None:
    found = table(rows(5))
    pq.write_table(found.drop_columns(["tenure"]), tmp_path / "absent.parquet")
    with pytest.raises(BatchFailed, match="has no column tenure, which the model takes; it has id, charges, contract"):
        run(tmp_path / "absent.parquet")
    other = found.set_column(1, "tenure", pa.array(["1"] * 5)).set_column(3, "contract", pa.array([1] * 5))
    pq.write_table(other, tmp_path / "other.parquet")
    message = "tenure is string, and the model takes integers; contract is int64, and the model takes texts"
    with pytest.raises(BatchFailed, match=message):
        run(tmp_path / "other.parquet")


def test_schemas_that_are_mixed(run: Run, tmp_path: Path) -> None:
    place = tmp_path / "in"
    place.mkdir()
    found = table(rows(5))
    pq.write_table(found, place / "0.parquet")
    pq.write_table(found.append_column("extra", pa.array([1] * 5)), place / "1.parquet")
    with pytest.raises(BatchFailed, match=r"0.parquet has no column extra, and .*1.parquet has"):
        run(place)
    pq.write_table(found.set_column(0, "id", pa.array([1] * 5)), place / "1.parquet")
    with pytest.raises(BatchFailed, match=r"id is string in .*0.parquet and int64 in .*1.parquet"):
        run(place)
    (place / "1.parquet").rename(place / "1.csv")
    with pytest.raises(BatchFailed, match="name files of one format"):
        run(place)
    assert names(tmp_path) == ["in"]


def test_files_that_order_their_columns_otherwise_are_alike(run: Run, tmp_path: Path) -> None:
    place = tmp_path / "in"
    place.mkdir()
    pq.write_table(table(rows(50)), place / "0.parquet")
    other = table(rows(50, 50)).select(["contract", "charges", "tenure", "id"])
    pq.write_table(other.cast(other.schema.set(3, pa.field("id", pa.large_string()))), place / "1.parquet")
    run(place)
    assert predicted(tmp_path / "out.parquet") == expected(rows(100))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("absent.parquet", "nothing is at"),
        ("*.parquet", "nothing matches"),
        ("empty", "no file in .* ends with"),
        ("rows.json", "has no format that is known here: its name must end with one of .parquet, .csv"),
        ("nowhere://rows.parquet", "is on no file system that is known here"),
    ],
)
def test_an_input_that_is_none(run: Run, tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "rows.json").write_text("{}")
    with pytest.raises(BatchFailed, match=message):
        run(source if "://" in source else tmp_path / source)


@pytest.mark.parametrize("column", ["prediction", "model", "reject_reason"])
def test_columns_of_the_input_that_would_be_there_twice(run: Run, tmp_path: Path, column: str) -> None:
    pq.write_table(table(rows(5)).append_column(column, pa.array([1] * 5)), tmp_path / "rows.parquet")
    with pytest.raises(BatchFailed, match=f"columns named as those that are added, {column}"):
        run(tmp_path / "rows.parquet")
    if column != "reject_reason":
        run(tmp_path / "rows.parquet", prefix="new_")
        assert pq.read_table(tmp_path / "out.parquet")["new_prediction"].to_pylist() == [0, 1, 0, 1, 0]


def test_a_column_that_csv_has_no_form_for(run: Run, tmp_path: Path) -> None:
    pq.write_table(table(rows(5)).append_column("list", pa.array([[1]] * 5)), tmp_path / "rows.parquet")
    with pytest.raises(BatchFailed, match=r"CSV has no form for list \(list<.*>\): leave them out with --keep"):
        run(tmp_path / "rows.parquet", tmp_path / "out.csv")


def test_an_output_that_is_there_is_kept(run: Run, tmp_path: Path) -> None:
    pq.write_table(table(rows(5)), tmp_path / "rows.parquet")
    (tmp_path / "out.parquet").write_text("mine")
    with pytest.raises(BatchFailed, match="is there: say --overwrite to replace it"):
        run(tmp_path / "rows.parquet")
    assert (tmp_path / "out.parquet").read_text() == "mine"
    run(tmp_path / "rows.parquet", order={"overwrite": True})
    assert predicted(tmp_path / "out.parquet") == expected(rows(5))


def test_rejects_that_are_there_are_kept_and_go_with_the_output_that_they_are_of(run: Run, tmp_path: Path) -> None:
    pq.write_table(table(rows(5)), tmp_path / "rows.parquet")
    (tmp_path / "out.rejects.parquet").write_text("of yesterday")
    with pytest.raises(BatchFailed, match=r"out.rejects.parquet is there: say --overwrite to replace it"):
        run(tmp_path / "rows.parquet")
    run(tmp_path / "rows.parquet", order={"overwrite": True})
    assert names(tmp_path) == ["out.parquet", "rows.parquet"]


def test_an_output_that_would_replace_its_input_is_refused(run: Run, tmp_path: Path) -> None:
    place = tmp_path / "out.rejects.parquet"
    pq.write_table(table(rows(5)), place)
    with pytest.raises(BatchFailed, match=r"out\.rejects\.parquet lies in the input"):
        run(place, order={"overwrite": True})
    assert pq.read_table(place).num_rows == 5


@pytest.mark.parametrize(
    ("pattern", "named"),
    [
        ("*.parquet", r"out\.parquet lies in the input"),
        ("**/[pr]*.parquet", r"part-00000\.parquet lies in the input"),
        ("r**.parquet", r"r\*\*\.parquet is no glob: "),
    ],
)
def test_an_output_that_the_glob_would_match_is_refused(run: Run, tmp_path: Path, pattern: str, named: str) -> None:
    pq.write_table(table(rows(5)), tmp_path / "rows.parquet")
    with pytest.raises(BatchFailed, match=named):
        run(f"{tmp_path}/{pattern}")
    assert run(f"{tmp_path}/r*.parquet").rows == 5


def test_a_shard_that_cannot_be_finished_ends_the_job_whatever_comes_after_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = Parts.finish

    def fails_once(self: Parts, shard: int, finished: Finished) -> None:
        if shard == 1:
            raise RuntimeError("a fault in the thread that writes")
        finish(self, shard, finished)

    pq.write_table(table(rows(50)), tmp_path / "rows.parquet", row_group_size=10)
    with monkeypatch.context() as patched:
        patched.setattr(Parts, "finish", fails_once)
        with pytest.raises(RuntimeError, match="a fault in the thread"):
            run(tmp_path / "rows.parquet", shard_rows=10)
    assert not (tmp_path / "out.parquet").exists()
    assert run(tmp_path / "rows.parquet", shard_rows=10).rows == 50


def test_an_output_within_the_input_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    pq.write_table(table(rows(5)), tmp_path / "in" / "rows.parquet")
    for out in ("out.parquet", "deep/out.parquet"):
        with pytest.raises(BatchFailed, match="lies in the input"):
            run(tmp_path / "in", tmp_path / "in" / out)
    with pytest.raises(BatchFailed, match="lies in the input"):
        run(tmp_path / "in" / "*.parquet", tmp_path / "in" / "rows.parquet", order={"overwrite": True})
    assert names(tmp_path / "in") == ["rows.parquet"]


def test_a_directory_that_no_job_made_is_left_alone(run: Run, tmp_path: Path) -> None:
    pq.write_table(table(rows(5)), tmp_path / "rows.parquet")
    (tmp_path / "out.parquet.parts").mkdir()
    (tmp_path / "out.parquet.parts" / "thesis.txt").write_text("mine")
    for order in ({}, {"restart": True}):
        with pytest.raises(BatchFailed, match="no batch job made it"):
            run(tmp_path / "rows.parquet", order=order)
    assert (tmp_path / "out.parquet.parts" / "thesis.txt").read_text() == "mine"


def test_what_cannot_be_written_is_no_file(tmp_path: Path) -> None:
    place = places.place(str(tmp_path / "out"))
    (tmp_path / "out").write_text("before")

    def write() -> Any:
        with place.replacing() as sink:
            sink.write(b"half")
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        write()
    assert {one.name: one.read_text() for one in tmp_path.iterdir()} == {"out": "before"}


@pytest.fixture
def nobody() -> Iterator[Callable[[], None]]:
    """Becomes somebody who may not write everywhere, as root may."""
    yield lambda: os.seteuid(65534) if os.geteuid() == 0 else None
    os.seteuid(os.getuid())


def test_an_output_that_may_not_be_written(run: Run, tmp_path: Path, nobody: Callable[[], None]) -> None:
    pq.write_table(table(rows(5)), tmp_path / "rows.parquet")
    run(tmp_path / "rows.parquet")  # imports everything, as long as that may be read
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        source = place / "rows.parquet"
        source.write_bytes((tmp_path / "rows.parquet").read_bytes())
        place.chmod(0o555)
        nobody()
        with pytest.raises(BatchFailed, match=f"{place}/out.parquet.parts cannot be written: Permission denied"):
            run(source, place / "out.parquet")
        os.seteuid(os.getuid())
        place.chmod(0o755)
        assert names(place) == ["rows.parquet"]


def test_what_a_file_systems_own_library_says_is_said(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pq.write_table(table(rows(5)), tmp_path / "rows.parquet")

    class NoCredentials(Exception):
        __module__ = "cloud.errors"

    def refuse(*_: object, **__: object) -> None:
        raise NoCredentials("no credentials were found")

    monkeypatch.setattr(MemoryFileSystem, "exists", refuse)
    with pytest.raises(BatchFailed, match=r"memory://out.parquet: cloud: no credentials were found"):
        run(tmp_path / "rows.parquet", "memory://out.parquet")


def test_an_input_that_may_not_be_read(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(MemoryFileSystem, "find", refuse)
    MemoryFileSystem().makedirs("/locked", exist_ok=True)
    with pytest.raises(BatchFailed, match="memory://locked cannot be read: Permission denied"):
        run("memory://locked", tmp_path / "out.parquet")
