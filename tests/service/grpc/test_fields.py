"""Fields of messages, counted in their bytes: never fewer than protobuf finds."""

import contextlib

import pytest
from google.protobuf.message import DecodeError, Message
from hypothesis import given
from hypothesis import strategies as st

from modelroll_server.grpc import fields
from modelroll_server.grpc import open_inference_pb2 as infer
from modelroll_server.grpc import prediction_pb2 as predict

Input = infer.ModelInferRequest.InferInputTensor


def count(data: bytes, descriptor: object) -> int:
    """The fields of a message whose bytes are many more than its fields."""
    return next(most for most in range(len(data)) if not fields.are_more(data, descriptor, most))


@pytest.mark.parametrize("rows", [1, 3])
def test_the_fields_of_messages_within_messages_count(rows: int) -> None:
    texts = predict.PredictRequest(named={"a" * 50: predict.Value(text="c" * 50)})
    data = predict.BatchPredictRequest(requests=[texts] * rows).SerializeToString()
    assert count(data, predict.BatchPredictRequest.DESCRIPTOR) == rows * (1 + 1 + 1 + 1 + 1)


def test_packed_numbers_and_raw_bytes_are_one_field_each() -> None:
    tensor = Input(name="input", datatype="FP64", shape=[100], contents={"fp64_contents": [0.5] * 100})
    data = infer.ModelInferRequest(inputs=[tensor], raw_input_contents=[b"\x2a\x00" * 100]).SerializeToString()
    assert count(data, infer.ModelInferRequest.DESCRIPTOR) == 1 + (1 + 1 + 1 + 1 + 1) + 1


EMPTY = {
    "rows": (b"\x0a\x00", predict.BatchPredictRequest.DESCRIPTOR),
    "inputs": (b"\x2a\x00", infer.ModelInferRequest.DESCRIPTOR),
    "raw contents": (b"\x3a\x00", infer.ModelInferRequest.DESCRIPTOR),
    "scalars": (b"\x08\x01", infer.ModelInferRequest.DESCRIPTOR),
    "groups": (b"\x0b\x0c", infer.ModelInferRequest.DESCRIPTOR),
}


@pytest.mark.parametrize("name", EMPTY)
def test_a_message_of_the_smallest_fields_has_more(name: str) -> None:
    field, descriptor = EMPTY[name]
    assert fields.are_more(field * 1001, descriptor, 1000)
    if name != "groups":
        assert not fields.are_more(field * 1000 + b"\x42\x50" + b"x" * 80, descriptor, 1001)


@given(data=st.binary(max_size=60), most=st.integers(0, 20))
def test_what_protobuf_reads_is_never_counted_short(data: bytes, most: int) -> None:
    row = predict.PredictRequest(features=[1.5], named={"a": predict.Value(number=1), "b": predict.Value(text="c")})
    data += predict.BatchPredictRequest(requests=[row]).SerializeToString()
    for message in (predict.BatchPredictRequest, infer.ModelInferRequest):
        with contextlib.suppress(DecodeError):
            assert fields.are_more(data, message.DESCRIPTOR, most) or found(message.FromString(data)) <= most


def found(message: Message) -> int:
    """How many fields protobuf found in a message, at least."""
    total = 0
    for _, value in message.ListFields():
        if isinstance(value, Message):
            total += 1 + found(value)
        elif hasattr(value, "add"):  # messages
            total += sum(1 + found(one) for one in value)
        else:
            total += len(value) if hasattr(value, "keys") else 1
    return total
