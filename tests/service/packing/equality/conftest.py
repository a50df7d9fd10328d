"""Rows for the models that are compared."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from modelroll_server.packing.equality import mixtures


@pytest.fixture(autouse=True)
def _fewer_mixtures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of them: here scikit-learn stands for the compiled model, and takes a millisecond for each batch."""
    monkeypatch.setattr(mixtures, "COUNT", 2_000)


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Threads for thirty rows wait for each other, on a busy machine for long."""
    with threadpool_limits(1):
        yield


@pytest.fixture(scope="session")
def mixed() -> pd.DataFrame:
    """Two hundred rows of a number, some of them missing, a count, a text, some of them missing, and a boolean."""
    rng = np.random.default_rng(2)
    size = rng.normal(10, 3, 200).round(2)
    size[::17] = np.nan
    kind = rng.choice(["a", "b", "c"], 200).astype(object)
    kind[::13] = np.nan
    return pd.DataFrame(
        {"size": size, "count": rng.integers(0, 9, 200), "kind": kind, "new": rng.choice([True, False], 200)}
    )
