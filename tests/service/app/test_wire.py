"""What only a real connection shows: large bodies, slow leaving, logs."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import server_process


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[server_process.ServerProcess]:
    """A server whose model is not there: requests are judged all the same."""
    directory = tmp_path_factory.mktemp("wire")
    environment = {"LOG_REQUESTS": "true", "MODEL_ROOT": str(directory), "MODEL_PATH": "nothing"}
    with server_process.serving(directory / "log", environment=environment) as found:
        yield found


def test_a_body_over_the_limit_is_read_and_then_refused(server: server_process.ServerProcess) -> None:
    for _ in range(5):
        answer = httpx.post(f"{server.url}/predict", content=b" " * (20 * 2**20))
        assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")


def test_a_chunked_body_over_the_limit_is_refused_too(server: server_process.ServerProcess) -> None:
    answer = httpx.post(f"{server.url}/predict", content=(b" " * 2**20 for _ in range(12)))
    assert answer.status_code == 413


def test_a_client_that_goes_away_harms_nobody(server: server_process.ServerProcess) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
    assert httpx.get(f"{server.url}/health").status_code == 503


def test_what_is_not_http_is_refused(server: server_process.ServerProcess) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
        assert connection.recv(1024).startswith(b"HTTP/1.1 400")


def test_without_a_model_a_good_request_is_told_to_wait(server: server_process.ServerProcess) -> None:
    answer = httpx.post(f"{server.url}/predict", json={"a": 1})
    assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
    assert "ArtifactMissing" in answer.json()["message"]
    assert httpx.get(f"{server.url}/openapi.json", timeout=60).status_code == 503
    assert httpx.get(f"{server.url}/docs", timeout=60).status_code == 200


def test_requests_are_logged_as_json_when_asked(server: server_process.ServerProcess) -> None:
    httpx.get(f"{server.url}/health", headers={"x-request-id": "logged-1"})
    line = server.wait_for(lambda: next((one for one in server.lines() if one.get("request_id") == "logged-1"), None))
    assert (line["event"], line["status"], line["path"]) == ("request", 503, "/health")
    for text in server.log.read_text().splitlines():
        json.loads(text)


def test_a_server_that_still_loads_leaves_at_once(tmp_path: Path) -> None:
    trap = tmp_path / "trap.pkl"
    trap.write_bytes(b"ctime\nsleep\n(I600\ntR.")
    with server_process.serving(tmp_path / "log", str(trap)) as server:
        server.wait_for_status(lambda status: status["state"] == "loading")
        assert server.end() == 0
