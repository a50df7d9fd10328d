"""GRPCInferenceService: health, metadata, inference with contents and with raw bytes; health and reflection."""

import gc
import struct
import tracemalloc
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from modelroll_server.grpc import open_inference_pb2 as pb

if TYPE_CHECKING:
    from grpc_stand_in import Server

SERVICE = "inference.GRPCInferenceService"
Input = pb.ModelInferRequest.InferInputTensor


def texts(*values: str) -> bytes:
    return b"".join(struct.pack("<I", len(value)) + value.encode() for value in values)


def request(**changes: Any) -> pb.ModelInferRequest:
    given = {
        "model_name": "churn",
        "id": "mine",
        "inputs": [
            Input(name="tenure", datatype="INT32", shape=[2, 1], contents={"int_contents": [3, 4]}),
            Input(name="charges", datatype="FP64", shape=[2], contents={"fp64_contents": [0.25, 0.5]}),
            Input(name="contract", datatype="BYTES", shape=[2], contents={"bytes_contents": [b"month", b"year"]}),
        ],
        **changes,
    }
    return pb.ModelInferRequest(**given)


def raw_request(rows: int = 2) -> pb.ModelInferRequest:
    found = request(
        inputs=[
            Input(name="tenure", datatype="INT64", shape=[rows]),
            Input(name="charges", datatype="FP32", shape=[rows, 1]),
            Input(name="contract", datatype="BYTES", shape=[rows]),
        ]
    )
    raw = [np.arange(rows).tobytes(), np.full(rows, 0.25, "<f4").tobytes(), texts(*["month"] * rows)]
    found.raw_input_contents.extend(raw)
    return found


def infer(server: "Server", request_: Any) -> Any:
    return server.call(f"{SERVICE}/ModelInfer", request_, pb.ModelInferResponse)


async def test_contents_are_answered_with_contents(server: "Server") -> None:
    answer = await infer(server, request())
    assert (answer.model_name, answer.model_version, answer.id) == ("churn", "1.0.0", "mine")
    prediction, probability = answer.outputs
    assert (prediction.datatype, list(prediction.shape)) == ("INT64", [2])
    assert list(prediction.contents.int64_contents) == [3, 4]
    assert list(probability.contents.fp64_contents) == [0.75, 0.25, 0.5, 0.5]
    assert not answer.raw_output_contents


@pytest.mark.parametrize("rows", [2, 300, 10_000])
async def test_raw_bytes_are_answered_with_raw_bytes(server: "Server", rows: int) -> None:
    answer = await infer(server, raw_request(rows))
    assert np.frombuffer(answer.raw_output_contents[0], "<i8").tolist() == list(range(rows))
    assert np.frombuffer(answer.raw_output_contents[1], "<f8").tolist() == [0.75, 0.25] * rows
    assert list(answer.outputs[1].shape) == [rows, 2]


async def test_outputs_are_selected(server: "Server") -> None:
    selected = request(outputs=[pb.ModelInferRequest.InferRequestedOutputTensor(name="probability")])
    answer = await infer(server, selected)
    assert [one.name for one in answer.outputs] == ["probability"]


def changed(index: int, **fields: Any) -> pb.ModelInferRequest:
    found = request()
    found.inputs[index].MergeFrom(Input(**fields))
    return found


def cut() -> pb.ModelInferRequest:
    found = raw_request()
    found.raw_input_contents[0] = found.raw_input_contents[0][:-1]
    return found


REFUSED = [
    (request(model_name="other"), grpc.StatusCode.NOT_FOUND),
    (request(model_version="2.0.0"), grpc.StatusCode.NOT_FOUND),
    (request(outputs=[{"name": "more"}]), grpc.StatusCode.INVALID_ARGUMENT),
    (request(inputs=[]), grpc.StatusCode.INVALID_ARGUMENT),
    (request(raw_input_contents=[b""]), grpc.StatusCode.INVALID_ARGUMENT),
    (request(raw_input_contents=[b"", b"", b""]), grpc.StatusCode.INVALID_ARGUMENT),
    (changed(0, datatype="FP128"), grpc.StatusCode.INVALID_ARGUMENT),
    (changed(0, datatype="INT8", contents={"int_contents": [300]}, shape=[1]), grpc.StatusCode.INVALID_ARGUMENT),
    (changed(0, shape=[2]), grpc.StatusCode.INVALID_ARGUMENT),
    (changed(0, shape=[2**63 - 1] * 300), grpc.StatusCode.INVALID_ARGUMENT),
    (changed(0, shape=[1] * 30_000), grpc.StatusCode.INVALID_ARGUMENT),
    (changed(0, name="charges"), grpc.StatusCode.INVALID_ARGUMENT),
    (cut(), grpc.StatusCode.INVALID_ARGUMENT),
    (b"\xff\xff", grpc.StatusCode.INVALID_ARGUMENT),
]


@pytest.mark.parametrize(("request_", "code"), REFUSED)
async def test_what_is_wrong_is_refused(server: "Server", request_: Any, code: grpc.StatusCode) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await infer(server, request_)
    assert refused.value.code() is code
    assert len((await infer(server, request())).outputs) == 2


LONG = "é" * 100_000


