"""A load in a process of its own: real processes, and models that do the worst while they are loaded."""

import asyncio
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.waiting import wait_until
from modelroll_server import errors
from modelroll_server.artifact.policy import Policy
from modelroll_server.registry import trial
from modelroll_server.registry.target import Content
from modelroll_server.registry.terms import Terms
from modelroll_server.registry.trial import Trial
from modelroll_server.telemetry import memory

REPOSITORY = Path(__file__).parents[3]
LONG = 120.0


def _trial(root: Path = REPOSITORY, model: str | None = None) -> Trial:
    return Trial(Terms(root, Policy.ANY), model=lambda: model)


async def test_a_good_version_passes() -> None:
    await _trial(model="churn")(Content("1.2.0", "models/churn/1.2.0"), Content(path="models/churn/2.0.0"), LONG)


async def test_why_it_may_not_answer_is_said_as_in_the_process_that_answers() -> None:
    with pytest.raises(errors.GoldenRowsDiffer) as caught:
        await _trial()(Content("2.1.0", "tests/artifacts/churn/2.1.0"), None, LONG)
    assert "golden row" in caught.value.message
    assert caught.value.expected != caught.value.found
    with pytest.raises(errors.ModelMismatch) as other:
        await _trial(model="iris")(Content("1.2.0", "models/churn/1.2.0"), None, LONG)
    assert (other.value.expected, other.value.found) == ("iris", "churn")


class _Does:
    """Unpickled, it calls a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


async def _loading(path: Path, function: Callable[..., Any], *arguments: Any, seconds: float = LONG) -> None:
    (path / "model.pkl").write_bytes(pickle.dumps(_Does(function, *arguments)))
    await _trial(path)(Content(path="model.pkl"), None, seconds)


async def test_one_that_never_ends_is_ended(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(errors.LoadTimedOut, match=r"after 3 s") as caught:
        await _loading(tmp_path, time.sleep, 3600, seconds=3)
    assert caught.value.expected == 3
    assert time.monotonic() - began < 60


async def test_one_that_takes_all_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "left", lambda: 2**30)
    with pytest.raises(errors.NotEnoughMemory):
        await _loading(tmp_path, bytearray, 2**31)


@pytest.mark.parametrize("mebibytes", [0, 40, 64, 96])
async def test_where_hardly_any_memory_is_left_that_is_why(mebibytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "left", lambda: mebibytes * 2**20)
    with pytest.raises(errors.NotEnoughMemory):
        await _trial(model="churn")(Content("1.2.0", "models/churn/1.2.0"), None, LONG)


@pytest.mark.parametrize(
    ("function", "arguments", "end"),
    [(os.abort, (), "SIGABRT"), (signal.raise_signal, (signal.SIGKILL,), "SIGKILL"), (os._exit, (0,), "exit code 0")],
)
async def test_one_that_takes_its_process_down_takes_no_other(
    tmp_path: Path, function: Callable[..., Any], arguments: tuple[Any, ...], end: str
) -> None:
    with pytest.raises(errors.CrashedWhileLoading, match=end):
        await _loading(tmp_path, function, *arguments)


async def test_it_gives_way_to_those_who_answer(tmp_path: Path) -> None:
    with pytest.raises(errors.LoadError):  # what it becomes is no model
        await _loading(tmp_path, os.system, f"nice >{tmp_path}/niceness")
    assert int((tmp_path / "niceness").read_text()) >= trial.NICENESS == 10


async def test_what_it_prints_is_no_answer(tmp_path: Path) -> None:
    with pytest.raises(errors.LoadFailed):
        await _loading(tmp_path, print, '{"reason":null}')


async def test_what_a_load_leaves_running_keeps_nobody_waiting_and_ends_with_it(tmp_path: Path) -> None:
    program = f"""
import os, pathlib, time
if os.fork() == 0:
    pathlib.Path({str(tmp_path / "new")!r}).write_text(str(os.getpid()))
    os.rename({str(tmp_path / "new")!r}, {str(tmp_path / "pid")!r})
    time.sleep(3600)
while not os.path.exists({str(tmp_path / "pid")!r}):
    time.sleep(0.01)
"""
    with pytest.raises(errors.LoadFailed):
        await _loading(tmp_path, exec, program, {})
    left = int((tmp_path / "pid").read_text())
    await asyncio.to_thread(wait_until, lambda: _has_ended(left), 60)


SERVER = """
import asyncio, pathlib, sys
from modelroll_server.artifact.policy import Policy
from modelroll_server.registry.target import Content
from modelroll_server.registry.terms import Terms
from modelroll_server.registry.trial import Trial
asyncio.run(Trial(Terms(pathlib.Path(sys.argv[1]), Policy.ANY))(Content(path="model.pkl"), None, 120))
"""


def test_it_ends_with_a_server_that_is_killed(tmp_path: Path) -> None:
    program = f"""
import os, pathlib, time
pathlib.Path({str(tmp_path / "new")!r}).write_text(str(os.getpid()))
os.rename({str(tmp_path / "new")!r}, {str(tmp_path / "pid")!r})
time.sleep(3600)
"""
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(_Does(exec, program, {})))
    with subprocess.Popen([sys.executable, "-c", SERVER, str(tmp_path)]) as server:
        try:
            wait_until((tmp_path / "pid").exists, 60)
        finally:
            server.kill()
    trying = int((tmp_path / "pid").read_text())
    try:
        wait_until(lambda: _has_ended(trying), 30)
    finally:
        if not _has_ended(trying):
            os.kill(trying, signal.SIGKILL)


def test_it_does_nothing_for_a_server_that_is_dead_by_now() -> None:
    command = [sys.executable, "-m", trial.__name__, "0"]  # nobody's id
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, b"", b"")


def _has_ended(process: int) -> bool:
    try:
        return (Path("/proc") / str(process) / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
async def test_one_that_raises_what_ends_programs_is_refused_as_any_other(
    tmp_path: Path, error: type[BaseException]
) -> None:
    program = f"import asyncio; raise {error.__module__}.{error.__name__}".replace("builtins.", "")
    with pytest.raises(errors.LoadFailed, match=error.__name__):
        await _loading(tmp_path, exec, program, {})


async def test_one_that_is_given_up_leaves_no_process_behind(tmp_path: Path) -> None:
    before = _children()
    trying = asyncio.create_task(_loading(tmp_path, time.sleep, 3600))
    async with asyncio.timeout(60):
        while _children() == before:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)
        trying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await trying
    assert _children() == before


def _children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii").split())
