"""Every kind of bad artifact, told to real servers as a rollout would: it answers nobody, and costs no pod."""

import asyncio
import json
import os
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

import server_process
from harness import bad_artifacts, spoiling
from harness.bad_artifacts import Case

Expected = dict[str, tuple[Any, list[float]]]
LONG, SHORT = 120.0, 2.0  # seconds of a trial; those that never end take all of them
ROOM = 3 * 2**29  # bytes that a server may take for itself, as a container's limit would say
TRIED = ("an unknown operator", "an input removed")  # though the server would survive it
KILLS_ITS_PARENT = Case(
    "ends the process that tries it",
    spoiling.running("import os, signal, time; os.kill(os.getppid(), signal.SIGKILL); time.sleep(3600)"),
    "CrashedWhileLoading",
    "the process died while it loaded revision",
    "process",
)


def known() -> list[Case]:
    """All kinds; root is refused no file."""
    return [case for case in bad_artifacts.CASES if os.geteuid() or case.reason != "ArtifactUnreadable"]


def environment(mount: Path, **more: str) -> dict[str, str]:
    """What a pod has."""
    targets = mount / "targets"
    targets.mkdir(exist_ok=True)
    fixed = {"MODEL_ROOT": str(mount), "MODEL_NAME": "churn", "TARGET_DIR": str(targets), "ARTIFACT_POLICY": "digest"}
    return {**fixed, "DRAIN_DELAY": "0.5", **more}


def tell(mount: Path, name: str, revision: int, case: Case, trial: float | None = None) -> None:
    """Make an artifact of that kind and write one of the three files, at once, as the operator has it written."""
    version = f"3.{revision}.0"
    spec = bad_artifacts.make(case, mount, version)
    document = {"version": version, "path": spec.path, "digest": spec.digest, "revision": revision}
    temporary = mount / "targets" / ".new"
    more = {"baseline": {"path": "churn/1.2.0"}, **({} if trial is None else {"trial": trial})}
    temporary.write_text(json.dumps({**document, **more}))
    temporary.replace(mount / "targets" / name)


def refused(server: server_process.ServerProcess, revision: int) -> dict[str, Any]:
    """Its `/status` once it says why it does not serve that revision."""

    def is_refused(status: dict[str, Any]) -> bool:
        return status["failure"] is not None and status["failure"]["revision"] == revision

    return server.wait_for_status(is_refused)


def told(case: Case, failure: dict[str, Any]) -> str | None:
    """How the reason differs from the one that it should have."""
    is_right = failure["reason"] == case.reason and case.says in failure["message"]
    return None if is_right else f"{failure['reason']}: {failure['message']}"


@asynccontextmanager
async def always_ready(port: int) -> AsyncIterator[list[str]]:
    """Asks as the kubelet does, and oftener; what was not right."""
    wrong: list[str] = []
    ended = asyncio.Event()

    async def ask() -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            while not ended.is_set():
                for path in ("/readyz", "/livez"):
                    answer = await client.get(path)
                    if answer.status_code != 200:
                        wrong.append(f"{path}: {answer.text}")
                await asyncio.sleep(0.1)

    asking = asyncio.create_task(ask())
    try:
        yield wrong
    finally:
        ended.set()
        await asking


async def test_none_takes_the_place_of_a_version_that_answers(
    tmp_path: Path, mount: Path, row: dict[str, Any], expected: Expected
) -> None:
    settings = environment(mount, MODEL_PATH="churn/1.2.0")
    with server_process.serving(tmp_path / "log", environment=settings) as server:
        await asyncio.to_thread(server.wait_for_live, "1.2.0")
        resource.prlimit(server.process.pid, resource.RLIMIT_DATA, (ROOM, ROOM))
        unlike = {}
        async with (
            server_process.under_load(server.url, row, expected, clients=2) as load,
            always_ready(server.management_port) as wrong,
        ):
            for revision, case in enumerate(known(), 1):
                trial = SHORT if case.harms == "time" else LONG
                is_tried = case.harms != "none" or case.name in TRIED
                await asyncio.to_thread(tell, mount, "move", revision, case, trial if is_tried else None)
                status = await asyncio.to_thread(refused, server, revision)
                assert (status["ready"], status["live"]["version"]) == (True, "1.2.0"), case.name
                unlike[case.name] = told(case, status["failure"])
        assert {name: found for name, found in unlike.items() if found} == {}
        assert load.wrong == []
        assert wrong == []
        assert load.answers.keys() == {"1.2.0"}
        # It still does what it is told, and a thread that one of them left behind does not keep it.
        (mount / "targets" / "move").write_text('{"version":"2.0.0","path":"churn/2.0.0","revision":999}')
        await asyncio.to_thread(server.wait_for_live, "2.0.0", 999)
        assert await asyncio.to_thread(server.end) == 0


