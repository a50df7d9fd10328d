"""The Open Inference Protocol over HTTP: inference in JSON and in bytes, and what is refused."""

import json
import math
import struct
import tracemalloc
from typing import Any

import numpy as np
import pytest

import fuzzing
import stand_in
from modelroll_server.tensors import Answers
from stand_in_server import Server

INFER = "/v2/models/churn/infer"


def column(name: str, datatype: str, *values: Any, shape: list[int] | None = None) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape or [len(values)], "data": list(values)}


def request(**changes: Any) -> dict[str, Any]:
    tensors = [
        column("tenure", "INT64", 3, 4),
        column("charges", "FP64", 0.25, 0.5),
        column("contract", "BYTES", "month", "year"),
    ]
    return {"inputs": tensors, **changes}


def replaced(tensor: dict[str, Any]) -> dict[str, Any]:
    """The request with one tensor in the place of the one of its name."""
    found = request()
    found["inputs"] = [tensor if one["name"] == tensor["name"] else one for one in found["inputs"]]
    return found


def texts(*values: str) -> bytes:
    return b"".join(struct.pack("<I", len(value.encode())) + value.encode() for value in values)


def binary(document: dict[str, Any], *parts: bytes, length: int | None = None) -> dict[str, Any]:
    """The arguments of a request with binary tensors: the parts belong to the inputs, in order."""
    for tensor, part in zip(document["inputs"], parts, strict=False):
        del tensor["data"]
        tensor["parameters"] = {"binary_data_size": len(part)}
    head = json.dumps(document).encode()
    return {
        "content": head + b"".join(parts),
        "headers": {"inference-header-content-length": str(len(head) if length is None else length)},
    }


def raw(array: Any, dtype: str) -> bytes:
    return np.array(array, dtype).tobytes()


async def test_a_tensor_a_column_is_answered(server: Server) -> None:
    answer = await server.inference.post(INFER, json=request(id="mine"))
    assert answer.status_code == 200
    assert answer.json() == {
        "model_name": "churn",
        "model_version": "1.0.0",
        "outputs": [
            {"name": "prediction", "datatype": "INT64", "shape": [2], "data": [3, 4]},
            {"name": "probability", "datatype": "FP64", "shape": [2, 2], "data": [0.75, 0.25, 0.5, 0.5]},
        ],
        "id": "mine",
    }
    assert answer.headers["x-model-version"] == "1.0.0"


@pytest.mark.parametrize(
    "tensor",
    [
        column("tenure", "INT8", 3, 4),
        column("tenure", "UINT64", 3, 4),
        column("tenure", "FP32", 3.0, 4.0),
        column("tenure", "FP64", 3, 4),
        column("tenure", "INT64", 3.0, 4),
        column("tenure", "INT64", [3], [4], shape=[2, 1]),
        column("tenure", "INT64", 3, 4, shape=[2, 1]),
    ],
)
async def test_any_numeric_datatype_that_converts_exactly_is_read(server: Server, tensor: Any) -> None:
    answer = await server.inference.post(INFER, json=replaced(tensor))
    assert answer.json()["outputs"][0]["data"] == [3, 4]


async def test_null_is_a_missing_value(server: Server) -> None:
    answer = await server.inference.post(INFER, json=replaced(column("charges", "FP64", None, 0.5)))
    assert answer.json()["outputs"][1]["data"] == [None, None, 0.5, 0.5]
    assert b'prediction_non_finite_total{model="churn",model_version="1.0.0"} 2.0' in server.metrics.exposition()


@pytest.mark.parametrize("datatype", sorted(fuzzing.DTYPES.keys() - {"BOOL"}))
@pytest.mark.parametrize("rows", [2, 500])
async def test_the_bytes_of_each_datatype_are_little_endian(server: Server, datatype: str, rows: int) -> None:
    tenure = column("tenure", datatype, 3)
    document = replaced(tenure)
    for tensor in document["inputs"]:
        tensor["shape"] = [rows]
    parts = (raw([3] * rows, fuzzing.DTYPES[datatype]), raw([0.25] * rows, "<f8"), texts(*["month"] * rows))
    answer = await server.inference.post(INFER, **binary(document, *parts))
    assert answer.status_code == 200, answer.text
    assert answer.json()["outputs"][0]["data"] == [3] * rows


