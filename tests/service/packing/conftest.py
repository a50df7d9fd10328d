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
