"""PredictionService: rows by name and by position, many, streams, and what a caller can do wrong."""

import asyncio
import dataclasses
import math
import threading
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from structlog.testing import capture_logs

import grpc_stand_in
import stand_in
from modelroll_server.grpc import prediction, statuses
from modelroll_server.grpc import prediction_pb2 as pb
from modelroll_server.pipeline import Pipeline
from modelroll_server.registry.target import Target
from modelroll_server.schema import Schema
from modelroll_server.schema.arrays import ArrayDecoder
from modelroll_server.schema.json import JsonDecoder

if TYPE_CHECKING:
    from grpc_stand_in import Server

SERVICE = "modelroll.v1.PredictionService"


def row(tenure: int = 3, charges: float | None = 0.25, contract: str = "month", **more: pb.Value) -> pb.PredictRequest:
    charge = pb.Value() if charges is None else pb.Value(number=charges)
    named = {"tenure": pb.Value(integer=tenure), "charges": charge, "contract": pb.Value(text=contract), **more}
    return pb.PredictRequest(named=named)


def predict(server: "Server", request: Any, **arguments: Any) -> Any:
    return server.call(f"{SERVICE}/Predict", request, pb.PredictResponse, **arguments)


async def refusal(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return refused.value


async def test_a_row_by_name_is_answered(server: "Server") -> None:
    call = predict(server, row(), metadata=(("x-request-id", "mine-1"),))
    answer = await call
    assert (answer.prediction, answer.label.integer, answer.model_version) == (3, 3, "1.0.0")
    assert list(answer.probability) == list(answer.probabilities) == [0.75, 0.25]
    trailer = dict(await call.trailing_metadata())
    assert trailer["x-request-id"] == "mine-1"
    assert trailer["x-model-version"] == "1.0.0"
    assert trailer["x-model-digest"].startswith("sha256:")
    assert b'status="200"' in server.metrics.exposition()


async def test_many_rows_are_answered_in_order(server: "Server") -> None:
    request = pb.BatchPredictRequest(requests=[row(tenure) for tenure in range(200)])
    answer = await server.call(f"{SERVICE}/BatchPredict", request, pb.BatchPredictResponse)
    assert [one.prediction for one in answer.responses] == list(range(200))
    empty = await server.call(f"{SERVICE}/BatchPredict", b"", pb.BatchPredictResponse)
    assert len(empty.responses) == 0


async def test_as_many_rows_as_a_request_has_are_answered_by_name(server: "Server") -> None:
    request = pb.BatchPredictRequest(requests=[row(tenure) for tenure in range(10_000)])
    assert request.ByteSize() > 2**19
    answer = await server.call(f"{SERVICE}/BatchPredict", request, pb.BatchPredictResponse)
    assert [one.label.integer for one in answer.responses] == list(range(10_000))


REFUSED = [
    (row(contract="weekly"), "contract"),
    (row(more=pb.Value(integer=1)), "more"),
    (pb.PredictRequest(named={"tenure": pb.Value(integer=1), "charges": pb.Value()}), "contract"),
    (pb.PredictRequest(features=[1, 2]), None),
    (pb.PredictRequest(features=[1, 2, 3]), "contract"),
    (pb.PredictRequest(values=[1, float("inf"), 3]), "charges"),
    (pb.PredictRequest(values=[1], features=[1]), None),
    (pb.PredictRequest(), None),
    (row(tenure=2**62, charges=float("-inf")), "charges"),
]


@pytest.mark.parametrize(("request_", "field"), REFUSED)
async def test_what_is_wrong_is_refused_by_name(server: "Server", request_: Any, field: str | None) -> None:
    refused = await refusal(predict(server, request_))
    assert refused.code() is grpc.StatusCode.INVALID_ARGUMENT
    trailer = dict(refused.trailing_metadata() or ())
    assert trailer["x-request-id"]
    assert trailer["x-error-code"].startswith("invalid_")
    assert trailer.get("x-error-field") == field
    assert (await predict(server, row())).prediction == 3


async def test_where_extra_names_are_ignored_the_others_keep_their_rules(server: "Server") -> None:
    version = dataclasses.replace(stand_in.version(), json=JsonDecoder(Schema(stand_in.INPUTS, extra_fields="ignore")))
    server.registry.swap(version, Target("settled", 2, version.content))
    for more in ({}, {"more": pb.Value(integer=1)}):
        assert (await predict(server, row(charges=math.nan, **more))).prediction == 3
        assert (await refusal(predict(server, row(contract="weekly", **more)))).code().name == "INVALID_ARGUMENT"


async def test_what_is_not_finite_is_answered_as_it_is(server: "Server") -> None:
    answer = await predict(server, row(charges=None))
    assert all(map(math.isnan, answer.probability))
    assert len(answer.probability) == 2
    assert answer.label.integer == 3


async def test_bytes_that_are_no_message_are_the_callers_fault(server: "Server") -> None:
    refused = await refusal(predict(server, b"\xff\xff\xff"))
    assert (refused.code(), refused.details()) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "the message is no PredictRequest",
    )