@pytest.mark.parametrize("rows", [2, 500])
async def test_binary_tensors_are_answered_in_binary_when_asked(server: Server, rows: int) -> None:
    document = request(parameters={"binary_data_output": True})
    for tensor in document["inputs"]:
        tensor["shape"] = [rows]
    arguments = binary(
        document, raw(range(rows), "<i4"), raw([0.25] * rows, "<f8"), texts(*["month"] * (rows - 1), "year")
    )
    arguments["content"] = arguments["content"].replace(b'"INT64"', b'"INT32"')
    answer = await server.inference.post(INFER, **arguments)
    assert answer.status_code == 200, answer.text
    length = int(answer.headers["inference-header-content-length"])
    head, rest = json.loads(answer.content[:length]), answer.content[length:]
    prediction, probability = head["outputs"]
    assert prediction == {
        "name": "prediction",
        "datatype": "INT64",
        "shape": [rows],
        "parameters": {"binary_data_size": 8 * rows},
    }
    assert np.frombuffer(rest[: 8 * rows], "<i8").tolist() == list(range(rows))
    assert probability["parameters"] == {"binary_data_size": 16 * rows}
    assert np.frombuffer(rest[8 * rows :], "<f8").tolist() == [0.75, 0.25] * rows


async def test_outputs_are_selected_each_in_its_form(server: Server) -> None:
    outputs = [{"name": "probability", "parameters": {"binary_data": True}}, {"name": "prediction"}]
    answer = await server.inference.post(INFER, json=request(outputs=outputs))
    length = int(answer.headers["inference-header-content-length"])
    head = json.loads(answer.content[:length])
    assert [one["name"] for one in head["outputs"]] == ["probability", "prediction"]
    assert head["outputs"][1]["data"] == [3, 4]
    assert np.frombuffer(answer.content[length:], "<f8").tolist() == [0.75, 0.25, 0.5, 0.5]


