"""The V1 protocol of KServe and TensorFlow Serving."""

from typing import Any

import pytest

import stand_in
from stand_in_server import Server

ROW = stand_in.ROW


@pytest.mark.parametrize("path", ["/v1/models/churn:predict", "/v1/models/churn/versions/1.0.0:predict"])
async def test_instances_are_answered_with_labels(server: Server, path: str) -> None:
    instances: list[Any] = [{**ROW, "tenure": 4}, {**ROW, "tenure": 5}]
    answer = await server.inference.post(path, json={"instances": instances})
    assert answer.status_code == 200
    assert answer.json() == {"predictions": [4, 5]}
    listed = await server.inference.post(path, json={"instances": [[4, 1.5, "month"]]})
    assert listed.json() == {"predictions": [4]}


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("/v1/models/other:predict", {"instances": [ROW]}, 404, None),
        ("/v1/models/churn/versions/2.0.0:predict", {"instances": [ROW]}, 404, None),
        ("/v1/models/churn:explain", {"instances": [ROW]}, 405, None),
        ("/v1/models/churn:predict", {}, 400, "instances"),
        ("/v1/models/churn:predict", {"instances": [{**ROW, "tenure": "x"}]}, 400, "instances[0].tenure"),
    ],
)
async def test_what_is_wrong_is_refused_by_name(
    server: Server, path: str, body: Any, status: int, field: str | None
) -> None:
    answer = await server.inference.post(path, json=body)
    assert (answer.status_code, answer.json().get("field")) == (status, field)


async def test_models_and_their_status(server: Server) -> None:
    assert (await server.inference.get("/v1/models")).json() == {"models": ["churn"]}
    status = (await server.inference.get("/v1/models/churn")).json()
    assert (status["name"], status["ready"]) == ("churn", True)
    assert [(one["version"], one["state"]) for one in status["model_version_status"]] == [("1.0.0", "AVAILABLE")]
    assert (await server.inference.get("/v1/models/other")).status_code == 404
    server.registry.live = None
    assert (await server.inference.get("/v1/models/churn")).status_code == 503