def test_no_pod_that_starts_on_one_becomes_ready(tmp_path: Path, mount: Path) -> None:
    cases = [case for case in known() if case.harms == "none"]
    with server_process.serving(tmp_path / "log", environment=environment(mount)) as server:
        unlike = {}
        for revision, case in enumerate(cases, 1):
            tell(mount, "target", revision, case)
            status = refused(server, revision)
            assert (status["ready"], status["live"]) == (False, None), case.name
            assert (server.get("/readyz").status_code, server.get("/livez").status_code) == (503, 200), case.name
            unlike[case.name] = told(case, status["failure"])
        assert {name: found for name, found in unlike.items() if found} == {}
        (mount / "targets" / "target").write_text('{"version":"2.0.0","path":"churn/2.0.0","revision":999}')
        assert server.wait_for_live("2.0.0", 999)["ready"]


def test_a_pod_that_starts_on_one_and_dies_of_it_says_so_when_it_is_back(tmp_path: Path, mount: Path) -> None:
    case = next(one for one in known() if one.name == "killed, as the kernel does for want of memory")
    for each in starts_that_die(tmp_path, mount, "target", case, trial=None):
        status = refused(each, 1)
        assert (status["ready"], status["live"]) == (False, None)
        assert (probes(each), told(KILLS_ITS_PARENT, status["failure"])) == ((503, 200), None)


def test_one_that_kills_the_server_from_its_trial_is_not_tried_again(tmp_path: Path, mount: Path) -> None:
    """In a pod it cannot: the server is the first process there, which the kernel lets no other of it kill."""
    for each in starts_that_die(tmp_path, mount, "move", KILLS_ITS_PARENT, trial=60):
        status = refused(each, 1)
        assert told(KILLS_ITS_PARENT, status["failure"]) is None
        assert each.wait_for_live("1.2.0")["ready"]
        assert each.status()["failure"]["revision"] == 1


def starts_that_die(
    tmp_path: Path, mount: Path, name: str, case: Case, trial: float | None
) -> Iterator[server_process.ServerProcess]:
    """A server that was started anew, as a container is, after the one before died of that case."""
    state = tmp_path / "state"
    state.mkdir()
    settings = environment(mount, STATE_DIR=str(state), **({"MODEL_PATH": "churn/1.2.0"} if name == "move" else {}))
    with server_process.serving(tmp_path / "log-1", environment=settings) as server:
        if name == "move":
            server.wait_for_live("1.2.0")
        tell(mount, name, 1, case, trial)
        assert server.process.wait(60) == -9
    with server_process.serving(tmp_path / "log-2", environment=settings) as server:
        yield server


def probes(server: server_process.ServerProcess) -> tuple[int, int]:
    """What its probes say."""
    return server.get("/readyz").status_code, server.get("/livez").status_code


def test_the_page_lists_every_kind_beside_its_reason() -> None:
    page = (Path(__file__).parents[3] / "docs" / "rollouts.md").read_text()
    reasons: dict[str, list[str]] = {}
    for case in bad_artifacts.CASES:
        reasons.setdefault(case.reason, []).append(case.name)
    for reason, names in reasons.items():
        assert f"| `{reason}` | {', '.join(names)} |" in page
    assert f"\n{len(bad_artifacts.CASES)} kinds" in page
    assert f" {len(reasons)} reasons;" in page
