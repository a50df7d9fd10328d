"""Models of every kind that `pack` and a bare file must cope with, fitted once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest

from modelroll_server.packing import pack

Dump = Callable[[Any, Path], object]
Packer = Callable[..., pack.Packed]


@pytest.fixture(scope="session")
def frame() -> pd.DataFrame:
    """Sixty rows: numbers, integers, texts, a boolean, missing values."""
    rng = np.random.default_rng(3)
    size = rng.normal(10, 3, 60).round(3)
    size[[4, 9]] = np.nan
    return pd.DataFrame(
        {
            "size": size,
            "count": rng.integers(0, 9, 60),
            "kind": rng.choice(["a", "b", "c"], 60),
            "new": rng.choice([True, False], 60),
        }
    )


@pytest.fixture(scope="session")
def rows() -> pd.DataFrame:
    """160 rows of four numbers, some rounded: values that meet thresholds."""
    rng = np.random.default_rng(5)
    found = pd.DataFrame(rng.normal(0, 2, (160, 4)), columns=["a", "b", "c", "d"])
    return found.assign(c=found["c"].round(1), d=found["d"].round())


@pytest.fixture(scope="session")
def target(rows: pd.DataFrame) -> Any:
    """A number for each of these rows that follows from them, but for some noise."""
    noise = np.random.default_rng(6).normal(0, 0.3, len(rows))
    return (rows["a"] + 0.5 * rows["b"] ** 2 + noise).to_numpy()


@pytest.fixture
def packer(tmp_path: Path) -> Packer:
    """Dumps an estimator and packs it as m 1.0.0 under <tmp>/models; compiled only where that is asked for."""

    def make(estimator: Any, samples: pd.DataFrame, dump: Dump = joblib.dump, **more: Any) -> pack.Packed:
        more = {"compile": False, **more}
        file = tmp_path / ("fitted.joblib" if dump is joblib.dump else "fitted.skops")
        dump(estimator, file)
        request = pack.Request(files=[file], model="m", version="1.0.0", samples=samples, **more)
        return pack.pack(request, tmp_path / "models")

    return make
