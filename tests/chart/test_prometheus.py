"""A real Prometheus scrapes a real server: what goes wrong there alerts, and ends alerting when it is mended."""

import asyncio
import contextlib
import json
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import joblib
import pytest

import brokers
import prometheus_process
from chart import exposed, promql
from chart.rendering import ROOT
from hack.requests.slow_model import SlowModel
from modelroll_operator import management
from prometheus_process import PrometheusProcess
from server_process import ServerProcess, serving
from stream_process import INPUT, StreamProcess

pytestmark = [pytest.mark.needs("helm"), pytest.mark.needs("prometheus")]

ROW = {"x0": 1.0, "x1": 0.0}
SECTIONS = (
    "down",
    "errors",
    "latency",
    "turnsAway",
    "queue",
    "cache",
    "reload",
    "skew",
    "drift",
    "rollout",
    "operator",
    "stream",
)
GUARDED = {
    "Requests by caller",
    "Refused for want of a token",
    "The certificate is valid for",
    "Secrets that changed",
}
DRIFT = {"Inputs that are spread otherwise than in training", "Rows without a value", "Rows looked at"}
AT_ONCE = ["monitoring.rules.window=5s", *(f"monitoring.rules.{one}.for=1s" for one in SECTIONS)]
AWAY = {"ModelrollOperatorDown", "ModelrollStreamDown"}  # what nobody has started


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    """A volume with a model that takes a tenth of a second."""
    root = tmp_path / "mount"
    (root / "targets").mkdir(parents=True)
    joblib.dump(SlowModel(0.1), root / "slow.joblib")
    return root


@pytest.fixture
def server(tmp_path: Path, mount: Path) -> Iterator[ServerProcess]:
    """One that serves it."""
    settings = {
        "MODEL_ROOT": str(mount),
        "MODEL_PATH": "slow.joblib",
        "TARGET_DIR": str(mount / "targets"),
        "ARTIFACT_POLICY": "any",
        "CACHE_SIZE": "1Mi",
        "PYTHONPATH": str(ROOT),
    }
    with serving(tmp_path / "server.log", environment=settings) as started:
        started.wait_for_status(lambda status: status["live"] is not None)
        yield started


@contextlib.asynccontextmanager
async def operator_port() -> AsyncIterator[int]:
    """The operator's own management port, of one that works and to which everything has happened."""
    metrics = exposed.operator()
    metrics.leader.set(1)
    runner = await management.serve(0, metrics.registry, lambda: 0.0, lambda: "")
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@contextlib.contextmanager
def asking(url: str, headers: dict[str, str]) -> Iterator[None]:
    """Somebody who asks all the time, each time for something else."""
    ended = threading.Event()

    def ask() -> None:
        with httpx.Client(base_url=url, timeout=30) as client:
            number = 0.0
            while not ended.is_set():
                number += 1
                client.post("/predict", json={**ROW, "x0": number}, headers=headers)

    asker = threading.Thread(target=ask)
    asker.start()
    try:
        yield
    finally:
        ended.set()
        asker.join()


def say(mount: Path, path: str, revision: int) -> None:
    """Ask the pod for what lies there, at once."""
    temporary = mount / "targets" / ".new"
    temporary.write_text(json.dumps({"path": path, "version": "2.0.0", "revision": revision}))
    temporary.replace(mount / "targets" / "move")


def watched(
    directory: Path, server: ServerProcess, operator: int | None = None, worker: ServerProcess | None = None
) -> contextlib.AbstractContextManager[PrometheusProcess]:
    """A Prometheus with the chart's rules, over short times, and the labels that the cluster would add."""
    targets = {"churn": (server.management_port, {"namespace": "models", "pod": "churn-0"})}
    if operator is not None:
        targets["churn-operator"] = (operator, {"namespace": "models", "pod": "churn-operator-0"})
    if worker is not None:
        targets["churn-stream"] = (worker.management_port, {"namespace": "models", "pod": "churn-stream-0"})
    rules = {"groups": [{"name": "modelroll", "rules": promql.rules(*AT_ONCE)}]}
    return prometheus_process.running(directory, targets, rules)


