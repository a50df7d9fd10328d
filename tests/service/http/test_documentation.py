"""`/docs` without internet, and an OpenAPI document with the model's own inputs."""

import re

import jsonschema

import stand_in
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
