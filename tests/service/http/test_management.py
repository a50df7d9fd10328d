"""The management port: the documents that Kubernetes, the operator and Prometheus read."""

import re

import stand_in
from modelroll_server import errors
from modelroll_server.registry.target import Content, Target
from stand_in_server import Server


async def test_status_has_the_shape_of_the_seams_page(server: Server) -> None:
    await server.inference.post("/predict", json=stand_in.ROW)
    status = (await server.management.get("/status")).json()
    assert status == {
        "pod": {"name": "pod-1", "uid": "uid-1"},
        "model": "churn",
        "state": "serving",
        "ready": True,
        "live": {
            "version": "1.0.0",
            "path": "churn/1.0.0",
            "digest": "sha256:" + "100" * 16,
            "revision": 1,
            "env": False,
            "runtime": "stand-in",
            "since": status["live"]["since"],
        },
        "wanted": None,
        "settled_revision": None,
        "failure": None,
        "counters": {"requests": 1, "reloads": {"succeeded": 1, "failed": 0}},
        "candidate": None,
        "workers": [],
    }


async def test_a_failure_says_what_was_expected_and_found(server: Server) -> None:
    want = Target("move", 9, Content("2.0.0", "churn/2.0.0"))
    server.registry.refuse(want, errors.GoldenRowsDiffer("row 0", expected=[1], found=[0]), for_good=True)
    status = (await server.management.get("/status")).json()
    failure = status["failure"]
    assert (failure["revision"], failure["reason"]) == (9, "GoldenRowsDiffer")
    assert (failure["expected"], failure["found"]) == ([1], [0])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", failure["since"])
    assert status["state"] == "failed"


async def test_probes(server: Server) -> None:
    assert (await server.management.get("/livez")).status_code == 200
    assert (await server.management.get("/readyz")).status_code == 200
    server.registry.live = None
    assert (await server.management.get("/livez")).status_code == 200
    assert (await server.management.get("/readyz")).status_code == 503
    assert (await server.management.get("/predict")).status_code == 404
    assert (await server.management.post("/status")).status_code == 405


async def test_metrics_have_the_names_that_dashboards_know(server: Server) -> None:
    await server.inference.post("/predict", json=stand_in.ROW)
    await server.inference.post("/predict", json={})
    text = (await server.management.get("/metrics")).text
    assert 'prediction_total{model="churn",model_version="1.0.0",status="200"} 1.0' in text
    assert 'prediction_total{model="churn",model_version="1.0.0",status="400"} 1.0' in text
    for name in ("prediction_latency_seconds_bucket", 'prediction_phase_seconds_count{phase="infer"}'):
        assert name in text
    assert "_created" not in text
