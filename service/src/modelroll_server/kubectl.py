"""The user's own `kubectl`: how it is called, and what is made of its errors. Knows nothing of models."""

import contextlib
import json
import shutil
import subprocess
from typing import Any

from modelroll_server.errors import KubectlFailed


class Kubectl:
    """Calls `kubectl` in one namespace of one context."""

    def __init__(self, *, context: str | None = None, namespace: str | None = None) -> None:
        program = shutil.which("kubectl")
        if program is None:
            raise KubectlFailed(
                "there is no kubectl on PATH: https://kubernetes.io/docs/tasks/tools says how to get it"
            )
        self._command = [program]
        self._command += [f"--context={context}"] if context else []
        self._command += [f"--namespace={namespace}"] if namespace else []

    def run(self, *arguments: str, given: str | None = None) -> str:
        """What the command prints.

        Raises:
            KubectlFailed: It failed; the message is its own.
        """
        # A session of its own: ctrl-C is for us, and the pod must be deleted after it.
        done = subprocess.run(  # noqa: S603 - arguments are passed as a list
            [*self._command, *arguments],
            input=given,
            capture_output=True,
            text=True,
            check=False,
            start_new_session=True,
        )
        if done.returncode:
            raise KubectlFailed(f"kubectl {arguments[0]}: {done.stderr.strip() or f'exit code {done.returncode}'}")
        return done.stdout

    def get(self, *arguments: str) -> Any:
        """The object or list that `kubectl get` shows.

        Raises:
            KubectlFailed: There is none, or it cannot be read.
        """
        return json.loads(self.run("get", *arguments, "--output=json"))

    def events(self, name: str) -> list[str]:
        """What the cluster says about an object, a line an Event; nothing where it cannot be read."""
        with contextlib.suppress(KubectlFailed):
            found = self.get("events", f"--field-selector=involvedObject.name={name}")
            return list(dict.fromkeys(f"{event.get('reason')}: {event.get('message')}" for event in found["items"]))
        return []

    def check_claim(self, claim: str) -> None:
        """See that a claim is there.

        Raises:
            KubectlFailed: It is not; the message names those that are.
        """
        names = sorted(item["metadata"]["name"] for item in self.get("persistentvolumeclaims")["items"])
        if claim not in names:
            there = f"there are: {', '.join(names)}" if names else "there is none"
            raise KubectlFailed(f"no claim {claim} in this namespace; {there}")

    def stream(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """The command started, all three streams piped."""
        pipe = subprocess.PIPE
        return subprocess.Popen(  # noqa: S603 - arguments are passed as a list
            [*self._command, *arguments], stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
        )
