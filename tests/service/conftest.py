"""The churn model: its rows, what scikit-learn answers to one, and a mount that tests may change."""

import json
import shutil
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import pytest

CHURN = Path(__file__).parents[2] / "models" / "churn"
VERSIONS = ("1.2.0", "2.0.0")


@pytest.fixture(scope="session")
def row() -> dict[str, Any]:
    """One customer."""
    found: dict[str, Any] = json.loads((CHURN / "row.json").read_bytes())
    return found


@pytest.fixture(scope="session")
def expected(row: dict[str, Any]) -> dict[str, tuple[Any, list[float]]]:
    """What scikit-learn itself answers, by version."""
    frame = pd.DataFrame([row])
    found = {}
    for version in VERSIONS:
        estimator = joblib.load(CHURN / version / "model.joblib")
        found[version] = (estimator.predict(frame)[0], estimator.predict_proba(frame)[0].tolist())
    return found


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    """A volume with both versions."""
    root = tmp_path / "mount"
    for version in VERSIONS:
        shutil.copytree(CHURN / version, root / "churn" / version)
    return root
