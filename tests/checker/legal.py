"""Which versions may answer, and from when: the ConfigMap `<deployment>-target`, watched.

With no rollout, what is settled. With one, also what was settled before and what pods move to.
"""

import json
import subprocess
import threading
import time
from typing import Any

from checker.verdict import Timeline


def legal(data: dict[str, str] | None, from_environment: str) -> frozenset[str]:
    """The versions that may answer while the ConfigMap holds `data`.

    Args:
        data: Its data; None when there is no ConfigMap.
        from_environment: The version that MODEL_PATH names.
    """
    data = data or {}
    contents: list[Any] = [json.loads(data["settled"]) if "settled" in data else {"env": True}]
    rollout = json.loads(data.get("operator", "{}")).get("rollout")
    if rollout is not None:
        contents += [rollout["to"], rollout["previous"]]
    return frozenset(from_environment if content.get("env") else content["version"] for content in contents)


class Watch:
    """Watches one ConfigMap from now until it is closed."""

    def __init__(self, namespace: str, deployment: str, from_environment: str) -> None:
        self._from_environment = from_environment
        self._timeline = [(0.0, legal(None, from_environment))]
        command = ["kubectl", "get", "configmaps", "--namespace", namespace, "--watch", "--output-watch-events"]
        command += ["--field-selector", f"metadata.name={deployment}-target", "--output", "json"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    @property
    def timeline(self) -> Timeline:
        """What was seen so far."""
        return list(self._timeline)

    def close(self) -> None:
        """Stop watching.

        A watch that ended by itself stopped seeing what became illegal: that is an error, not a good run.
        """
        ended_by_itself = self._process.poll() is not None or not self._thread.is_alive()
        self._process.terminate()
        self._thread.join(60)
        self._process.wait(60)
        if self._process.stdout is not None:
            self._process.stdout.close()
        if ended_by_itself:
            raise RuntimeError("the watch of the ConfigMap ended before the run did")

    def _read(self) -> None:
        assert self._process.stdout is not None
        text, decoder = "", json.JSONDecoder()
        for line in self._process.stdout:
            text += line
            try:
                event, end = decoder.raw_decode(text.lstrip())
            except ValueError:
                continue  # an event is printed over several lines
            text = text.lstrip()[end:]
            data = None if event["type"] == "DELETED" else event["object"].get("data")
            self._timeline.append((time.time(), legal(data, self._from_environment)))