@pytest.mark.parametrize(
    "request_",
    [
        changed(0, name=LONG),
        request(inputs=[Input(name=LONG, datatype="INT32", shape=[2], contents={"int_contents": [3, 4]})]),
        request(inputs=[Input(name=f"{index}{LONG}", datatype="INT32", shape=[0]) for index in range(4)]),
        changed(0, datatype=LONG),
        request(outputs=[{"name": LONG}]),
    ],
)
async def test_a_refusal_fits_into_trailers(server: "Server", request_: Any) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await infer(server, request_)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert len((refused.value.details() or "").encode()) <= 2010


@pytest.mark.parametrize(
    ("method", "field"),
    [
        ("inference.GRPCInferenceService/ModelInfer", b"\x2a\x00"),
        ("inference.GRPCInferenceService/ModelInfer", b"\x3a\x00"),
        ("modelroll.v1.PredictionService/Predict", b"\x12\x00"),
        ("modelroll.v1.PredictionService/BatchPredict", b"\x0a\x00"),
    ],
)
async def test_more_fields_than_a_request_has_are_refused_before_they_are_read(
    server: "Server", method: str, field: bytes
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await server.call(method, field * 400_000, pb.ModelInferResponse)
    assert refused.value.code() is grpc.StatusCode.OUT_OF_RANGE
    assert "too many fields" in (refused.value.details() or "")


@pytest.mark.parametrize(
    "tensor",
    [
        Input(name="tenure", datatype="FP32", shape=[1, 100_000], contents={"fp32_contents": [0.5] * 100_000}),
        Input(name="tenure", datatype="BYTES", shape=[100_000], contents={"bytes_contents": [b"a"] * 100_000}),
    ],
)
async def test_more_values_than_a_request_has_are_refused(server: "Server", tensor: Input) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await infer(server, request(inputs=[tensor]))
    assert refused.value.code() is grpc.StatusCode.OUT_OF_RANGE


async def test_a_message_that_was_refused_is_let_go(server: "Server") -> None:
    data = b"\x2a\x00" * 400_000
    tracemalloc.start()
    gc.disable()
    try:
        for _ in range(5):
            with pytest.raises(grpc.aio.AioRpcError):
                await infer(server, data)
        assert tracemalloc.get_traced_memory()[0] < 2 * len(data)
    finally:
        gc.enable()
        tracemalloc.stop()


async def test_the_server_and_the_model_describe_themselves(server: "Server") -> None:
    assert (await server.call(f"{SERVICE}/ServerLive", b"", pb.ServerLiveResponse)).live
    assert (await server.call(f"{SERVICE}/ServerReady", b"", pb.ServerReadyResponse)).ready
    named = pb.ModelReadyRequest(name="churn", version="1.0.0")
    assert (await server.call(f"{SERVICE}/ModelReady", named, pb.ModelReadyResponse)).ready
    assert (await server.call(f"{SERVICE}/ServerMetadata", b"", pb.ServerMetadataResponse)).name == "modelroll"
    asked = pb.ModelMetadataRequest(name="churn")
    described = await server.call(f"{SERVICE}/ModelMetadata", asked, pb.ModelMetadataResponse)
    assert [(one.name, one.datatype, list(one.shape)) for one in described.inputs] == [
        ("tenure", "INT64", [-1, 1]),
        ("charges", "FP64", [-1, 1]),
        ("contract", "BYTES", [-1, 1]),
    ]
    assert [one.name for one in described.outputs] == ["prediction"]


async def test_without_a_model_nothing_is_ready(server: "Server") -> None:
    server.registry.live = None
    assert not (await server.call(f"{SERVICE}/ServerReady", b"", pb.ServerReadyResponse)).ready
    named = pb.ModelReadyRequest(name="churn")
    assert not (await server.call(f"{SERVICE}/ModelReady", named, pb.ModelReadyResponse)).ready


def check(server: "Server", service: str) -> Any:
    asked = health_pb2.HealthCheckRequest(service=service)
    return server.call("grpc.health.v1.Health/Check", asked, health_pb2.HealthCheckResponse)


async def test_health_follows_the_model_and_the_drain(server: "Server") -> None:
    for service in ("", SERVICE, "modelroll.v1.PredictionService"):
        assert (await check(server, service)).status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await check(server, "other")
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    watch = server.channel.unary_stream(
        "/grpc.health.v1.Health/Watch", response_deserializer=health_pb2.HealthCheckResponse.FromString
    )(b"")
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.SERVING
    server.registry.draining = True
    assert (await watch.read()).status == health_pb2.HealthCheckResponse.NOT_SERVING
    assert (await check(server, "")).status == health_pb2.HealthCheckResponse.NOT_SERVING
    server.leaving.set()
    assert await watch.read() is grpc.aio.EOF


async def test_reflection_lists_the_services(server: "Server") -> None:
    call = server.channel.stream_stream(
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        request_serializer=lambda one: one.SerializeToString(),
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )()
    await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
    listed = {one.name for one in (await call.read()).list_services_response.service}
    assert {SERVICE, "modelroll.v1.PredictionService", "grpc.health.v1.Health"} <= listed
    await call.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE))
    assert (await call.read()).file_descriptor_response.file_descriptor_proto
    await call.done_writing()