def test_what_goes_wrong_alerts_until_it_is_mended(tmp_path: Path, mount: Path, server: ServerProcess) -> None:
    with watched(tmp_path / "prometheus", server) as prometheus:
        with asking(server.url, {}):
            prometheus.wait_for(lambda: prometheus.query('rate(prediction_total{status="200"}[5s]) > 0'))
            prometheus.wait_for(lambda: prometheus.firing().keys() == AWAY)
        say(mount, "nowhere", 1)
        with asking(server.url, {"X-Request-Timeout-Ms": "1"}):
            wanted = {*AWAY, "ModelrollErrors", "ModelrollReloadFailing"}
            firing = prometheus.wait_for(lambda: found if (found := prometheus.firing()).keys() == wanted else None)
        assert firing is not None
        assert firing["ModelrollReloadFailing"]["reason"] == "ArtifactMissing"
        assert firing["ModelrollReloadFailing"]["pod"] == "churn-0"
        assert firing["ModelrollErrors"]["severity"] == "critical"
        say(mount, "slow.joblib", 2)
        prometheus.wait_for(lambda: prometheus.firing().keys() == AWAY)
        server.process.kill()
        prometheus.wait_for(lambda: prometheus.firing().keys() == {*AWAY, "ModelrollDown"})


def test_inputs_that_are_not_as_in_training_alert_and_are_shown(tmp_path: Path) -> None:
    churn = ROOT / "models" / "churn"
    row = json.loads((churn / "row.json").read_bytes())
    settings = {"MODEL_PATH": str(churn / "1.2.0")}
    with (
        serving(tmp_path / "server.log", environment=settings) as server,
        watched(tmp_path / "prometheus", server, None) as prometheus,
    ):
        server.wait_for_live("1.2.0")
        rows = [{**row, "senior_citizen": number % 5 // 4, "partner": 1} for number in range(250)]
        httpx.post(f"{server.url}/batch_predict", json=rows, timeout=30).raise_for_status()
        firing = prometheus.wait_for(lambda: found if "ModelrollInputDrift" in (found := prometheus.firing()) else None)
        assert firing is not None
        assert (firing["ModelrollInputDrift"]["model"], firing["ModelrollInputDrift"]["model_version"]) == (
            "churn",
            "1.2.0",
        )
        drifts = prometheus.query("modelroll_input_psi > 0.25")
        assert {one["metric"]["input"] for one in drifts} >= {"partner"}
        assert "senior_citizen" not in {one["metric"]["input"] for one in drifts}
        for title, query in promql.queries():
            assert title not in DRIFT or prometheus.query(query), title


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[brokers.Redis]:
    """A Redis with events."""
    (tmp_path / "redis").mkdir()
    found = brokers.Redis(tmp_path / "redis")
    yield found
    found.kill()


@pytest.fixture
def worker(tmp_path: Path, mount: Path, redis: brokers.Redis) -> Iterator[StreamProcess]:
    """A stream worker by the same model."""
    environment = {"MODEL_PATH": str(mount / "slow.joblib"), "PYTHONPATH": str(ROOT)}
    started = StreamProcess(tmp_path / "worker.log", redis.url, environment=environment)
    yield started
    started.kill()


@pytest.mark.needs("redis")
async def test_every_panel_shows_something_of_a_server_a_worker_and_an_operator(
    tmp_path: Path, mount: Path, server: ServerProcess, redis: brokers.Redis, worker: StreamProcess
) -> None:
    """But for those of what needs several processes that answer, a model's NaN, a manifest, or TLS and tokens."""
    say(mount, "nowhere", 1)
    worker.wait_until_ready()
    async with operator_port() as port:
        with watched(tmp_path / "prometheus", server, port, worker) as prometheus:
            await asyncio.to_thread(prometheus.wait_for, lambda: prometheus.query("stream_up == 1"))
            await redis.produce(INPUT, [(None, b"{") for _ in range(50)])
            await asyncio.to_thread(_every_panel, prometheus, server)


def _every_panel(prometheus: PrometheusProcess, server: ServerProcess) -> None:
    with asking(server.url, {}), asking(server.url, {"X-Request-Timeout-Ms": "1"}):
        prometheus.wait_for(lambda: "ModelrollStreamDeadLetters" in prometheus.firing())
        prometheus.wait_for(lambda: prometheus.query('rate(prediction_total{status=~"5.."}[5s]) > 0'))

        def empty() -> set[str]:
            found = {(title, query): prometheus.query(query) for title, query in promql.queries()}
            return {title for (title, _), series in found.items() if not series}

        prometheus.wait_for(lambda: empty() == {"Workers started anew", "Numbers answered as null"} | DRIFT | GUARDED)
        assert not AWAY & prometheus.firing().keys()
        assert [one["metric"] for one in prometheus.query(promql.releases())] == [{"job": "churn"}]