async def test_a_row_of_many_is_named(server: "Server") -> None:
    request = pb.BatchPredictRequest(requests=[row(), row(contract="weekly")])
    refused = await refusal(server.call(f"{SERVICE}/BatchPredict", request, pb.BatchPredictResponse))
    assert dict(refused.trailing_metadata() or ())["x-error-field"] == "requests[1].contract"


async def test_a_message_that_is_too_large_is_refused(server: "Server") -> None:
    refused = await refusal(predict(server, b"\0" * (2**20 + 1)))
    assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_without_a_model_the_answer_is_unavailable(server: "Server") -> None:
    server.registry.live = None
    assert (await refusal(predict(server, row()))).code() is grpc.StatusCode.UNAVAILABLE
    health = await server.call(f"{SERVICE}/HealthCheck", b"", pb.HealthCheckResponse)
    assert (health.status, health.model_loaded, health.model_version) == ("unhealthy", False, "")


async def test_health_names_the_version(server: "Server") -> None:
    health = await server.call(f"{SERVICE}/HealthCheck", b"", pb.HealthCheckResponse)
    assert (health.status, health.model_loaded, health.model_version) == ("healthy", True, "1.0.0")


async def test_what_the_model_raises_stays_inside(server: "Server") -> None:
    def fail(_: object) -> None:
        raise ValueError("secret")

    server.swap("1.0.1", stand_in.Echo(fail))
    refused = await refusal(predict(server, row()))
    assert refused.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in str(refused.details())


async def test_a_deadline_is_kept_and_harms_nobody_else(server: "Server") -> None:
    started, may_end = threading.Event(), threading.Event()

    def wait(_: object) -> None:
        started.set()
        assert may_end.wait(60)

    server.swap("1.1.0", stand_in.Echo(wait))
    late = asyncio.ensure_future(refusal(predict(server, row(), timeout=0.2)))
    patient = asyncio.ensure_future(predict(server, row()))
    assert (await late).code() is grpc.StatusCode.DEADLINE_EXCEEDED
    may_end.set()
    assert (await patient).prediction == 3


def stream(server: "Server") -> Any:
    return server.channel.stream_stream(
        f"/{SERVICE}/PredictStream",
        request_serializer=lambda one: one if isinstance(one, bytes) else one.SerializeToString(),
        response_deserializer=pb.PredictResponse.FromString,
    )


async def test_a_stream_is_answered_in_order_each_row_by_its_version(server: "Server") -> None:
    call = stream(server)()
    for tenure in range(5):
        await call.write(row(tenure))
        answer = await call.read()
        assert (answer.prediction, answer.model_version) == (tenure, "1.0.0")
    server.swap("2.0.0", revision=2)
    await call.write(row())
    assert (await call.read()).model_version == "2.0.0"
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_a_bad_row_of_a_stream_is_answered_with_its_error(server: "Server") -> None:
    async def rows() -> AsyncIterator[pb.PredictRequest | bytes]:
        for tenure in range(300):
            yield row(tenure)
            yield row(contract="weekly")
            yield b"\xff\xff"

    answers = [answer async for answer in stream(server)(rows())]
    assert [one.prediction for one in answers[::3]] == list(range(300))
    assert all("contract must be one of" in one.error for one in answers[1::3])
    assert all(one.error == "the message is no PredictRequest" for one in answers[2::3])
    assert len(answers) == 900


