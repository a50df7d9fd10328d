"""What a frozen Redis costs: latencies of rows never asked before, without a cache, and with a Redis that stops.

    python -m hack.requests.outage

The model takes 50 ms, so that a look-up has its whole budget of 20 ms. Nothing is kept in the server itself.
"""

import asyncio
import contextlib
import itertools
import pickle
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))  # servers are started as the tests start them

import redis_process  # noqa: E402
import server_process  # noqa: E402
from hack.requests.slow_model import SlowModel  # noqa: E402
from server_process import ServerProcess  # noqa: E402

MODEL_SECONDS = 0.05
CLIENTS = 4
SECONDS = 8.0  # of load in a phase
FREEZING = "frozen, until the breaker opens"
OUTAGES = 6  # each opens the breaker once


@dataclass
class Load:
    """What the clients saw: when each request began, and what it took, in seconds."""

    phase: str = ""
    took: dict[str, list[float]] = field(default_factory=dict)
    failed: int = 0
    ended: bool = False


async def main() -> None:
    """Measure, print."""
    with tempfile.TemporaryDirectory() as directory, redis_process.running(Path(directory)) as redis:
        place = Path(directory)
        (place / "slow.pkl").write_bytes(pickle.dumps(SlowModel(MODEL_SECONDS)))
        settings = {"ARTIFACT_POLICY": "any", "PYTHONPATH": str(ROOT)}
        with server_process.serving(place / "log", str(place / "slow.pkl"), environment=settings) as server:
            async with _load(server) as without:
                without.phase = "no cache"
                await asyncio.sleep(SECONDS)
        cached = {**settings, "CACHE_URL": redis.url, "CACHE_SIZE": "0"}
        with server_process.serving(place / "cached", str(place / "slow.pkl"), environment=cached) as server:
            async with _load(server) as load:
                load.phase = "Redis answers"
                await asyncio.sleep(SECONDS)
                for _ in range(OUTAGES):
                    load.phase = FREEZING
                    redis.freeze()
                    await _until(server, is_open=True)
                    load.phase = "frozen, breaker open"
                    await asyncio.sleep(SECONDS / OUTAGES)
                    load.phase = "Redis answers"
                    redis.thaw()
                    await _until(server, is_open=False)
    print(f"{'':<34}{'requests':>9}{'p50':>10}{'p99':>10}{'max':>10}   milliseconds; {CLIENTS} clients")
    for phase, took in {**without.took, **load.took}.items():
        shown = np.percentile(took, [50, 99, 100]) * 1000
        print(f"{phase:<34}{len(took):>9}" + "".join(f"{value:>10.1f}" for value in shown))
    print(f"failed requests: {without.failed + load.failed}")


@contextlib.asynccontextmanager
async def _load(server: ServerProcess) -> AsyncIterator[Load]:
    await asyncio.to_thread(server.wait_for_status, lambda status: status["live"] is not None)
    load = Load()
    numbers = itertools.count()

    async def client(session: aiohttp.ClientSession) -> None:
        while not load.ended:
            phase, began = load.phase, time.monotonic()
            body = {"x0": next(numbers) / 1e6, "x1": 0.5}
            async with session.post(f"{server.url}/predict", json=body) as answer:
                await answer.read()
            load.failed += answer.status != 200
            # Who was on the way when it froze, or when the breaker opened, paid for what lies between.
            phase = FREEZING if FREEZING in {phase, load.phase} else phase
            load.took.setdefault(phase, []).append(time.monotonic() - began)

    async with aiohttp.ClientSession() as session:
        load.phase = "warm-up"
        tasks = [asyncio.create_task(client(session)) for _ in range(CLIENTS)]
        await asyncio.sleep(1)
        try:
            yield load
        finally:
            load.ended = True
            await asyncio.gather(*tasks)
    del load.took["warm-up"]


async def _until(server: ServerProcess, *, is_open: bool) -> None:
    line = f"prediction_cache_breaker_open {float(is_open)}"
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"http://127.0.0.1:{server.management_port}/metrics") as answer:
                if line in await answer.text():
                    return
            await asyncio.sleep(0.005)


if __name__ == "__main__":
    asyncio.run(main())
