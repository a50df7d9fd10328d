"""What Redis keeps of an answer: read back it is the same to the dtype, and anything else is refused."""

import math
import pickle
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelroll_server.cache.values import Invalid, Values
from modelroll_server.tensors import Array, Outputs

KEY = b"k" * 32
ANSWERS = {
    "labels that are integers": Outputs(np.array([3])),
    "labels that are texts": Outputs(np.array(["né"], dtype="<U7"), np.array([[0.25, 0.75]])),
    "labels that are objects": Outputs(np.array(["a"], dtype=object)),
    "labels of several types": Outputs(np.array([["a", 1, 1.0, True, None]], dtype=object)),
    "booleans": Outputs(np.array([True])),
    "small numbers": Outputs(np.array([0.1], dtype=np.float32)),
    "what is not finite": Outputs(np.array([math.nan]), None, np.array([[math.inf, -math.inf, -0.0]])),
    "a score": Outputs(np.array([1], dtype=np.int8), None, np.array([0.5])),
    "several outputs": Outputs(np.array([[1, 2]]), [np.array([[0.5, 0.5]]), np.array([[0.1, 0.2, 0.7]])]),
    "one output in a list": Outputs(np.array([[1]]), [np.array([[0.5, 0.5]])]),
    "big-endian numbers": Outputs(np.array([1.5], dtype=">f8")),
}


def arrays(outputs: Outputs) -> list[tuple[str, Array]]:
    probability = outputs.probability
    many = probability if isinstance(probability, list) else [probability]
    named = [("prediction", outputs.prediction), *(("probability", one) for one in many), ("score", outputs.score)]
    return [(name, array) for name, array in named if array is not None]


@pytest.mark.parametrize("secret", [None, "secret"])
@pytest.mark.parametrize("what", ANSWERS)
def test_an_answer_is_read_back_as_it_was(what: str, secret: str | None) -> None:
    outputs = ANSWERS[what]
    values = Values(secret)
    data = values.dump(KEY, outputs, 12.5)
    assert data is not None
    answers, expires = values.load(KEY, data)
    assert expires == 12.5
    assert answers.rows == 1
    found = answers.outputs
    assert type(found.probability) is type(outputs.probability)
    for (name, one), (other_name, other) in zip(arrays(outputs), arrays(found), strict=True):
        assert name == other_name
        assert other.dtype == one.dtype.newbyteorder("=")
        assert other.shape == one.shape
        assert [type(value) for value in other.ravel().tolist()] == [type(value) for value in one.ravel().tolist()]
        np.testing.assert_array_equal(one, other)
    assert found.as_lists() == outputs.as_lists() or "finite" in what


@pytest.mark.parametrize("label", [1j, np.datetime64("2026-01-01"), ("a",), np.str_("a"), 2**70, "\ud800"])
def test_what_could_not_be_read_back_is_not_written(label: Any) -> None:
    prediction = np.array([label]) if isinstance(label, complex | np.datetime64) else np.empty(1, dtype=object)
    if prediction.dtype.kind == "O":
        prediction[0] = label
    assert Values().dump(KEY, Outputs(prediction), 0.0) is None


@given(st.binary(max_size=200))
def test_garbage_is_refused(data: bytes) -> None:
    for values in (Values(), Values("secret")):
        with pytest.raises(Invalid):
            values.load(KEY, data)


@given(st.data())
def test_a_value_that_was_changed_is_refused_where_there_is_a_secret(data: st.DataObject) -> None:
    values = Values("secret")
    written = values.dump(KEY, ANSWERS["labels that are texts"], 12.5)
    assert written is not None
    at = data.draw(st.integers(0, len(written) - 1))
    changed = written[:at] + bytes([written[at] ^ data.draw(st.integers(1, 255))]) + written[at + 1 :]
    for other in (changed, written[:at], written + b"\x00"):
        with pytest.raises(Invalid):
            values.load(KEY, other)


@pytest.mark.parametrize("secret", [None, "secret"])
def test_a_value_cannot_change_its_place(secret: str | None) -> None:
    values = Values(secret)
    written = values.dump(KEY, ANSWERS["booleans"], 12.5)
    assert written is not None
    with pytest.raises(Invalid):
        values.load(b"o" * 32, written)


@pytest.mark.parametrize(("writer", "reader"), [(None, "secret"), ("other", "secret"), ("secret", None)])
def test_a_value_of_another_secret_is_refused(writer: str | None, reader: str | None) -> None:
    written = Values(writer).dump(KEY, ANSWERS["booleans"], 12.5)
    assert written is not None
    with pytest.raises(Invalid):
        Values(reader).load(KEY, written)


@pytest.mark.parametrize(
    "prediction",
    [
        ["|O", [], b"12345678"],
        ["i4,i4", [], b"12345678"],
        ["<f8", [2], b"12345678"],
        ["<f8", [-1], b"12345678"],
        ["<f8", [], b"1234567"],
        ["<f8", [2**62], b"12345678"],
        ["<U1", [], b"\xff\xff\xff\xff"],
        ["|O", [], [[1]]],
        ["|O", [3], ["a"]],
        ["<f8", [], [1.0]],
        ["<U1", [], b"abcd"],
    ],
)
def test_a_wrong_array_is_refused(prediction: Any) -> None:
    with pytest.raises(Invalid):
        Values().load(KEY, msgspec.msgpack.encode([KEY, 12.5, prediction, None, False, None]))


def test_a_pickle_is_not_loaded() -> None:
    with pytest.raises(Invalid):
        Values().load(KEY, pickle.dumps(ANSWERS["booleans"]))
