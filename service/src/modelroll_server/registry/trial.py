"""A load in a process of its own: whatever becomes of that, the process that answers goes on.

The first pod that a rollout in place asks loads a version so, before it loads it beside the one that is live: a version
that takes all memory, never ends or takes the process down is found out at nobody's cost.
"""

import asyncio
import contextlib
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import msgspec

from modelroll_server import errors, lifeline
from modelroll_server.artifact import sealing
from modelroll_server.artifact.policy import Policy
from modelroll_server.artifact.signature import PublicKeys
from modelroll_server.registry.target import Content
from modelroll_server.registry.terms import Terms
from modelroll_server.telemetry import memory

if TYPE_CHECKING:
    from modelroll_server.registry.loader import Loader

NO_ROOM = "the memory that the container has left is too little to try it in a process of its own"
NICENESS = 10  # a tenth of what those who answer get of a processor, where both want one
LONGEST_ANSWER = 2**25  # bytes: that of a changed schema has two manifests' columns


class Order(msgspec.Struct, frozen=True):
    """What the process is to load, and what it may use.

    Attributes:
        keys: PEM text of the keys whose signatures count, under the policy `signed`.
        memory: Bytes; None: no limit is known.
    """

    content: Content
    baseline: Content | None
    root: str
    policy: Policy
    keys: str | None
    extra_fields: Literal["refuse", "ignore"]
    model: str | None
    memory: int | None


class Outcome(msgspec.Struct, frozen=True):
    """Why it may not answer; all None where it may."""

    reason: str | None = None
    message: str = ""
    expected: Any = None
    found: Any = None


class Trial:
    """Loads as a `Loader` of the same arguments would."""

    def __init__(self, terms: Terms, *, model: Callable[[], str | None] = lambda: None) -> None:
        self._terms = terms
        self._model = model

    async def __call__(self, content: Content, baseline: Content | None, seconds: float) -> None:
        """Load and check, and forget it.

        Raises:
            errors.LoadError: it may not answer; the process did not survive it; or it took longer than `seconds`.
        """
        room = memory.left()
        limit = None if room is None else max(0, room - memory.MARGIN)
        terms = self._terms
        keys = None if terms.keys is None else terms.keys.pem
        told = (str(terms.root), terms.policy, keys, terms.extra_fields)
        order = Order(content, baseline, *told, self._model(), limit)
        # Files and no pipes: a pipe ends only once every process that a load left behind has let go of it.
        with sealing.anonymous("order") as given, sealing.anonymous("answer") as answer:
            given.write(msgspec.json.encode(order))
            given.seek(0)
            code = await _run(given, answer, seconds)
            answer.seek(0)
            _raise(answer.read(LONGEST_ANSWER), code)


async def _run(given: BinaryIO, answer: BinaryIO, seconds: float) -> int:
    """The process, from beginning to end; its exit code. Nothing that it began outlives it."""
    command = (sys.executable, "-m", __name__, str(os.getpid()))
    process = await asyncio.create_subprocess_exec(*command, stdin=given, stdout=answer, start_new_session=True)
    with contextlib.suppress(OSError):  # it has ended, or there is no such thing here
        os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
    try:
        async with asyncio.timeout(seconds):
            return await process.wait()
    except TimeoutError:
        sentence = f"it was not loaded and checked after {seconds:g} s, in a process of its own"
        raise errors.LoadTimedOut(sentence, expected=seconds) from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def _raise(answer: bytes, code: int) -> None:
    try:
        outcome = msgspec.json.decode(answer, type=Outcome)
    except msgspec.MsgspecError:
        end = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        sentence = f"the process in which it was tried was ended by {end}; what is live was not touched"
        raise errors.CrashedWhileLoading(sentence) from None
    if outcome.reason is not None:
        raise errors.load_error(outcome.reason, outcome.message, expected=outcome.expected, found=outcome.found)


def _loader(order: Order) -> "Loader":
    from modelroll_server.registry.loader import Loader

    keys = None if order.keys is None else PublicKeys(order.keys)
    terms = Terms(Path(order.root), order.policy, keys, order.extra_fields)
    return Loader(terms, model=lambda: order.model)


def _try(loader: "Loader", order: Order) -> Outcome:
    try:
        loader.load(order.content, order.baseline)
    except errors.LoadError as error:
        return Outcome(error.reason, error.message, error.expected, error.found)
    return Outcome()


def _limit(memory: int) -> None:
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    limit = memory if most == resource.RLIM_INFINITY else min(memory, most)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def main() -> None:
    """Read the order, do it, say what came of it. The argument is the id of the process that began it."""
    lifeline.end_with_parent(int(sys.argv[1]))  # in a pod the kernel ends all with the first, elsewhere it does not
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    answers = os.dup(1)
    os.dup2(2, 1)  # what libraries print is no answer
    no_room = msgspec.json.encode(Outcome(errors.NotEnoughMemory.reason, NO_ROOM, found=order.memory))
    if order.memory is not None:
        # Libraries end the process if they have no memory as they are imported: so that is said before, and taken back.
        os.write(answers, no_room)
        _limit(order.memory)
    loader = _loader(order)
    os.ftruncate(answers, 0)
    os.lseek(answers, 0, os.SEEK_SET)
    try:
        answer = msgspec.json.encode(_try(loader, order))
    except MemoryError:
        answer = no_room
    os.write(answers, answer)
    os._exit(0)  # threads and finalizers of what was loaded have nothing more to say


if __name__ == "__main__":
    main()
