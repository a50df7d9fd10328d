"""The control plane of a run, and the processes that stand before it: the stand-in for pods, the operator.

Owns starting and ending them. Each run has its own, in a directory of its own, on ports of its own.
"""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import yaml

from harness import cluster, operators

HERE = Path(__file__).parent
NAMESPACE = "scale"
NODES = 10
_ACCOUNT = "modelroll-operator"


@contextlib.contextmanager
def control_plane(place: Path) -> Iterator[None]:
    """A control plane under `place`, with nodes, the CRD and the operator's Role; KUBECONFIG names it meanwhile."""
    command = [str(HERE / "control-plane")]
    ports = ",".join(str(port) for port in _free_ports(5))
    try:
        subprocess.run([*command, "up", str(place), ports], check=True)
        os.environ["KUBECONFIG"] = str(place / "admin.kubeconfig")
        operators.install_crd()
        cluster.run("kubectl", "create", "namespace", NAMESPACE)
        for item in (*(_node(number) for number in range(NODES)), *_access()):
            cluster.run("kubectl", "apply", "--namespace", NAMESPACE, "--filename=-", given=yaml.safe_dump(item))
        yield
    finally:
        os.environ.pop("KUBECONFIG", None)
        subprocess.run([*command, "down", str(place)], check=True)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _node(number: int) -> cluster.Object:
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"kwok-{number}"}}


def _access() -> list[cluster.Object]:
    """The Role that the chart gives the operator, and a binding to the account that it comes as here."""
    rendered = yaml.safe_load_all((cluster.ROOT / "k8s" / "base" / "modelroll.yaml").read_text())
    role = next(one for one in rendered if one["kind"] == "Role")
    name = role["metadata"]["name"]
    group = "rbac.authorization.k8s.io"
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": _ACCOUNT, "namespace": NAMESPACE}],
    }
    role["metadata"].pop("namespace", None)
    return [role, binding]


class StandIn:
    """The process that answers for the pods.

    Attributes:
        port: Of every pod's `/status`.
    """

    def __init__(self, load_seconds: float) -> None:
        command = [sys.executable, "-m", "hack.scale.stand_in", NAMESPACE, str(load_seconds)]
        self._process = subprocess.Popen(
            command, cwd=cluster.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def reads(self) -> int:
        """How often any pod was asked so far."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def end(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(20)


class Operator:
    """The operator's process."""

    def __init__(self, place: Path) -> None:
        self._all = operators.Operators(NAMESPACE, place)
        process = self._all.start("operator", KUBECONFIG=str(place / "operator.kubeconfig"))
        self._seen = psutil.Process(process.pid)

    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._all.running["operator"].poll() is None

    def cpu_seconds(self) -> float:
        """Spent so far, in the process and in the kernel for it."""
        times = self._seen.cpu_times()
        return float(times.user + times.system)

    def memory_mib(self) -> float:
        """Resident now."""
        return float(self._seen.memory_info().rss / 2**20)

    def peak_memory_mib(self) -> float:
        """The most that was ever resident."""
        lines = Path(f"/proc/{self._seen.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024

    def end(self) -> None:
        """Kill it: what it would do on its way out is not measured here."""
        self._all.running["operator"].kill()
        self._all.running["operator"].wait(20)