async def test_a_fault_of_the_server_answers_its_row_and_is_logged(
    server: "Server", monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise TypeError("secret")

    async def rows() -> AsyncIterator[pb.PredictRequest]:
        for tenure in range(3):
            yield row(tenure)

    monkeypatch.setattr(ArrayDecoder, "row", fail)
    with capture_logs() as logs:
        answers = [answer async for answer in stream(server)(rows())]
    assert [answer.error for answer in answers] == [statuses.UNKNOWN] * 3
    assert [entry["event"] for entry in logs] == ["a row failed"] * 3
    assert b'status="500"} 3.0' in server.metrics.exposition()


async def test_a_fault_in_reading_a_stream_is_not_its_good_end(
    server: "Server", monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise TypeError("secret")

    monkeypatch.setattr(Pipeline, "begin", fail)
    call = stream(server)()
    with capture_logs() as logs:
        await call.write(row())
        refused = await refusal(call.read())
    assert (refused.code(), refused.details()) == (grpc.StatusCode.INTERNAL, statuses.UNKNOWN)
    assert [entry["event"] for entry in logs] == ["a stream failed"]


async def test_a_row_of_a_stream_has_the_time_that_its_caller_gives(
    server: "Server", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction, "DEFAULT_SECONDS", 0.05)
    may_end = threading.Event()

    def wait(_: object) -> None:
        assert may_end.wait(60)

    server.swap("1.1.0", stand_in.Echo(wait))
    hurried, patient = stream(server)(), stream(server)(timeout=30)
    for call in (patient, hurried):
        await call.write(row(4))
    assert "deadline" in (await hurried.read()).error
    may_end.set()
    assert (await patient.read()).prediction == 4


async def test_a_stream_that_is_not_read_does_not_fill_the_server(server: "Server") -> None:
    computed: list[int] = []
    server.swap("1.1.0", stand_in.Echo(lambda table: computed.append(table.rows)))
    # A client that takes 64 KiB before it reads; it would take megabytes by itself.
    channel = grpc.aio.insecure_channel(server.address, options=[("grpc.http2.bdp_probe", 0)])
    call = channel.stream_stream(f"/{SERVICE}/PredictStream", request_serializer=pb.PredictRequest.SerializeToString)()
    wrote = 0

    async def write() -> None:
        nonlocal wrote
        while True:
            await call.write(row(tenure=wrote))
            wrote += 1

    writing = asyncio.create_task(write())
    while not computed:  # noqa: ASYNC110 - nothing tells
        await asyncio.sleep(0.01)
    before = 0
    while sum(computed) > before:  # until the writer is made to wait, and the server computes no further
        before = sum(computed)
        await asyncio.wait({writing}, timeout=1)
    assert 0 < before <= wrote
    writing.cancel()
    await asyncio.wait({writing})
    await channel.close()
    call.cancel()


async def test_a_leaving_server_answers_what_it_read_and_says_that_there_was_more(server: "Server") -> None:
    call = stream(server)()
    await call.write(row(1))
    assert (await call.read()).prediction == 1
    server.leaving.set()
    assert (await refusal(call.read())).code() is grpc.StatusCode.UNAVAILABLE


async def test_a_client_is_asked_to_connect_anew_and_goes_on_with_what_it_has_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("modelroll_server.grpc.server.CONNECTION_SECONDS", 0.1)
    async with grpc_stand_in.serving() as server, grpc.aio.insecure_channel(server.address) as channel:
        serializers = (pb.PredictRequest.SerializeToString, pb.PredictResponse.FromString)
        call = channel.stream_stream(f"/{SERVICE}/PredictStream", *serializers)()
        await call.write(row(1))
        assert (await call.read()).prediction == 1
        async with asyncio.timeout(60):
            await channel.wait_for_state_change(grpc.ChannelConnectivity.READY)
        await call.write(row(2))
        assert (await call.read()).prediction == 2
        assert (await channel.unary_unary(f"/{SERVICE}/Predict", *serializers)(row(3))).prediction == 3


async def test_an_unknown_method_is_unimplemented(server: "Server") -> None:
    refused = await refusal(server.call(f"{SERVICE}/Nothing", b"", pb.PredictResponse))
    assert refused.code() is grpc.StatusCode.UNIMPLEMENTED
