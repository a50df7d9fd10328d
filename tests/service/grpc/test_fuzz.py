"""Messages that are almost right: never a fault of the server, never a hang, never a wrong answer."""

from collections import Counter
from typing import TYPE_CHECKING, Any

import grpc
import numpy as np
import pytest

import fuzzing
from modelroll_server.grpc import open_inference_pb2 as infer
from modelroll_server.grpc import prediction_pb2 as predict

if TYPE_CHECKING:
    from grpc_stand_in import Server

Input = infer.ModelInferRequest.InferInputTensor
CONTENTS = infer.ModelInferRequest(
    model_name="churn",
    inputs=[
        Input(name="tenure", datatype="INT32", shape=[2], contents={"int_contents": [3, 4]}),
        Input(name="charges", datatype="FP64", shape=[2], contents={"fp64_contents": [0.25, 0.5]}),
        Input(name="contract", datatype="BYTES", shape=[2], contents={"bytes_contents": [b"month", b"year"]}),
    ],
)
RAW = infer.ModelInferRequest(
    model_name="churn",
    inputs=[
        Input(name="tenure", datatype="INT64", shape=[1]),
        Input(name="charges", datatype="FP32", shape=[1]),
        Input(name="contract", datatype="BYTES", shape=[1]),
    ],
    raw_input_contents=[b"\x03" + b"\0" * 7, b"\0\0\0\0", b"\x05\0\0\0month"],
)
NAMED = predict.PredictRequest(
    named={
        "tenure": predict.Value(integer=3),
        "charges": predict.Value(number=0.25),
        "contract": predict.Value(text="month"),
    }
)
REFUSED = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.OUT_OF_RANGE}


async def ask(server: "Server", method: str, data: bytes, answer: Any) -> Any:
    call = server.call(method, data, answer, timeout=20)
    code = await call.code()
    assert code is grpc.StatusCode.OK or code in REFUSED, (code, await call.details(), data)
    return await call if code is grpc.StatusCode.OK else None


def tenures(data: bytes) -> list[Any]:
    request = infer.ModelInferRequest.FromString(data)
    for index, tensor in enumerate(request.inputs):
        if tensor.name == "tenure":
            if request.raw_input_contents:
                raw: list[Any] = np.frombuffer(
                    request.raw_input_contents[index], fuzzing.DTYPES[tensor.datatype]
                ).tolist()
                return raw
            fields = (values for _, values in tensor.contents.ListFields())
            return next(list(values) for values in fields if len(values))
    raise AssertionError("there is no tenure")


@pytest.mark.parametrize("body", [CONTENTS, RAW], ids=["contents", "raw"])
async def test_tensors(server: "Server", body: infer.ModelInferRequest) -> None:
    seen: Counter[bool] = Counter()
    for data in fuzzing.mutated([body.SerializeToString()], seed=5):
        answer = await ask(server, "inference.GRPCInferenceService/ModelInfer", data, infer.ModelInferResponse)
        seen[answer is not None] += 1
        if answer is None or answer.outputs[0].name != "prediction":
            continue
        if answer.raw_output_contents:
            found = np.frombuffer(answer.raw_output_contents[0], "<i8").tolist()
        else:
            found = list(answer.outputs[0].contents.int64_contents)
        assert found == tenures(data), data
    assert seen[True] > 0
    assert seen[False] > fuzzing.COUNT / 10


async def test_rows(server: "Server") -> None:
    seen: Counter[bool] = Counter()
    for data in fuzzing.mutated([NAMED.SerializeToString()], seed=6):
        answer = await ask(server, "modelroll.v1.PredictionService/Predict", data, predict.PredictResponse)
        seen[answer is not None] += 1
        if answer is not None:
            tenure = predict.PredictRequest.FromString(data).named["tenure"]
            assert answer.label.integer == getattr(tenure, str(tenure.WhichOneof("kind"))), data
    assert seen[True] > 0
    assert seen[False] > fuzzing.COUNT / 10
