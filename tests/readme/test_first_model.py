"""What the root README tells a newcomer to type works: here what needs no cluster, in e2e/test_readme.py the rest."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import httpx
import joblib
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from harness import readme
from server_process import serving

COMMANDS = readme.commands("Your first model on a cluster")
SETUP = "make setup && . .venv/bin/activate"


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A folder with what the README takes for granted: `model.joblib`, and `rows.parquet` with some of its inputs."""
    rows = pd.DataFrame({"tenure": range(40), "contract": ["month", "year"] * 20})
    columns = make_column_transformer((OneHotEncoder(), ["contract"]), remainder="passthrough")
    model = make_pipeline(columns, LogisticRegression())
    joblib.dump(model.fit(rows, rows["tenure"] > 20), tmp_path / "model.joblib")
    rows.to_parquet(tmp_path / "rows.parquet")
    return tmp_path


def test_a_model_of_ones_own_is_packed_and_served_as_the_readme_says(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup, pack, serve = COMMANDS[:3]
    assert setup == SETUP
    monkeypatch.chdir(trained)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    packed = subprocess.run(["bash", "-euc", pack], check=False, capture_output=True, text=True, env={"PATH": path})
    assert packed.returncode == 0, packed.stderr
    assert shlex.split(serve)[:2] == ["modelroll", "serve"]
    with serving(trained / "log", *shlex.split(serve)[2:]) as server:
        server.wait_for_live("1.2.0")
        listening = next(line for line in server.lines() if line["event"] == "listening")
        assert listening["docs"] == f"{server.url}/docs"
        assert httpx.get(listening["docs"]).status_code == 200
        answer = httpx.post(f"{server.url}/predict", json={"tenure": 39, "contract": "year"})
        assert (answer.json()["prediction"], answer.json()["model_version"]) == (True, "1.2.0")
