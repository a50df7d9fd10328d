"""HTTP load: wrk on the load's core. Owns the file of requests and the reading of what wrk prints."""

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import msgspec

from benchmarks import machine, places, results

SCRIPT = places.BENCHMARKS / "wrk.lua"
HOW_TO = "wrk is not there: apt-get install wrk (Debian, Ubuntu), brew install wrk, or https://github.com/wg/wrk"
TIMEOUT_SECONDS = 10


class Missing(Exception):
    """The load generator is not installed; the message says how to get it."""


class Unreadable(Exception):
    """The load generator failed, or printed something else."""


def check() -> None:
    """See that it is there.

    Raises:
        Missing: It is not.
    """
    if shutil.which("wrk") is None:
        raise Missing(HOW_TO)


def write_requests(file: Path, requests: Iterable[bytes]) -> None:
    """Whole HTTP requests, each after a line with its length, as wrk.lua reads them."""
    file.write_bytes(b"".join(b"%d\n%b" % (len(request), request) for request in requests))


def run(
    port: int, requests: Path, connections: int, seconds: float, *, scheme: str = "http", rest: int = 0
) -> results.Load:
    """Ask over that many kept connections, each with one request at a time, as fast as the answers come.

    Args:
        port: The server's.
        requests: What `write_requests` wrote.
        connections: How many.
        seconds: How long.
        scheme: http, or https with any certificate.
        rest: Milliseconds that each connection waits before each request, on average.

    Raises:
        Unreadable: wrk failed.
    """
    _, core = machine.cores()
    command = ["wrk", "--threads", "1", "--connections", str(connections), "--duration", f"{seconds:.0f}s"]
    command += ["--timeout", f"{TIMEOUT_SECONDS}s", "--script", str(SCRIPT), f"{scheme}://127.0.0.1:{port}", "--"]
    said = subprocess.run(
        machine.on_core(core, [*command, str(requests), str(rest)]), capture_output=True, text=True, check=False
    )
    if said.returncode:
        raise Unreadable(f"wrk failed:\n{said.stdout}{said.stderr}")
    return parse(said.stdout)


def parse(printed: str) -> results.Load:
    """The one line of JSON within what wrk prints.

    Raises:
        Unreadable: It is not there.
    """
    line = next((line for line in printed.splitlines() if line.startswith('{"answers"')), None)
    if line is None:
        raise Unreadable(f"wrk printed no result:\n{printed}")
    return msgspec.json.decode(line, type=results.Load)
