"""Every protocol in front of one cache: a row that one of them asked for is there for all, to the byte."""

import json
from typing import Any

import numpy as np
import pytest

import stand_in
import stand_in_server
from modelroll_server.cache.cache import Bounds, Cache
from stand_in_server import Server

ROWS: list[dict[str, Any]] = [
    {"tenure": 3, "charges": 0.25, "contract": "month"},
    {"tenure": 4, "charges": None, "contract": "year"},
]
DTYPES = {"tenure": "INT64", "charges": "FP64", "contract": "BYTES"}


def tensors() -> dict[str, Any]:
    columns = {name: [row[name] for row in ROWS] for name in DTYPES}
    return {
        "inputs": [
            {"name": name, "datatype": DTYPES[name], "shape": [2], "data": data} for name, data in columns.items()
        ]
    }


def binary_tensors() -> tuple[bytes, dict[str, str]]:
    document = tensors() | {"parameters": {"binary_data_output": True}}
    charges = np.array([0.25, np.nan]).tobytes()
    del document["inputs"][1]["data"]
    document["inputs"][1]["parameters"] = {"binary_data_size": len(charges)}
    head = json.dumps(document).encode()
    return head + charges, {"inference-header-content-length": str(len(head))}


def requests() -> dict[str, dict[str, Any]]:
    content, headers = binary_tensors()
    return {
        "/predict": {"url": "/predict", "json": ROWS[1]},
        "/batch_predict": {"url": "/batch_predict", "json": {"instances": ROWS}},
        "V1": {"url": "/v1/models/churn:predict", "json": {"instances": ROWS}},
        "V2": {"url": "/v2/models/churn/infer", "json": tensors()},
        "V2 in binary": {"url": "/v2/models/churn/infer", "content": content, "headers": headers},
        "a stream": {"url": "/predict/stream", "content": b"".join(json.dumps(row).encode() + b"\n" for row in ROWS)},
    }


async def contents(server: Server) -> dict[str, bytes]:
    found = {}
    for name, request in requests().items():
        answer = await server.inference.post(**request)
        assert answer.status_code == 200, (name, answer.text)
        found[name] = answer.content
    return found


@pytest.mark.parametrize("first", list(requests()))
async def test_what_one_protocol_asked_for_is_there_for_all(first: str) -> None:
    computed: list[int] = []
    runtime = stand_in.Echo(lambda table: computed.append(table.rows))
    async with stand_in_server.serving() as without, stand_in_server.serving(Cache(Bounds(10**6, 300.0))) as server:
        server.swap("1.0.0", runtime)
        await server.inference.post(**requests()[first])
        assert await contents(server) == await contents(without)
        assert await contents(server) == await contents(without)
    assert sum(computed) == len(ROWS)
