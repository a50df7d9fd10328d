"""One worker as its parent sees it: the process, the channel to it, and what it last said.

Owns the start, the questions and their answers, and the end. Knows nothing of other workers.
"""

import asyncio
import dataclasses
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping

from modelroll_server.drift.window import Sample
from modelroll_server.registry.record import Served
from modelroll_server.registry.target import Content, Target
from modelroll_server.workers.messages import (
    Answer,
    Asked,
    Channel,
    Failed,
    Hello,
    Load,
    Loaded,
    Order,
    Report,
    Swap,
    Swapped,
    Watched,
)

TO_START = 60.0  # seconds that a process may take before its first word, besides those that any silence may take

News = Report | Asked | Watched | Sample  # what it says unasked
_Reply = Hello | Loaded | Failed | Swapped


class Ended(Exception):
    """The worker ended before it answered."""


@dataclasses.dataclass(frozen=True)
class Holds:
    """A version, and the target that said to serve it."""

    served: Served
    want: Target

    def again(self) -> Target:
        """What has a new process load the same bytes."""
        found, content = self.served.content, self.want.content
        same = Content(found.version, content.path or found.path, self.served.digest, content.env)
        return dataclasses.replace(self.want, content=same)


class Member:
    """A worker that has been started.

    Attributes:
        index: Which of the workers it is.
        pid: Its process.
        holds: What is live in it; None when nothing is.
        has_ended: Whether it is gone.
        heard: When it last said anything, on the clock of `time.monotonic`.
        was_silent: Whether it was killed for that.
    """

    def __init__(
        self, index: int, process: asyncio.subprocess.Process, channel: Channel, hear: Callable[[News], None]
    ) -> None:
        self._process = process
        self._channel = channel
        self._hear = hear
        self._unheard = 0  # answers to come to questions that nobody waits for any more
        self.index = index
        self._answer: asyncio.Future[_Reply] | None = asyncio.get_running_loop().create_future()  # its Hello
        self.pid = process.pid
        self.holds: Holds | None = None
        self.heard = time.monotonic() + TO_START
        self.was_silent = False
        self.has_ended = False

    @classmethod
    async def start(
        cls, index: int, listening: socket.socket, environment: Mapping[str, str], hear: Callable[[News], None]
    ) -> "Member":
        """Start a process that has the listening socket, and a channel to here.

        `hear` gets what it says unasked.

        A new interpreter rather than a fork: a fork would take over locks, threads and the event loop of a parent at
        any moment of their lives, and later workers would be made of another parent than the first.

        Raises:
            OSError: no process could be started.
        """
        here, there = socket.socketpair()
        with there:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "modelroll_server.workers",
                *map(str, (index, listening.fileno(), there.fileno())),
                stdin=asyncio.subprocess.DEVNULL,
                env={**os.environ, **environment},
                pass_fds=(listening.fileno(), there.fileno()),
            )
        reader, writer = await asyncio.open_unix_connection(sock=here)
        return cls(index, process, Channel(reader, writer), hear)

    @property
    def exit_code(self) -> int | None:
        """How it ended: a signal as a negative number; None while it has not."""
        return self._process.returncode

    async def run(self) -> None:
        """Listen to it until it has ended."""
        try:
            while (answer := await self._channel.answer()) is not None:
                self.heard = time.monotonic()
                self._take(answer)
            self.kill()  # without a channel it is of no use
            await self._process.wait()
        finally:
            self.has_ended = True
            if self._answer is not None and not self._answer.done():
                self._answer.set_exception(Ended)
            await self._channel.close()

    def send(self, *orders: Order) -> None:
        """Tell it."""
        self._channel.send(*orders)

    async def greeted(self) -> None:
        """Wait until it has started.

        Raises:
            Ended: it did not.
        """
        assert self._answer is not None
        try:
            await self._answer
        finally:
            self._answer = None

    async def load(self, want: Target, baseline: Content | None) -> Served:
        """Have it load and check a candidate.

        Raises:
            errors.LoadError: the candidate may not answer.
            Ended: the worker did not survive.
        """
        answer = await self._ask(Load(want, baseline))
        if isinstance(answer, Failed):
            raise answer.error()
        assert isinstance(answer, Loaded)
        return answer.served

    async def swap(self, holds: Holds) -> None:
        """Have it make its candidate live.

        Raises:
            Ended: the worker did not survive.
        """
        await self._ask(Swap(holds.want))
        self.holds = holds

    async def bring(self, holds: Holds) -> None:
        """Have it load what is live elsewhere, the same bytes, and make that live.

        Raises:
            errors.LoadError: it cannot be loaded any more.
            Ended: the worker did not survive.
        """
        await self.load(holds.again(), None)
        await self.swap(Holds(holds.served, holds.again()))
        self.holds = holds

    def kill(self) -> None:
        """End it now."""
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGKILL)

    async def _ask(self, order: Order) -> _Reply:
        if self.has_ended:
            raise Ended
        assert self._answer is None, "one question at a time"
        self.send(order)
        self._answer = asyncio.get_running_loop().create_future()
        try:
            return await self._answer
        except asyncio.CancelledError:
            if not self._answer.done():
                self._unheard += 1  # it will answer all the same
            raise
        finally:
            self._answer = None

    def _take(self, answer: Answer) -> None:
        match answer:
            case Report() | Asked() | Watched() | Sample():
                self._hear(answer)
            case _ if self._unheard:
                self._unheard -= 1
            case _:
                if self._answer is not None and not self._answer.done():
                    self._answer.set_result(answer)
