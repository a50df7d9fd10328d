"""The limit of gRPC in Python: grpc.aio, the message taken as bytes, a fixed answer. No parsing, no model.

python bare_grpc.py PORT
"""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio

# Answer {prediction: 1, probability: [0.13…, 0.86…], model_version: "1.0.0"} of bare.proto, as protobuf writes it.
ANSWER = bytes.fromhex("08011210d635447b41e1c03f8bf22ea1afc7eb3f1a05312e302e30")


class Bare(grpc.GenericRpcHandler):
    """Answers every method, with bytes for bytes."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        return grpc.unary_unary_rpc_method_handler(answer)


async def answer(_request: bytes, _context: grpc.aio.ServicerContext[Any, Any]) -> bytes:
    return ANSWER


async def serve(port: int) -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([Bare()])
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    run: Callable[..., None] = asyncio.run
    run(serve(int(sys.argv[1])))
