"""Telling a server that follows a target directory where to go, as an operator tells a pod."""

import contextlib
import http.client
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import process

_GIVE_UP_SECONDS = 60.0
_LOOK_SECONDS = 0.02


class NotThere(Exception):
    """The server did not go there in time; the message has its status."""


class Moves:
    """Writes `move`, at one revision after the other."""

    def __init__(self, server: process.ServerProcess, targets: Path) -> None:
        self._port = server.command.ready_port
        self._targets = targets
        self.revision = 0

    def move(self, told: dict[str, Any], is_there: Callable[[Any], bool] = lambda _: True) -> None:
        """Say where to go, and wait until what is live is at that revision.

        Args:
            told: All but the revision.
            is_there: Of the status; what has to be true besides.

        Raises:
            NotThere: It did not.
        """
        self.revision += 1
        temporary = self._targets / ".new"
        temporary.write_text(json.dumps(told | {"revision": self.revision}))
        temporary.replace(self._targets / "move")
        end = time.monotonic() + _GIVE_UP_SECONDS
        while True:
            status = self.status()
            live = status["live"]
            if live is not None and live["revision"] == self.revision and is_there(status):
                return
            if status["failure"] or time.monotonic() > end:
                raise NotThere(f"revision {self.revision}: {status}")
            time.sleep(_LOOK_SECONDS)

    def status(self) -> Any:
        """What the server says of itself."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        with contextlib.closing(connection):
            connection.request("GET", "/status")
            return json.loads(connection.getresponse().read())
