"""Events of a Redis or Valkey stream: entries with a field `data`, and `id` if their producer has one.

What FastStream does: the group's reading, and the second subscriber that claims what a dead consumer left. What is done
here: a batch is settled by one script, so that a consumer that dies leaves messages and acknowledgements, or neither.
"""

import asyncio
import contextlib
import functools
import json
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modelroll_server import cancellation
from modelroll_server.stream.events import Backlog, Event, Message, identity
from modelroll_server.stream.handling import Handler
from modelroll_server.stream.settling import (
    Persistence,
    Subscriber,
    check_consuming,
    holding,
    quiet,
    undecoded,
    unparsed,
)
from modelroll_server.stream.terms import Terms

if TYPE_CHECKING:
    from redis.asyncio import Redis

COMMAND_SECONDS = 5.0  # after which a connection is given up
BLOCK = 1000  # milliseconds that a read waits for events, and that lie between two looks for what to claim
# Messages first: a command that fails ends the script, and what was not acknowledged is settled again. (In MULTI the
# acknowledgements would go on.) An event that another consumer has settled is not pending, and gets no second one.
SETTLE = """
local places, at = {}, 3
for _ = 1, tonumber(ARGV[2]) do
  local place, to, size = ARGV[at], KEYS[tonumber(ARGV[at + 1])], tonumber(ARGV[at + 2])
  local pending = redis.pcall('XPENDING', KEYS[1], ARGV[1], place, place, 1)
  if pending.err or #pending > 0 then
    redis.call('XADD', to, '*', unpack(ARGV, at + 3, at + 2 + size))
  end
  places[#places + 1] = place
  at = at + 3 + size
end
return redis.call('XACK', KEYS[1], ARGV[1], unpack(places))
"""
# Who leaves with nothing is taken out of the group, and who was silent. By one script: with a consumer goes what it was
# given since somebody asked. One that is taken out while it waits for events is made anew by its next.
FORGET = """
for _, one in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local said = {}
  for at = 1, #one, 2 do said[one[at]] = one[at + 1] end
  if said.pending == 0 and (said.name == ARGV[2] or said.idle >= tonumber(ARGV[3])) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], said.name)
  end
end
"""

Fields = Mapping[bytes, bytes]


