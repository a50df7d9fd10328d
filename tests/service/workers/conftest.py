"""The mount of the churn model with a place for targets."""

from pathlib import Path

import pytest


@pytest.fixture
def mount(mount: Path) -> Path:
    """A volume with both versions, of which the first is served until a target says otherwise."""
    (mount / "targets").mkdir()
    return mount
