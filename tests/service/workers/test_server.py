"""A real server of two workers: what callers see while versions are swapped, and processes die, hang and leave."""

import asyncio
import contextlib
import functools
import json
import os
import pickle
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

import server_process
from server_process import ServerProcess

Expected = dict[str, tuple[Any, list[float]]]
Row = dict[str, Any]
STARTING = 120.0  # seconds for several processes that start at once


class Runs:
    """Runs an expression when it is unpickled, and is what that gives."""

    def __init__(self, expression: str) -> None:
        self._expression = expression

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return eval, (self._expression,)


def in_one_worker(mount: Path, version: str, what: str) -> None:
    """Write a version whose load does something in one worker only: whoever makes the directory first."""
    code = f"""
import joblib, os
try:
    os.mkdir({str(mount / version)!r})
except FileExistsError:
    pass
else:
    {what}
model = joblib.load({str(mount / "churn" / "2.0.0" / "model.joblib")!r})
"""
    expression = f"(lambda scope: exec({code!r}, scope) or scope['model'])({{}})"
    (mount / "churn" / f"{version}.pkl").write_bytes(pickle.dumps(Runs(expression)))


def say(mount: Path, version: str, revision: int) -> None:
    """Ask for a version, at once."""
    bare = (mount / "churn" / f"{version}.pkl").exists()
    path = f"churn/{version}.pkl" if bare else f"churn/{version}"
    temporary = mount / "targets" / ".new"
    temporary.write_text(json.dumps({"path": path, "version": version, "revision": revision}))
    temporary.replace(mount / "targets" / "move")


def settings(mount: Path, **more: str) -> dict[str, str]:
    """What a pod has."""
    return {
        "MODEL_ROOT": str(mount),
        "MODEL_PATH": "churn/1.2.0",
        "TARGET_DIR": str(mount / "targets"),
        "ARTIFACT_POLICY": "any",
        "WORKERS": "2",
        **more,
    }


