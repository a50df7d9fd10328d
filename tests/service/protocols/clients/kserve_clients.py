"""Asks rows through kserve's clients: kserve_clients.py ADDRESS ROWS v1|v2|grpc, prints the answers as JSON."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from kserve import InferInput, InferRequest
from kserve.constants.constants import PredictorProtocol
from kserve.inference_client import InferenceGRPCClient, InferenceRESTClient, RESTConfig

address, rows_file, protocol = sys.argv[1:]
rows = json.loads(Path(rows_file).read_text())


def request(some: list[dict[str, Any]]) -> InferRequest:
    """One tensor a column."""
    inputs = []
    for name in some[0]:
        values = [row[name] for row in some]
        if isinstance(values[0], str):
            tensor = InferInput(name, [len(some), 1], "BYTES")
            tensor.set_data_from_numpy(np.array(values, np.object_).reshape(-1, 1), binary_data=False)
        elif all(isinstance(value, int) for value in values):
            tensor = InferInput(name, [len(some), 1], "INT64")
            tensor.set_data_from_numpy(np.array(values, np.int64).reshape(-1, 1), binary_data=False)
        else:
            numbers = [np.nan if value is None else value for value in values]
            tensor = InferInput(name, [len(some), 1], "FP64")
            tensor.set_data_from_numpy(np.array(numbers, np.float64).reshape(-1, 1), binary_data=protocol != "grpc")
        inputs.append(tensor)
    return InferRequest(model_name="churn", infer_inputs=inputs, request_id="mine")


def read(response: Any) -> list[Any]:
    """Label and probabilities of each row."""
    outputs = {output.name: output.as_numpy() for output in response.outputs}
    labels = [label.decode() if isinstance(label, bytes) else str(label) for label in outputs["prediction"].ravel()]
    return [list(pair) for pair in zip(labels, outputs["probability"].tolist(), strict=True)]


async def ask() -> list[Any]:
    """All rows, a hundred at a time."""
    parts = [rows[start : start + 100] for start in range(0, len(rows), 100)]
    found: list[Any] = []
    if protocol == "grpc":
        async with InferenceGRPCClient(address) as client:
            assert await client.is_server_live()
            assert await client.is_server_ready()
            assert await client.is_model_ready("churn")
            for part in parts:
                found += read(await client.infer(request(part)))
        return found
    kind = PredictorProtocol.REST_V1 if protocol == "v1" else PredictorProtocol.REST_V2
    client = InferenceRESTClient(RESTConfig(protocol=kind))
    assert await client.is_model_ready(address, "churn")
    for part in parts:
        if protocol == "v1":
            response = await client.infer(address, {"instances": part}, model_name="churn")
            found += [[label, None] for label in response["predictions"]]
        else:
            found += read(await client.infer(address, request(part), model_name="churn"))
    await client.close()
    return found


print(json.dumps(asyncio.run(ask())))
