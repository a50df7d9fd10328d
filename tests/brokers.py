"""Real brokers on ports of their own, to be killed and started again: Redis, NATS with JetStream, Kafka.

All keep what they have on disk. What a test asks of one is the same for each: events in, messages out.
"""

import abc
import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import ports
import redis_process

BUILT = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelroll/servers"
START_SECONDS = 60.0
AT_ONCE = 500


def nats_server() -> str | None:
    """The NATS server that this machine has."""
    return shutil.which("nats-server") or shutil.which("nats-server", path=BUILT)


def kafka_jars() -> Path | None:
    """Kafka's jars, where there is a Java to run them."""
    return BUILT / "kafka" if (BUILT / "kafka").is_dir() and shutil.which("java") else None


@dataclass(frozen=True)
class Record:
    """One message that was read: its headers (fields, in Redis) and its body."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """The id of the event that it is for."""
        return self.headers["id"]


class Broker(Protocol):
    """What the tests ask of each."""

    @property
    def url(self) -> str:
        """Where it is."""

    async def prepare(self, *names: str) -> None:
        """Make streams, topics or subjects."""

    async def produce(self, name: str, events: Iterable[tuple[str | None, bytes]]) -> None:
        """Send events, each an id (or none) and a body; they are there when this returns."""

    async def read(self, name: str) -> list[Record]:
        """Everything that is there."""

    def kill(self) -> None:
        """End it without a word."""

    def start(self) -> None:
        """Start it again."""

    def freeze(self) -> None:
        """Let it hold its connections and answer nothing."""

    def thaw(self) -> None:
        """Let it go on."""


class Redis(redis_process.RedisProcess):
    """A Redis that has on disk whatever it said yes to."""

    def __init__(self, directory: Path, *more: str) -> None:
        super().__init__(directory, "--appendonly", "yes", "--appendfsync", "everysec", *more)

    async def prepare(self, *names: str) -> None:
        """Nothing: what is written to is made."""

    async def produce(self, name: str, events: Iterable[tuple[str | None, bytes]]) -> None:
        """Send events."""
        async with self.client() as client, client.pipeline(transaction=False) as pipeline:
            for given, body in events:
                fields: dict[Any, Any] = {"data": body} if given is None else {"id": given, "data": body}
                pipeline.xadd(name, fields)
                if len(pipeline) >= AT_ONCE:
                    await pipeline.execute()
            await pipeline.execute()

    async def read(self, name: str) -> list[Record]:
        """Everything that is there."""
        async with self.client() as client:
            found: Any = await client.xrange(name)
        records = []
        for _, fields in found:
            body = fields.pop(b"data")
            records.append(Record({key.decode(): value.decode() for key, value in fields.items()}, body))
        return records

    def client(self) -> Any:
        """One of its own."""
        from redis.asyncio import Redis as Client

        return Client.from_url(self.url, socket_timeout=START_SECONDS)


class Process(abc.ABC):
    """A server that is a program."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port = ports.reserve()
        self._process: subprocess.Popen[bytes] | None = None

    @abc.abstractmethod
    def command(self) -> list[str]:
        """The program and its arguments."""

    def start(self) -> None:
        """Start it, or start it again."""
        with (self.directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(self.command(), stdout=log, stderr=log)
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
            except OSError:
                assert time.monotonic() < end, (self.directory / "server.log").read_text()
                assert self._process.poll() is None, (self.directory / "server.log").read_text()
                time.sleep(0.05)
            else:
                return

    def kill(self) -> None:
        """End it without a word."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        """Let it hold its connections and answer nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)


