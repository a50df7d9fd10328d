"""The checking client as a pod of the cluster, so that requests come the way that services' requests do."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from checker.verdict import Record

ROOT = Path(__file__).parents[2]
POD = "checker"
SERVICE = "http://churn:8000"
CONNECTIONS = 16
RESEND_AFTER = 8.0  # seconds in which a cluster stops sending anybody to a process that is dead, on a busy machine
SECURITY = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def rows(count: int = 500) -> str:
    """Real customers, with what scikit-learn itself says of each in every version; JSON lines."""
    command = [sys.executable, "models/churn/rows.py", "--count", str(count)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120).stdout


def start_pod(namespace: str, lines: str) -> None:
    """Make the pod in which clients run, and wait until it does."""
    client = (ROOT / "tests" / "checker" / "client.py").read_text()
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": POD},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": POD,
                    "image": os.environ["MODELROLL_OPERATOR_IMAGE"],
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python3", "-c", "import signal; signal.sigwait({signal.SIGTERM})"],
                    "securityContext": SECURITY,
                    "volumeMounts": [{"name": "client", "mountPath": "/client"}],
                }
            ],
            "volumes": [{"name": "client", "configMap": {"name": POD}}],
        },
    }
    data = {"client.py": client, "rows.jsonl": lines}
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": POD}, "data": data}
    # Created, not applied: the annotation that apply writes would be too large.
    for item in (config_map, pod):
        _kubectl(namespace, "create", "--filename", "-", stdin=json.dumps(item))
    _kubectl(namespace, "wait", "--for=condition=Ready", f"pod/{POD}", "--timeout=90s")


def _kubectl(namespace: str, *arguments: str, stdin: str | None = None) -> None:
    command = ["kubectl", "--namespace", namespace, *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


class Load:
    """One client that runs in the pod until it is stopped."""

    def __init__(
        self,
        namespace: str,
        *,
        keep_alive: bool,
        rate: float = 20,
        url: str = SERVICE,
        resend_cut: bool = False,
    ) -> None:
        flag = "--keep-alive" if keep_alive else "--no-keep-alive"
        command = ["kubectl", "--namespace", namespace, "exec", "--stdin", POD, "--"]
        command += [
            "python3",
            "/client/client.py",
            "--url",
            url,
            "--rows",
            "/client/rows.jsonl",
            "--rate",
            str(rate),
            # Who waits to send once more holds its place.
            "--connections",
            str(max(CONNECTIONS, round(rate))),
            "--seconds",
            "inf",
            flag,
            *(["--resend-cut", str(RESEND_AFTER), "--connect-timeout", "3"] if resend_cut else []),
        ]
        self._lines: list[str] = []
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def wait_for_answers(self, count: int = 20) -> None:
        """Wait until it got that many."""
        deadline = time.monotonic() + 60
        while self.count < count:
            assert self._process.poll() is None, "the client ended by itself"
            assert time.monotonic() < deadline, f"{self.count} of {count} answers within a minute"
            time.sleep(0.1)

    @property
    def count(self) -> int:
        """How many requests it has made so far."""
        return len(self._lines)

    @property
    def records(self) -> Iterator[Record]:
        """What came of every request so far; kept as text, which takes a quarter of the room."""
        return map(json.loads, self._lines)

    def stop(self) -> None:
        """End it.

        A client that ended by itself saw less than it should have: that is an error, not a good run.
        """
        assert self._process.poll() is None, "the client ended by itself"
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._thread.join(60)
        assert self._process.wait(60) == 0, "the client failed"
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        self._lines.extend(self._process.stdout)
