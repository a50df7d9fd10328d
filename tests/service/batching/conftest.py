"""A batcher of its own for each test."""

from collections.abc import AsyncIterator

import pytest

from stand_in_batcher import Desk, desk


@pytest.fixture
async def alone() -> AsyncIterator[Desk]:
    """One thread, and room for ten rows."""
    found = desk(max_rows=10)
    yield found
    found.threads.close()
