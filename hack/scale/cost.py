"""The figures of a run, as they are kept."""

import msgspec

from benchmarks.machine import Machine, Source

HEADER = """\
| Deployments × pods | work | seconds | CPU s | peak MiB | calls | of them, patches of pods | reads of `/status` |
| --- | --- | --- | --- | --- | --- | --- | --- |"""


class Cost(msgspec.Struct, frozen=True):
    """Of one piece of work.

    Attributes:
        deployments: How many are there.
        pods: Of each.
        work: What was done.
        seconds: From applying to the end, by the clock.
        cpu_seconds: Of the operator.
        peak_memory_mib: The most that the operator ever had, from its start to the end of this.
        status_reads: `GET /status`, of all pods.
        calls: To the API server, by verb and resource.
    """

    deployments: int
    pods: int
    work: str
    seconds: float
    cpu_seconds: float
    peak_memory_mib: float
    status_reads: int
    calls: dict[str, int]

    def row(self) -> str:
        """Of the table in docs/scale.md."""
        total, moves = sum(self.calls.values()), self.calls.get("patch pods", 0)
        return (
            f"| {self.deployments} × {self.pods:,} | {self.work} | {self.seconds:.1f} | {self.cpu_seconds:.2f} | "
            f"{self.peak_memory_mib:.0f} | {total:,} | {moves:,} | {self.status_reads:,} |"
        )


class Document(msgspec.Struct):
    """A run."""

    machine: Machine
    source: Source
    load_seconds: float
    costs: list[Cost]
