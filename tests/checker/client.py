"""A client that checks every answer: constant load on `POST /predict`, one JSON line per request on stdout.

One program that needs only Python and aiohttp, so that it runs on a laptop and, as it is, in a pod. It sends each
request once: nothing is retried (aiohttp itself retries idempotent methods only, and POST is none), no redirect is
followed. With --resend-cut a request whose connection was refused, never came about, or was cut before the answer was
there, as when a process is killed, is sent once more after so many seconds, and says when it was cut, and by what
("cut", as time.time() has it, "cut_by"): who judges knows whether it may have been. Every request sent is one line,
whatever came back: an answer that cannot be checked is a failure. It ends after `--seconds`, at the end of its standard
input, or at SIGTERM, and says on stderr when it sent less than its rate.

    python client.py --url http://churn:8000 --rows rows.jsonl --rate 25 --seconds 60 [--no-keep-alive]
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import signal
import sys
import time
from typing import Any

import aiohttp

TOLERANCE = 1e-6  # of a probability
PATIENCE = 1.0  # seconds behind its schedule after which requests are left out instead of made up for

Json = dict[str, Any]


def fault(answer: Any, headers: Any, expected: dict[str, Json]) -> str | None:
    """What is wrong with an answer, held against what each version ought to say; None when nothing is."""
    if not isinstance(answer, dict):
        return f"not an object: {answer}"
    version = answer.get("model_version")
    if headers.get("X-Model-Version") != version:
        return f"header says {headers.get('X-Model-Version')}, body says {version}"
    if version not in expected:
        return f"nobody knows version {version}"
    right = expected[version]
    if answer.get("prediction") != right["prediction"]:
        return f"{version} predicts {right['prediction']}, got {answer.get('prediction')}"
    given = answer.get("probability")
    if not isinstance(given, list) or any(type(one) not in (int, float) for one in given):
        return f"expected {len(right['probability'])} probabilities, got {given}"
    if len(given) != len(right["probability"]):
        return f"expected {len(right['probability'])} probabilities, got {len(given)}"
    # "Not within" instead of "beyond": NaN is neither, and Python's parser lets it through.
    if not all(abs(one - other) <= TOLERANCE for one, other in zip(given, right["probability"], strict=True)):
        return f"{version} says {right['probability']}, got {given}"
    return None


async def ask(
    session: aiohttp.ClientSession, url: str, body: bytes, expected: dict[str, Json], *, resend_cut: float | None = None
) -> Json:
    """Send one request, and say what came of it."""
    record = await ask_once(session, url, body, expected)
    if resend_cut is None or record["cut"] is None:
        return record
    await asyncio.sleep(resend_cut)  # as clients do that back off: until then it may meet the dead process again
    return await ask_once(session, url, body, expected) | {"cut": record["cut"], "cut_by": record["error"]}


async def ask_once(session: aiohttp.ClientSession, url: str, body: bytes, expected: dict[str, Json]) -> Json:
    """The same, without a second try."""
    record: Json = {"start": time.time(), "version": None, "digest": None, "status": None, "error": None, "cut": None}
    headers = {"Content-Type": "application/json"}
    began = time.perf_counter()
    try:
        async with session.post(f"{url}/predict", data=body, headers=headers, allow_redirects=False) as response:
            record["status"] = response.status
            record["digest"] = response.headers.get("X-Model-Digest")
            if response.status != 200:
                record["error"] = f"status {response.status}: {await response.text()}"
            else:
                wrong = fault(await response.json(content_type=None), response.headers, expected)
                record["version"] = response.headers.get("X-Model-Version")
                record["error"] = None if wrong is None else f"wrong: {wrong}"
    except Exception as error:  # noqa: BLE001  a request that leaves no record would be a failure that nobody counts
        record["error"] = f"{type(error).__name__}: {error}"
        if isinstance(error, aiohttp.ClientConnectionError | ConnectionError):
            record["cut"] = time.time()
    record["end"] = time.time()
    record["ms"] = (time.perf_counter() - began) * 1000
    record["ok"] = record["error"] is None
    return record


async def load(arguments: argparse.Namespace, stop: asyncio.Event) -> None:
    """Send requests at a constant rate, whether or not the answers keep up, until told to stop."""
    with open(arguments.rows, encoding="utf-8") as file:  # noqa: ASYNC230, PTH123  before anything runs
        rows = [json.loads(line) for line in file]
    bodies = itertools.cycle([(json.dumps(row["row"]).encode(), row["expected"]) for row in rows])
    slots = asyncio.Semaphore(arguments.connections)
    # force_close: a connection for each request. Otherwise they are kept, as clients in services do.
    connector = aiohttp.TCPConnector(limit=arguments.connections, force_close=not arguments.keep_alive)
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()

    async def one(session: aiohttp.ClientSession, body: bytes, expected: dict[str, Json]) -> None:
        try:
            record = await ask(session, arguments.url, body, expected, resend_cut=arguments.resend_cut)
            sys.stdout.write(json.dumps(record) + "\n")
        finally:
            slots.release()

    left_out = 0.0
    # A pod that is gone with its network answers nothing, not even that nobody listens.
    timeout = aiohttp.ClientTimeout(total=arguments.timeout, sock_connect=arguments.connect_timeout)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        due = loop.time()
        end = due + arguments.seconds
        while not stop.is_set() and loop.time() < end:
            body, expected = next(bodies)
            await slots.acquire()
            task = asyncio.create_task(one(session, body, expected))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            due += 1 / arguments.rate
            behind = loop.time() - PATIENCE - due
            if behind > 0:
                left_out += behind * arguments.rate
                due += behind
            sys.stdout.flush()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await stop.wait()
        await asyncio.gather(*tasks)
    sys.stdout.flush()
    if left_out >= 1:
        sys.stderr.write(f"fell behind: {left_out:.0f} requests that were due were not sent\n")


async def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--rows", required=True)
    parser.add_argument("--rate", type=float, default=20.0, help="requests a second")
    parser.add_argument("--connections", type=int, default=16, help="requests under way at once, at most")
    parser.add_argument("--timeout", type=float, default=10.0, help="seconds after which a request has failed")
    parser.add_argument("--connect-timeout", type=float, help="seconds that a connection may take of them; else all")
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument(
        "--resend-cut", type=float, help="send once more, after so many seconds, what a cut connection left unanswered"
    )
    parser.add_argument("--keep-alive", action=argparse.BooleanOptionalAction, default=True)
    arguments = parser.parse_args()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)

    def read_input() -> None:
        if not sys.stdin.buffer.raw.read(1024):  # type: ignore[union-attr]
            loop.remove_reader(sys.stdin)
            stop.set()

    with contextlib.suppress(OSError, ValueError):  # a regular file or /dev/null cannot be waited for
        loop.add_reader(sys.stdin, read_input)
    await load(arguments, stop)


if __name__ == "__main__":
    asyncio.run(main())
