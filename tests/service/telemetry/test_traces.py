"""Traces of requests: what a collector is sent of them, over HTTP and gRPC, and what is not sent."""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Message
from structlog.testing import capture_logs

import collector
import grpc_stand_in
import stand_in
import stand_in_server
from collector import Collector
from modelroll_server.cache.cache import Bounds, Cache
from modelroll_server.grpc import prediction_pb2 as pb
from modelroll_server.telemetry import traces as tracing
from modelroll_server.telemetry.traces import Traces
from modelroll_server.tensors import Table

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
UNSAMPLED = {"traceparent": f"00-{TRACE}-{CALLER}-00"}
MESSAGE = pb.PredictRequest(
    named={"tenure": pb.Value(integer=3), "charges": pb.Value(number=0.25), "contract": pb.Value(text="month")}
)
PREDICT = "modelroll.v1.PredictionService/Predict"


@pytest.fixture
def sent() -> Iterator[Collector]:
    with collector.collecting() as found:
        yield found


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch, sent: Collector) -> Iterator[Callable[..., Traces]]:
    """Makes traces that go to the collector; they are closed in the end."""
    with contextlib.ExitStack() as stack:

        def connect(**more: str) -> Traces:
            environment = {**sent.environment, **more}
            for name, value in environment.items():
                monkeypatch.setenv(name, value)
            found = tracing.from_environment(environment, tracing.SERVER)
            assert found is not None
            stack.callback(found.close)
            return found

        yield connect


async def test_a_request_over_http_and_one_over_grpc_are_part_of_their_callers_trace(
    connect: Callable[..., Traces], sent: Collector
) -> None:
    traces = connect(OTEL_RESOURCE_ATTRIBUTES="k8s.pod.name=churn-1")
    async with (
        stand_in_server.serving(traces=traces) as server,
        stand_in_server.listening(server.app) as port,
        httpx.AsyncClient() as client,
    ):
        one = await client.post(f"http://127.0.0.1:{port}/predict", json=stand_in.ROW, headers=SAMPLED)
        assert one.status_code == 200
        tensor = {"name": "tenure", "shape": [1, 1], "datatype": "INT64", "data": [3]}
        path = f"http://127.0.0.1:{port}/v2/models/churn/infer"
        assert (await client.post(path, json={"inputs": [tensor]}, headers=SAMPLED)).status_code == 400
        many = await client.post(f"http://127.0.0.1:{port}/batch_predict", json=[stand_in.ROW] * 40, headers=SAMPLED)
        assert many.status_code == 200
    async with grpc_stand_in.serving(traces) as calls:
        await calls.call(PREDICT, MESSAGE, pb.PredictResponse, metadata=tuple(SAMPLED.items()))
    traces.close()

    (http,), (call,) = sent.named("POST /predict"), sent.named(PREDICT)
    for span in (http, call):
        assert (span.trace, span.parent, span.kind) == (TRACE, CALLER, Message.SPAN_KIND_SERVER)
        parts = sent.children(span)
        assert parts.keys() == {"decode", "queue", "infer", "encode"}
        assert {part.trace for part in parts.values()} == {TRACE}
        order = [parts[name].began for name in ("decode", "queue", "infer", "encode")]
        assert order == sorted(order)
        assert span.began <= order[0]
        assert parts["encode"].ended <= span.ended
        assert parts["infer"].attributes == {"modelroll.batch.rows": 1, "modelroll.batch.requests": 1}
        said = {name: value for name, value in span.attributes.items() if name.startswith("modelroll.")}
        said.pop("modelroll.request_id", None)
        digest = one.headers["x-model-digest"]
        names = ("model", "version", "digest", "rows")
        assert said == dict(zip((f"modelroll.{name}" for name in names), ("churn", "1.0.0", digest, 1), strict=True))
        assert not span.failed
        assert span.resource["service.name"] == "modelroll-server"
        assert span.resource["k8s.pod.name"] == "churn-1"
    assert http.attributes["http.request.method"] == "POST"
    assert http.attributes["http.route"] == http.attributes["url.path"] == "/predict"
    assert http.attributes["http.response.status_code"] == 200
    assert http.attributes["modelroll.request_id"] == one.headers["x-request-id"]
    assert {name: value for name, value in call.attributes.items() if name.startswith("rpc.")} == {
        "rpc.system": "grpc",
        "rpc.service": "modelroll.v1.PredictionService",
        "rpc.method": "Predict",
        "rpc.grpc.status_code": 0,
    }
    (refused,) = sent.named("POST /v2/models/{model}/infer")
    assert refused.attributes["modelroll.error.code"]
    assert not refused.failed, "the caller's own fault is no fault of the server's"
    (larger,) = sent.named("POST /batch_predict")
    assert larger.attributes["modelroll.rows"] == 40
    assert len([span for span in sent.named("infer") if span.parent == larger.id]) == 2, "rows of two batches"
    assert len([span for span in sent.named("queue") if span.parent == larger.id]) == 1


