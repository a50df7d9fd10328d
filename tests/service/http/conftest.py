"""A server with a stand-in model, for every test of this folder."""

from collections.abc import AsyncIterator

import pytest

import stand_in_server


@pytest.fixture
async def server() -> AsyncIterator[stand_in_server.Server]:
    """A server with version 1.0.0 live."""
    async with stand_in_server.serving() as found:
        yield found
