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
SECONDS = 2.0  # of load in a phase, each time
WARM_UP = ""
FREEZING = "frozen, until the breaker opens"
OUTAGES = 24  # each opens the breaker once


@dataclass
class Load:
    """What the clients do, and what they saw: seconds of each request, by phase."""

    url: str = ""
    phase: str = WARM_UP
    took: dict[str, list[float]] = field(default_factory=dict)
    failed: int = 0
    ended: bool = False


async def main() -> None:
    """Measure, print."""
    with tempfile.TemporaryDirectory() as directory, redis_process.running(Path(directory)) as redis:
        place = Path(directory)
        model = place / "slow.pkl"
        model.write_bytes(pickle.dumps(SlowModel(MODEL_SECONDS)))
        plain = {"ARTIFACT_POLICY": "any", "PYTHONPATH": str(ROOT)}
        cached = {**plain, "CACHE_URL": redis.url, "CACHE_SIZE": "0"}
        with (
            server_process.serving(place / "without", str(model), environment=plain) as without,
            server_process.serving(place / "with", str(model), environment=cached) as server,
        ):
            for one in (without, server):
                await _live(one)
            async with _load(without.url) as load:
                await asyncio.sleep(1)
                load.url = server.url
                await asyncio.sleep(1)
                # In turns, so that what else the machine does falls on all phases alike.
                for _ in range(OUTAGES):
                    load.phase, load.url = "no cache", without.url
                    await asyncio.sleep(SECONDS)
                    load.phase, load.url = "Redis answers", server.url
                    await asyncio.sleep(SECONDS)
                    load.phase = FREEZING
                    redis.freeze()
                    await _until(server, is_open=True)
                    load.phase = "frozen, breaker open"
                    await asyncio.sleep(SECONDS)
                    load.phase = WARM_UP
                    redis.thaw()
                    await _until(server, is_open=False)
    print(f"{'':<34}{'requests':>9}{'p50':>10}{'p99':>10}{'max':>10}   milliseconds; {CLIENTS} clients")
    for phase in ("no cache", "Redis answers", FREEZING, "frozen, breaker open"):
        shown = np.percentile(load.took[phase], [50, 99, 100]) * 1000
        print(f"{phase:<34}{len(load.took[phase]):>9}" + "".join(f"{value:>10.1f}" for value in shown))
    print(f"failed requests: {load.failed}")


async def _live(server: ServerProcess) -> None:
    def look() -> bool | None:
        return server.status()["live"] is not None or None

    await asyncio.to_thread(server.wait_for, look, 300.0)


@contextlib.asynccontextmanager
async def _load(url: str) -> AsyncIterator[Load]:
    load = Load(url)
    numbers = itertools.count()

    async def client(session: aiohttp.ClientSession) -> None:
        while not load.ended:
            phase, began = load.phase, time.monotonic()
            body = {"x0": next(numbers) / 1e6, "x1": 0.5}
            async with session.post(f"{load.url}/predict", json=body) as answer:
                await answer.read()
            load.failed += answer.status != 200
            # Who was on the way when it froze, or when the breaker opened, paid for what lies between.
            phase = FREEZING if FREEZING in {phase, load.phase} else phase
            load.took.setdefault(phase, []).append(time.monotonic() - began)

    async with aiohttp.ClientSession() as session:
        tasks = [asyncio.create_task(client(session)) for _ in range(CLIENTS)]
        try:
            yield load
        finally:
            load.ended = True
            await asyncio.gather(*tasks)


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
