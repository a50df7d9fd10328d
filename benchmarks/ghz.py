"""gRPC load: ghz on the load's core, a client that is not Python; what it is given, and the reading of its report."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from benchmarks import machine, places, results
from benchmarks.wrk import Missing, Unreadable

PACKAGE = "github.com/bojand/ghz/cmd/ghz@v0.93.0"
HOW_TO = f"ghz is not there: python -m benchmarks setup makes it with Go (go install {PACKAGE})"
TIMEOUT_SECONDS = 10


@dataclass(frozen=True)
class Call:
    """A method, and the messages that it is called with, one after another and then again.

    Attributes:
        proto: The file that describes it.
        method: `package.Service/Method`.
        messages: As JSON.
        stream: Whether one call is a stream of all messages, not one of them. Answers are then counted by message,
            and latency is of a whole stream.
    """

    proto: Path
    method: str
    messages: Sequence[dict[str, Any]]
    stream: bool = False


class _At(msgspec.Struct):
    percentage: float
    latency: int


class _Report(msgspec.Struct, rename="camel"):
    """What is read of ghz's report; times are in nanoseconds."""

    count: int
    total: int
    slowest: int = 0
    status_code_distribution: dict[str, int] = {}
    latency_distribution: list[_At] | None = None


def tool() -> Path:
    """Where it is, or is put."""
    return places.cache() / "tools" / "ghz"


def set_up() -> str | None:
    """Make it with Go; the reason when that fails."""
    if tool().exists():
        print(f"ghz: there, {tool()}", flush=True)
        return None
    if shutil.which("go") is None:
        return "ghz is made with Go, which is not there: see https://go.dev/doc/install"
    print(f"ghz: go install {PACKAGE} into {tool().parent}", flush=True)
    environment = {"GOBIN": str(tool().parent)}
    said = subprocess.run(
        ["nice", "env", *(f"{name}={value}" for name, value in environment.items()), "go", "install", PACKAGE],
        capture_output=True,
        text=True,
        check=False,
    )
    return said.stderr.strip() if said.returncode else None


def run(port: int, call: Call, connections: int, seconds: float, scratch: Path) -> results.Load:
    """Call as fast as the answers come, over that many connections, each with one call at a time.

    Raises:
        Missing: ghz is not there.
        Unreadable: It failed.
    """
    if not tool().exists():
        raise Missing(HOW_TO)
    file = scratch / "messages.json"
    if not file.exists():
        file.write_text(json.dumps(list(call.messages)))
    _, core = machine.cores()
    command = [str(tool()), "--insecure", "--proto", str(call.proto), "--call", call.method, "--data-file", str(file)]
    command += ["--concurrency", str(connections), "--connections", str(connections), "--duration", f"{seconds:g}s"]
    command += ["--duration-stop", "wait", "--timeout", f"{TIMEOUT_SECONDS}s", "--format", "json", f"127.0.0.1:{port}"]
    said = subprocess.run(machine.on_core(core, command), capture_output=True, text=True, check=False)
    if said.returncode:
        raise Unreadable(f"ghz failed:\n{said.stdout}{said.stderr}")
    load = parse(said.stdout)
    return msgspec.structs.replace(load, answers=load.answers * len(call.messages)) if call.stream else load


def parse(printed: str) -> results.Load:
    """The report as a load.

    Raises:
        Unreadable: It is no report.
    """
    try:
        report = msgspec.json.decode(printed, type=_Report)
    except msgspec.MsgspecError as error:
        raise Unreadable(f"ghz printed no report: {error}\n{printed[:500]}") from error
    at = {one.percentage: one.latency / 1e6 for one in report.latency_distribution or []}
    good = report.status_code_distribution.get("OK", 0)
    late = report.status_code_distribution.get("DeadlineExceeded", 0)
    return results.Load(
        answers=report.count - late,
        seconds=report.total / 1e9,
        errors=results.Errors(status=report.count - good - late, timeout=late),
        latency_ms=results.Latency(at.get(50, 0.0), at.get(90, 0.0), at.get(99, 0.0), report.slowest / 1e6),
    )
