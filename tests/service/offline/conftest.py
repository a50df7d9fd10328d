"""Batch jobs in this process."""

from pathlib import Path
from typing import Any

import pytest

from modelroll_server.offline import job
from modelroll_server.offline.options import Options
from modelroll_server.registry.version import Version
from offline_jobs import Parity, Run, Silent, answering


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a batch job with the stand-in model, in shards of a hundred rows and chunks of ten."""

    def run(
        source: Path | str,
        out: Path | str = tmp_path / "out.parquet",
        *,
        version: Version | None = None,
        order: dict[str, Any] | None = None,
        **options: Any,
    ) -> job.Summary:
        chosen = Options(**{"chunk": 10, "shard_rows": 100, **options})
        wanted = job.Order(str(source), str(out), threads=2, **(order or {}))
        return job.run(wanted, version or answering(Parity()), chosen, Silent())

    return run
