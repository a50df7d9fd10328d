"""A small artifact that tests damage."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

CHURN = Path(__file__).parents[3] / "models/churn"
Document = dict[str, Any]


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    """A copy of churn 1.2.0 at <tmp>/root/churn/1.2.0."""
    place = tmp_path / "root/churn/1.2.0"
    shutil.copytree(CHURN / "1.2.0", place)
    return place


@pytest.fixture
def rewrite(artifact: Path) -> Callable[[Callable[[Document], object]], str]:
    """Changes the manifest of `artifact` by a function; returns its new digest."""

    def change(edit: Callable[[Document], object]) -> str:
        file = artifact / "modelroll.json"
        document = msgspec.json.decode(file.read_bytes())
        edit(document)
        file.write_bytes(msgspec.json.encode(document))
        return "sha256:" + hashlib.sha256(file.read_bytes()).hexdigest()

    return change
