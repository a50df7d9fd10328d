"""`grpc.health.v1.Health`: what Kubernetes' gRPC probes and clients' balancers ask.

Serving means that a model answers and that the server is not about to leave: a balancer that asks takes its next
requests elsewhere.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

from modelroll_server import errors
from modelroll_server.grpc.calls import Call, Calls, parse

SERVICE = "grpc.health.v1.Health"
LOOK_EVERY = 0.5  # seconds between two looks for who watches

_Response = health_pb2.HealthCheckResponse


class HealthService:
    """The methods of the service, for itself and for each of the services named."""

    def __init__(self, calls: Calls, leaving: asyncio.Event, services: frozenset[str]) -> None:
        self._calls = calls
        self._leaving = leaving
        self._services = services | {""}

    def handlers(self) -> Mapping[str, Any]:
        """Each method's handler, by its name."""
        return {
            "Check": self._calls.unary(health_pb2.HealthCheckRequest, self._check),
            "Watch": grpc.unary_stream_rpc_method_handler(self._watch),
        }

    async def _check(self, request: Any, _: Call) -> Any:
        if request.service not in self._services:
            raise errors.NotFound(f"there is no service {request.service[:100]}")
        return _Response(status=self._status())

    async def _watch(self, data: bytes, _: Any) -> AsyncIterator[bytes]:
        try:
            service = parse(health_pb2.HealthCheckRequest, data).service
        except errors.InvalidRequest:
            return
        said = None
        while True:
            status = self._status() if service in self._services else _Response.SERVICE_UNKNOWN
            if status != said:
                said = status
                yield _Response(status=status).SerializeToString()
            if self._leaving.is_set():
                return
            await asyncio.sleep(LOOK_EVERY)

    def _status(self) -> Any:
        registry = self._calls.registry
        serves = registry.is_ready and not registry.draining
        return _Response.SERVING if serves else _Response.NOT_SERVING
