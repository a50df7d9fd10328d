"""The model repository extension: MODEL_PATH read again when somebody with the token asks."""

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import server_process

TOKEN = "a-token-of-a-test"
CHURN = Path(__file__).parents[3] / "models" / "churn"


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """A place that holds one version after another."""
    place = tmp_path / "live"
    shutil.copytree(CHURN / "1.2.0", place)
    return place


@pytest.fixture
def server(artifact: Path, tmp_path: Path) -> Iterator[server_process.ServerProcess]:
    environment = {"REPOSITORY_TOKEN": TOKEN}
    with server_process.serving(tmp_path / "log", str(artifact), environment=environment) as found:
        found.wait_for_live("1.2.0")
        yield found


@pytest.fixture
def client(server: server_process.ServerProcess) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=f"{server.url}/v2/repository", headers=headers, timeout=60) as found:
        yield found


def put(version: str, artifact: Path) -> None:
    """Replace what lies at MODEL_PATH."""
    new = artifact.with_name("new")
    shutil.copytree(CHURN / version, new)
    artifact.rename(artifact.with_name(f"before-{version}"))
    new.rename(artifact)


def index(client: httpx.Client) -> Any:
    (model,) = client.post("/index").json()
    return model


async def test_what_lies_there_now_goes_live_without_a_failed_request(
    server: server_process.ServerProcess,
    client: httpx.Client,
    artifact: Path,
    row: dict[str, Any],
    expected: dict[str, tuple[Any, list[float]]],
) -> None:

    assert (index(client)["version"], index(client)["state"]) == ("1.2.0", "READY")
    async with server_process.under_load(server.url, row, expected, clients=2) as load:
        same = await asyncio.to_thread(client.post, "/models/churn/load")
        assert same.json() == {"name": "churn", "version": "1.2.0"}
        await asyncio.to_thread(put, "2.0.0", artifact)
        answer = await asyncio.to_thread(client.post, "/models/churn/load")
        assert answer.json() == {"name": "churn", "version": "2.0.0"}
    assert load.wrong == []
    assert load.answers["1.2.0"] > 0
    assert index(client)["version"] == "2.0.0"


def test_what_does_not_pass_its_gates_is_refused_and_the_live_version_goes_on(
    client: httpx.Client, artifact: Path
) -> None:
    manifest = artifact / "modelroll.json"
    whole = manifest.read_bytes()
    for name in ("model.onnx", "model.joblib"):
        data = bytearray((artifact / name).read_bytes())
        data[len(data) // 2] ^= 1
        (artifact / name).write_bytes(data)
    manifest.write_bytes(whole + b"\n")
    refused = client.post("/models/churn/load")
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_request")
    assert "not loaded: DigestMismatch" in refused.json()["message"]
    assert index(client)["state"] == "READY"
    assert "DigestMismatch" in index(client)["reason"]
    manifest.write_text("{}")
    assert "not loaded: ManifestInvalid" in client.post("/models/churn/load").json()["message"]
    manifest.write_bytes(whole.replace(b'"model": "churn"', b'"model": "fraud"'))
    assert "not loaded: ModelMismatch" in client.post("/models/churn/load").json()["message"]


def test_the_one_model_is_not_taken_away(client: httpx.Client) -> None:
    assert client.post("/models/churn/unload").status_code == 400
    assert client.post("/models/other/load").status_code == 404
    assert index(client)["state"] == "READY"


@pytest.mark.parametrize("token", ["", "Bearer other-token-here", f"Basic {TOKEN}", TOKEN])
def test_without_the_token_nothing_is_told_or_done(server: server_process.ServerProcess, token: str) -> None:
    headers = {"authorization": token} if token else {}
    for path in ("index", "models/churn/load", "models/churn/unload"):
        answer = httpx.post(f"{server.url}/v2/repository/{path}", headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"