class RedisStreams:
    """One consumer of a stream's group."""

    def __init__(self, terms: Terms, handler: Handler) -> None:
        from faststream import AckPolicy
        from faststream.redis import RedisBroker, StreamSub

        self._terms = terms
        self._handler = handler
        self._persistently = Persistence()
        self._broker = RedisBroker(
            terms.url,
            apply_types=False,
            logger=quiet(),
            graceful_timeout=terms.drain,
            security=terms.credentials.security(),
            socket_timeout=COMMAND_SECONDS,
            socket_connect_timeout=COMMAND_SECONDS,
        )
        subscribe = functools.partial(
            self._broker.subscriber, ack_policy=AckPolicy.MANUAL, parser=unparsed, decoder=undecoded, no_reply=True
        )
        sub = functools.partial(
            StreamSub, terms.input, group=terms.group, consumer=terms.consumer, batch=True, polling_interval=BLOCK
        )
        self._idle = int(terms.claim_after * 1000)
        subscribe(stream=sub(max_records=terms.batch))(self._on_read)
        subscribe(stream=sub(min_idle_time=self._idle))(self._on_claimed)

    async def start(self) -> None:
        """Make the group if it is not there, from the stream's first event on, and read.

        Raises:
            Exception: Redis cannot be reached, refuses, or has something else under that name.
        """
        from redis.exceptions import ResponseError

        client = await self._broker.connect()
        self._settling, self._forgetting = client.register_script(SETTLE), client.register_script(FORGET)
        try:
            await client.xgroup_create(self._terms.input, self._terms.group, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        with contextlib.suppress(ResponseError):  # whoever may not do that leaves them there
            await self._forget()
        await self._broker.start()

    async def backlog(self) -> Backlog:
        """How far behind the whole group is.

        Raises:
            NotConsuming: it has to be started anew.
            Exception: Redis cannot be asked.
        """
        check_consuming(self._broker.subscribers)  # type: ignore[arg-type]
        groups = await self._client.xinfo_groups(self._terms.input)
        stream = await self._client.xinfo_stream(self._terms.input)
        for group in groups:
            if group["name"] == self._terms.group.encode():
                # Redis goes on counting what was trimmed before anybody was given it.
                all_given = group["last-delivered-id"] == stream["last-generated-id"]
                lag = 0 if all_given else group.get("lag")
                return Backlog(None if lag is None else min(lag, stream["length"]), group["pending"])
        return Backlog(0, 0)

    async def stop(self) -> None:
        """Read no further, settle what was read, and let others claim at once what there was no time for."""
        end = time.monotonic() + self._terms.drain
        subscribers: Sequence[Subscriber] = self._broker.subscribers  # type: ignore[assignment]
        reading = [task for one in subscribers for task in one.tasks]
        await asyncio.gather(*(one.stop() for one in subscribers))
        await asyncio.gather(*(cancellation.cancel(task) for task in reading))
        if (left := end - time.monotonic()) > 0:
            with contextlib.suppress(Exception):  # as below
                async with asyncio.timeout(left):
                    await self._settle_unread()
        with contextlib.suppress(Exception):  # they are claimed later
            async with asyncio.timeout(COMMAND_SECONDS):
                await self._hand_over()
        await self._broker.stop()

    @property
    def _client(self) -> "Redis":
        client = self._broker._connection  # noqa: SLF001 - what `connect` gave
        assert client is not None
        return client

    async def _on_read(self, read: Mapping[str, Any]) -> None:
        events = [self._event(place, fields) for place, fields in zip(read["message_ids"], read["data"], strict=True)]
        await self._handle(read["message_ids"], events)

    async def _on_claimed(self, read: Mapping[str, Any]) -> None:
        """One that another consumer left; alone, so that what kills consumers takes nothing else with it."""
        for place, fields in zip(read["message_ids"], read["data"], strict=True):
            count = functools.partial(
                self._client.xpending_range, self._terms.input, self._terms.group, min=place, max=place, count=1
            )
            pending = await self._persistently(count)
            if pending:  # else it was settled after all
                await self._handle([place], [self._event(place, fields, int(pending[0]["times_delivered"]))])

    async def _handle(self, places: Sequence[bytes], events: Sequence[Event]) -> None:
        extend = functools.partial(
            self._client.xclaim,
            self._terms.input,
            self._terms.group,
            self._terms.consumer,
            0,
            list(places),
            justid=True,
        )
        async with holding(extend, self._terms.claim_after / 3):
            handled = await self._handler.handle(events)
            await self._persistently(functools.partial(self._settle, places, handled.messages))
        handled.settled()

    async def _settle(self, places: Sequence[bytes], messages: Sequence[Message]) -> None:
        terms = self._terms
        said: list[str | bytes] = []
        for place, message in zip(places, messages, strict=True):
            headers = [part for header in message.headers.items() for part in header]
            to = "3" if message.is_dead else "2"
            said += [place, to, str(len(headers) + 2), *headers, "data", message.payload]
        await self._settling(keys=[terms.input, terms.output, terms.dead], args=[terms.group, len(places), *said])

    async def _settle_unread(self) -> None:
        """Settle what was given to this consumer and did not reach it, since its read was ended meanwhile."""
        pending = await self._pending(self._terms.batch)
        # What others had before would be alone, as it may be what kills consumers: it is left to them.
        places = [one["message_id"] for one in pending if one["times_delivered"] == 1]
        if places:
            terms = self._terms
            found: Any = await self._client.xclaim(terms.input, terms.group, terms.consumer, 0, places)
            entries = {place: fields for place, fields in found if fields}  # without those that were trimmed
            await self._on_read({"message_ids": list(entries), "data": list(entries.values())})

    async def _hand_over(self) -> None:
        """Let others claim what this consumer still has, and forget it if that is nothing."""
        stream, group, consumer = self._terms.input, self._terms.group, self._terms.consumer
        if left := await self._pending(10_000):
            places = [one["message_id"] for one in left]
            await self._client.xclaim(stream, group, consumer, 0, places, idle=self._idle, justid=True)
        await self._forget()

    async def _pending(self, count: int) -> list[Any]:
        """What this consumer was given and has not settled."""
        stream, group, consumer = self._terms.input, self._terms.group, self._terms.consumer
        found: list[Any] = await self._client.xpending_range(
            stream, group, min="-", max="+", count=count, consumername=consumer
        )
        return found

    async def _forget(self) -> None:
        """Take out of the group whoever was silent for too long, and this consumer, where they have nothing."""
        terms = self._terms
        await self._forgetting(keys=[terms.input], args=[terms.group, terms.consumer, self._idle])

    def _event(self, at: bytes, fields: Fields, deliveries: int = 1) -> Event:
        place = f"{self._terms.input}/{at.decode()}"
        if b"data" in fields:
            return Event(identity(fields.get(b"id"), place), place, fields[b"data"], deliveries)
        if b"__data__" in fields:
            from faststream.redis.parser import BinaryMessageFormatV1

            found: tuple[bytes, Any] = BinaryMessageFormatV1.parse(fields[b"__data__"])
            payload, headers = found  # which are whatever somebody wrote there
            given = headers.get("correlation_id") if isinstance(headers, dict) else None
            return Event(identity(given if isinstance(given, str) else None, place), place, payload, deliveries)
        shown = {name.decode(errors="replace"): value.decode(errors="replace") for name, value in fields.items()}
        wrong = "the entry has no field data; a JSON row was expected in it"
        return Event(identity(fields.get(b"id"), place), place, json.dumps(shown).encode(), deliveries, wrong)
