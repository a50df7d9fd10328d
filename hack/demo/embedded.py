"""The demo without a cluster: one server on a model's directory, which swaps versions as a new one appears."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from checker import ending, verdict

ROOT = Path(__file__).parents[2]
OLD, NEW = "1.2.0", "2.0.0"
RATE = 60  # requests a second
SECONDS = 8.0  # of load on either side of the swap
ENOUGH = 0.5  # of what was due: a slow machine may leave some out


def run() -> int:
    """Show it; 0 when no request failed."""
    with tempfile.TemporaryDirectory() as place:
        return _run(Path(place))


def _run(place: Path) -> int:
    models, rows, log = place / "churn", place / "rows.jsonl", place / "server.log"
    shutil.copytree(ROOT / "models" / "churn" / OLD, models / OLD)
    print("Asking scikit-learn itself what 500 customers get, to check every answer against…")
    command = [sys.executable, "models/churn/rows.py", "--count", "500"]
    rows.write_text(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout)
    print(f"$ modelroll serve {models} --port 0 --management-port 0 --grpc-port off")
    with log.open("wb") as file:
        serve = [str(Path(sys.executable).with_name("modelroll")), "serve", str(models)]
        flags = ["--host", "127.0.0.1", "--port", "0", "--management-port", "0", "--grpc-port", "off"]
        server = subprocess.Popen([*serve, *flags], stdout=file, stderr=file)
    try:
        listening = _wait(lambda: _listening(log), server, log)
        _wait(lambda: _live(listening["management_port"]) == OLD, server, log)
        print(f"Live: {OLD}. {RATE} requests a second, each answer checked.")
        return _swap_under_load(f"http://127.0.0.1:{listening['port']}", listening["management_port"], models, rows)
    finally:
        server.terminate()
        server.wait(60)


def _swap_under_load(url: str, management_port: int, models: Path, rows: Path) -> int:
    # Each writes to a file: a pipe that nobody reads would be full in seconds, and stop the load.
    outputs = [rows.with_name(f"client-{number}.jsonl") for number in range(2)]
    clients = [_client(url, rows, *one) for one in zip(("--keep-alive", "--no-keep-alive"), outputs, strict=True)]
    try:
        time.sleep(SECONDS)  # of steady load, to compare with
        print(f"$ cp -r models/churn/{NEW} {models}/.arriving && mv {models}/.arriving {models}/{NEW}")
        shutil.copytree(ROOT / "models" / "churn" / NEW, models / ".arriving")
        began = time.monotonic()
        legal = [(0.0, frozenset({OLD})), (time.time(), frozenset({OLD, NEW}))]
        (models / ".arriving").rename(models / NEW)
        while _live(management_port) != NEW:
            if time.monotonic() - began > 60:
                print(f"{NEW} did not go live within a minute", file=sys.stderr)
                return 1
            time.sleep(0.02)
        live = time.monotonic() - began
        legal.append((time.time(), frozenset({NEW})))  # one process: from here on, the old version is over
        time.sleep(SECONDS)
    finally:
        ended = [client.poll() for client in clients]  # by themselves: then they saw less than they should have
        for client in clients:
            client.communicate()  # the end of its input ends it
    records = [json.loads(line) for output in outputs for line in output.read_text().splitlines()]
    found = verdict.judge(records, legal)
    ending.draw(records, legal, found, legal[1][0])
    code = ending.end(found, {NEW: live}, (OLD, NEW))
    if min(found.by_version.values(), default=0) < ENOUGH * RATE * SECONDS:
        print("the load was not constant: a version answered too few requests to show anything", file=sys.stderr)
        return 1
    if any(code is not None for code in ended) or any(client.returncode for client in clients):
        print("a client ended before the load did", file=sys.stderr)
        return 1
    return code


def _client(url: str, rows: Path, flag: str, output: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(ROOT / "tests/checker/client.py"), "--url", url, "--rows", str(rows), flag]
    with output.open("wb") as file:
        return subprocess.Popen([*command, "--rate", str(RATE / 2)], stdin=subprocess.PIPE, stdout=file)


def _wait(what: Any, server: subprocess.Popen[bytes], log: Path) -> Any:
    deadline = time.monotonic() + 60
    while not (found := what()):
        if server.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"the server did not start:\n{log.read_text()}")
        time.sleep(0.05)
    return found


def _listening(log: Path) -> dict[str, Any] | None:
    lines = (json.loads(line) for line in log.read_text().splitlines() if line.startswith("{"))
    return next((line for line in lines if line.get("event") == "listening"), None)


def _live(management_port: int) -> str | None:
    with urllib.request.urlopen(f"http://127.0.0.1:{management_port}/status", timeout=10) as response:
        live = json.load(response)["live"]
    return None if live is None else live["version"]
