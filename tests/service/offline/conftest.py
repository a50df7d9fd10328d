"""Batch jobs in this process."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelroll_server.offline import job
from modelroll_server.offline.options import Options
from modelroll_server.registry.version import Version
from offline_jobs import Parity, Run, Silent, answering

CHURN = Path(__file__).parents[3] / "models" / "churn"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a batch job with the stand-in model, in shards of a hundred rows and chunks of ten."""

    def run(
        source: Path | str,
        out: Path | str = tmp_path / "out.parquet",
        *,
        version: Version | None = None,
        order: dict[str, Any] | None = None,
        progress: job.Progress | None = None,
        **options: Any,
    ) -> job.Summary:
        chosen = Options(**{"chunk": 10, "shard_rows": 100, **options})
        wanted = job.Order(str(source), str(out), threads=2, **(order or {}))
        return job.run(wanted, version or answering(Parity()), chosen, progress or Silent())

    return run


@pytest.fixture
def churn_rows(tmp_path: Path) -> Path:
    """One customer twenty times."""
    row = json.loads((CHURN / "row.json").read_text())
    pq.write_table(pa.Table.from_pylist([row] * 20), tmp_path / "customers.parquet")
    return tmp_path / "customers.parquet"
