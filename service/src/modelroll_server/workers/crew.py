"""All workers of one parent: kept alive, and kept on one version.

Owns the two phases of a swap (all load and check, then all swap) and who may take connections: only a worker that
serves what is live. Decides nothing about what is wanted: the watcher does.
"""

import asyncio
import dataclasses
import signal
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from modelroll_server import errors
from modelroll_server.drift.window import Sample
from modelroll_server.registry.record import Served
from modelroll_server.registry.target import Content, Target
from modelroll_server.registry.watcher import back_off
from modelroll_server.workers.accounts import Accounts
from modelroll_server.workers.member import Ended, Holds, Member, News
from modelroll_server.workers.messages import (
    Accept,
    Adopt,
    Asked,
    Drain,
    Drop,
    Guard,
    Leave,
    Order,
    Report,
    Told,
    Watched,
)
from modelroll_server.workers.shared import SharedRecord

STEADY_AFTER = 60.0  # seconds that a worker lives after which its end is not one of a series
LOOK_EVERY = 1.0  # seconds between two looks for workers that hang

_log = structlog.get_logger(__name__)


class NobodyLeft(errors.ModelrollError):
    """No worker serves what is live, and it cannot be loaded any more."""


@dataclasses.dataclass(frozen=True)
class Start:
    """How a worker is started: its environment, the socket that it takes connections from, when it counts as hung.

    `guard` is what this server shows of itself by then.
    """

    environment: Mapping[str, str]
    listening: socket.socket
    silence: float
    guard: Callable[[], Guard]


