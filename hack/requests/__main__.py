"""The same requests to a model that takes a second, with the cache or without: a table of how long each took."""

import argparse
import concurrent.futures
import contextlib
import pickle
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))  # servers are started as the tests start them

import redis_process  # noqa: E402
import server_process  # noqa: E402
from hack.requests.slow_model import SlowModel  # noqa: E402

ROWS = [{"x0": 0.1 * number, "x1": 0.5} for number in range(1, 6)]
AT_ONCE = 10
TIMES = 3


def main() -> int:
    """Serve, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--cache", action="store_true", help="keep answers in the server, and in Redis where there is one"
    )
    with_cache = parser.parse_args().cache
    with tempfile.TemporaryDirectory() as directory, _redis(Path(directory), with_cache=with_cache) as url:
        place = Path(directory)
        (place / "slow.pkl").write_bytes(pickle.dumps(SlowModel()))
        settings = {"ARTIFACT_POLICY": "any", "PYTHONPATH": str(ROOT)}
        if with_cache:
            settings |= {"CACHE_SIZE": "64Mi"} | ({"CACHE_URL": url} if url else {})
        shown = " ".join(f"{name}={value}" for name, value in settings.items() if name.startswith("CACHE_"))
        print(f"A model that takes a second. $ {shown or '(no cache)'} modelroll serve slow.pkl\n")
        with _serving(place, settings) as ask:
            _table(ask)
        if url:
            with _serving(place, settings) as ask:
                print("\nA new server, and the same Redis:")
                print("  " + "".join(f"{_timed(ask, row):>12}" for row in ROWS))
    return 0


def _table(ask: Callable[[dict[str, float]], None]) -> None:
    print("  " + "".join(f"{f'row {number}':>12}" for number in range(1, len(ROWS) + 1)))
    for time_ in range(1, TIMES + 1):
        print("  " + "".join(f"{_timed(ask, row):>12}" for row in ROWS) + f"   asked the {time_}. time")
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(ask, [{"x0": 0.9, "x1": 0.9}] * AT_ONCE))
    print(f"\n  {AT_ONCE} requests for one new row at once: {_shown(time.monotonic() - began)} for all of them")


@contextlib.contextmanager
def _serving(place: Path, settings: dict[str, str]) -> Iterator[Callable[[dict[str, float]], None]]:
    with (
        server_process.serving(place / "log", str(place / "slow.pkl"), environment=settings) as server,
        httpx.Client(limits=httpx.Limits(max_keepalive_connections=AT_ONCE), timeout=30) as client,
    ):
        server.wait_for(lambda: server.status()["live"] is not None or None, 300)

        def ask(row: dict[str, float]) -> None:
            client.post(f"{server.url}/predict", json=row).raise_for_status()

        client.get(f"{server.url}/health")  # the connection is there before the first request is timed
        yield ask
        server.end()
    (place / "log").unlink()


@contextlib.contextmanager
def _redis(directory: Path, *, with_cache: bool) -> Iterator[str]:
    """The URL of a Redis of our own; empty without one."""
    if not with_cache:
        yield ""
    elif redis_process.command() is None:
        print("There is no redis-server or valkey-server here: answers are kept in the server alone.")
        yield ""
    else:
        with redis_process.running(directory) as redis:
            yield redis.url


def _timed(ask: Callable[[dict[str, float]], None], row: dict[str, float]) -> str:
    began = time.monotonic()
    ask(row)
    return _shown(time.monotonic() - began)


def _shown(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 0.1 else f"{seconds * 1000:.1f} ms"


if __name__ == "__main__":
    sys.exit(main())