async def test_what_is_answered_in_binary_is_not_made_as_lists_too(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise AssertionError("lists were made")

    monkeypatch.setattr(Answers, "lists", fail)
    answer = await server.inference.post(INFER, json=request(parameters={"binary_data_output": True}))
    assert answer.status_code == 200


async def test_nulls_are_counted_where_outputs_are_selected(server: Server) -> None:
    document = {**replaced(column("charges", "FP64", None, 0.5)), "outputs": [{"name": "probability"}]}
    answer = await server.inference.post(INFER, json=document)
    assert answer.json()["outputs"][0]["data"] == [None, None, 0.5, 0.5]
    assert b'prediction_non_finite_total{model="churn",model_version="1.0.0"} 2.0' in server.metrics.exposition()


async def test_nan_is_missing_in_binary(server: Server) -> None:
    arguments = binary(request(), raw([3, 4], "<i8"), raw([math.nan, 0.5], "<f8"), texts("month", "year"))
    answer = await server.inference.post(INFER, **arguments)
    assert answer.json()["outputs"][1]["data"] == [None, None, 0.5, 0.5]


def cut(arguments: dict[str, Any]) -> dict[str, Any]:
    return {**arguments, "content": arguments["content"][:-1]}


GOOD_PARTS = (raw([3, 4], "<i8"), raw([0.25, 0.5], "<f8"), texts("month", "year"))
REFUSED: list[tuple[dict[str, Any], int, str, str | None]] = [
    ({"content": b""}, 400, "invalid_json", None),
    ({"content": b'{"inputs":' * 50_000}, 400, "invalid_field", "inputs"),
    ({"content": b'{"id":"a","more":' + b"[" * 100_000}, 400, "invalid_json", None),
    ({"json": []}, 400, "invalid_request", None),
    ({"json": {}}, 400, "invalid_request", None),
    ({"json": {"inputs": 3}}, 400, "invalid_field", "inputs"),
    ({"json": {"inputs": [{"name": "a"}]}}, 400, "invalid_field", "inputs[0]"),
    ({"json": {"inputs": []}}, 400, "invalid_fields", "tenure"),
    ({"json": request(outputs=[{"name": "more"}])}, 400, "invalid_field", "outputs[0]"),
    ({"json": request(outputs=[{"name": "prediction"}] * 2)}, 400, "invalid_field", "outputs"),
    ({"json": request(parameters={"timeout": -1})}, 400, "invalid_field", "parameters.timeout"),
    ({"json": request(parameters={"timeout": "soon"})}, 400, "invalid_field", "parameters.timeout"),
    ({"json": {"inputs": request()["inputs"] * 2}}, 400, "invalid_field", "tenure"),
    ({"json": {"inputs": request()["inputs"][:2]}}, 400, "invalid_field", "contract"),
    ({"json": {"inputs": [*request()["inputs"], column("more", "INT64", 1, 2)]}}, 400, "invalid_field", "more"),
    ({"json": replaced(column("tenure", "INT64", 3))}, 400, "invalid_field", "charges"),
    ({"json": replaced(column("tenure", "INT64", 3, shape=[2]))}, 400, "invalid_field", "tenure"),
    ({"json": replaced(column("tenure", "INT64", 3, 4, shape=[1, 2]))}, 400, "invalid_field", "tenure"),
    ({"json": replaced(column("tenure", "INT64", 3, 4, shape=[-2]))}, 400, "invalid_field", "tenure"),
    ({"json": replaced(column("tenure", "INT64", 3, 4, shape=[2**70]))}, 400, "invalid_field", "tenure"),
    ({"json": replaced(column("tenure", "INT64", 3, 4, shape=[2**63 - 1] * 2))}, 413, "payload_too_large", None),
    ({"json": replaced(column("tenure", "INT64", 3, 4, shape=[2**63 - 1] * 227))}, 400, "invalid_field", "tenure"),
    ({"json": replaced(column("tenure", "INT64", 3, 4, shape=[10**4000] * 2))}, 400, "invalid_field", "tenure"),
    ({"json": replaced(column("tenure", "INT64", 3, 4, shape=[1] * 30_000))}, 400, "invalid_field", "tenure"),
    ({"json": replaced(column("tenure", "INT64", [3, 4], shape=[2]))}, 400, "invalid_field", "tenure"),
    ({"json": replaced(column("tenure", "INT64", "3", 4))}, 400, "invalid_field", "tenure[0]"),
    ({"json": replaced(column("tenure", "INT64", 3, True))}, 400, "invalid_field", "tenure[1]"),
    ({"json": replaced(column("tenure", "INT64", 3, None))}, 400, "invalid_field", "[1].tenure"),
    ({"json": replaced(column("tenure", "INT64", 3, 3.5))}, 400, "invalid_field", "tenure[1]"),
    ({"json": replaced(column("tenure", "INT8", 3, 300))}, 400, "invalid_field", "tenure"),
    ({"json": replaced(column("tenure", "FP64", 3, 3.5))}, 400, "invalid_field", "[1].tenure"),
    ({"json": replaced(column("tenure", "UINT64", 3, 2**63))}, 400, "invalid_field", "[1].tenure"),
    ({"json": replaced(column("tenure", "INT64", 3, 10**30))}, 400, "invalid_field", "tenure"),
    ({"json": replaced(column("tenure", "BOOL", True, False))}, 400, "invalid_fields", "[0].tenure"),
    ({"json": replaced(column("tenure", "FP128", 3, 4))}, 400, "invalid_field", "tenure"),
    ({"json": replaced(column("tenure", "FP", 3, 4))}, 400, "invalid_field", "tenure"),
    ({"json": replaced(column("tenure", "INT", 3, 4))}, 400, "invalid_field", "tenure"),
    ({"json": replaced(column("charges", "INT64", 0, 2**53 + 1))}, 400, "invalid_field", "[1].charges"),
    ({"json": replaced(column("charges", "FP16", 0, 1e6))}, 400, "invalid_field", "charges"),
    ({"json": replaced(column("contract", "BYTES", "month", "week"))}, 400, "invalid_field", "[1].contract"),
    ({"json": {"inputs": [column("input", "FP64", 3, 4, shape=[1, 2])]}}, 400, "invalid_field", "input"),
    ({"json": {"inputs": [column("input", "FP64", shape=[0, 3])]}}, 400, "invalid_request", None),
    (
        {"json": {"inputs": [column(name, "INT64", *[1] * 10_001) for name in stand_in.ROW]}},
        413,
        "payload_too_large",
        None,
    ),
    (cut(binary(request(), *GOOD_PARTS)), 400, "invalid_field", "contract"),
    (binary(request(), *GOOD_PARTS, b"more"), 400, "invalid_request", None),
    (binary(request(), *GOOD_PARTS, length=10**6), 400, "invalid_request", None),
    (binary(request(), *GOOD_PARTS, length=-1), 400, "invalid_request", None),
    (binary(request(), b"x", *GOOD_PARTS[1:]), 400, "invalid_field", "tenure"),
    (binary(request(), *GOOD_PARTS[:2], b"\x05\0\0\0month\xff\0\0\0"), 400, "invalid_field", "contract"),
    (binary(request(), *GOOD_PARTS[:2], b"\x01\0\0\0\xff" * 2), 400, "invalid_field", "contract"),
    (
        binary(request(), GOOD_PARTS[0], raw([math.inf, 0], "<f8"), GOOD_PARTS[2]),
        400,
        "invalid_field",
        "[0].charges",
    ),
]


@pytest.mark.parametrize(("arguments", "status", "code", "field"), REFUSED)
async def test_what_is_wrong_is_refused_by_name(
    server: Server, arguments: dict[str, Any], status: int, code: str, field: str | None
) -> None:
    answer = await server.inference.post(INFER, **arguments)
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem.get("field")) == (status, code, field)
    assert problem["error"] == problem["message"]
    assert (await server.inference.post(INFER, json=request())).status_code == 200


