"""A job that was killed goes on where it stopped: no row is lost, none is there twice."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelroll_server.errors import BatchFailed
from modelroll_server.offline import job
from modelroll_server.offline.options import Options
from modelroll_server.tensors import Outputs, Table
from offline_jobs import Parity, Run, Silent, answering, expected, names, predicted, rows, table

CHURN = Path(__file__).parents[3] / "models" / "churn"
KILLED_AT_EACH = Path(__file__).with_name("killed_at_each_step.py")
ON_A_SMALL_DISK = Path(__file__).with_name("on_a_small_disk.py")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """345 rows, two of them bad, in four shards."""
    found = rows(345)
    found[150]["contract"] = found[320]["contract"] = "weekly"
    pq.write_table(table(found), tmp_path / "rows.parquet", row_group_size=100)
    return tmp_path / "rows.parquet"


GOOD = [row for at, row in enumerate(rows(345)) if at not in {150, 320}]


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_killed_at_each_step_it_goes_on(source: Path, tmp_path: Path, suffix: str) -> None:
    """Killed before each change that a run makes to the file system, and within each file, it comes to the same end."""
    command = [sys.executable, str(KILLED_AT_EACH), str(source), str(tmp_path / f"out.{suffix}")]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    steps, written = json.loads(said.stdout)
    assert steps > 30
    shards = [f"{name}-{at:05d}" for at in (0, 1) for name in ("_rejects", "part", "_shard")]
    job = ["_journal", *shards, "_assembling", "out.rejects", "out", "_assembled"]
    assert [Path(name).stem for name in written] == job


def test_a_disk_that_is_full_or_read_only(tmp_path: Path) -> None:
    """A real one; each run says why it ends and leaves nothing half-written, and goes on when it can."""
    command = ["unshare", "--map-root-user", "--mount", sys.executable, str(ON_A_SMALL_DISK), str(tmp_path)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr


def test_an_empty_directory_that_a_run_left_at_its_very_end_goes(run: Run, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    run(source, out)
    for left in ([], ["thesis.txt"]):
        (tmp_path / "out.parquet.parts").mkdir(exist_ok=True)
        for name in left:
            (tmp_path / "out.parquet.parts" / name).touch()
        with pytest.raises(BatchFailed, match="is there: say --overwrite to replace it"):
            run(source, out)
        assert (tmp_path / "out.parquet.parts").exists() == bool(left)


def test_a_process_that_is_killed_at_random(tmp_path: Path) -> None:
    """The command itself, with a model of texts and missing values; by signals that it cannot see coming."""
    sample = pq.read_table(_churn_rows(tmp_path))
    pq.write_table(pa.concat_tables([sample] * 60), tmp_path / "rows.parquet", row_group_size=500)
    command = [sys.executable, "-m", "modelroll_server", "batch", str(tmp_path / "rows.parquet")]
    flags = ["--artifact", str(CHURN / "2.0.0"), "--shard-rows", "500", "--chunk", "250", "--per-class"]
    subprocess.run([*command, str(tmp_path / "whole.parquet"), *flags], check=True, capture_output=True)
    parts = tmp_path / "out.parquet.parts"
    finished = 0
    for _ in range(3):
        process = subprocess.Popen([*command, str(tmp_path / "out.parquet"), *flags], stderr=subprocess.DEVNULL)
        while sum(name.startswith("_shard-") for name in _names(parts)) < finished + 2:
            assert process.poll() is None  # it has much to do yet
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL  # it had fifty shards more to do
        finished = sum(name.startswith("_shard-") for name in _names(parts))
    said = subprocess.run([*command, str(tmp_path / "out.parquet"), *flags], check=True, capture_output=True, text=True)
    assert "30,000 rows predicted" in said.stdout
    assert predicted(tmp_path / "out.parquet") == predicted(tmp_path / "whole.parquet")
    assert names(tmp_path) == ["churn.parquet", "out.parquet", "rows.parquet", "whole.parquet"]


def _names(place: Path) -> list[str]:
    try:
        return os.listdir(place)  # noqa: PTH208
    except FileNotFoundError:
        return []


def _churn_rows(place: Path) -> Path:
    command = [sys.executable, str(CHURN / "rows.py"), "--count", "500", "--version", "2.0.0"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    pq.write_table(pa.Table.from_pylist([json.loads(line)["row"] for line in lines]), place / "churn.parquet")
    return place / "churn.parquet"


def stopped(run: Run, source: Path, out: Path, **options: Any) -> None:
    """Begin a job that ends in its third shard."""
    with pytest.raises(BatchFailed, match="row 320"):
        run(source, out, bad_rows="fail", **options)


def test_what_is_finished_is_not_done_again(source: Path, tmp_path: Path) -> None:
    class Failing(Parity):
        calls = 0

        def predict(self, asked: Table) -> Outputs:
            Failing.calls += 1
            if Failing.calls > 25:
                raise MemoryError
            return super().predict(asked)

    order = job.Order(str(source), str(tmp_path / "out.parquet"))
    options = Options(chunk=10, shard_rows=100)
    with pytest.raises(BatchFailed, match="take more memory than there is: say --chunk with fewer"):
        job.run(order, answering(Failing()), options, Silent())
    progress = Silent()
    summary = job.run(order, answering(Parity()), options, progress)
    assert progress.began == (345, 200, 4)
    assert (summary.rows, summary.rejected, summary.computed) == (343, 2, 145)
    assert predicted(tmp_path / "out.parquet") == expected(GOOD)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chunk": 20}, "had --chunk 10, and now it has --chunk 20"),
        ({"per_class": True}, "had no --per-class, and now it has --per-class"),
        ({"keep": ["id"]}, "had no --keep, and now it has --keep id"),
        ({"bad_rows": "reject"}, "had --bad-rows fail, and now it has --bad-rows reject"),
    ],
)
def test_other_options_refuse_to_go_on(run: Run, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    found = rows(345)
    found[320]["contract"] = "weekly"
    pq.write_table(table(found), tmp_path / "rows.parquet", row_group_size=100)
    out = tmp_path / "out.parquet"
    stopped(run, tmp_path / "rows.parquet", out)
    before = names(tmp_path / "out.parquet.parts")
    changed = {"bad_rows": "fail", **change}
    with pytest.raises(BatchFailed, match=f"{message}.*: do what it did before, or say --restart to begin anew"):
        run(tmp_path / "rows.parquet", out, **changed)
    assert names(tmp_path / "out.parquet.parts") == before
    changed["bad_rows"] = "reject"
    run(tmp_path / "rows.parquet", out, order={"restart": True}, **changed)
    assert pq.read_table(out).num_rows == 344


def test_another_model_or_input_refuses_to_go_on(run: Run, tmp_path: Path) -> None:
    found = rows(345)
    found[320]["contract"] = "weekly"
    place, out = tmp_path / "rows.parquet", tmp_path / "out.parquet"
    pq.write_table(table(found), place, row_group_size=100)
    stopped(run, place, out)
    version = answering(Parity())
    object.__setattr__(version, "digest", "sha256:" + "2" * 64)
    with pytest.raises(BatchFailed, match=r"had the digest sha256:100.*, and now it is sha256:222"):
        run(place, out, version=version, bad_rows="fail")
    pq.write_table(table(rows(345)), place, row_group_size=100)
    with pytest.raises(BatchFailed, match=r"read .*rows.parquet before it was changed"):
        run(place, out, bad_rows="fail")
    place.rename(tmp_path / "others.parquet")
    with pytest.raises(BatchFailed, match=r"is of a job that read"):
        run(tmp_path / "others.parquet", out, bad_rows="fail")


@pytest.mark.parametrize("end", ["changed", "removed"])
def test_an_input_that_changes_meanwhile_is_no_input(run: Run, tmp_path: Path, end: str) -> None:
    place, out = tmp_path / "rows.parquet", tmp_path / "out.parquet"
    pq.write_table(table(rows(345)), place, row_group_size=100)

    class Changing(Parity):
        def predict(self, asked: Table) -> Outputs:
            if end == "removed":
                place.unlink(missing_ok=True)
            else:
                os.utime(place, (1, 1))
            return super().predict(asked)

    message = "was changed while it was read" if end == "changed" else "is not there any more"
    with pytest.raises(BatchFailed, match=message):
        run(place, out, version=answering(Changing()))
    assert not out.exists()


def test_parts_can_be_left(run: Run, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    summary = run(source, out, order={"parts": True})
    assert (summary.out, out.exists()) == (f"{out}.parts", False)
    left = pq.ParquetDataset(f"{out}.parts").read().drop_columns("predicted_at")  # passes over what begins with _
    assert left.to_pylist() == expected(GOOD)
    assert run(source, out, order={"parts": True}).computed == 0
    assert run(source, out).computed == 0  # and be put together later
    assert predicted(out) == expected(GOOD)


def test_a_shard_of_which_a_file_was_cut_short_is_done_again(run: Run, source: Path, tmp_path: Path) -> None:
    """Its rows, its rejects or its mark, after any byte, as a disk may leave them that lost its power."""
    out = tmp_path / "out.parquet"
    run(source, out, order={"parts": True})
    files = [file for file in sorted(Path(f"{out}.parts").iterdir()) if file.name != "_journal.json"]

    @settings(max_examples=10)
    @given(st.sampled_from(files), st.floats(0, 1))
    def cut(file: Path, whole: float) -> None:
        os.truncate(file, int((file.stat().st_size - 1) * whole))
        assert run(source, out, order={"parts": True}).computed == (45 if "00003" in file.name else 100)

    cut()
    assert run(source, out).computed == 0
    assert predicted(out) == expected(GOOD)
    assert pq.read_table(tmp_path / "out.rejects.parquet")["reject_row"].to_pylist() == [150, 320]
