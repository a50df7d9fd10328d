"""Who may call: each call shows a token in its metadata, or is refused before its message is read."""

from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from modelroll_server.access.callers import Callers
from modelroll_server.grpc import health
from modelroll_server.grpc.calls import Call
from modelroll_server.grpc.statuses import STATUS

_OPEN = f"/{health.SERVICE}/"  # what balancers and the kubelet ask, who have no token


class Guard(grpc.aio.ServerInterceptor):  # type: ignore[misc] # grpc has no types
    """Stands before every method, those that are not there included."""

    def __init__(self, callers: Callers) -> None:
        self._callers = callers

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler:
        """The handler of a call, or one that refuses it."""
        if handler_call_details.method.startswith(_OPEN):
            return await continuation(handler_call_details)
        shown = _shown(handler_call_details.invocation_metadata)
        if self._callers.find(shown) is not None:
            return await continuation(handler_call_details)

        async def refuse(_: Any, context: grpc.aio.ServicerContext) -> None:
            error = self._callers.refusal(shown)
            trailer = (*Call(context).trailer(error), ("www-authenticate", "Bearer"))
            await context.abort(STATUS[type(error)], error.message, trailer)

        return grpc.stream_stream_rpc_method_handler(refuse)  # which reads nothing, whatever the call would send


def _shown(metadata: Any) -> bytes | None:
    found: str | bytes | None = None
    for key, value in metadata or ():
        if key == "authorization":
            found = value
    return found.encode(errors="replace") if isinstance(found, str) else found
