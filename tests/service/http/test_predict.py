"""`/predict`, `/batch_predict` and `/health`: what callers get, and every row of what they can do wrong."""

import asyncio
import gzip
import json
import threading
from typing import Any

import pytest

import stand_in
from harness.waiting import wait_until
from modelroll_server import errors
from modelroll_server.http import body, problems
from stand_in_server import THREADS, Server

ROW = stand_in.ROW
JSON = {"content-type": "application/json"}


def every(kind: type[errors.RequestError]) -> set[type[errors.RequestError]]:
    return {kind}.union(*(every(child) for child in kind.__subclasses__()))


def test_every_error_has_a_status() -> None:
    assert every(errors.RequestError) == set(problems.STATUS)


async def test_one_row_is_answered(server: Server) -> None:
    answer = await server.inference.post("/predict", json={**ROW, "charges": 0.25})
    assert answer.status_code == 200
    assert answer.json() == {"prediction": 3, "probability": [0.75, 0.25], "model_version": "1.0.0"}
    assert answer.headers["x-model-version"] == "1.0.0"
    assert answer.headers["x-model-digest"].startswith("sha256:")
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("features", [ROW, [3, 29.85, "month"]])
async def test_features_may_be_wrapped(server: Server, features: Any) -> None:
    answer = await server.inference.post("/predict", json={"features": features})
    assert answer.json()["prediction"] == 3


@pytest.mark.parametrize("wrap", [lambda rows: rows, lambda rows: {"instances": rows}])
async def test_many_rows_are_answered_in_order(server: Server, wrap: Any) -> None:
    rows = [{**ROW, "tenure": tenure} for tenure in range(50)]
    answer = await server.inference.post("/batch_predict", json=wrap(rows))
    assert answer.json()["predictions"] == list(range(50))
    assert len(answer.json()["probabilities"]) == 50


async def test_no_rows_get_no_answers(server: Server) -> None:
    answer = await server.inference.post("/batch_predict", json=[])
    assert answer.json() == {"predictions": [], "probabilities": [], "model_version": "1.0.0"}


async def test_numbers_that_are_not_finite_are_null_and_counted(server: Server) -> None:
    answer = await server.inference.post("/predict", json={**ROW, "charges": None})
    assert answer.json()["probability"] == [None, None]
    assert b'prediction_non_finite_total{model="churn",model_version="1.0.0"} 2.0' in server.metrics.exposition()


REFUSED: list[tuple[str, bytes, int, str, str | None]] = [
    ("/predict", b"", 400, "invalid_json", None),
    ("/predict", b"  ", 400, "invalid_json", None),
    ("/predict", b"{", 400, "invalid_json", None),
    ("/predict", b"\xff\xfe", 400, "invalid_json", None),
    ("/predict", b'{"a":NaN}', 400, "invalid_json", None),
    ("/predict", b"[" * 100_000, 400, "invalid_json", None),
    ("/predict", b"[" * 200_000, 413, "payload_too_large", None),
    ("/predict", b"[]", 400, "invalid_request", None),
    ("/predict", b'"text"', 400, "invalid_request", None),
    ("/predict", json.dumps({"tenure": 3, "charges": 1}).encode(), 400, "invalid_field", "contract"),
    ("/predict", json.dumps({**ROW, "more": 1}).encode(), 400, "invalid_field", "more"),
    ("/predict", json.dumps({**ROW, "tenure": "3"}).encode(), 400, "invalid_field", "tenure"),
    ("/predict", json.dumps({**ROW, "tenure": True}).encode(), 400, "invalid_field", "tenure"),
    ("/predict", json.dumps({**ROW, "tenure": None}).encode(), 400, "invalid_field", "tenure"),
    ("/predict", json.dumps({**ROW, "tenure": 3.5}).encode(), 400, "invalid_field", "tenure"),
    ("/predict", json.dumps({**ROW, "contract": "weekly"}).encode(), 400, "invalid_field", "contract"),
    ("/predict", b'{"tenure":3,"contract":"month","charges":1e999}', 400, "invalid_json", None),
    ("/predict", b'{"tenure":' + b"9" * 30 + b',"contract":"month","charges":1}', 400, "invalid_field", "tenure"),
    ("/predict", json.dumps({"features": [1, 2]}).encode(), 400, "invalid_field", "features"),
    ("/predict", b"{}", 400, "invalid_fields", "tenure"),
    (
        "/batch_predict",
        json.dumps([ROW, ROW, ROW, {**ROW, "tenure": "x"}]).encode(),
        400,
        "invalid_field",
        "[3].tenure",
    ),
    ("/batch_predict", b"{}", 400, "invalid_field", "instances"),
    ("/batch_predict", b'{"instances":[],"more":1}', 400, "invalid_field", "more"),
    ("/batch_predict", b'{"instances":3}', 400, "invalid_field", "instances"),
    ("/batch_predict", b"[3]", 400, "invalid_field", "instances[0]"),
    ("/batch_predict", b"[" + b"[]," * 10_000 + b"[]]", 413, "payload_too_large", None),
    ("/predict", b" " * (body.LIMIT + 1), 413, "payload_too_large", None),
    ("/nothing", b"{}", 404, "not_found", None),
]


