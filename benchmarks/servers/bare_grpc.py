"""The limit of gRPC in Python: grpc.aio, the message taken as bytes, a fixed answer. No parsing, no model.

python bare_grpc.py PORT
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

from modelroll_server.grpc import prediction_pb2

PROBABILITY = (0.13187426108235794, 0.8681257389176421)
ANSWER: bytes = prediction_pb2.PredictResponse(
    prediction=1,
    probabilities=PROBABILITY,
    model_version="1.0.0",
    label=prediction_pb2.Value(integer=1),
    probability=PROBABILITY,
).SerializeToString()


class Bare(grpc.GenericRpcHandler):
    """Answers every method, with bytes for bytes."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        if handler_call_details.method.endswith("Stream"):
            return grpc.stream_stream_rpc_method_handler(answer_each)
        return grpc.unary_unary_rpc_method_handler(answer)


async def answer(_request: bytes, _context: Any) -> bytes:
    return ANSWER


async def answer_each(requests: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
    async for _ in requests:
        yield ANSWER


async def serve(port: int) -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([Bare()])
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
