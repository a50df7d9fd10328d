"""What pack ships of a compiled model, and what it says of one that it does not."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder

from both_runtimes import assert_equal, both
from modelroll_server.artifact import catalog
from modelroll_server.artifact.manifest import OnnxRuntime, SklearnRuntime
from modelroll_server.cli import main
from modelroll_server.packing import compiling, inputs, pack
from modelroll_server.packing.proving import Compiled
from modelroll_server.packing.verify import verify

Packer = Callable[..., pack.Packed]


def labels(frame: pd.DataFrame) -> Any:
    return np.where(frame["count"] + frame["size"].fillna(0) > 12, "many", "few")


def pipeline(model: Any) -> Any:
    columns = ColumnTransformer(
        [
            ("size", SimpleImputer(), ["size", "count"]),
            ("kind", OneHotEncoder(), ["kind"]),
            ("new", "passthrough", ["new"]),
        ]
    )
    return make_pipeline(columns, model)


def halved(values: Any) -> Any:
    return values / 2


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Result]:
    """Packs an estimator as a person does."""

    def make(estimator: Any, frame: pd.DataFrame, *options: str) -> Result:
        joblib.dump(estimator, tmp_path / "m.joblib")
        frame.to_parquet(tmp_path / "rows.parquet")
        asked = ["pack", tmp_path / "m.joblib", "--model", "m", "--version", "1.0.0", "--check-seconds", "30"]
        asked += ["--samples", tmp_path / "rows.parquet", "--out", tmp_path / "models", *options]
        return CliRunner().invoke(main, [str(one) for one in asked])

    return make


@pytest.mark.parametrize(
    "model", [LogisticRegression(max_iter=500), RandomForestClassifier(5, random_state=0)], ids=str
)
def test_a_compiled_model_stands_before_the_other_and_says_how_it_was_checked(
    model: Any, packer: Packer, frame: pd.DataFrame
) -> None:
    packed = packer(pipeline(model).fit(frame, labels(frame)), frame, compile=True, check_seconds=30.0)
    assert isinstance(packed.compiled, Compiled), packed.compiled
    first, second = packed.manifest.runtimes
    assert isinstance(first, OnnxRuntime)
    assert isinstance(second, SklearnRuntime)
    assert (first.file, first.checked.seed, first.checked.seconds) == ("model.onnx", 0, 30.0)
    assert first.checked.rows["samples"] == len(frame)
    assert sorted(path.name for path in packed.path.iterdir()) == ["model.joblib", "model.onnx", "modelroll.json"]
    checks = verify(packed.path, packed.digest, check_seconds=30.0)
    assert {check.reason for check in checks} == {None}
    assert checks[-1].name == "compiled"


def test_the_same_model_is_compiled_to_the_same_bytes(frame: pd.DataFrame) -> None:
    fitted = pipeline(RandomForestClassifier(5, random_state=0)).fit(frame, labels(frame))
    described = inputs.describe(inputs.select(fitted, frame)[1])
    assert compiling.compile_model(fitted, described) == compiling.compile_model(fitted, described)


def test_what_cannot_be_compiled_is_packed_for_scikit_learn_and_the_reason_is_printed(
    run: Callable[..., Result], frame: pd.DataFrame, tmp_path: Path
) -> None:
    numbers = frame[["count", "new"]]
    fitted = make_pipeline(FunctionTransformer(halved), LogisticRegression()).fit(numbers, labels(frame))
    result = run(fitted, numbers)
    assert result.exit_code == 0, result.output
    assert "not compiled: FunctionTransformer: it calls halved" in result.output
    assert [runtime.file for runtime in catalog.read(tmp_path / "models/m/1.0.0").manifest.runtimes] == ["model.joblib"]


def test_where_a_compiled_model_is_required_nothing_else_is_written(
    run: Callable[..., Result], frame: pd.DataFrame, tmp_path: Path
) -> None:
    numbers = frame[["count", "new"]]
    fitted = make_pipeline(FunctionTransformer(halved), LogisticRegression()).fit(numbers, labels(frame))
    result = run(fitted, numbers, "--require-compiled")
    assert (result.exit_code, result.output) == (1, "not compiled: FunctionTransformer: it calls halved\n")
    assert not (tmp_path / "models").exists()


def test_nobody_has_to_compile(run: Callable[..., Result], frame: pd.DataFrame, tmp_path: Path) -> None:
    result = run(LogisticRegression().fit(frame[["count"]], labels(frame)), frame, "--no-compile")
    assert "compiled" not in result.output
    assert catalog.read(tmp_path / "models/m/1.0.0").manifest.onnx is None


def test_a_compiled_model_that_answers_otherwise_is_shown_with_its_rows_and_not_shipped(
    run: Callable[..., Result], frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = LogisticRegression().fit(frame[["count"]], labels(frame))
    other = LogisticRegression(C=0.01).fit(frame[["count"]], labels(frame))
    honest = compiling.compile_model
    monkeypatch.setattr(compiling, "compile_model", lambda _, columns: honest(other, columns))
    result = run(fitted, frame)
    assert result.exit_code == 0, result.output
    assert "not compiled: " in result.output
    assert "rows that differ: " in result.output
    assert 1 <= result.output.count("    scikit-learn: ") <= 3
    assert result.output.count("    scikit-learn: ") == result.output.count("    compiled:     ")
    assert not (tmp_path / "models/m/1.0.0/model.onnx").exists()


def test_verify_finds_a_compiled_model_that_was_put_into_anothers_place(packer: Packer, frame: pd.DataFrame) -> None:
    fitted = LogisticRegression().fit(frame[["count"]], labels(frame))
    packed = packer(fitted, frame, compile=True, check_seconds=30.0)
    other = LogisticRegression(C=0.9).fit(frame[["count"]], labels(frame))
    model = compiling.compile_model(other, packed.manifest.inputs)
    (packed.path / "model.onnx").write_bytes(model)
    document = json.loads((packed.path / "modelroll.json").read_bytes())
    document["files"]["model.onnx"] = {"sha256": hashlib.sha256(model).hexdigest(), "bytes": len(model)}
    document["golden"].update(rtol=1.0, atol=1.0)
    (packed.path / "modelroll.json").write_text(json.dumps(document))
    assert verify(packed.path, check_seconds=30.0)[-1].reason == "CompiledDiffers"


def test_a_model_fitted_on_an_array_is_compiled_for_its_columns_in_order() -> None:
    values = np.random.default_rng(0).normal(size=(60, 3))
    pair = both(LogisticRegression().fit(values, values[:, 1] > 0), pd.DataFrame(values))
    assert pair.table.names == ("x0", "x1", "x2")
    assert_equal(pair, pair.table)
