"""A gRPC server with a stand-in model, for every test of this folder."""

from collections.abc import AsyncIterator

import pytest

import grpc_stand_in


@pytest.fixture
async def server() -> AsyncIterator[grpc_stand_in.Server]:
    """A server with version 1.0.0 live."""
    async with grpc_stand_in.serving() as found:
        yield found
