"""`/docs` without internet, and an OpenAPI document with the model's own inputs."""

import dataclasses
import re
from typing import Any, Literal

import jsonschema
import numpy as np
import pytest

import stand_in
from modelroll_server.http import openapi
from modelroll_server.registry.target import Target
from modelroll_server.schema import Input, Schema
from modelroll_server.schema.json import JsonDecoder
from modelroll_server.tensors import Datatype, Outputs, Table
from stand_in_server import Server


async def test_the_page_and_its_assets_come_from_this_server(server: Server) -> None:
    page = await server.inference.get("/docs")
    assert page.status_code == 200
    assert not re.findall(r"(?:https?:)?//[a-z]", page.text.replace("// ", ""))
    wanted = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(wanted) == 3
    for asset in wanted:
        answer = await server.inference.get(f"/{asset}")
        assert answer.status_code == 200
        assert len(answer.content) > 1000


async def test_assets_do_not_load_anything_from_elsewhere(server: Server) -> None:
    style = (await server.inference.get("/docs/assets/swagger-ui.css")).text
    assert not re.findall(r"url\(\s*[\"']?https?:", style)
    assert "@import" not in style
    assert (await server.inference.get("/docs/assets/../../secrets")).status_code == 404


async def test_the_document_names_the_inputs(server: Server) -> None:
    document = (await server.inference.get("/openapi.json")).json()
    row = document["components"]["schemas"]["Row"]
    assert set(row["properties"]) == {"tenure", "charges", "contract"}
    assert row["properties"]["contract"] == {"type": "string", "enum": ["month", "year"], "example": "month"}
    assert row["properties"]["charges"]["type"] == ["number", "null"]
    assert "from 0 to 72" in row["properties"]["tenure"]["description"]
    example = document["components"]["schemas"]["Infer"]["example"]
    assert (await server.inference.post("/v2/models/churn/infer", json=example)).status_code == 200
    jsonschema.validate(stand_in.ROW, row)
    answer = (await server.inference.post("/predict", json={**stand_in.ROW, "tenure": 1})).json()
    jsonschema.validate(answer, document["components"]["schemas"]["Prediction"])


def refused_by(document: Any, path: str, body: Any) -> bool:
    """Whether the document says that this operation does not take this body."""
    content = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    return not jsonschema.Draft202012Validator({**document, **content}).is_valid(body)


LISTED = list(stand_in.ROW.values())


@pytest.mark.parametrize("extra_fields", ["refuse", "ignore"])
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/predict", stand_in.ROW),
        ("/predict", {"features": stand_in.ROW}),
        ("/predict", {"features": LISTED}),
        ("/predict", {"features": LISTED[1:]}),
        ("/predict", {"features": LISTED, "more": 1}),
        ("/predict", {**stand_in.ROW, "more": 1}),
        ("/predict", LISTED),
        ("/batch_predict", {"instances": [stand_in.ROW, LISTED]}),
        ("/batch_predict", {"instances": [stand_in.ROW], "more": 1}),
        ("/batch_predict", {"instances": [{**stand_in.ROW, "more": 1}]}),
        ("/batch_predict", [stand_in.ROW, LISTED]),
        ("/batch_predict", stand_in.ROW),
        ("/v1/models/churn:predict", {"instances": [LISTED]}),
    ],
)
async def test_the_document_describes_what_is_taken(
    server: Server, path: str, body: Any, extra_fields: Literal["refuse", "ignore"]
) -> None:
    decoder = JsonDecoder(Schema(stand_in.INPUTS, extra_fields=extra_fields))
    version = dataclasses.replace(stand_in.version("1.0.1"), json=decoder)
    server.registry.swap(version, Target("settled", 2, version.content))
    document = (await server.inference.get("/openapi.json")).json()
    answer = await server.inference.post(path, json=body)
    assert refused_by(document, path, body) == (answer.status_code == 400), answer.text


@pytest.mark.parametrize(
    "path", ["/predict", "/batch_predict", "/predict/stream", "/v1/models/churn:predict", "/v2/models/churn/infer"]
)
async def test_the_document_describes_the_refusal_of_another_type(server: Server, path: str) -> None:
    document = (await server.inference.get("/openapi.json")).json()
    answer = await server.inference.post(path, content=b"tenure,3", headers={"content-type": "text/csv"})
    assert str(answer.status_code) in document["paths"][path]["post"]["responses"]


async def test_the_document_describes_the_score_of_a_model_without_probabilities(server: Server) -> None:
    class Scored(stand_in.Echo):
        def predict(self, table: Table) -> Outputs:
            return Outputs(np.zeros(table.rows, np.int64), None, np.full(table.rows, 0.25))

    server.swap("1.1.0", Scored())
    schemas = (await server.inference.get("/openapi.json")).json()["components"]["schemas"]
    one = (await server.inference.post("/predict", json=stand_in.ROW)).json()
    many = (await server.inference.post("/batch_predict", json=[stand_in.ROW])).json()
    assert set(one) == set(schemas["Prediction"]["properties"])
    assert set(many) == set(schemas["Predictions"]["properties"])


def test_a_model_with_an_input_of_that_name_takes_no_other_features() -> None:
    inputs = [Input(name="features", datatype=Datatype.FP64, example=1.0)]
    document = openapi.document(stand_in.manifest(inputs=inputs), Schema(inputs))
    assert not refused_by(document, "/predict", {"features": 1.0})
    assert refused_by(document, "/predict", {"features": [1.0]})