@pytest.mark.parametrize("shape", [[1], [1, 1]])
async def test_one_column_alone_is_told_which_others_are_missing(server: Server, shape: list[int]) -> None:
    answer = await server.inference.post(INFER, json={"inputs": [column("charges", "FP64", 3.5, shape=shape)]})
    assert answer.status_code == 400
    assert answer.json()["message"] == "tenure is missing; contract is missing"


@pytest.mark.parametrize("name", ["input", "charges"])
async def test_one_tensor_with_too_few_columns_is_told_how_many_there_are(server: Server, name: str) -> None:
    answer = await server.inference.post(INFER, json={"inputs": [column(name, "FP64", 3, 4, shape=[1, 2])]})
    assert answer.status_code == 400
    assert "has the shape [1, 2]; [rows, 3] was expected" in answer.json()["message"]


@pytest.mark.parametrize(
    ("path", "status"),
    [("/v2/models/other/infer", 404), ("/v2/models/churn/versions/2.0.0/infer", 404), (INFER, 200)],
)
async def test_inference_is_of_the_live_version_alone(server: Server, path: str, status: int) -> None:
    answer = await server.inference.post(path, json=request())
    assert answer.status_code == status
    assert f'status="{status}"'.encode() in server.metrics.exposition()


async def test_without_a_model_nothing_is_ready(server: Server) -> None:
    server.registry.live = None
    for path in ("/v2/health/ready", "/v2/models/churn/ready", "/v2/models/churn"):
        assert (await server.inference.get(path)).status_code == 503
    assert (await server.inference.get("/v2/health/live")).status_code == 200
    assert (await server.inference.post(INFER, json=request())).status_code == 503


async def test_a_wrong_method_names_the_right_one(server: Server) -> None:
    answer = await server.inference.get(INFER)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_a_timeout_of_the_request_is_kept(server: Server) -> None:
    late = await server.inference.post(INFER, json=request(parameters={"timeout": 1}))
    assert (late.status_code, late.json()["code"]) == (504, "deadline_exceeded")