@pytest.mark.parametrize(("path", "data", "status", "code", "field"), REFUSED)
async def test_what_is_wrong_is_refused_by_name(
    server: Server, path: str, data: bytes, status: int, code: str, field: str | None
) -> None:
    answer = await server.inference.post(path, content=data, headers={**JSON, "x-request-id": "mine-1"})
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code)
    assert problem["error"] == problem["message"]
    assert problem["request_id"] == answer.headers["x-request-id"] == "mine-1"
    assert answer.headers["x-model-version"] == "1.0.0"
    if field is None:
        assert "field" not in problem
    else:
        assert problem["field"].endswith(field)
    after = await server.inference.post("/predict", json=ROW)
    assert after.status_code == 200


async def test_several_wrong_fields_are_all_named(server: Server) -> None:
    problem = (await server.inference.post("/predict", json={"tenure": "x", "charges": 1, "more": 2})).json()
    assert [one["field"] for one in problem["errors"]] == ["tenure", "contract", "more"]


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [("GET", "/predict", "POST"), ("DELETE", "/batch_predict", "POST"), ("POST", "/health", "GET, HEAD")],
)
async def test_a_wrong_method_names_the_right_ones(server: Server, method: str, path: str, allow: str) -> None:
    answer = await server.inference.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allow)
    assert answer.json()["code"] == "method_not_allowed"


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json; charset=utf-8", 200),
        ("application/octet-stream", 200),
        ("application/ld+json", 200),
        ("", 200),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
    ],
)
async def test_content_types(server: Server, content_type: str, status: int) -> None:
    headers = {"content-type": content_type} if content_type else {}
    answer = await server.inference.post("/predict", content=json.dumps(ROW).encode(), headers=headers)
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("data", "encoding", "status"),
    [
        (gzip.compress(json.dumps(ROW).encode()), "gzip", 200),
        (json.dumps(ROW).encode(), "identity", 200),
        (b"not gzip", "gzip", 400),
        (gzip.compress(json.dumps(ROW).encode())[:-4], "gzip", 400),
        (gzip.compress(b" " * (body.LIMIT + 1)), "gzip", 413),
        (b"x", "br", 415),
    ],
)
async def test_content_encodings(server: Server, data: bytes, encoding: str, status: int) -> None:
    answer = await server.inference.post("/predict", content=data, headers={"content-encoding": encoding})
    assert answer.status_code == status


@pytest.mark.parametrize("given", ["a" * 129, "has space", "naïve", "x\ty"])
async def test_a_request_id_that_could_harm_a_log_is_replaced(server: Server, given: str) -> None:
    answer = await server.inference.get("/health", headers={b"x-request-id": given.encode("latin-1")})
    assert answer.headers["x-request-id"] != given


