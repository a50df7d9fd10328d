"""A real server with its cache on: swaps, a Redis that dies and freezes under load, and no wrong answer."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

import both_runtimes
import redis_process
import server_process
from redis_process import RedisProcess
from server_process import ServerProcess

Expected = dict[str, tuple[Any, list[float]]]
CHURN = Path(__file__).parents[3] / "models" / "churn"
VERSIONS = ("1.2.0", "2.0.0")
PREFIX = "prediction_cache_"


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisProcess]:
    with redis_process.running(tmp_path) as server:
        yield server


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    """Models that scikit-learn computes: a compiled one answers before Redis could, and it is soon not asked."""
    root = tmp_path / "mount"
    (root / "churn").mkdir(parents=True)
    for version in VERSIONS:
        both_runtimes.uncompiled(CHURN / version, root / "churn" / version)
    return root


def environment(mount: Path, **more: str) -> dict[str, str]:
    fixed = {"MODEL_ROOT": str(mount), "MODEL_PATH": "churn/1.2.0", "TARGET_DIR": str(mount / "targets")}
    return {**fixed, "ARTIFACT_POLICY": "any", **more}


def move(mount: Path, version: str, revision: int) -> None:
    """Tell the server to serve another version."""
    targets = mount / "targets"
    targets.mkdir(exist_ok=True)
    (targets / ".new").write_text(json.dumps({"path": f"churn/{version}", "version": version, "revision": revision}))
    (targets / ".new").replace(targets / "move")


def counts(server: ServerProcess) -> dict[str, float]:
    """What the cache counted, by name and label."""
    found = {}
    for family in text_string_to_metric_families(server.get("/metrics").text):
        for sample in family.samples:
            if sample.name.startswith(PREFIX):
                found["_".join([sample.name.removeprefix(PREFIX).removesuffix("_total"), *sample.labels.values()])] = (
                    sample.value
                )
    return found


async def until(server: ServerProcess, name: str, value: float) -> None:
    """Look until a count is that."""
    await asyncio.to_thread(server.wait_for, lambda: counts(server)[name] == value or None)


async def until_more(server: ServerProcess, name: str, more: int = 1) -> None:
    """Look until a count is so much more than now."""
    now = counts(server)[name]
    await asyncio.to_thread(server.wait_for, lambda: counts(server)[name] >= now + more or None)


@pytest.mark.needs("redis")
@pytest.mark.parametrize("size", ["0", "64Mi"])
async def test_the_same_rows_never_get_an_old_versions_answer(
    tmp_path: Path, mount: Path, row: dict[str, Any], expected: Expected, redis: RedisProcess, size: str
) -> None:
    settings = environment(mount, CACHE_SIZE=size, CACHE_URL=redis.url, CACHE_KEY="secret")
    with server_process.serving(tmp_path / "log", environment=settings) as server:
        await asyncio.to_thread(server.wait_for_live, "1.2.0", 0)
        async with server_process.under_load(server.url, row, expected) as load:
            for revision in range(1, 7):
                version = "2.0.0" if revision % 2 else "1.2.0"
                move(mount, version, revision)
                await asyncio.to_thread(server.wait_for_live, version, revision)
                await until_more(server, "hits_redis" if size == "0" else "hits_memory")
        assert load.wrong == []
        assert set(load.answers) == {"1.2.0", "2.0.0"}
        assert counts(server)["errors_invalid"] == 0
        assert await asyncio.to_thread(server.end) == 0


@pytest.mark.needs("redis")
async def test_a_redis_that_freezes_and_dies_under_load_fails_nobody(
    tmp_path: Path, mount: Path, row: dict[str, Any], expected: Expected, redis: RedisProcess
) -> None:
    settings = environment(mount, CACHE_SIZE="0", CACHE_URL=redis.url)
    with server_process.serving(tmp_path / "log", environment=settings) as server:
        await asyncio.to_thread(server.wait_for_live, "1.2.0", 0)
        async with server_process.under_load(server.url, row, expected) as load:
            await until_more(server, "hits_redis")
            for end, begin in ((redis.freeze, redis.thaw), (redis.kill, redis.start)):
                end()
                await until(server, "breaker_open", 1)
                await until_more(server, "misses", 20)
                begin()
                await until(server, "breaker_open", 0)
                await until_more(server, "hits_redis")
        assert load.wrong == []
        assert {line["event"] for line in server.lines() if line["level"] == "error"} == set()
        assert await asyncio.to_thread(server.end) == 0


@pytest.mark.parametrize("setting", ["CACHE_URL=redis://127.0.0.1:1", "CACHE_SIZE=1Mi"])
def test_a_cache_needs_no_redis(tmp_path: Path, mount: Path, row: dict[str, Any], setting: str) -> None:
    name, _, value = setting.partition("=")
    with server_process.serving(tmp_path / "log", environment=environment(mount, **{name: value})) as server:
        server.wait_for_live("1.2.0", 0)
        answers = [httpx.post(f"{server.url}/predict", json=row) for _ in range(3)]
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1
        assert (counts(server)["hits_memory"], counts(server)["misses"]) == (2, 1)
        assert server.end() == 0


def test_a_cache_is_off_unless_it_is_asked_for(tmp_path: Path, mount: Path) -> None:
    with server_process.serving(tmp_path / "log", environment=environment(mount, CACHE_KEY="secret")) as server:
        assert counts(server) == {}
