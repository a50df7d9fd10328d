"""`modelroll batch` with a collector: one span a job, within which each shard has its own."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

import collector
from collector import Collector
from modelroll_server.cli import main

CHURN = Path(__file__).parents[3] / "models" / "churn"
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def sent() -> Iterator[Collector]:
    with collector.collecting() as found:
        yield found


def batch(sent: Collector, *arguments: str | Path) -> Result:
    environment = {**sent.environment, "TRACEPARENT": f"00-{TRACE}-{CALLER}-01"}
    flags = ("--artifact", CHURN / "2.0.0", "--shard-rows", 10, "--chunk", 10)
    return CliRunner(env=environment).invoke(main, ["batch", *map(str, (*arguments, *flags))])


def test_a_job_is_part_of_the_trace_that_it_was_started_in(
    tmp_path: Path, sent: Collector, row: dict[str, object]
) -> None:
    table = pa.Table.from_pylist([row] * 25)
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=10)
    result = batch(sent, tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert result.exit_code == 0, result.output
    (job,) = sent.named("batch")
    assert (job.trace, job.parent, job.failed) == (TRACE, CALLER, False)
    assert job.resource["service.name"] == "modelroll-batch"
    assert (job.attributes["modelroll.version"], job.attributes["modelroll.rows"]) == ("2.0.0", 25)
    shards = sent.named("shard")
    assert {shard.parent for shard in [*shards, *sent.named("assemble")]} == {job.id}
    assert [shard.attributes["modelroll.rows"] for shard in shards] == [10, 10, 5]
    assert all(job.began <= shard.began <= shard.ended <= job.ended for shard in shards)


def test_a_job_that_fails_says_so(tmp_path: Path, sent: Collector, row: dict[str, object]) -> None:
    pq.write_table(pa.Table.from_pylist([{"tenure": row["tenure"]}]), tmp_path / "in.parquet")
    assert batch(sent, tmp_path / "in.parquet", tmp_path / "out.parquet").exit_code == 65
    (job,) = sent.named("batch")
    assert (job.failed, job.attributes["error.type"]) == (True, "BatchFailed")