async def test_a_model_whose_name_begins_with_health_has_its_requests_traced(
    connect: Callable[..., Traces], sent: Collector
) -> None:
    traces = connect()
    async with stand_in_server.serving(traces=traces) as server:
        for path in ("/v2/models/health-risk/infer", "/v2/health/live", "/health"):
            await server.inference.post(path, json={}, headers=SAMPLED)
    traces.close()
    assert {span.name for span in sent.spans if span.kind == Message.SPAN_KIND_SERVER} == {
        "POST /v2/models/{model}/infer"
    }


async def test_a_request_without_a_trace_begins_one_and_what_is_no_traceparent_counts_as_none(
    connect: Callable[..., Traces], sent: Collector
) -> None:
    traces = connect()
    async with stand_in_server.serving(traces=traces) as server:
        for headers in ({}, {"traceparent": "nonsense"}, {"traceparent": f"00-{'0' * 32}-{CALLER}-01"}):
            assert (await server.inference.post("/predict", json=stand_in.ROW, headers=headers)).status_code == 200
    traces.close()
    roots = sent.named("POST /predict")
    assert [root.parent for root in roots] == [""] * 3
    assert len({root.trace for root in roots} - {TRACE, "0" * 32}) == 3


def test_what_a_caller_garbles_is_not_in_the_log(
    connect: Callable[..., Traces], sent: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    traces = connect()
    states = ("secret", "a=1,a=2", "A=b=c", "x=" + "y" * 600)
    garbled = [(SAMPLED["traceparent"], state) for state in states] + [("0" * 10_000, "a=1")]
    for traceparent, tracestate in garbled:
        trace = traces.begin("garbled", "server", 0.0, traceparent, tracestate)
        assert trace is not None
        trace.end("garbled", {})
    traces.close()
    assert not caplog.records
    assert [span.trace == TRACE for span in sent.named("garbled")] == [True] * len(states) + [False]


async def test_what_is_not_sampled_is_not_sent(connect: Callable[..., Traces], sent: Collector) -> None:
    traces = connect(OTEL_TRACES_SAMPLER="parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG="0")
    async with stand_in_server.serving(traces=traces) as server, grpc_stand_in.serving(traces) as calls:
        for headers in ({}, UNSAMPLED):
            assert (await server.inference.post("/predict", json=stand_in.ROW, headers=headers)).status_code == 200
            await calls.call(PREDICT, MESSAGE, pb.PredictResponse, metadata=tuple(headers.items()))
        assert (await server.inference.get("/health", headers=SAMPLED)).status_code == 200
        assert (await server.inference.post("/predict", json=stand_in.ROW, headers=SAMPLED)).status_code == 200
    traces.close()
    assert {span.trace for span in sent.spans} == {TRACE}
    assert [span.name for span in sent.spans if span.kind == Message.SPAN_KIND_SERVER] == ["POST /predict"]
    assert 'modelroll_trace_spans_total{outcome="sent"} 5.0' in _exposed(traces)


def test_as_many_are_sampled_as_was_asked_for(connect: Callable[..., Traces]) -> None:
    traces = connect(OTEL_TRACES_SAMPLER="parentbased_traceidratio", OTEL_TRACES_SAMPLER_ARG="0.5")
    begun = [traces.begin("POST", "server", 0.0, parent) for parent in (None, "nonsense") for _ in range(2000)]
    for those in (begun[:2000], begun[2000:]):
        assert 800 < sum(trace is not None for trace in those) < 1200
    assert all(traces.begin("POST", "server", 0.0, SAMPLED["traceparent"]) for _ in range(20))


async def test_a_failure_of_the_server_is_one_of_the_span_and_a_callers_is_not(
    connect: Callable[..., Traces], sent: Collector
) -> None:
    def fail(_: Table) -> None:
        raise ValueError("no such luck")

    traces = connect()
    with capture_logs():
        async with stand_in_server.serving(traces=traces) as server, grpc_stand_in.serving(traces) as calls:
            server.swap("2.0.0", stand_in.Echo(fail))
            calls.swap("2.0.0", stand_in.Echo(fail))
            assert (await server.inference.post("/predict", json=stand_in.ROW)).status_code == 500
            assert (await server.inference.post("/nothing/here", json=stand_in.ROW)).status_code == 404
            with pytest.raises(grpc.aio.AioRpcError):
                await calls.call(PREDICT, MESSAGE, pb.PredictResponse)
            with pytest.raises(grpc.aio.AioRpcError):
                await calls.call(PREDICT, b"\xff", pb.PredictResponse)
    traces.close()
    (http,) = sent.named("POST /predict")
    assert http.failed
    assert (http.attributes["error.type"], http.attributes["http.response.status_code"]) == ("inference_failed", 500)
    (lost,) = sent.named("POST")
    assert (lost.failed, lost.attributes["http.response.status_code"]) == (False, 404)
    assert "http.route" not in lost.attributes
    broken, bad = sorted(sent.named(PREDICT), key=lambda span: span.attributes["rpc.grpc.status_code"], reverse=True)
    assert (broken.failed, broken.attributes["rpc.grpc.status_code"]) == (True, grpc.StatusCode.INTERNAL.value[0])
    assert (bad.failed, bad.attributes["rpc.grpc.status_code"]) == (False, grpc.StatusCode.INVALID_ARGUMENT.value[0])


async def test_requests_that_were_computed_together_are_linked(connect: Callable[..., Traces], sent: Collector) -> None:
    traces = connect()
    async with stand_in_server.serving(traces=traces) as server:
        await asyncio.gather(*(server.inference.post("/predict", json=stand_in.ROW) for _ in range(3)))
    traces.close()
    requests = {span.id for span in sent.named("POST /predict")}
    parts = sent.named("infer")
    assert len(requests) == len(parts) == 3
    assert {part.attributes["modelroll.batch.requests"] for part in parts} == {3}
    (first,) = [part for part in parts if len(part.links) == 2]
    assert set(first.links) == requests - {first.parent}
    assert [part.links for part in parts if part is not first] == [(first.id,)] * 2


async def test_a_cached_answer_says_so(connect: Callable[..., Traces], sent: Collector) -> None:
    traces = connect()
    async with stand_in_server.serving(Cache(Bounds(2**20, 60)), traces=traces) as server:
        for _ in range(2):
            assert (await server.inference.post("/predict", json=stand_in.ROW)).status_code == 200
        await server.inference.post("/batch_predict", json=[stand_in.ROW, {**stand_in.ROW, "tenure": 9}])
    traces.close()
    asked, again = sorted(sent.named("POST /predict"), key=lambda span: span.began)
    assert [span.attributes["modelroll.cached"] for span in (asked, again)] == [False, True]
    assert sent.children(again).keys() == {"decode", "encode"}
    (many,) = sent.named("POST /batch_predict")
    assert sent.children(many)["infer"].attributes["modelroll.batch.rows"] == 1, "the other row was there"


async def test_a_stream_is_one_span_from_its_first_line_to_its_last(
    connect: Callable[..., Traces], sent: Collector
) -> None:
    traces = connect()
    async with stand_in_server.serving(traces=traces) as server:
        lines = b'{"tenure":1,"charges":2,"contract":"month"}\n' * 50
        assert (await server.inference.post("/predict/stream", content=lines)).text.count("\n") == 50
    traces.close()
    assert [span.name for span in sent.spans] == ["POST /predict/stream"]


async def test_what_the_collector_is_too_slow_for_is_dropped_and_counted(
    connect: Callable[..., Traces], sent: Collector
) -> None:
    sent.hangs = True
    traces = connect(OTEL_BSP_MAX_QUEUE_SIZE="20", OTEL_BSP_MAX_EXPORT_BATCH_SIZE="5", OTEL_EXPORTER_OTLP_TIMEOUT="0.5")
    with capture_logs() as lines:
        async with stand_in_server.serving(traces=traces) as server:
            for _ in range(20):
                assert (await server.inference.post("/predict", json=stand_in.ROW)).status_code == 200
    sent.released.set()
    counted = {
        sample.labels["outcome"]: sample.value
        for family in traces.counts.collect()
        for sample in family.samples
        if sample.name.endswith("_total")
    }
    assert counted["dropped"] >= 100 - 20 - 2 * 5
    assert counted["sent"] == 0
    assert len([line for line in lines if "dropped" in line["event"]]) == 1


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_SERVICE_NAME": "churn"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_without_a_collector_there_are_none(environment: dict[str, str]) -> None:
    with capture_logs() as lines:
        assert tracing.from_environment(environment, tracing.SERVER) is None
    assert lines == []


def test_what_cannot_be_sent_is_said_and_keeps_nobody_from_serving(monkeypatch: pytest.MonkeyPatch) -> None:
    collector_named = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    with capture_logs() as lines:
        spoken = {**collector_named, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
        assert tracing.from_environment(spoken, tracing.SERVER) is None
        wrong = {**collector_named, "OTEL_BSP_MAX_QUEUE_SIZE": "many"}
        assert tracing.from_environment(wrong, tracing.SERVER) is None
        monkeypatch.setitem(sys.modules, "modelroll_server.telemetry.otel", None)
        assert tracing.from_environment(collector_named, tracing.SERVER) is None
    reasons = [line["reason"] for line in lines]
    assert "port 4318" in reasons[0]
    assert "many" in reasons[1]
    assert "install modelroll-server[otel]" in reasons[2]


def test_nothing_of_opentelemetry_is_imported_where_traces_are_off() -> None:
    program = """
import asyncio, sys
import grpc_stand_in, stand_in, stand_in_server
import modelroll_server.app, modelroll_server.cli.batch, modelroll_server.cli.serve, modelroll_server.workers.worker
from modelroll_server.telemetry import traces

async def ask():
    async with stand_in_server.serving() as server, grpc_stand_in.serving():
        assert (await server.inference.post("/predict", json=stand_in.ROW)).status_code == 200

assert traces.from_environment({}, traces.SERVER) is None
asyncio.run(ask())
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
    command = [sys.executable, "-c", program]
    tests = Path(__file__).parents[2]
    found = subprocess.run(command, cwd=tests, capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[]"


def _exposed(traces: Any) -> str:
    samples = [sample for family in traces.counts.collect() for sample in family.samples]
    return "\n".join(f'{one.name}{{outcome="{one.labels["outcome"]}"}} {float(one.value)}' for one in samples)