async def test_a_request_may_be_large(server: Server) -> None:
    rows = 10_000
    wide = [column(name, "INT64", *[1] * rows) for name in ("tenure", "charges")]
    large = {"inputs": [*wide, column("contract", "BYTES", *["month"] * rows)], "padding": " " * 2**24}
    answer = await server.inference.post(INFER, json=large)
    assert answer.status_code == 200
    assert answer.json()["outputs"][0]["data"] == [1] * rows
    too_large = await server.inference.post(INFER, content=b" " * (64 * 2**20 + 1))
    assert too_large.status_code == 413


LONG = "é" * 2**20
ECHOING: list[dict[str, Any]] = [
    {"inputs": [column(LONG, "INT64", 3, 4, shape=[3])]},
    {"inputs": [column(LONG, "INT64", "3", 4)]},
    {"inputs": [column(LONG, "INT64", 3, 4)]},
    {"inputs": [*request()["inputs"], *(column(f"{index}{LONG}", "INT64", 1, 2) for index in range(11))]},
    {"inputs": [column(LONG, "INT64", 3, 4)] * 2},
    {"inputs": [column("tenure", LONG, 3, 4)]},
    {"inputs": [column("tenure", "INT64", 3, 4, shape=[1] * 2**15)]},
    request(outputs=[{"name": LONG}]),
    request(outputs=[{"name": LONG, "parameters": {"classification": 3}}]),
]


@pytest.mark.parametrize("document", ECHOING)
async def test_a_refusal_does_not_hand_back_what_it_refuses(server: Server, document: Any) -> None:
    answer = await server.inference.post(INFER, json=document)
    assert answer.status_code == 400
    assert len(answer.content) < 20_000
    assert len(answer.json()["field"].encode()) <= 410


def tensor(data: bytes, shape: bytes) -> bytes:
    return b'{"inputs":[{"name":"tenure","datatype":"INT64","shape":%s,"data":[%s]}]}' % (shape, data)


MANY: list[dict[str, Any]] = [
    {"content": tensor(b"1," * 10**6 + b"1", b"[1,1000001]")},
    {"content": tensor(b"[]," * 10**6 + b"[]", b"[1]")},
    {"content": tensor(b"{}," * 10**6 + b"{}", b"[1]")},
    {"content": tensor(b"1", b"[" + b"1," * 10**6 + b"1]")},
    {"content": b'{"inputs":[' + b'{"name":"a","datatype":"B","shape":[]},' * 10**5 + b"1]}"},
    binary({"inputs": [column("contract", "BYTES", shape=[1, 10**6])]}, b"\x02\0\0\0ab" * 10**6),
]


@pytest.mark.parametrize("arguments", MANY)
async def test_more_values_than_a_request_has_are_refused_before_they_are_made(
    server: Server, arguments: dict[str, Any]
) -> None:
    tracemalloc.start()
    try:
        answer = await server.inference.post(INFER, **arguments)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
    assert peak < 5 * len(arguments["content"])  # the client and the server have it whole


async def test_as_many_values_as_a_request_has_are_answered_each_in_a_list_of_its_own(server: Server) -> None:
    rows = 10_000
    values = {"tenure": 123_456_789, "charges": 0.123456789, "contract": "month"}
    tensors = [
        column(name, datatype, *[[values[name]]] * rows, shape=[rows, 1])
        for name, datatype in zip(values, ("INT64", "FP64", "BYTES"), strict=True)
    ]
    content = json.dumps({"inputs": tensors}, indent=1).encode()
    assert len(content) > 2**19
    answer = await server.inference.post(INFER, content=content)
    assert answer.status_code == 200
    assert answer.json()["outputs"][0]["data"] == [values["tenure"]] * rows


async def test_commas_of_texts_are_no_values(server: Server) -> None:
    text = column("contract", "BYTES", "month", "[{,," * 10**6)
    answer = await server.inference.post(INFER, json=replaced(text))
    assert (answer.status_code, answer.json()["field"]) == (400, "[1].contract")
