"""Real servers whose collector is there, is gone, or takes requests and answers none."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

import collector
import ports
import server_process
from collector import Collector
from modelroll_server.grpc import prediction_pb2 as pb

CHURN = Path(__file__).parents[3] / "models" / "churn"
Expected = dict[str, tuple[Any, list[float]]]
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
NEVER = {"OTEL_BSP_SCHEDULE_DELAY": "600000"}  # what is sent is sent at the end


@pytest.fixture
def sent() -> Iterator[Collector]:
    with collector.collecting() as found:
        yield found


def test_what_a_server_has_not_sent_yet_is_sent_when_it_is_told_to_end(
    tmp_path: Path, sent: Collector, row: dict[str, Any]
) -> None:
    environment = {**sent.environment, **NEVER, "OTEL_SERVICE_NAME": "churn", "GRPC_PORT": "0"}
    arguments = (str(CHURN / "2.0.0"), "--log-requests")
    with server_process.serving(tmp_path / "log", *arguments, environment=environment) as server:
        server.wait_for_live("2.0.0")
        headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
        assert httpx.post(f"{server.url}/predict", json=row, headers=headers).status_code == 200
        listening = server.wait_for(
            lambda: next((one for one in server.lines() if one["event"] == "listening for grpc"), None)
        )
        with grpc.insecure_channel(f"127.0.0.1:{listening['grpc_port']}") as channel:
            call = channel.unary_unary("/modelroll.v1.PredictionService/HealthCheck")
            assert pb.HealthCheckResponse.FromString(call(b"")).model_loaded
            with pytest.raises(grpc.RpcError):
                channel.unary_unary("/modelroll.v1.PredictionService/Predict")(b"", metadata=tuple(headers.items()))
        # It is written after the answer.
        (line,) = server.wait_for(lambda: [one for one in server.lines() if one["event"] == "request"] or None)
        assert line["trace_id"] == TRACE
        assert sent.spans == []
        assert server.end() == 0
    asked = [span for span in sent.spans if span.parent == CALLER]
    assert {span.name for span in asked} == {"POST /predict", "modelroll.v1.PredictionService/Predict"}
    assert {span.trace for span in sent.spans} == {TRACE}
    assert {span.resource["service.name"] for span in sent.spans} == {"churn"}


def test_each_worker_sends_its_own(tmp_path: Path, sent: Collector, row: dict[str, Any]) -> None:
    environment = {**sent.environment, **NEVER}
    arguments = (str(CHURN / "2.0.0"), "--workers", "2")
    with server_process.serving(tmp_path / "log", *arguments, environment=environment) as server:
        server.wait_for_live("2.0.0")

        def ask() -> bool | None:
            assert httpx.post(f"{server.url}/predict", json=row).status_code == 200
            return all(worker["requests"] for worker in server.status()["workers"]) or None

        server.wait_for(ask)
        assert server.end() == 0
    assert len({span.resource["service.instance.id"] for span in sent.named("POST /predict")}) == 2


@pytest.mark.parametrize("way", ["is gone", "hangs"])
async def test_a_collector_that_fails_harms_nobody(
    tmp_path: Path, sent: Collector, way: str, row: dict[str, Any], expected: Expected
) -> None:
    environment = {**sent.environment, "OTEL_BSP_MAX_QUEUE_SIZE": "64", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "32"}
    if way == "hangs":
        sent.hangs = True
    else:
        environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://127.0.0.1:{ports.reserve()}"
    with server_process.serving(tmp_path / "log", str(CHURN / "2.0.0"), environment=environment) as server:
        await asyncio.to_thread(server.wait_for_live, "2.0.0")

        def is_dropping() -> bool | None:
            return 'modelroll_trace_spans_total{outcome="dropped"} 0.0' not in server.get("/metrics").text or None

        async with server_process.under_load(server.url, row, expected) as load:
            await asyncio.to_thread(server.wait_for, is_dropping)
        assert load.wrong == []
        assert load.answers["2.0.0"] > 0
        server.process.terminate()
        assert await asyncio.to_thread(server.process.wait, 25) == 0, "the SDK would wait for half a minute"
        said = [line for line in server.lines() if line["level"] in {"warning", "error"}]
        assert len([line for line in said if "dropped" in line["event"]]) == 1
        assert len(said) <= 3, said