class Nats(Process):
    """A NATS server with JetStream."""

    options: Mapping[str, Any] = {}  # of a client

    def __init__(self, directory: Path, *more: str) -> None:
        super().__init__(directory)
        self._more = more
        self.start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"nats://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """The program and its arguments."""
        program = nats_server()
        assert program is not None
        kept = ["-js", "-sd", str(self.directory / "jetstream")]
        return [program, *kept, "-a", "127.0.0.1", "-p", str(self.port), *self._more]

    async def prepare(self, *names: str) -> None:
        """A stream of its own for each subject; JetStream keeps nothing else."""
        async with self._connected() as stream:
            for name in names:
                await stream.add_stream(name=name.replace(".", "-"), subjects=[name])

    async def produce(self, name: str, events: Iterable[tuple[str | None, bytes]]) -> None:
        """Send events."""
        waiting = list(events)
        async with self._connected() as stream:

            async def send(given: str | None, body: bytes) -> None:
                headers = None if given is None else {"Nats-Msg-Id": given}
                await stream.publish(name, body, headers=headers, timeout=START_SECONDS)

            for start in range(0, len(waiting), AT_ONCE):
                await asyncio.gather(*(send(*one) for one in waiting[start : start + AT_ONCE]))

    async def read(self, name: str) -> list[Record]:
        """Everything that is there."""
        from nats.js.api import AckPolicy, ConsumerConfig
        from nats.js.errors import NotFoundError

        records: list[Record] = []
        async with self._connected() as stream:
            try:
                kept = await stream.find_stream_name_by_subject(name)
            except NotFoundError:
                return []
            total = (await stream.stream_info(kept)).state.messages
            reader = await stream.pull_subscribe(name, config=ConsumerConfig(ack_policy=AckPolicy.NONE))
            while len(records) < total:
                found = await reader.fetch(min(AT_ONCE, total - len(records)), timeout=START_SECONDS)
                records += [Record(dict(one.headers or {}), one.data) for one in found]
            await reader.unsubscribe()
        return records

    async def delete(self, name: str) -> None:
        """The stream of a subject."""
        async with self._connected() as stream:
            await stream.delete_stream(await stream.find_stream_name_by_subject(name))

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[Any]:
        import nats

        client = await nats.connect(self.url, allow_reconnect=False, **self.options)
        try:
            yield client.jetstream(timeout=START_SECONDS)
        finally:
            await client.close()


class Kafka(Process):
    """One Kafka broker, its own controller."""

    PARTITIONS = 4
    options: Mapping[str, Any] = {}  # of a client
    protocol = "PLAINTEXT"
    properties = ""  # what else it is told
    format_options: tuple[str, ...] = ()

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        controller, own = ports.reserve(), ports.reserve()
        (directory / "broker.properties").write_text(
            f"""\
process.roles=broker,controller
node.id=1
listeners=CLIENTS://127.0.0.1:{self.port},OWN://127.0.0.1:{own},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=CLIENTS://127.0.0.1:{self.port},OWN://127.0.0.1:{own}
listener.security.protocol.map=CLIENTS:{self.protocol},OWN:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=OWN
controller.listener.names=CONTROLLER
controller.quorum.voters=1@127.0.0.1:{controller}
log.dirs={directory / "kept"}
num.partitions={self.PARTITIONS}
offsets.topic.num.partitions=3
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
{self.properties}
"""
        )
        properties = str(directory / "broker.properties")
        tool = [*self._java(), "kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg"]
        format_ = [*tool, "-c", properties, *self.format_options]
        subprocess.run(format_, check=True, capture_output=True)
        self.start()

    @property
    def url(self) -> str:
        """Where it is."""
        return f"kafka://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """The program and its arguments."""
        return [*self._java(), "kafka.Kafka", str(self.directory / "broker.properties")]

    async def prepare(self, *names: str) -> None:
        """Topics."""
        from aiokafka.admin import AIOKafkaAdminClient, NewTopic

        client = AIOKafkaAdminClient(bootstrap_servers=self._server, **self.options)
        await client.start()
        await client.create_topics([NewTopic(name, self.PARTITIONS, 1) for name in names])
        await client.close()

    async def produce(self, name: str, events: Iterable[tuple[str | None, bytes]]) -> None:
        """Send events."""
        from aiokafka import AIOKafkaProducer

        producer = AIOKafkaProducer(bootstrap_servers=self._server, acks="all", enable_idempotence=True, **self.options)
        try:
            await producer.start()
            sent = [
                await producer.send(name, body, headers=[] if given is None else [("id", given.encode())])
                for given, body in events
            ]
            await asyncio.gather(*sent)
        finally:
            with contextlib.suppress(TimeoutError):  # of a broker that was killed meanwhile
                async with asyncio.timeout(5):
                    await producer.stop()

    async def read(self, name: str) -> list[Record]:
        """Everything that is there."""
        from aiokafka import AIOKafkaConsumer, TopicPartition

        consumer = AIOKafkaConsumer(bootstrap_servers=self._server, auto_offset_reset="earliest", **self.options)
        await consumer.start()
        partitions = [TopicPartition(name, number) for number in range(self.PARTITIONS)]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        records = []
        while any([await consumer.position(one) < ends[one] for one in partitions]):
            for found in (await consumer.getmany(timeout_ms=1000)).values():
                for one in found:
                    headers = {key: value.decode() for key, value in one.headers}
                    records.append(Record(headers, one.value or b""))
        await consumer.stop()
        return records

    @property
    def _server(self) -> str:
        return f"127.0.0.1:{self.port}"

    @staticmethod
    def _java() -> list[str]:
        return ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{kafka_jars()}/*"]
