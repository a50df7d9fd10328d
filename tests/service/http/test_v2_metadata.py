"""The Open Inference Protocol over HTTP: health, names, and how the server and the model describe themselves."""

from typing import Any

import pytest

from stand_in_server import Server


@pytest.mark.parametrize(
    ("path", "status", "document"),
    [
        ("/v2/health/live", 200, {"live": True}),
        ("/v2/health/ready", 200, {"ready": True}),
        ("/v2/models/churn/ready", 200, {"name": "churn", "ready": True}),
        ("/v2/models/churn/versions/1.0.0/ready", 200, {"name": "churn", "ready": True}),
        ("/v2/models", 200, {"models": ["churn"]}),
        ("/v2/models/other", 404, None),
        ("/v2/models/other/ready", 404, None),
        ("/v2/models/churn/versions/2.0.0", 404, None),
        ("/v2/models/churn/config", 404, None),
    ],
)
async def test_health_and_names(server: Server, path: str, status: int, document: Any) -> None:
    answer = await server.inference.get(path)
    assert answer.status_code == status
    assert document is None or answer.json() == document


async def test_the_server_and_the_model_describe_themselves(server: Server) -> None:
    described = (await server.inference.get("/v2")).json()
    assert described["name"] == "modelroll"
    assert "binary_tensor_data" in described["extensions"]
    for path in ("/v2/models/churn", "/v2/models/churn/versions/1.0.0"):
        assert (await server.inference.get(path)).json() == {
            "name": "churn",
            "versions": ["1.0.0"],
            "platform": "stand-in_stand-in",
            "inputs": [
                {"name": "tenure", "datatype": "INT64", "shape": [-1, 1]},
                {"name": "charges", "datatype": "FP64", "shape": [-1, 1]},
                {"name": "contract", "datatype": "BYTES", "shape": [-1, 1]},
            ],
            "outputs": [{"name": "prediction", "datatype": "INT64", "shape": [-1]}],
        }