def wait_until(server: ServerProcess, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Look until `/status` is as wanted, with the patience that starts want."""

    def look() -> dict[str, Any] | None:
        status = server.status()
        return status if wanted(status) else None

    return server.wait_for(look, STARTING)


def is_ready(status: dict[str, Any]) -> bool:
    """Whether all workers are there."""
    return bool(status["ready"])


def pids(status: dict[str, Any]) -> list[int]:
    """The workers' processes."""
    return [one["pid"] for one in status["workers"]]


def total(server: ServerProcess, sample: str, **labels: str) -> float:
    """The sum of a metric's samples."""
    families = text_string_to_metric_families(server.get("/metrics").text)
    samples = [one for family in families for one in family.samples if one.name == sample]
    return sum(one.value for one in samples if labels.items() <= one.labels.items())


def is_running(pid: int) -> bool:
    """Whether a process is there, and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def has_ended(pid: int) -> bool | None:
    """The same, for who waits for it."""
    return None if is_running(pid) else True


def is_over(revision: int, victim: int, status: dict[str, Any]) -> bool:
    """Whether another worker is there in place of one, and what became of a revision is clear."""
    failed = status["failure"] is not None and status["failure"]["revision"] == revision
    replaced = is_ready(status) and victim not in pids(status)
    return replaced and (failed or status["live"]["revision"] == revision)


def is_refused(port: int) -> bool:
    """Whether nobody listens."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return True
    return False


def test_the_page_shows_what_all_workers_were_asked_whichever_shows_it(tmp_path: Path, mount: Path, row: Row) -> None:
    with server_process.serving(tmp_path / "log", environment=settings(mount)) as server:
        wait_until(server, is_ready)
        with httpx.Client(base_url=server.url) as one:
            assert one.post("/predict", json=row).status_code == 200  # by the worker whose page this is
            answered = 1
            while not all(each["requests"] for each in server.status()["workers"]):
                answered += httpx.post(f"{server.url}/predict", json=row).status_code == 200
            wait_until(server, lambda _: total(server, "prediction_latency_seconds_count") == answered)
            found = one.get("/page/live").json()  # the first look tells of all that was
            assert round(found["requests_per_second"] * found["seconds"]) == answered
            assert found["versions"] == [{"version": "1.2.0", "role": "live", "share": 1.0}]
            assert "churn" in one.get("/").text


async def test_all_workers_swap_together_and_what_one_of_them_refuses_none_answers_by(
    tmp_path: Path, mount: Path, row: Row, expected: Expected
) -> None:
    in_one_worker(mount, "3.0.0", "1 / 0")
    with server_process.serving(tmp_path / "log", environment=settings(mount)) as server:
        started = await asyncio.to_thread(wait_until, server, is_ready)
        assert [one["revision"] for one in started["workers"]] == [0, 0]
        async with server_process.under_load(server.url, row, expected) as load:
            for revision in range(1, 5):
                version = "2.0.0" if revision % 2 else "1.2.0"
                say(mount, version, revision)
                status = await asyncio.to_thread(server.wait_for_live, version, revision)
                assert [(one["version"], one["revision"]) for one in status["workers"]] == [(version, revision)] * 2
            say(mount, "3.0.0", 5)
            status = await asyncio.to_thread(wait_until, server, lambda status: status["failure"] is not None)
            assert (status["failure"]["revision"], status["failure"]["reason"]) == (5, "LoadFailed")
            assert (status["state"], status["ready"], status["live"]["revision"]) == ("failed", True, 4)
            assert [one["version"] for one in status["workers"]] == ["1.2.0", "1.2.0"]
        assert load.wrong == []
        assert set(load.answers) == {"1.2.0", "2.0.0"}
        answered = sum(load.answers.values())
        await asyncio.to_thread(
            wait_until, server, lambda _: total(server, "prediction_total", status="200") == answered
        )
        status = server.status()
        assert [one["requests"] > 0 for one in status["workers"]] == [True, True]
        assert status["counters"] == {"requests": answered, "reloads": {"succeeded": 5, "failed": 1}}
        assert total(server, "prediction_latency_seconds_count") == answered
        assert total(server, "model_reload_total", outcome="succeeded") == 5
        assert total(server, "model_info", model_version="1.2.0", revision="4") == 1
        assert [one["resident_bytes"] > 2**20 for one in status["workers"]] == [True, True]
        assert await asyncio.to_thread(server.end) == 0


async def test_nobody_answers_by_a_version_that_a_slower_worker_still_loads(
    tmp_path: Path, mount: Path, row: Row, expected: Expected
) -> None:
    done = mount / "done"
    in_one_worker(mount, "2.0.1", f"[__import__('time').sleep(3), __import__('pathlib').Path({str(done)!r}).touch()]")
    with server_process.serving(tmp_path / "log", environment=settings(mount)) as server:
        await asyncio.to_thread(wait_until, server, is_ready)
        right = {**expected, "2.0.1": expected["2.0.0"]}
        async with server_process.under_load(server.url, row, right) as load:
            say(mount, "2.0.1", 1)
            loading = 0
            while True:
                seen = load.answers["2.0.1"]
                if done.exists():
                    break
                assert seen == 0
                loading += server.status()["state"] == "loading"
                await asyncio.sleep(0.01)
            assert loading > 0
            await asyncio.to_thread(server.wait_for_live, "2.0.1", 1)
            # What `/status` says is live, everybody answers by: nobody who asks from now on gets the one before.
            before = load.answers["1.2.0"]
            async with httpx.AsyncClient() as client:
                asked = [await client.post(f"{server.url}/predict", json=row) for _ in range(50)]
        assert {one.json()["model_version"] for one in asked} == {"2.0.1"}
        assert load.answers["1.2.0"] - before <= 6, "only those on their way"
        assert load.wrong == []


def test_a_load_that_hangs_in_one_worker_is_given_up_when_another_thing_is_wanted(tmp_path: Path, mount: Path) -> None:
    done = mount / "done"
    waits = f"__import__('time').sleep(0.05) for _ in iter(__import__('pathlib').Path({str(done)!r}).exists, True)"
    in_one_worker(mount, "2.0.1", f"[{waits}]")
    with server_process.serving(tmp_path / "log", environment=settings(mount)) as server:
        wait_until(server, is_ready)
        say(mount, "2.0.1", 1)
        wait_until(server, lambda status: bool(status["state"] == "loading" and (mount / "2.0.1").exists()))
        say(mount, "1.2.0", 2)
        status = server.wait_for_live("1.2.0", 2)
        assert (status["state"], status["failure"], status["ready"]) == ("serving", None, True)
        done.touch()
        say(mount, "2.0.0", 3)
        status = server.wait_for_live("2.0.0", 3)
        assert [(one["version"], one["revision"]) for one in status["workers"]] == [("2.0.0", 3)] * 2
        assert server.end() == 0


async def test_killed_workers_fail_nobody_but_their_own_callers_and_come_back_on_what_is_live(
    tmp_path: Path, mount: Path, row: Row, expected: Expected
) -> None:
    clients, kills = 6, 4
    chance = random.Random(7)
    killed: list[tuple[float, float]] = []  # from when until when each died
    with server_process.serving(tmp_path / "log", environment=settings(mount)) as server:
        await asyncio.to_thread(wait_until, server, is_ready)
        async with server_process.under_load(server.url, row, expected, clients, goes_on=True) as load:
            for revision in range(1, kills + 1):
                say(mount, "2.0.0" if revision % 2 else "1.2.0", revision)
                await asyncio.sleep(chance.uniform(0, 0.4))  # before, in and after the swap
                victim = chance.choice([pid for pid in pids(server.status()) if pid])
                dies = time.monotonic()
                os.kill(victim, signal.SIGKILL)
                await asyncio.to_thread(server.wait_for, functools.partial(has_ended, victim))
                killed.append((dies, time.monotonic()))
                over = functools.partial(is_over, revision, victim)
                status = await asyncio.to_thread(wait_until, server, over)
                live = status["live"]
                assert [(one["version"], one["revision"]) for one in status["workers"]] == [
                    (live["version"], live["revision"])
                ] * 2
                if live["revision"] != revision:  # the one that was killed was loading it
                    assert status["failure"]["reason"] == "CrashedWhileLoading"
        assert len(load.wrong) <= clients * kills
        for asked, said in load.wrong:
            assert said.startswith(("ServerDisconnectedError", "ClientOSError")), said  # as it waited, or as it wrote
            assert any(dies - 2.0 <= asked <= died for dies, died in killed)
        assert total(server, "worker_restarts_total", reason="SIGKILL") == kills
        assert load.answers.total() > 0
        assert await asyncio.to_thread(server.end) == 0


def test_a_worker_that_hangs_is_started_anew_and_a_load_that_kills_is_not_tried_again(
    tmp_path: Path, mount: Path, row: Row, expected: Expected
) -> None:
    (mount / "churn" / "3.0.0.pkl").write_bytes(pickle.dumps(Runs("__import__('os').abort()")))
    state = tmp_path / "state"
    state.mkdir()
    with server_process.serving(
        tmp_path / "log", environment=settings(mount, WORKER_TIMEOUT="10", STATE_DIR=str(state))
    ) as server:
        status = wait_until(server, is_ready)
        hangs, works = pids(status)
        silent = total(server, "worker_restarts_total", reason="Silent")
        os.kill(hangs, signal.SIGSTOP)
        server.wait_for(lambda: has_ended(hangs), STARTING)
        assert is_running(works)
        wait_until(server, lambda status: is_ready(status) and hangs not in pids(status))
        assert total(server, "worker_restarts_total", reason="Silent") == silent + 1
        say(mount, "3.0.0", 9)
        status = wait_until(server, lambda status: status["failure"] is not None and status["ready"])
        assert (status["failure"]["revision"], status["failure"]["reason"]) == (9, "CrashedWhileLoading")
        assert (status["live"]["version"], status["state"]) == ("1.2.0", "failed")
        marker = json.loads((state / "loading.json").read_bytes())
        assert (marker["loading"], marker["crashed"]) == (None, [9])
        restarts = total(server, "worker_restarts_total")
        answer = httpx.post(f"{server.url}/predict", json=row, timeout=30).json()
        assert (answer["prediction"], answer["model_version"]) == (expected["1.2.0"][0], "1.2.0")
        assert total(server, "worker_restarts_total") == restarts


def test_a_server_of_several_refuses_a_candidate_before_it_looks_at_it(tmp_path: Path, mount: Path) -> None:
    candidate = {"path": "churn/none", "version": "9.9.9", "percent": 5}
    move = {"path": "churn/1.2.0", "version": "1.2.0", "revision": 9, "trial": 60, "candidate": candidate}
    (mount / "targets" / "move").write_text(json.dumps(move))
    with server_process.serving(tmp_path / "log", environment=settings(mount)) as server:
        status = wait_until(server, lambda status: bool(status["failure"]))
    assert (status["failure"]["revision"], status["failure"]["reason"]) == (9, "CandidateRefused")


def test_no_worker_outlives_its_parent_and_none_that_lost_the_live_bytes_answers(
    tmp_path: Path, mount: Path, row: Row
) -> None:
    with server_process.serving(tmp_path / "log", environment=settings(mount)) as server:
        first, second = pids(wait_until(server, is_ready))
        manifest = mount / "churn" / "1.2.0" / "modelroll.json"
        manifest.write_bytes(manifest.read_bytes() + b"\n")
        os.kill(first, signal.SIGKILL)
        server.wait_for(lambda: server.get("/readyz").status_code == 503 or None)
        server.wait_for(lambda: True if "DigestMismatch" in server.get("/readyz").text else None, STARTING)
        with httpx.Client(timeout=30) as client:
            said = {client.post(f"{server.url}/predict", json=row).json()["model_version"] for _ in range(20)}
        assert said == {"1.2.0"}
        os.kill(second, signal.SIGSTOP)
        server.process.kill()
        server.process.wait()
        deadline = time.monotonic() + 60
        # The other one is being started again and again: it may end a moment later than one that runs.
        while (is_running(second) or not is_refused(server.port)) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not is_running(second)
        assert is_refused(server.port)


async def test_a_server_of_several_leaves_without_failing_who_asks_before_the_delay_ends(
    tmp_path: Path, mount: Path, row: Row, expected: Expected
) -> None:
    delay = 2.0
    environment = settings(mount, DRAIN_DELAY=str(delay), SHUTDOWN_TIMEOUT="4", LOAD="lazy")
    with (
        server_process.serving(tmp_path / "log", environment=environment) as server,
        contextlib.ExitStack() as connections,
    ):
        status = await asyncio.to_thread(wait_until, server, is_ready)
        assert status["live"] is None
        headers = {"x-request-timeout-ms": "120000"}
        first = await asyncio.to_thread(httpx.post, f"{server.url}/predict", json=row, headers=headers, timeout=120)
        assert first.json()["model_version"] == "1.2.0"
        everybody = [server.process.pid, *pids(server.status())]
        async with server_process.under_load(server.url, row, expected, clients=8) as load:
            began = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(server.wait_for_status, lambda status: status["state"] == "draining")
            answered = load.answers.total()
            while load.answers.total() < answered + 20:  # noqa: ASYNC110 - as it drains; nothing tells
                await asyncio.sleep(0.005)
            for pid in everybody:  # from here on the kernel alone takes connections
                os.kill(pid, signal.SIGSTOP)
            body = json.dumps(row).encode()
            request = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            waiting = [
                connections.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=60))
                for _ in range(200)
            ]
            for connection in waiting:
                connection.sendall(request)
            await asyncio.sleep(delay)
            for pid in everybody:
                os.kill(pid, signal.SIGCONT)

            def answers() -> list[bytes]:
                return [connection.recv(12) for connection in waiting]

            assert await asyncio.to_thread(answers) == [b"HTTP/1.1 200"] * len(waiting)
            connections.close()
            assert await asyncio.to_thread(server.process.wait, 60) == 0
        assert [text for asked, text in load.wrong if asked < began + delay] == []


@pytest.mark.parametrize("workers", ["0", "many", "-1", "1.5"])
def test_a_number_of_workers_that_cannot_be_is_refused_in_a_sentence(workers: str) -> None:
    command = [*server_process.COMMAND, ".", "--workers", workers]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert f"WORKERS (--workers) is {workers!r}, and may be auto or a number from 1 to 256" in done.stderr


def test_the_parent_imports_nothing_that_computes_models_or_speaks_to_callers() -> None:
    heavy = {"sklearn", "scipy", "pandas", "onnxruntime", "fastapi", "grpc", "modelroll_server.inference"}
    code = "import sys, modelroll_server.workers.parent; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert not heavy & set(done.stdout.split())
