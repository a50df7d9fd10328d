"""What TLS and tokens cost: the same server with neither, with one of them, with both, in turns.

Connections are kept, as clients and proxies keep them: a handshake is no part of what is measured.
"""

import contextlib
import dataclasses
import http.client
import ssl
import statistics
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import models, process, results, rounds, wrk
from benchmarks.subjects import base, ours

CONNECTIONS = (1, 64)
WINDOW_SECONDS = 3
TURNS = 5
TOKEN = "token-of-a-benchmark-0123456789"  # noqa: S105 - of nothing else
CALLERS = 10  # each with two tokens, of which all are compared


class Guarded(ours.Compiled):
    """modelroll, compiled, with what is asked for."""

    def __init__(self, name: str, settings: Mapping[str, str]) -> None:
        self.name = name  # type: ignore[misc] # one class, several of it
        self._settings = settings

    def command(self, model: models.Model, ports: process.Ports, scratch: Path) -> process.Command:
        """See Subject."""
        command = super().command(model, ports, scratch)
        return dataclasses.replace(command, environment={**command.environment, **self._settings})

    def request(self, model: models.Model, row: models.Row) -> base.Request:
        """With a token, where one is asked for."""
        asked = super().request(model, row)
        shown = {"authorization": f"Bearer {TOKEN}"} if "TOKENS_DIR" in self._settings else {}
        return dataclasses.replace(asked, headers={**asked.headers, **shown})

    def connect(self, port: int) -> http.client.HTTPConnection:
        """Over TLS, where that is spoken."""
        if "TLS_DIR" not in self._settings:
            return super().connect(port)
        return http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=ssl._create_unverified_context())  # noqa: S323, SLF001 - its own

    def load(self, port: int, model: models.Model, connections: int, seconds: float, scratch: Path) -> results.Load:
        """See Subject."""
        file = scratch / "requests"
        if not file.exists():
            wrk.write_requests(file, (self.request(model, row).on_the_wire() for row in model.rows))
        return wrk.run(port, file, connections, seconds, scheme="https" if "TLS_DIR" in self._settings else "http")


@dataclass(frozen=True)
class Cost:
    """At one number of connections, medians over the turns.

    Attributes:
        name: What the server had.
        connections: How many.
        rate: Answers a second.
        ratio: The same to that of the server with neither, within each turn.
        cpu: Microseconds of processor time that the server takes for an answer; others on the machine do not change it.
        p99: Milliseconds.
        failed: Requests without a good answer.
    """

    name: str
    connections: int
    rate: float
    ratio: float
    cpu: float
    p99: float
    failed: int


def measure(name: str) -> list[Cost]:
    """The costs, by number of connections."""
    model = models.open_model(name)
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as up:
        tls, tokens = _files(Path(place))
        settings = {"neither": {}, "tokens": tokens, "TLS": tls, "both": {**tls, **tokens}}
        subjects = [Guarded(each, given) for each, given in settings.items()]
        ready = [(one, *up.enter_context(rounds.ready(one, model))) for one in subjects]
        found = []
        for connections in CONNECTIONS:
            loads: dict[str, list[results.Load]] = {one.name: [] for one in subjects}
            cpu: dict[str, list[float]] = {one.name: [] for one in subjects}
            for _ in range(TURNS):
                for one, server, port, scratch in ready:
                    used = server.cpu_seconds()
                    load = one.load(port, model, connections, WINDOW_SECONDS, scratch)
                    loads[one.name].append(load)
                    cpu[one.name].append((server.cpu_seconds() - used) / max(1, load.answers))
            for each, those in loads.items():
                pairs = zip(those, loads["neither"], strict=True)
                found.append(
                    Cost(
                        name=each,
                        connections=connections,
                        rate=statistics.median(load.rate for load in those),
                        ratio=statistics.median(load.rate / plain.rate for load, plain in pairs),
                        cpu=statistics.median(cpu[each]) * 1e6,
                        p99=statistics.median(load.latency_ms.p99 for load in those),
                        failed=sum(load.errors.total for load in those),
                    )
                )
        return found


def _files(place: Path) -> tuple[dict[str, str], dict[str, str]]:
    """What the server is told, for TLS and for tokens."""
    tls, tokens = place / "tls", place / "tokens"
    tls.mkdir()
    tokens.mkdir()
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-subj", "/CN=localhost", "-days", "2", "-keyout", str(tls / "tls.key"), "-out", str(tls / "tls.crt")]
    subprocess.run(command, check=True, capture_output=True)
    for number in range(CALLERS):
        own = TOKEN if number == CALLERS // 2 else f"{TOKEN}-{number}"
        (tokens / f"caller-{number}").write_text(f"{own}\n{TOKEN}-before-{number}\n")
    return {"TLS_DIR": str(tls)}, {"TOKENS_DIR": str(tokens)}
