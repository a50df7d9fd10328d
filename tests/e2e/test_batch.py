"""Whole files predicted by pods of a Job: one is killed half-way, and the result is that of a single process."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from harness import volume
from harness.cluster import Object
from harness.release import CHURN, CLAIM, Release, fresh
from harness.waiting import wait_until

pytestmark = pytest.mark.needs("cluster", "helm", "kubectl")

INDEXES = 3
# One row at a time, so that there is a half-way.
OPTIONS = ["--chunk=1", "--shard-rows=250", "--threads=1"]
NIGHTLY = {
    "in": "data/rows.parquet",
    "out": "nightly/$(JOB_NAME).parquet",
    "claim": CLAIM,
    "schedule": "0 0 1 1 *",
    "options": ["--keep=tenure"],
    "resources": {"requests": {"cpu": "50m", "memory": "150Mi"}},
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """9,000 customers: a directory `data` with one file."""
    command = [sys.executable, str(CHURN / "rows.py"), "--count", "500", "--version", "2.0.0"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    sample = pa.Table.from_pylist([json.loads(line)["row"] for line in lines])
    place = tmp_path_factory.mktemp("rows") / "data" / "rows.parquet"
    place.parent.mkdir()
    pq.write_table(pa.concat_tables([sample] * 18), place, row_group_size=250)
    return place


@pytest.fixture(scope="module")
def release(rows: Path) -> Iterator[Release]:
    """A release without servers, that was rolled to 2.0.0, and the rows on its claim."""
    with fresh("batch") as one:
        one.push(CHURN)
        quiet = {"autoscaling__enabled": "false", "replicas": "0", "operator__enabled": "false"}
        one.install(**quiet, batch__jobs=json.dumps({"nightly": NIGHTLY}))
        settled = {"revision": 7, "version": "2.0.0", "path": "churn/2.0.0", "digest": one.digests["2.0.0"]}
        one.namespace.apply(
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "churn-target"}}
            | {"data": {"settled": json.dumps(settled)}}
        )
        with volume.mounted(one.namespace):
            volume.unpack(one.namespace, rows.parents[1])
            yield one


@pytest.fixture(scope="module")
def alone(rows: Path) -> Iterator[Callable[[], pa.Table]]:
    """What one process comes to, which computes while the cluster does."""
    out = rows.parents[1] / "alone.parquet"
    command = [sys.executable, "-m", "modelroll_server", "batch", str(rows), str(out), *OPTIONS]
    with subprocess.Popen([*command, "--artifact", str(CHURN / "2.0.0")], stdout=subprocess.DEVNULL) as process:
        try:
            yield lambda: (process.wait(120), pq.read_table(out).drop_columns("predicted_at"))[1]
        finally:
            process.kill()


def fetched(release: Release, path: str) -> pa.Table:
    found = volume.fetch(release.namespace, path)
    return pq.read_table(pa.BufferReader(found)).drop_columns("predicted_at")


def pods(release: Release, job: str) -> list[Object]:
    return release.namespace.items("pods", selector=f"batch.kubernetes.io/job-name={job}")


def index_of(pod: Object) -> int:
    return int(pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"])


def test_one_pod_is_killed_half_way(release: Release, alone: Callable[[], pa.Table]) -> None:
    command = [sys.executable, "-m", "modelroll_server", "batch", "data/rows.parquet", "data/out.parquet", *OPTIONS]
    command += ["--job", "--release=churn", f"--namespace={release.namespace.name}", "--name=all", "--cpu=50m"]
    command += [f"--data-claim={CLAIM}", f"--indexes={INDEXES}", "--memory=300Mi"]
    command += [f"--context={os.environ['CLUSTER_CONTEXT']}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            victim = wait_until(lambda: [pod for pod in pods(release, "all") if index_of(pod) == 1], what="index 1")[0]
            wait_until(lambda: finished(release, 1) or process.poll() is not None, what="a shard of index 1")
            release.namespace.kill(victim["metadata"]["name"])
            out, errors = process.communicate(timeout=120)
        finally:
            process.kill()
    assert process.returncode == 0, errors
    assert f"index 1: the pod {victim['metadata']['name']} failed (exit code 137" in errors
    assert out == "9,000 rows predicted: /data/data/out.parquet\n"
    made = sorted(index_of(pod) for pod in pods(release, "all"))
    assert made == [0, 1, 1, 2], "the one index was tried again, alone"
    found = fetched(release, "data/out.parquet")
    assert found.equals(alone())
    assert set(found["version"].to_pylist()) == {"2.0.0"}, "what is live, not what the release began with"


def finished(release: Release, index: int) -> bool:
    """Whether an index has finished a shard, and has more to do."""
    found = [name for name in volume.listed(release.namespace, "data/out.parquet.parts") if name.startswith("_shard-")]
    return any(int(name[7:12]) % INDEXES == index for name in found)


def test_a_scheduled_job_that_is_begun_by_hand(release: Release, rows: Path) -> None:
    release.namespace.kubectl("create", "job", "tonight", "--from=cronjob/churn-nightly")
    release.namespace.kubectl("wait", "--for=condition=Complete", "job/tonight", "--timeout=90s")
    found = fetched(release, "nightly/tonight.parquet")
    assert found.schema.names[:2] == ["tenure", "prediction"]
    assert found["tenure"].equals(pq.read_table(rows)["tenure"])
    assert set(found["version"].to_pylist()) == {"2.0.0"}
