"""Which connections pods really made, as the node's connection table has them: past Services, at the ports of pods."""

import re
import shutil
from dataclasses import dataclass

from harness.cluster import Namespace, Object, run

_FIELDS = re.compile(r"\b(src|dst|sport|dport)=(\S+)")


@dataclass(frozen=True)
class Flow:
    """One connection: who opened it, and who took it, after a Service's address was replaced.

    Attributes:
        protocol: TCP or UDP.
        source: Address of who opened it.
        source_port: By which it is told from those of a pod that had the address before.
        target: Address of who took it.
        port: The one that it was taken at.
    """

    protocol: str
    source: str
    source_port: int
    target: str
    port: int


def seen() -> set[Flow]:
    """All that the node knows of: open ones, and those that ended in the last two minutes."""
    command = shutil.which("conntrack") or "/usr/sbin/conntrack"
    return {flow for line in run(command, "-L").splitlines() if (flow := _parsed(line)) is not None}


def _parsed(line: str) -> Flow | None:
    protocol = line.split(maxsplit=1)[0].upper()
    fields = _FIELDS.findall(line)
    if protocol not in {"TCP", "UDP"} or len(fields) != 8:
        return None
    asked, answered = dict(fields[:4]), dict(fields[4:])
    return Flow(protocol, asked["src"], int(asked["sport"]), answered["src"], int(answered["sport"]))


class Pods:
    """Labels of the pods of a namespace by address, of those that are gone, too."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace
        self.labels: dict[str, dict[str, str]] = {}

    def look(self) -> None:
        """Take up those that are there now."""
        for pod in self._namespace.items("pods"):
            address = _address(pod)
            if address is not None:
                self.labels[address] = pod["metadata"]["labels"]


def _address(pod: Object) -> str | None:
    found: str | None = pod["status"].get("podIP")
    return found
