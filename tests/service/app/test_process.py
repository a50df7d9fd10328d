"""A real server process: it serves, swaps under load, survives what it is told, and leaves without failing anybody."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

import server_process
from modelroll_server.draining import QUIET

Expected = dict[str, tuple[Any, list[float]]]


def say(directory: Path, name: str, version: str | None, revision: int, **more: Any) -> None:
    """Write one of the three files, at once."""
    content: dict[str, Any] = {"env": True} if version is None else {"path": f"churn/{version}", "version": version}
    directory.mkdir(exist_ok=True)
    temporary = directory / ".new"
    temporary.write_text(json.dumps({**content, "revision": revision, **more}))
    temporary.replace(directory / name)


def environment(mount: Path, **more: str) -> dict[str, str]:
    """What a pod has."""
    return {
        "MODEL_ROOT": str(mount),
        "MODEL_PATH": "churn/1.2.0",
        "TARGET_DIR": str(mount / "targets"),
        "ARTIFACT_POLICY": "any",
        **more,
    }


async def test_moves_swap_under_load_without_a_failed_or_wrong_answer(
    tmp_path: Path, mount: Path, row: dict[str, Any], expected: Expected
) -> None:
    targets = mount / "targets"
    with server_process.serving(tmp_path / "log", environment=environment(mount)) as server:
        await asyncio.to_thread(server.wait_for_live, "1.2.0", 0)
        async with server_process.under_load(server.url, row, expected) as load:
            for revision in range(1, 7):
                version = "2.0.0" if revision % 2 else "1.2.0"
                say(targets, "move", version, revision)
                await asyncio.to_thread(server.wait_for_live, version, revision)
            say(targets, "move", "9.9.9", 7)
            failed = await asyncio.to_thread(server.wait_for_status, lambda status: status["failure"] is not None)
        assert failed["failure"]["reason"] == "ArtifactMissing"
        assert (failed["state"], failed["ready"], failed["live"]["version"]) == ("failed", True, "1.2.0")
        assert load.wrong == []
        assert set(load.answers) == {"1.2.0", "2.0.0"}
        assert await asyncio.to_thread(server.end) == 0


async def test_nobody_who_asks_before_the_drain_delay_ends_is_failed(
    tmp_path: Path, mount: Path, row: dict[str, Any], expected: Expected
) -> None:
    delay = 2.0
    settings = environment(mount, DRAIN_DELAY=str(delay), SHUTDOWN_TIMEOUT="4")
    with server_process.serving(tmp_path / "log", environment=settings) as server:
        await asyncio.to_thread(server.wait_for_live, "1.2.0")
        with socket.create_connection(("127.0.0.1", server.port)) as idle:
            async with server_process.under_load(server.url, row, expected, clients=8) as load:
                began = time.monotonic()
                server.process.send_signal(signal.SIGTERM)
                server.process.send_signal(signal.SIGTERM)  # asking twice does not make it faster
                await asyncio.to_thread(server.wait_for_status, lambda status: status["state"] == "draining")
                assert (await asyncio.to_thread(server.get, "/readyz")).status_code == 200
                assert await asyncio.to_thread(server.process.wait, 60) == 0
                ended = time.monotonic()
                # A connection that was idle all the time was closed by the server, not reset.
                assert idle.recv(1) == b""
        assert ended - began >= delay
        assert load.answers.total() > 0
        assert [text for asked, text in load.wrong if asked < began + delay] == []


def test_a_server_that_leaves_says_so_once_nobody_comes_and_stays_until_that_is_seen(
    tmp_path: Path, mount: Path, row: dict[str, Any]
) -> None:
    delay, noticed = 6.0, 3.0
    settings = environment(mount, DRAIN_DELAY=str(delay), UNREADY_AFTER=str(noticed))
    with server_process.serving(tmp_path / "log", environment=settings) as server, httpx.Client() as client:
        server.wait_for_live("1.2.0")
        began = ready = time.monotonic()  # up to when it did not say so
        server.process.send_signal(signal.SIGTERM)
        server.wait_for_status(lambda status: status["state"] == "draining")
        while ready < began + 1.2 * QUIET * delay:  # as long as somebody comes it is what others may be sent to
            ready = time.monotonic()
            assert client.post(f"{server.url}/predict", json=row).status_code == 200
            assert server.get("/readyz").status_code == 200
            time.sleep(0.05)
        looked = ready
        while server.get("/readyz").status_code == 200:
            ready, looked = looked, time.monotonic()
        assert server.get("/readyz").text == "leaving, and nobody comes any more\n"
        assert httpx.post(f"{server.url}/predict", json=row).status_code == 200
        server.wait_for(lambda: True if _is_refused(server.port) else None)
        assert time.monotonic() - ready >= noticed
        assert server.process.wait(60) == 0


def test_a_connection_that_idled_through_the_drain_delay_still_gets_its_answer(
    tmp_path: Path, mount: Path, row: dict[str, Any]
) -> None:
    delay = 0.5
    settings = environment(mount, DRAIN_DELAY=str(delay))
    with server_process.serving(tmp_path / "log", environment=settings) as server, httpx.Client() as client:
        server.wait_for_live("1.2.0")
        assert client.post(f"{server.url}/predict", json=row).status_code == 200
        server.process.send_signal(signal.SIGTERM)
        server.wait_for(lambda: True if _is_refused(server.port) else None)  # the delay is over
        time.sleep(0.5)  # and what closes idle connections has had its time
        answer = client.post(f"{server.url}/predict", json=row)
        assert (answer.status_code, answer.headers["Connection"]) == (200, "close")
        assert server.process.wait(60) == 0


def test_who_connects_while_the_process_gets_no_time_is_not_reset_by_the_end_of_the_delay(
    tmp_path: Path, mount: Path, row: dict[str, Any]
) -> None:
    delay = 2.0
    settings = environment(mount, DRAIN_DELAY=str(delay))
    body = json.dumps(row).encode()
    request = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
    with (
        server_process.serving(tmp_path / "log", environment=settings) as server,
        contextlib.ExitStack() as connections,
    ):
        server.wait_for_live("1.2.0")
        server.process.send_signal(signal.SIGTERM)
        server.wait_for_status(lambda status: status["state"] == "draining")
        server.process.send_signal(signal.SIGSTOP)  # from here on the kernel alone takes connections
        waiting = [
            connections.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=60))
            for _ in range(300)
        ]
        for connection in waiting:
            connection.sendall(request % (len(body), body))
        time.sleep(delay + 0.5)
        server.process.send_signal(signal.SIGCONT)
        assert [connection.recv(12) for connection in waiting] == [b"HTTP/1.1 200"] * len(waiting)
        connections.close()
        assert server.process.wait(60) == 0


def test_a_lazy_server_that_is_leaving_still_loads_for_who_asks(
    tmp_path: Path, mount: Path, row: dict[str, Any]
) -> None:
    settings = environment(mount, LOAD="lazy", DRAIN_DELAY="2")
    with server_process.serving(tmp_path / "log", environment=settings) as server:
        server.process.send_signal(signal.SIGTERM)
        server.wait_for_status(lambda status: status["state"] == "draining")
        assert httpx.post(f"{server.url}/predict", json=row, timeout=60).status_code == 200
        assert server.process.wait(60) == 0


def _is_refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_load_that_takes_the_process_down_is_not_tried_a_second_time(tmp_path: Path, mount: Path) -> None:
    (mount / "churn" / "trap.pkl").write_bytes(b"ctime\nsleep\n(I600\ntR.")  # unpickling it takes ten minutes
    state = tmp_path / "state"
    state.mkdir()
    targets = mount / "targets"
    say(targets, "settled", "1.2.0", 1)
    (targets / "move").write_text('{"path":"churn/trap.pkl","revision":2}')
    settings = environment(mount, STATE_DIR=str(state))
    with server_process.serving(tmp_path / "log-1", environment=settings) as server:
        server.wait_for(lambda: True if b'"loading":2' in _read(state / "loading.json") else None)
        server.process.kill()
        server.process.wait()
    with server_process.serving(tmp_path / "log-2", environment=settings) as server:
        status = server.wait_for_live("1.2.0", 1)
        assert status["failure"]["reason"] == "CrashedWhileLoading"
        assert status["failure"]["revision"] == 2
        say(targets, "settled", "2.0.0", 3)
        assert server.wait_for_live("2.0.0", 3)["failure"] is None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def test_a_lazy_server_loads_when_asked_and_fifty_reloads_leave_memory_flat(
    tmp_path: Path, mount: Path, row: dict[str, Any]
) -> None:
    targets = mount / "targets"
    settings = environment(mount, LOAD="lazy")
    with server_process.serving(tmp_path / "log", environment=settings) as server:
        ready = server.get("/readyz")
        assert ready.status_code == 200
        assert server.status()["live"] is None
        headers = {"x-request-timeout-ms": "60000"}
        first = httpx.post(f"{server.url}/predict", json=row, headers=headers, timeout=60)
        assert first.json()["model_version"] == "1.2.0"
        sizes = []
        for revision in range(1, 51):
            version = "2.0.0" if revision % 2 else "1.2.0"
            say(targets, "move", version, revision)
            server.wait_for_live(version, revision)
            sizes.append(_resident(server.process.pid))
        assert max(sizes[-10:]) - max(sizes[10:20]) < 8 * 2**20


def _resident(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def test_a_new_complete_version_in_a_directory_goes_live(
    tmp_path: Path, mount: Path, row: dict[str, Any], expected: Expected
) -> None:
    (mount / "churn" / "2.0.0").rename(tmp_path / "later")
    with server_process.serving(tmp_path / "log", str(mount / "churn")) as server:
        await asyncio.to_thread(server.wait_for_live, "1.2.0")
        async with server_process.under_load(server.url, row, expected) as load:
            shutil.copytree(tmp_path / "later", mount / "churn" / "2.0.0")
            await asyncio.to_thread(server.wait_for_live, "2.0.0")
        assert load.wrong == []


def test_a_missing_artifact_is_waited_for(tmp_path: Path, mount: Path) -> None:
    (mount / "churn" / "1.2.0").rename(tmp_path / "later")
    with server_process.serving(tmp_path / "log", environment=environment(mount)) as server:
        status = server.wait_for_status(lambda found: found["failure"] is not None)
        assert (status["state"], status["ready"], status["failure"]["reason"]) == ("waiting", False, "ArtifactMissing")
        assert server.get("/livez").status_code == 200
        (tmp_path / "later").rename(mount / "churn" / "1.2.0")
        assert server.wait_for_live("1.2.0")["failure"] is None


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ([".", "--port", "http"], 2, "PORT (--port) is 'http'"),
        ([], 2, "MODEL_PATH is not set"),
        (["models/chrun"], 2, "Path 'models/chrun' does not exist"),
        ([".", "--port", "{taken}"], 1, "cannot listen on port {taken} of 127.0.0.1: Address already in use"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(arguments: list[str], code: int, sentence: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "modelroll_server", "serve", *(one.format(taken=port) for one in arguments)]
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("MODEL_", "TARGET_"))}
        done = subprocess.run(
            command, env={**clean, "HOST": "127.0.0.1"}, capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == code
    assert sentence.format(taken=port) in done.stderr
    assert "Traceback" not in done.stderr


def test_real_rows_get_the_answers_of_scikit_learn(tmp_path: Path, mount: Path) -> None:
    rows = Path(__file__).parents[3] / "models" / "churn" / "rows.py"
    with server_process.serving(tmp_path / "log", str(mount / "churn")) as server:
        done = subprocess.run([sys.executable, rows, "--count", "500"], capture_output=True, text=True, check=True)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert len(lines) == 500
        server.wait_for_live("2.0.0")
        answer = httpx.post(f"{server.url}/batch_predict", json=[line["row"] for line in lines], timeout=30).json()
        single = [httpx.post(f"{server.url}/predict", json=line["row"]).json() for line in lines[:50]]
    expected = [line["expected"]["2.0.0"] for line in lines]
    assert answer["predictions"] == [one["prediction"] for one in expected]
    assert answer["probabilities"] == [pytest.approx(one["probability"], abs=1e-9) for one in expected]
    assert [one["prediction"] for one in single] == [one["prediction"] for one in expected[:50]]
    assert [one["probability"] for one in single] == answer["probabilities"][:50]
