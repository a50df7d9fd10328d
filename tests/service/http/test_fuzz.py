"""Bodies that are almost right, over every HTTP protocol: never a fault, never a hang, never a wrong answer.

The model answers a row with its tenure; so what an accepted body must be answered with can be read from it another way.
"""

import asyncio
import json
import struct
from collections import Counter
from typing import Any

import numpy as np
import pytest

import fuzzing
import stand_in
from stand_in_server import Server

ROW = stand_in.ROW
PREDICT = [
    json.dumps(ROW).encode(),
    json.dumps({**ROW, "charges": None}).encode(),
    json.dumps({"features": [3, 29.85, "year"]}).encode(),
]
BATCH = [
    json.dumps({"instances": [ROW, {**ROW, "tenure": 7}]}).encode(),
    json.dumps([[1, 2.5, "month"], [2, None, "year"]]).encode(),
]
LINES = [b"\n".join([PREDICT[0], PREDICT[1], PREDICT[2]]), b"\n".join([PREDICT[0]] * 5) + b"\n"]
COLUMNS = [
    {"name": "tenure", "datatype": "INT64", "shape": [2], "data": [3, 4]},
    {"name": "charges", "datatype": "FP64", "shape": [2, 1], "data": [[0.25], [None]]},
    {"name": "contract", "datatype": "BYTES", "shape": [2], "data": ["month", "year"]},
]
V2 = [
    json.dumps({"id": "a", "inputs": COLUMNS, "outputs": [{"name": "prediction"}]}).encode(),
    json.dumps({"inputs": COLUMNS, "parameters": {"timeout": 5_000_000}}).encode(),
]
V2_HEAD = [
    {"name": "tenure", "datatype": "INT32", "shape": [2], "parameters": {"binary_data_size": 8}},
    {"name": "charges", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": 8}},
    {"name": "contract", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": 17}},
]
V2_TAIL = struct.pack("<2i2f", 3, 4, 0.25, 0.5) + b"\x05\0\0\0month\x04\0\0\0year"


def tenures_of_rows(document: Any) -> list[Any]:
    rows = document["instances"] if isinstance(document, dict) else document
    return [row["tenure"] if isinstance(row, dict) else row[0] for row in rows]


def tenure_of_row(document: Any) -> Any:
    if isinstance(document, dict) and "features" in document:
        document = document["features"]
    return document["tenure"] if isinstance(document, dict) else document[0]


def tenures_of_tensors(body: bytes, length: int | None) -> list[Any]:
    # Of a name that it does not know msgspec does not look at the bytes.
    document = json.loads(body[:length].decode(errors="replace"))
    at = len(body) if length is None else length
    for tensor in document["inputs"]:
        size = (tensor.get("parameters") or {}).get("binary_data_size")
        if tensor["name"] == "tenure":
            if size is not None:
                found: list[Any] = np.frombuffer(body[at : at + size], fuzzing.DTYPES[tensor["datatype"]]).tolist()
                return found
            data = tensor["data"]
            return [value for row in data for value in row] if isinstance(data[0], list) else data
        at += size or 0
    raise AssertionError("there is no tenure")


async def post(server: Server, path: str, body: bytes, **headers: str) -> Any:
    async with asyncio.timeout(60):
        answer = await server.inference.post(path, content=body, headers=headers)
    assert answer.status_code in {200, 400, 413, 504} or (answer.status_code == 404 and path.startswith("/v2")), (
        answer.text,
        body,
    )
    if answer.status_code == 504:
        assert b"timeout" in body  # which a mutation made too short
    return answer


@pytest.mark.parametrize(
    ("path", "bodies", "expected", "key"),
    [
        ("/predict", PREDICT, tenure_of_row, "prediction"),
        ("/batch_predict", BATCH, tenures_of_rows, "predictions"),
        ("/v1/models/churn:predict", BATCH, tenures_of_rows, "predictions"),
    ],
)
async def test_json(server: Server, path: str, bodies: list[bytes], expected: Any, key: str) -> None:
    seen: Counter[int] = Counter()
    for body in fuzzing.mutated(bodies, seed=1):
        answer = await post(server, path, body)
        seen[answer.status_code] += 1
        if answer.status_code == 200:
            assert answer.json()[key] == expected(json.loads(body)), body
    assert seen[200] > fuzzing.COUNT / 100
    assert seen[400] > fuzzing.COUNT / 10


async def test_lines(server: Server) -> None:
    good = 0
    for body in fuzzing.mutated(LINES, seed=2):
        answer = await post(server, "/predict/stream", body)
        asked = body.split(b"\n")
        asked = asked if asked[-1] else asked[:-1]
        answers = [json.loads(line) for line in answer.text.splitlines()]
        assert len(answers) == len(asked), body
        for line, one in zip(asked, answers, strict=True):
            assert one.get("code") != "internal", body
            if "error" not in one:
                good += 1
                assert one["prediction"] == tenure_of_row(json.loads(line)), body
    assert good > fuzzing.COUNT


async def test_tensors_in_json(server: Server) -> None:
    seen: Counter[int] = Counter()
    for body in fuzzing.mutated(V2, seed=3):
        answer = await post(server, "/v2/models/churn/infer", body)
        seen[answer.status_code] += 1
        if answer.status_code == 200:
            outputs = {one["name"]: one["data"] for one in answer.json()["outputs"]}
            if "prediction" in outputs:
                assert outputs["prediction"] == tenures_of_tensors(body, None), body
    assert seen[200] > fuzzing.COUNT / 100
    assert seen[400] > fuzzing.COUNT / 10


@pytest.mark.parametrize("part", ["head", "tail"])
async def test_tensors_in_bytes(server: Server, part: str) -> None:
    seen: Counter[int] = Counter()
    head = json.dumps({"inputs": V2_HEAD}).encode()
    for piece in fuzzing.mutated([head if part == "head" else V2_TAIL], seed=4):
        body = piece + V2_TAIL if part == "head" else head + piece
        length = len(piece) if part == "head" else len(head)
        answer = await post(server, "/v2/models/churn/infer", body, **{"inference-header-content-length": str(length)})
        seen[answer.status_code] += 1
        if answer.status_code == 200:
            outputs = {one["name"]: one["data"] for one in answer.json()["outputs"]}
            assert outputs["prediction"] == tenures_of_tensors(body, length), body
    assert seen[200] > 0
    assert seen[400] > fuzzing.COUNT / 10
