"""What a subject is: how it is started, how it is asked, how its answer is read, and what puts it under load.

A subject is added with one small class, named in `subjects.ALL`.
"""

import abc
import http.client
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from benchmarks import models, peers, places, process, results, wrk

SERVERS = places.BENCHMARKS / "servers"
JSON = {"content-type": "application/json"}


@dataclass(frozen=True)
class Request:
    """One HTTP POST."""

    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: JSON)

    def on_the_wire(self) -> bytes:
        """As a client with a kept connection sends it."""
        lines = [f"POST {self.path} HTTP/1.1", "host: 127.0.0.1", f"content-length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


class WrongAnswer(Exception):
    """An answer that is not what scikit-learn gives, or no answer."""


class Absent(Exception):
    """The subject does not serve this model, or is not installed; the message says which and why."""


class Subject(abc.ABC):
    """One server that serves one model, whatever it speaks."""

    name: ClassVar[str]
    says: ClassVar[str]
    """What it is and what it does with a request, in a sentence."""
    peer: ClassVar[str | None] = None
    """The name of its environment in peers.toml; None: the project's own."""

    tuned: ClassVar[bool] = False
    """Whether it is set up otherwise than it comes, and there is another of it that is not."""

    def absent(self, _model: models.Model) -> str | None:
        """Why it does not serve the model, if it does not."""
        return None if self.peer is None else peers.absent(self.peer)

    def port(self, ports: process.Ports) -> int:
        """The port that it is asked on."""
        return ports.main

    @abc.abstractmethod
    def command(self, model: models.Model, ports: process.Ports, scratch: Path) -> process.Command:
        """How it is started; `scratch` is an empty directory of its own, which it may fill."""

    @abc.abstractmethod
    def ask(self, port: int, model: models.Model, number: int) -> Any:
        """The label that it gives to that row.

        Raises:
            WrongAnswer: There was none.
        """

    @abc.abstractmethod
    def load(self, port: int, model: models.Model, connections: int, seconds: float, scratch: Path) -> results.Load:
        """Ask for the model's rows, one after another and again, over that many connections."""

    def check(self, port: int, model: models.Model, number: int) -> None:
        """Ask for a row.

        Raises:
            WrongAnswer: The label is not scikit-learn's.
        """
        label, expected = self.ask(port, model, number), model.expected[number]
        if label != expected:
            raise WrongAnswer(f"row {number}: {label!r} where scikit-learn says {expected!r}")

    @property
    def python(self) -> str:
        """The interpreter of its environment."""
        if self.peer is None:
            return sys.executable
        return str(peers.place(self.peer) / "bin" / "python")

    def environment(self, **more: str) -> dict[str, str]:
        """A clean environment: nothing of the caller's that a server might read; one thread a computation."""
        kept = {
            name: value for name, value in os.environ.items() if name in {"HOME", "LANG", "TMPDIR", "XDG_CACHE_HOME"}
        }
        path = os.pathsep.join([str(Path(self.python).parent), os.environ["PATH"]])
        return {**kept, "PATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **more}


class HttpSubject(Subject):
    """One that speaks HTTP: it says what a row looks like on the wire and where the label stands in the answer."""

    @abc.abstractmethod
    def request(self, model: models.Model, row: models.Row) -> Request:
        """The request for one row."""

    @abc.abstractmethod
    def label(self, answer: Any) -> Any:
        """The label within the decoded JSON of an answer."""

    def ask(self, port: int, model: models.Model, number: int) -> Any:
        """See Subject."""
        request = self.request(model, model.rows[number])
        connection = self.connect(port)
        try:
            connection.request("POST", request.path, request.body, dict(request.headers))
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise WrongAnswer(f"row {number}: {error!r}") from error
        finally:
            connection.close()
        if response.status != 200:
            raise WrongAnswer(f"row {number}: status {response.status}: {body[:300]!r}")
        return self.label(msgspec.json.decode(body))

    def connect(self, port: int) -> http.client.HTTPConnection:
        """A connection to its port."""
        return http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def load(self, port: int, model: models.Model, connections: int, seconds: float, scratch: Path) -> results.Load:
        """See Subject."""
        file = scratch / "requests"
        if not file.exists():
            wrk.write_requests(file, (self.request(model, row).on_the_wire() for row in model.rows))
        return wrk.run(port, file, connections, seconds)


def named_or_listed(model: models.Model, row: models.Row) -> bytes:
    """The tutorials' body: one object of named features; `features` with a list where the model has no names."""
    return msgspec.json.encode(row if model.named else {"features": list(row.values())})
