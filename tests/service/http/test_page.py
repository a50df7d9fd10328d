"""The page at `/` as it is sent: what it says of a version, whatever that is called, and what it says of none."""

import dataclasses
import html.parser
import json
import re
from typing import Any

import msgspec
import pytest

import stand_in
import stand_in_server
from modelroll_server.artifact.manifest import Golden, Manifest
from modelroll_server.registry.beside import Beside
from modelroll_server.registry.target import Candidate, Content, Target
from modelroll_server.schema import Input, Schema
from modelroll_server.schema.json import JsonDecoder
from modelroll_server.tensors import Datatype
from stand_in_server import Server

VOID = {"meta", "link", "input", "br"}


class Parsed(html.parser.HTMLParser):
    """A document: elements with their attributes, and the text that is between them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def with_id(self, wanted: str) -> dict[str, str]:
        return next(attributes for _, attributes in self.elements if attributes.get("id") == wanted)


async def page(server: Server) -> Parsed:
    answer = await server.inference.get("/")
    assert answer.status_code == 200, answer.text
    return Parsed(answer.text)


def serve(server: Server, manifest: Manifest) -> None:
    """Make a version of this manifest live."""
    decoder = JsonDecoder(Schema(manifest.inputs))
    version = dataclasses.replace(stand_in.version(), manifest=manifest, json=decoder)
    server.registry.swap(version, Target("settled", 2, version.content))


def control(document: Parsed, name: str) -> dict[str, str]:
    """The control of an input."""
    return next(attributes for _, attributes in document.elements if attributes.get("data-name") == name)


async def test_it_says_what_the_model_is_takes_and_answers(server: Server) -> None:
    golden = Golden(rows=[[61, 1.0, "year"]], prediction=[1], rtol=0, atol=0)
    tenure, charges, contract = stand_in.INPUTS
    inputs = [
        msgspec.structs.replace(tenure, example=7),
        msgspec.structs.replace(charges, example=None),
        msgspec.structs.replace(contract, example="year"),
    ]
    manifest = msgspec.structs.replace(stand_in.manifest(), metrics={"held_out_accuracy": 0.82541})
    serve(server, msgspec.structs.replace(manifest, golden=golden, inputs=inputs))
    answer = await server.inference.get("/")
    document = Parsed(answer.text)
    text = re.sub(r"\s+", " ", document.text)
    for said in (
        "churn",
        "1.0.0",
        "Classifier",
        "3 inputs",
        "0 or 1",
        "0 to 72",
        "held out accuracy0.8254",
        "2026-01-01",
    ):
        assert said in text
    assert answer.headers["x-model-digest"] in text
    assert control(document, "tenure")["value"] == "7", "no golden row: that is somebody's"
    assert (control(document, "charges")["value"], "data-missing" in control(document, "charges")) == ("", True)
    assert [one["value"] for one in document.all("option")] == ['"month"', '"year"']
    assert [one["value"] for one in document.all("option") if "selected" in one] == ['"year"']


async def test_each_control_has_a_label_and_what_describes_it(server: Server) -> None:
    document = await page(server)
    controls = [attributes for _, attributes in document.elements if "data-name" in attributes]
    assert [one["data-name"] for one in controls] == ["tenure", "charges", "contract"]
    assert {one["for"] for one in document.all("label")} == {one["id"] for one in controls}
    known = {attributes["id"] for _, attributes in document.elements if "id" in attributes}
    for one in controls:
        assert set(one["aria-describedby"].split()) <= known
    assert [attributes["lang"] for attributes in document.all("html")] == ["en"]


async def test_the_form_has_the_examples_and_the_command_asks_them(server: Server) -> None:
    document = await page(server)
    assert [control(document, name)["value"] for name in ("tenure", "charges")] == ["3", "29.85"]
    command = next(line.strip() for line in document.text.splitlines() if line.strip().startswith("curl"))
    assert command.startswith("curl -s http://server/predict --json '")
    answer = await server.inference.post("/predict", content=command.partition("--json '")[2].removesuffix("'"))
    assert answer.status_code == 200


async def test_the_command_speaks_as_the_page_was_asked(server: Server) -> None:
    answer = await server.inference.get("https://server/")
    assert "curl -s https://server/predict --json" in answer.text


HOSTILE = "</textarea></script>'\"><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}"


async def test_nothing_that_a_manifest_says_becomes_markup(server: Server) -> None:
    def column(name: str, **more: Any) -> Input:
        return Input(name=f"{name}{HOSTILE}", datatype=Datatype.BYTES, example=HOSTILE, **more)

    inputs = [
        column("free"),
        column("closed", unknown="refuse", categories=[HOSTILE, "other"]),
        column("open", categories=[HOSTILE]),
    ]
    hostile = msgspec.structs.replace(
        stand_in.manifest(inputs=inputs),
        version=f"1.0.0{HOSTILE}",
        model=f"churn{HOSTILE}",
        created=HOSTILE,
        classes=[HOSTILE, "No"],
        metrics={HOSTILE: 0.5},
    )
    runtime = msgspec.structs.replace(hostile.runtimes[0], requires={HOSTILE: HOSTILE})
    serve(server, msgspec.structs.replace(hostile, runtimes=[runtime]))
    # Its own headers cannot be hostile: a version is a number when a manifest is read.
    document = await page(server)
    assert [one["src"] for one in document.all("script")] == ["page/page.js"]
    assert document.all("img") == []
    assert "49" not in document.text
    assert [one["data-name"] for _, one in document.elements if "data-name" in one] == [one.name for one in inputs]
    assert json.loads(document.with_id("page")["data-classes"]) == [HOSTILE, "No"]
    assert json.dumps(HOSTILE) in [one["value"] for one in document.all("option")]
    assert document.text.count(HOSTILE) >= 9


async def test_a_hostile_name_of_the_server_does_not_reach_the_command(server: Server) -> None:
    answer = await server.inference.get("/", headers={"host": "a'; rm -rf <b>"})
    assert "curl -s http://localhost:8000/predict" in answer.text


async def test_its_policy_lets_nothing_run_that_is_not_this_servers(server: Server) -> None:
    for path in ("/", "/page/page.css", "/page/page.js", "/page/icon.svg", "/page/live"):
        answer = await server.inference.get(path)
        assert answer.status_code == 200
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert not re.findall(r"https?://(?!server/|www\.w3\.org/2000/svg)", answer.text)
    document = await page(server)
    assert [name for _, one in document.elements for name in one if name == "style" or name.startswith("on")] == []
    assert document.all("style") == []
    named = [one.get("src", one.get("href")) for tag, one in document.elements if tag in {"script", "link"}]
    assert sorted(map(str, named)) == ["page/icon.svg", "page/page.css", "page/page.js"]


async def test_only_what_it_has_is_there_and_only_to_be_read(server: Server) -> None:
    for path in ("/page", "/page/", "/page/page.html", "/page/page.py", "/page/../page.py"):
        assert (await server.inference.get(path)).status_code == 404
    refused = await server.inference.post("/")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")
    assert (await server.inference.head("/")).status_code == 200


async def live(server: Server) -> dict[str, Any]:
    found: dict[str, Any] = (await server.inference.get("/page/live")).json()
    return found


async def test_the_numbers_are_those_of_predictions_and_name_what_is_live(server: Server) -> None:
    for _ in range(3):
        assert (await server.inference.post("/predict", json=stand_in.ROW)).status_code == 200
    found = await live(server)
    assert (found["model"], found["version"]) == ("churn", "1.0.0")
    assert found["digest"] == (await page(server)).with_id("page")["data-digest"]
    assert found["versions"] == [{"version": "1.0.0", "role": "live", "share": 1.0}]
    assert found["requests_per_second"] > 0
    server.swap("2.0.0", revision=2)
    assert (await server.inference.post("/predict", json=stand_in.ROW)).status_code == 200
    assert (await live(server))["versions"] == [
        {"version": "1.0.0", "role": "before", "share": 0.75},
        {"version": "2.0.0", "role": "live", "share": 0.25},
    ]


@pytest.mark.parametrize(("percent", "named"), [(100.0, True), (0.0, False)])
async def test_a_candidate_is_named_once_it_answers_callers(server: Server, percent: float, *, named: bool) -> None:
    version = stand_in.version("2.0.0")
    asked = Candidate(Content("2.0.0", "churn/2.0.0", version.digest), percent, shadow=not percent)
    server.registry.beside = Beside(version, asked, 3)
    assert (await server.inference.post("/predict", json=stand_in.ROW)).status_code == 200
    found = await live(server)
    shares = {one["version"]: one["role"] for one in found["versions"]}
    assert shares == ({"2.0.0": "candidate"} if named else {"1.0.0": "live"})
    assert found["version"] == "1.0.0"
    assert ("2.0.0" in json.dumps(found)) == named


async def test_while_nothing_is_live_it_says_so_and_why(server: Server) -> None:
    server.registry.live = None
    answer = await server.inference.get("/")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    document = Parsed(answer.text)
    assert "No model is loaded yet" in document.text
    assert document.with_id("page")["data-digest"] == ""
    assert document.all("form") == []
    assert (await live(server))["version"] is None


async def test_it_can_be_left_out() -> None:
    async with stand_in_server.serving(page=False) as server:
        for path in ("/", "/page/live", "/page/page.css"):
            assert (await server.inference.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"task": "regressor", "classes": None}, "answers a number."),
        ({"task": "cluster", "classes": None}, "answers the number of a cluster."),
        ({"classes": ["a", "b", "c"]}, "answers a, b or c."),
        ({"classes": list(range(10))}, "answers one of 10 classes."),
        ({"classes": [["a", "b"], [0, 1]]}, "answers 2 labels."),
    ],
)
async def test_it_says_what_models_of_each_kind_answer(server: Server, change: dict[str, Any], said: str) -> None:
    serve(server, msgspec.structs.replace(stand_in.manifest(), **change))
    assert said in (await page(server)).text


async def test_what_a_bare_file_takes_is_of_any_kind(server: Server) -> None:
    serve(server, stand_in.manifest(inputs=[Input(name="a", datatype=Datatype.ANY)]))
    assert control(await page(server), "a")["data-kind"] == "any"


async def test_a_boolean_is_chosen(server: Server) -> None:
    serve(server, stand_in.manifest(inputs=[Input(name="a", datatype=Datatype.BOOL, missing="nan", example=True)]))
    document = await page(server)
    assert [one["value"] for one in document.all("option")] == ["false", "true", "null"]
    assert [one["value"] for one in document.all("option") if "selected" in one] == ["true"]
