"""What a run found, as JSON: every measurement as it came, with what it was measured on. Nothing derived.

Medians and ratios are made from this by `ratios`.
"""

from pathlib import Path

import msgspec

from benchmarks.machine import Machine, Source


class Errors(msgspec.Struct, frozen=True):
    """What was not an answer, counted by the load generator."""

    status: int = 0
    connect: int = 0
    read: int = 0
    write: int = 0
    timeout: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.status + self.connect + self.read + self.write + self.timeout


class Latency(msgspec.Struct, frozen=True):
    """Milliseconds from the request's first byte to the answer's last."""

    p50: float
    p90: float
    p99: float
    max: float


class Load(msgspec.Struct, frozen=True):
    """What one run of the load generator found."""

    answers: int
    """Answers of any status."""
    seconds: float
    errors: Errors
    latency_ms: Latency

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return max(0, self.answers - self.errors.status) / self.seconds


class Sample(msgspec.Struct, frozen=True):
    """One subject under one load in one round."""

    round: int
    subject: str
    model: str
    connections: int
    load: Load
    cpu_seconds: float
    """Processor time that the server and its children used meanwhile."""


class Start(msgspec.Struct, frozen=True):
    """One start of a server that nobody has asked yet."""

    round: int
    subject: str
    model: str
    ready_seconds: float
    """From the start of the process to the first answer that says ready."""
    ready_mib: float
    """Resident memory of it and its children when it says so."""
    answer_seconds: float
    """From the start of the process to the first prediction."""


class Reloads(msgspec.Struct, frozen=True):
    """One server that swaps between two versions under load."""

    model: str
    count: int
    failed: int
    """Requests that got no answer, or not a good one."""
    before_ms: Latency
    during_ms: Latency
    before_mib: list[float]
    """Resident memory after the warm-up and a load without reloads, looked at a few times."""
    mib: list[float]
    """The same after each reload."""
    seconds: float
    pause: float = 0.0
    """Seconds between the end of a reload and the beginning of the next."""


class Absent(msgspec.Struct, frozen=True):
    """A subject that was not measured, and why."""

    subject: str
    model: str
    reason: str


class Subject(msgspec.Struct, frozen=True):
    """What was compared, in a sentence, and the versions in an environment of its own."""

    name: str
    says: str
    versions: dict[str, str] = {}


class Run(msgspec.Struct):
    """One run of the benchmarks."""

    began: str
    """UTC, RFC 3339."""
    seconds: dict[str, float]
    """How long one load lasts, by number of connections."""
    machine: Machine
    source: Source
    versions: dict[str, str]
    subjects: list[Subject] = []
    absent: list[Absent] = []
    samples: list[Sample] = []
    starts: list[Start] = []
    reloads: list[Reloads] = []


def write(run: Run, file: Path) -> None:
    """As indented JSON, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_suffix(".new")
    temporary.write_bytes(msgspec.json.format(msgspec.json.encode(run), indent=1) + b"\n")
    temporary.replace(file)


def read(file: Path) -> Run:
    """What `write` wrote."""
    return msgspec.json.decode(file.read_bytes(), type=Run)
