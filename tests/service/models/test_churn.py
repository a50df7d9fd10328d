"""The churn model: what is committed is what training gives, and the server answers real rows as scikit-learn does."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import yaml

from modelroll_server.artifact import catalog
from modelroll_server.artifact.opening import open_artifact
from modelroll_server.artifact.policy import Policy
from modelroll_server.runtimes.loading import load
from modelroll_server.schema import Schema

ROOT = Path(__file__).parents[3]
CHURN = ROOT / "models/churn"
VERSIONS = ["1.2.0", "2.0.0"]


def run(script: str, *arguments: str) -> str:
    environment = os.environ | {"SOURCE_DATE_EPOCH": "1767225600"}
    command = [sys.executable, str(CHURN / script), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


@pytest.fixture(scope="session")
def lines() -> list[dict[str, Any]]:
    """Five hundred real rows with scikit-learn's own answers."""
    return [json.loads(line) for line in run("rows.py", "--count", "500").splitlines()]


@pytest.fixture(scope="session")
def retrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both versions, trained again."""
    out = tmp_path_factory.mktemp("models")
    run("train.py", "--no-compile", "--out", str(out))
    return out / "churn"


@pytest.mark.parametrize("version", VERSIONS)
def test_training_again_gives_the_same_predictions(version: str, retrained: Path, lines: list[dict[str, Any]]) -> None:
    rows = pd.DataFrame([line["row"] for line in lines])
    found = joblib.load(retrained / version / "model.joblib").predict_proba(rows)
    expected = [line["expected"][version]["probability"] for line in lines]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("version", VERSIONS)
def test_training_again_writes_the_same_schema_and_metrics(version: str, retrained: Path) -> None:
    committed, again = (catalog.read(place / version).manifest for place in (CHURN, retrained))
    assert [column.name for column in again.inputs] == [column.name for column in committed.inputs]
    assert (again.metrics, again.classes, again.created) == (committed.metrics, committed.classes, committed.created)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_server_answers_real_rows_as_scikit_learn_does(version: str, lines: list[dict[str, Any]]) -> None:
    with open_artifact(CHURN / version, policy=Policy.ANY) as opened:
        loaded = load(opened)
    table = Schema(loaded.manifest.inputs).decode_rows([line["row"] for line in lines])
    found = loaded.runtime.predict(table).as_lists()[0]
    assert found["prediction"] == [line["expected"][version]["prediction"] for line in lines]
    expected = [line["expected"][version]["probability"] for line in lines]
    np.testing.assert_allclose(np.array(found["probability"]), expected, rtol=0, atol=1e-12)


def test_both_versions_have_one_schema_of_nineteen_inputs() -> None:
    one, other = (catalog.read(CHURN / version).manifest for version in VERSIONS)
    described = [[(column.name, column.datatype, column.missing) for column in it.inputs] for it in (one, other)]
    assert described[0] == described[1]
    assert len(described[0]) == 19
    assert ("total_charges", "FP64", "nan") in described[0]


def test_the_versions_differ_on_some_rows(lines: list[dict[str, Any]]) -> None:
    assert any(len({answer["prediction"] for answer in line["expected"].values()}) == 2 for line in lines)


@pytest.mark.parametrize("place", [*(CHURN / version for version in VERSIONS), ROOT / "tests/artifacts/churn/2.1.0"])
def test_the_artifacts_are_whole_and_small_enough_to_keep_here(place: Path) -> None:
    entry = catalog.read(place)
    assert entry.version.text == place.name
    assert sum(file.stat().st_size for file in place.iterdir()) < 300_000


def test_row_json_is_a_row_that_the_schema_takes() -> None:
    row = json.loads((CHURN / "row.json").read_text())
    Schema(catalog.read(CHURN / "2.0.0").manifest.inputs).decode_row(row)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_sample_to_apply_has_the_digest_of_what_is_committed(version: str) -> None:
    sample = yaml.safe_load((ROOT / f"k8s/samples/churn-{version}.yaml").read_text())
    assert sample["spec"]["digest"] == catalog.read(CHURN / version).digest