class Crew:
    """The workers; where the parent's watcher has versions loaded and swapped."""

    def __init__(self, count: int, start: Start, record: SharedRecord, accounts: Accounts) -> None:
        self._count = count
        self._start = start
        self._record = record
        self._accounts = accounts
        record.tell = self.tell
        self._members: dict[int, Member] = {}
        self._joined: dict[int, Member] = {}  # those that take connections, all of them on what is live
        self._live: Holds | None = None
        self._candidate: Served | None = None
        self._loaded: list[Member] = []
        self._is_changing = False  # from the begin of a load to its swap or drop: nobody joins in between
        self._leaving = asyncio.Event()
        self._stirred = asyncio.Event()
        self._keeping: list[asyncio.Task[None]] = []
        self._why: dict[int, str] = {}
        self._stir()

    # --- Their lives -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the workers alive, until they leave.

        Raises:
            NobodyLeft: what is live is lost.
        """
        self._keeping = [asyncio.create_task(self._keep(index)) for index in range(self._count)]
        watching = asyncio.create_task(self._look_for_silence())
        try:
            await asyncio.gather(*self._keeping)
        finally:
            for task in (watching, *self._keeping):
                task.cancel()
            await asyncio.wait((watching, *self._keeping))

    async def leave(self, patience: float, seconds: float) -> None:
        """Have all stop accepting, finish what they have, and end; what is left after `seconds` is killed."""
        self._leaving.set()
        self._stir()
        for index, member in self._members.items():
            if index not in self._joined:
                member.kill()  # it holds the socket, and takes nobody from its queue
        self.tell(Leave(patience))
        _, left = await asyncio.wait(self._keeping, timeout=seconds)
        for member in self._members.values() if left else ():
            _log.warning("worker killed, as it did not end", pid=member.pid)
            member.kill()

    def drain(self) -> None:
        """Have clients told to close their connections."""
        self.tell(Drain())

    def interrupt(self) -> None:
        """Have idle connections closed at once, if they leave already."""
        if self._leaving.is_set():
            self.tell(Leave(0.0))

    def tell(self, order: Order) -> None:
        """Tell every worker there is."""
        for member in self._members.values():
            member.send(order)

    def status(self) -> list[Mapping[str, Any]]:
        """What `/status` says of each worker."""
        return [self._document(index) for index in range(self._count)]

    async def _keep(self, index: int) -> None:
        ends = 0
        while not self._leaving.is_set():
            began = time.monotonic()
            reason = await self._one_life(index)
            if self._leaving.is_set():
                return
            ends = 1 if time.monotonic() - began > STEADY_AFTER else ends + 1
            self._accounts.restart(index, reason)
            self._why[index] = reason
            pause = 0.0 if ends == 1 else back_off(ends - 1)
            _log.warning("worker ended", worker=index, reason=reason, started_anew_in=pause)
            await self._until(self._leaving.is_set, pause)

    async def _one_life(self, index: int) -> str:
        """From start to end; says why it ended."""

        def hear(news: News) -> None:
            match news:
                case Report():
                    self._accounts.report(index, news)
                case Sample():
                    self._accounts.window.add(news)
                case Asked():
                    self._record.asked.set()
                case Watched() if index in self._members:
                    self._members[index].send(Told(self._accounts.traffic.document()))

        try:
            member = await Member.start(index, self._start.listening, self._start.environment, hear)
        except OSError as error:
            _log.warning("no worker could be started", worker=index, error=str(error))
            return "NotStarted"
        life = asyncio.create_task(member.run())
        self._members[index] = member
        refused = None
        try:
            if not self._leaving.is_set():
                refused = await self._join(index, member)
            if refused is None and not self._leaving.is_set():
                await asyncio.shield(life)
        except Ended:
            pass
        finally:
            member.kill()
            await asyncio.shield(life)
            del self._members[index]
            self._joined.pop(index, None)
            self._accounts.end(index)
            self._stir()
        return refused or ("Silent" if member.was_silent else _how(member.exit_code))

    async def _join(self, index: int, member: Member) -> str | None:
        """Bring a worker to what is live and let it take connections; else say why it cannot.

        Raises:
            Ended: the worker did not survive.
            NobodyLeft: no other worker serves what is live either.
        """
        await member.greeted()
        member.send(self._start.guard(), *self._record.so_far(), *([Drain()] if self._record.draining else []))
        while True:
            live = self._live
            if live is not None and member.holds is not live:
                try:
                    await member.bring(live)
                except errors.LoadError as error:
                    _log.warning("a new worker cannot load what is live", worker=index, reason=error.reason)
                    if self._joined:
                        return error.reason
                    raise NobodyLeft(
                        f"no worker is left, and what was live cannot be loaded: {error.message}"
                    ) from error
            elif self._is_changing:
                await self._until(lambda: not self._is_changing)
            else:
                break
        if member.has_ended:
            raise Ended
        self._joined[index] = member  # nothing has been awaited since it was seen to hold what is live
        member.send(Accept())
        self._stir()
        return None

    async def _look_for_silence(self) -> None:
        looked = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_EVERY)
            now = time.monotonic()
            if now - looked > LOOK_EVERY + self._start.silence / 2:  # this process did not run: nobody could be heard
                for member in self._members.values():
                    member.heard = now
            looked = now
            for index, member in self._members.items():
                if now - member.heard > self._start.silence:
                    _log.warning("worker killed, as it was silent", worker=index, pid=member.pid)
                    member.was_silent = True
                    member.kill()

    # --- Two phases: protocol S3 for several -------------------------------------------------------------------------

    def holds(self, want: Target) -> bool:
        """The workers know; to try a version that they hold costs a second, and nobody waits for it."""
        del want
        return False

    async def load(self, want: Target, baseline: Content | None) -> Served:
        """Have every worker that takes connections load and check; the first load waits until all are there.

        Raises:
            errors.LoadError: one of them may not answer by it, or did not survive it; none holds it any more.
        """
        await self._until(lambda: len(self._joined) >= (self._count if self._live is None else 1))
        self._is_changing = True
        self._loaded = list(self._joined.values())
        is_loaded = False
        try:
            found = await asyncio.gather(
                *(member.load(want, baseline) for member in self._loaded), return_exceptions=True
            )
            self._candidate = _agreed(want, found, self._loaded)
            is_loaded = True
        finally:
            if not is_loaded:
                await self.drop()
        return self._candidate

    async def swap(self, want: Target) -> None:
        """Have all that loaded it answer by it; `/status` says so when all do."""
        await asyncio.shield(asyncio.create_task(self._swap(want)))  # begun, it is seen to its end

    async def drop(self) -> None:
        """Have the candidate forgotten."""
        for member in self._loaded:
            member.send(Drop())
        self._end_change()

    def check_takes_beside(self) -> None:
        """Refuse: a share, and what is compared, would have to be one over all workers.

        Raises:
            errors.CandidateRefused: always.
        """
        raise errors.CandidateRefused("a server of several processes (WORKERS) takes no candidate beside its version")

    async def make_room(self) -> None:
        """The workers do, as they load."""

    async def place(self, want: Target) -> None:
        """There is none."""

    async def remove(self) -> None:
        """There is none."""

    async def adopt(self, want: Target) -> None:
        """Take over a revision whose content is live already."""
        before = self._live
        assert before is not None
        self._live = Holds(before.served, want)
        for member in self._members.values():
            if member.holds is before:
                member.send(Adopt(want))
                member.holds = self._live
        self._record.adopt(want)

    def close(self) -> None:
        """Nothing is loaded here."""

    async def _swap(self, want: Target) -> None:
        assert self._candidate is not None
        self._live = live = Holds(self._candidate, want)
        # Who ends now is started anew, and loads what is live before it takes anybody.
        await asyncio.gather(*(member.swap(live) for member in self._loaded), return_exceptions=True)
        self._end_change()
        self._record.serve(live.served, want)

    def _end_change(self) -> None:
        self._loaded, self._candidate = [], None
        self._is_changing = False
        self._stir()

    # --- What they wait for ------------------------------------------------------------------------------------------

    def _stir(self) -> None:
        """Wake whoever waits for a state of the workers."""
        missing = [index for index in range(self._count) if index not in self._joined]
        self._record.short = None
        if missing:
            before = f" (the one before: {self._why[missing[0]]})" if missing[0] in self._why else ""
            self._record.short = f"worker {missing[0]} is being started{before}"
        stirred, self._stirred = self._stirred, asyncio.Event()
        stirred.set()

    async def _until(self, is_so: Callable[[], bool], seconds: float | None = None) -> None:
        deadline = None if seconds is None else asyncio.get_running_loop().time() + seconds
        try:
            async with asyncio.timeout_at(deadline):
                while not is_so():
                    await self._stirred.wait()
        except TimeoutError:
            return

    def _document(self, index: int) -> Mapping[str, Any]:
        member = self._members.get(index)
        holds = None if member is None else member.holds
        return {
            "worker": index,
            "pid": None if member is None else member.pid,
            "accepts": index in self._joined,
            "version": None if holds is None else holds.served.number,
            "revision": None if holds is None else holds.want.revision,
            **self._accounts.of(index),
        }


def _agreed(want: Target, found: list[Served | BaseException], members: list[Member]) -> Served:
    """What all loaded.

    Raises:
        errors.LoadError: they did not.
    """
    served: list[Served] = []
    for outcome, member in zip(found, members, strict=True):
        if isinstance(outcome, Ended):
            raise errors.CrashedWhileLoading(
                f"worker {member.index} ended ({_how(member.exit_code)}) while it loaded revision {want.revision}"
            )
        if isinstance(outcome, BaseException):
            raise outcome
        served.append(outcome)
    first = served[0]
    for other in served:
        if other.digest != first.digest:
            sentence = "the workers read different bytes: the artifact changed while it was loaded"
            raise errors.DigestMismatch(sentence, expected=first.digest, found=other.digest)
    return first


def _how(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return f"Exit{exit_code}"
    return signal.Signals(-exit_code).name
