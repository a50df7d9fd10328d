"""A gRPC server with a stand-in model in this process, and a channel to it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import grpc

import stand_in
from modelroll_server.batching.batcher import Limits
from modelroll_server.grpc.server import GrpcServer
from modelroll_server.inference import Inference
from modelroll_server.registry.registry import Registry
from modelroll_server.registry.target import Target
from modelroll_server.telemetry.metrics import Metrics
from modelroll_server.telemetry.traces import Traces

MAX_MESSAGE = 2**20


@dataclass
class Server:
    """One port, and what is behind it."""

    registry: Registry
    metrics: Metrics
    leaving: asyncio.Event
    server: GrpcServer
    address: str
    channel: grpc.aio.Channel

    def swap(self, number: str, runtime: stand_in.Echo | None = None, revision: int = 1) -> None:
        """Make another version live."""
        version = stand_in.version(number, runtime)
        self.registry.swap(version, Target("settled", revision, version.content))

    def call(self, method: str, request: Any, answer: Any, **arguments: Any) -> Any:
        """Call a method: a message, or bytes."""
        data = request if isinstance(request, bytes) else request.SerializeToString()
        return self.channel.unary_unary(f"/{method}", response_deserializer=answer.FromString)(data, **arguments)


@contextlib.asynccontextmanager
async def serving(traces: Traces | None = None) -> AsyncIterator[Server]:
    """A server with version 1.0.0 live."""
    registry, metrics, leaving = Registry(Metrics()), Metrics(), asyncio.Event()
    inference = Inference(registry, metrics, threads=2, limits=Limits(queued=100), traces=traces)
    limits = (MAX_MESSAGE, MAX_MESSAGE)
    started = GrpcServer(registry, inference, metrics, leaving, max_message=limits, traces=traces)
    port = await started.start("127.0.0.1", 0)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        found = Server(registry, metrics, leaving, started, f"127.0.0.1:{port}", channel)
        found.swap("1.0.0")
        yield found
    await started.stop(0)
    inference.close()
