"""What the modules of the brokers share: trying again until a broker takes something, and holding what is in work."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import structlog

from modelroll_server import cancellation
from modelroll_server.stream.events import NotConsuming

if TYPE_CHECKING:
    from faststream.message import StreamMessage

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 2.0  # seconds between attempts

_log = structlog.get_logger(__name__)
T = TypeVar("T")


class Subscriber(Protocol):
    """As much of FastStream's subscribers as is looked at here."""

    running: bool
    tasks: list[asyncio.Task[Any]]

    async def stop(self) -> None:
        """Read no further, and give what was read its time."""


class Persistence:
    """Tries again until a broker takes what it is given, and says once that it does not."""

    def __init__(self) -> None:
        self._waiting = 0

    async def __call__(self, what: Callable[[], Awaitable[T]], *, unless: tuple[type[Exception], ...] = ()) -> T:
        """Do it until it is done: what is not settled is not given up, for as long as this process may live.

        Raises:
            Exception: one of `unless`, which trying again would not mend.
        """
        try:
            return await what()
        except unless:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the events are kept; it is logged
            (_log.debug if self._waiting else _log.warning)("the broker took no messages", why=described(error))
        self._waiting += 1
        try:
            return await self._again(what, unless)
        finally:
            self._waiting -= 1

    async def _again(self, what: Callable[[], Awaitable[T]], unless: tuple[type[Exception], ...]) -> T:
        pause = FIRST_PAUSE
        while True:
            cancellation.check()
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            try:
                return await what()
            except unless:
                raise
            except Exception as error:  # noqa: BLE001 - as before
                _log.debug("the broker took no messages", why=described(error))


@contextlib.asynccontextmanager
async def holding(extend: Callable[[], Awaitable[object]], every: float) -> AsyncIterator[None]:
    """Tell the broker every so many seconds that what was read is still in work, so that nobody else is given it."""

    async def go_on() -> None:
        while True:
            await asyncio.sleep(every)
            with contextlib.suppress(Exception):  # others may be given it: an event is done twice then, never lost
                await extend()
            cancellation.check()

    task = asyncio.create_task(go_on())
    try:
        yield
    finally:
        task.cancel()


def check_consuming(subscribers: Iterable[Subscriber]) -> None:
    """See whether FastStream still reads.

    Raises:
        NotConsuming: it has stopped, or its loop fails over and over.
    """
    for subscriber in subscribers:
        ended = [task for task in subscriber.tasks if task.done() and not task.cancelled()]
        if error := next((task.exception() for task in ended if task.exception() is not None), None):
            raise NotConsuming(described(error))
        if not subscriber.running:
            raise NotConsuming("the consumer group or the stream is gone")


async def unparsed(message: Any) -> "StreamMessage[Any]":
    """What FastStream is to make of what was read: nothing. No event may fail before it is an event here.

    A coroutine, as what follows: FastStream has a thread do a plain function, each time.
    """
    from faststream.message import StreamMessage

    return StreamMessage(raw_message=message, body=b"")


async def undecoded(message: "StreamMessage[Any]") -> Any:
    """What its handlers get: the message of the broker's client."""
    return message.raw_message


def quiet() -> logging.Logger:
    """Have FastStream and the clients not log each try to connect, with a traceback: what is wrong is said once, here.

    Returns:
        FastStream's logger.
    """
    for name in ("aiokafka", "nats", "modelroll_server.faststream"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    return logging.getLogger("modelroll_server.faststream")


def described(error: BaseException) -> str:
    """An exception in one line."""
    text = " ".join(str(error).split()) or ("no answer in time" if isinstance(error, TimeoutError) else "")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
