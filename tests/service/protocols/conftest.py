"""One server with the churn model on all its ports, and real rows with what scikit-learn answers to them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import server_process

ROOT = Path(__file__).parents[3]
KSERVE = "kserve==0.21.0"
Answer = tuple[str, list[float]]


@pytest.fixture(scope="module")
def churn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[server_process.ServerProcess]:
    """A server of churn 1.2.0."""
    log = tmp_path_factory.mktemp("protocols") / "log"
    environment = {"GRPC_PORT": "0"}
    with server_process.serving(log, str(ROOT / "models/churn/1.2.0"), environment=environment) as found:
        found.wait_for(lambda: True if found.get("/readyz").status_code == 200 else None, 180)
        yield found


@pytest.fixture(scope="module")
def grpc_address(churn: server_process.ServerProcess) -> str:
    """Where it speaks gRPC."""
    ports = [line["grpc_port"] for line in churn.lines() if "grpc_port" in line]
    return f"127.0.0.1:{ports[0]}"


@pytest.fixture(scope="module")
def answered() -> tuple[list[dict[str, Any]], list[Answer]]:
    """500 real rows, and what scikit-learn itself answers to them."""
    command = [sys.executable, "models/churn/rows.py", "--count", "500", "--version", "1.2.0"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    lines = [json.loads(line) for line in said.splitlines()]
    expected = [line["expected"]["1.2.0"] for line in lines]
    return [line["row"] for line in lines], [(one["prediction"], one["probability"]) for one in expected]


@pytest.fixture(scope="module")
def rows_file(answered: tuple[list[dict[str, Any]], list[Answer]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows in a file, for clients in processes of their own."""
    path = tmp_path_factory.mktemp("rows") / "rows.json"
    path.write_text(json.dumps(answered[0]))
    return path


@pytest.fixture(scope="session")
def kserve_python() -> str:
    """A Python with kserve, whose requirements are not ours: in an environment of its own, made once."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    place = cache / "modelroll" / "clients" / KSERVE.replace("==", "-")
    python = place / "bin" / "python"
    if not (place / "complete").exists():
        uv = shutil.which("uv")
        assert uv is not None, "uv is needed; `make test` brings it along"
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, place], check=True)
        subprocess.run([uv, "pip", "install", "--quiet", "--python", python, KSERVE], check=True)
        (place / "complete").touch()
    return str(python)
