"""A job that several processes share comes to what one process comes to, whatever becomes of each of them."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from modelroll_server.cli import main
from modelroll_server.errors import BatchFailed, BatchInterrupted
from modelroll_server.offline import job, shares
from modelroll_server.offline.options import Options, Share
from modelroll_server.tensors import Outputs, Table
from offline_jobs import Parity, Run, Silent, answering, expected, names, predicted, rows, table

CHURN = Path(__file__).parents[3] / "models" / "churn"
OVERTAKEN = Path(__file__).with_name("overtaken_at_each_step.py")
GOOD = [row for at, row in enumerate(rows(345)) if at not in {150, 320}]

RunShare = Callable[..., job.Summary]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """345 rows, two of them bad, in four shards."""
    found = rows(345)
    found[150]["contract"] = found[320]["contract"] = "weekly"
    pq.write_table(table(found), tmp_path / "rows.parquet", row_group_size=100)
    return tmp_path / "rows.parquet"


@pytest.fixture
def share(source: Path, tmp_path: Path) -> RunShare:
    """Does the shards of one index, with the stand-in model."""

    def share(
        index: int,
        indexes: int = 3,
        run: str = "a",
        *,
        model: Parity | None = None,
        order: dict[str, Any] | None = None,
        **options: Any,
    ) -> job.Summary:
        wanted = job.Order(str(source), str(tmp_path / "out.parquet"), threads=2, **(order or {}))
        chosen = Options(**{"chunk": 10, "shard_rows": 100, **options})
        return shares.run(wanted, Share(index, indexes, run), answering(model or Parity()), chosen, Silent())

    return share


@given(st.integers(0, 500), st.integers(1, 40))
def test_each_shard_is_of_one_index(shards: int, indexes: int) -> None:
    every = [Share(index, indexes) for index in range(indexes)]
    assert all(sum(one.has(shard) for one in every) == 1 for shard in range(shards))
    sizes = [sum(one.has(shard) for shard in range(shards)) for one in every]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("turns", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_the_last_to_finish_puts_it_together(share: RunShare, run: Run, tmp_path: Path, turns: tuple[int, ...]) -> None:
    *others, last = turns
    for index in others:
        said = share(index)
        assert isinstance(said, shares.Partial)
        assert not (tmp_path / "out.parquet").exists()
    whole = share(last)
    assert (type(whole), whole.rows, whole.rejected) == (job.Summary, 343, 2)
    run(tmp_path / "rows.parquet", tmp_path / "alone.parquet")
    for name in ("out", "out.rejects"):
        alone = name.replace("out", "alone")
        assert predicted(tmp_path / f"{name}.parquet") == predicted(tmp_path / f"{alone}.parquet")
    assert predicted(tmp_path / "out.parquet") == expected(GOOD)


def test_whoever_comes_late_finds_it_done(share: RunShare) -> None:
    for index in range(3):
        share(index)
    late = share(1)  # its pod was taken away the moment it had ended
    assert (type(late), late.rows, late.computed) == (job.Summary, 343, 0)


def test_more_processes_than_shards(share: RunShare, tmp_path: Path) -> None:
    summaries = [share(index, 7) for index in reversed(range(7))]
    assert [one.waiting for one in summaries if isinstance(one, shares.Partial)] == [4, 4, 4, 3, 2, 1]
    assert predicted(tmp_path / "out.parquet") == expected(GOOD)


def test_one_that_is_killed_or_overtaken_at_each_step(source: Path, tmp_path: Path) -> None:
    """At each change that an index makes to the file system, as the first to begin, and as the one that assembles."""
    command = [sys.executable, str(OVERTAKEN), str(source), str(tmp_path / "out.parquet")]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr
    assert int(said.stdout) > 30  # steps


def test_who_was_to_put_it_together_is_waited_for(share: RunShare, tmp_path: Path) -> None:
    """An index that claimed that, and was killed, is begun again by its Job: nobody does it in its place."""
    share(0)
    share(1)
    (tmp_path / "out.rejects.parquet").mkdir()
    (tmp_path / "out.rejects.parquet" / "in the way").touch()
    with pytest.raises(BatchInterrupted):
        share(2, order={"overwrite": True})
    (tmp_path / "out.rejects.parquet" / "in the way").unlink()
    (tmp_path / "out.rejects.parquet").rmdir()
    left = share(1)
    assert isinstance(left, shares.Partial)
    assert left.waiting == 0
    assert not isinstance(share(2), shares.Partial)
    assert predicted(tmp_path / "out.parquet") == expected(GOOD)


def test_another_run_does_not_wait_for_one_that_is_no_more(share: RunShare, tmp_path: Path) -> None:
    share(0)
    share(1)
    (tmp_path / "out.rejects.parquet").mkdir()
    with pytest.raises(BatchInterrupted):
        share(2, order={"overwrite": True})
    (tmp_path / "out.rejects.parquet").rmdir()
    said = share(0, run="b")
    assert (type(said), said.computed) == (job.Summary, 0)
    assert predicted(tmp_path / "out.parquet") == expected(GOOD)


@pytest.mark.parametrize("name", ["part-00001.parquet", "_shard-00001.json"])
def test_what_was_cut_short_is_done_again_by_who_ends_it(share: RunShare, tmp_path: Path, name: str) -> None:
    share(0)
    share(1)
    file = tmp_path / "out.parquet.parts" / name
    file.write_bytes(file.read_bytes()[:-7])
    assert share(2).computed == 200
    assert predicted(tmp_path / "out.parquet") == expected(GOOD)


def test_what_another_job_left_stands_in_the_way(share: RunShare, tmp_path: Path) -> None:
    share(0, chunk=20)
    with pytest.raises(BatchFailed, match="had --chunk 20, and now it has --chunk 10"):
        share(0, run="b")
    share(0, run="b", order={"restart": True})
    share(1, run="b", order={"restart": True})
    share(2, run="b", order={"restart": True})
    assert predicted(tmp_path / "out.parquet") == expected(GOOD)


def test_of_one_run_all_do_the_same(share: RunShare) -> None:
    share(0)
    with pytest.raises(BatchFailed, match=r"had --chunk 10, and now it has --chunk 20, while it ran: begin a new one"):
        share(1, chunk=20, order={"restart": True})


def test_who_was_forgotten_writes_nothing(share: RunShare, tmp_path: Path) -> None:
    """A process of another run is at work yet when one begins anew."""

    class Slow(Parity):
        def predict(self, asked: Table) -> Outputs:
            if not begun:
                begun.append(share(1, run="b", chunk=50, order={"restart": True}))
            return super().predict(asked)

    begun: list[job.Summary] = []
    with pytest.raises(BatchFailed, match="is not this job's any more"):
        share(0, model=Slow())
    left = names(tmp_path / "out.parquet.parts")
    assert [name for name in left if "part-" in name or "tmp" in name] == ["part-00001.parquet"]


def test_parts_are_left_by_all(share: RunShare, tmp_path: Path) -> None:
    share(0, order={"parts": True}, chunk=20)  # of another job, with another model's answers
    (tmp_path / "out.parquet.parts" / "part-00009.parquet").touch()  # which had more shards
    for index in range(3):
        share(index, run="b", order={"parts": True, "restart": True})
    parts = tmp_path / "out.parquet.parts"
    assert [name for name in names(parts) if not name.startswith("_")] == [f"part-0000{at}.parquet" for at in range(4)]
    left = pq.ParquetDataset(parts).read().drop_columns("predicted_at")
    assert left.to_pylist() == expected(GOOD)
    late = share(1, run="b", order={"parts": True, "restart": True})
    assert (late.computed, late.rows) == (0, 343)


def test_an_output_that_is_there_is_not_replaced_unasked(share: RunShare, tmp_path: Path) -> None:
    (tmp_path / "out.parquet").write_bytes(b"mine")
    with pytest.raises(BatchFailed, match="is there: say --overwrite"):
        share(0)
    for index in range(3):
        share(index, order={"overwrite": True})
    assert predicted(tmp_path / "out.parquet") == expected(GOOD)
    (tmp_path / "out.parquet").write_bytes(b"mine again")
    with pytest.raises(BatchFailed, match="is there: say --overwrite"):
        share(0)


def batch(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["batch", *map(str, arguments)])


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--index", "1"], "say --indexes, too"),
        (["--run", "a"], "say --indexes, too"),
        (["--indexes", "2"], "neither --index nor JOB_COMPLETION_INDEX says which one this is"),
        (["--indexes", "2", "--index", "2"], "index 2 is none of 2"),
        (["--indexes", "2", "--index", "1", "--restart"], "--restart with --indexes needs --run"),
        (["--parallelism", "2", "-n", "team"], "--parallelism, --namespace says what a Job is like: say --job, too"),
    ],
)
def test_flags_that_do_not_go_together(tmp_path: Path, flags: list[str], sentence: str) -> None:
    result = batch(tmp_path / "in.parquet", tmp_path / "out.parquet", "--artifact", CHURN / "2.0.0", *flags)
    assert result.exit_code == 2
    assert sentence in result.output


def test_the_command_in_pods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index comes from the environment; what is in vain ends with a code of its own."""
    pq.write_table(table(rows(10)), tmp_path / "other.parquet")
    flags: list[str | Path] = ["--artifact", CHURN / "2.0.0", "--indexes", "2", "--run", "a"]
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "1")
    result = batch(tmp_path / "other.parquet", tmp_path / "out.parquet", *flags)
    assert result.exit_code == 65
    assert "modelroll: " in result.output
    assert batch(tmp_path / "none.parquet", tmp_path / "out.parquet", *flags).exit_code == 65


def test_what_is_settled_is_asked_before_what_a_release_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, churn_rows: Path
) -> None:
    monkeypatch.setenv("MODEL_PATH", "1.2.0")
    monkeypatch.setenv("MODEL_ROOT", str(CHURN))
    monkeypatch.setenv("ARTIFACT_POLICY", "any")
    monkeypatch.setenv("TARGET_DIR", str(tmp_path))
    said = {}
    for settled in ("", '{"revision": 3, "version": "2.0.0", "path": "2.0.0"}'):
        (tmp_path / "settled").write_text(settled)
        out = tmp_path / f"{bool(settled)}.parquet"
        result = batch(churn_rows, out)
        assert result.exit_code == 0, result.output
        said[settled] = set(pq.read_table(out)["version"].to_pylist())
    assert list(said.values()) == [{"1.2.0"}, {"2.0.0"}]
    (tmp_path / "settled").write_text("{")
    assert batch(churn_rows, tmp_path / "other.parquet").exit_code == 65