async def test_a_body_that_does_not_arrive_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "READ_SECONDS", 0.05)

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    with pytest.raises(errors.InvalidRequest, match="did not arrive"):
        await body.read({}, receive, body.Memory())


async def test_without_a_model_the_answer_is_503(server: Server) -> None:
    server.registry.live = None
    answer = await server.inference.post("/predict", json=ROW)
    assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
    health = await server.inference.get("/health")
    assert health.status_code == 503
    assert health.json() == {"status": "unhealthy", "model_loaded": False, "model_version": None}


async def test_health_names_the_version(server: Server) -> None:
    health = await server.inference.get("/health")
    assert health.json() == {"status": "healthy", "model_loaded": True, "model_version": "1.0.0"}


async def test_what_the_model_raises_stays_inside(server: Server) -> None:
    def fail(_: object) -> None:
        raise ValueError("secret")

    server.swap("1.0.1", stand_in.Echo(fail))
    answer = await server.inference.post("/predict", json=ROW)
    assert (answer.status_code, answer.json()["code"]) == (500, "inference_failed")
    assert "secret" not in answer.text


async def test_a_request_in_flight_finishes_on_its_version(server: Server) -> None:
    started, may_end = threading.Event(), threading.Event()

    def wait(_: object) -> None:
        started.set()
        assert may_end.wait(60)

    server.swap("1.1.0", stand_in.Echo(wait))
    slow = asyncio.create_task(server.inference.post("/predict", json=ROW))
    assert await asyncio.to_thread(started.wait, 60)
    server.swap("2.0.0", revision=2)
    fast = await server.inference.post("/predict", json=ROW)
    may_end.set()
    assert fast.json()["model_version"] == fast.headers["x-model-version"] == "2.0.0"
    answer = await slow
    assert answer.json()["model_version"] == answer.headers["x-model-version"] == "1.1.0"


async def test_too_many_rows_at_once_are_refused_with_a_time_to_come_back(server: Server) -> None:
    started, may_end = threading.Semaphore(0), threading.Event()

    def wait(_: object) -> None:
        started.release()
        assert may_end.wait(60)

    server.swap("1.1.0", stand_in.Echo(wait))
    computing = []
    for _ in range(THREADS):  # one after the other: together they would be one batch
        computing.append(asyncio.create_task(server.inference.post("/predict", json=ROW)))
        assert await asyncio.to_thread(started.acquire, timeout=60)
    waiting = asyncio.create_task(server.inference.post("/batch_predict", json=[ROW] * 90))
    await asyncio.to_thread(wait_until, lambda: b"\nqueued_rows 90.0" in server.metrics.exposition(), 60)
    refused = await server.inference.post("/batch_predict", json=[ROW] * 11)
    may_end.set()
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert {(await one).status_code for one in (*computing, waiting)} == {200}


async def test_a_body_may_have_eight_mebibytes(server: Server) -> None:
    codes = [
        (await server.inference.post("/predict", content=b" " * size, headers=JSON)).json()["code"]
        for size in (8 * 2**20, 8 * 2**20 + 1)
    ]
    assert codes == ["invalid_json", "payload_too_large"]


async def test_a_deadline_is_kept(server: Server) -> None:
    may_end = threading.Event()

    def wait(_: object) -> None:
        may_end.wait(60)

    server.swap("1.1.0", stand_in.Echo(wait))
    late = await server.inference.post("/predict", json=ROW, headers={"x-request-timeout-ms": "20"})
    may_end.set()
    assert (late.status_code, late.json()["code"]) == (504, "deadline_exceeded")
    wrong = await server.inference.post("/predict", json=ROW, headers={"x-request-timeout-ms": "soon"})
    assert wrong.status_code == 400


async def test_while_draining_every_answer_ends_its_connection(server: Server) -> None:
    server.lifecycle.draining = server.registry.draining = True
    for answer in (await server.inference.post("/predict", json=ROW), await server.inference.get("/nothing")):
        assert answer.headers["connection"] == "close"
    assert (await server.management.get("/readyz")).status_code == 200
    assert (await server.management.get("/status")).json()["state"] == "draining"
