"""MLflow model directories, as its versions 2 and 3 write them, are packed."""

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import cloudpickle
import pandas as pd
import pytest
import skops.io
import yaml
from click.testing import CliRunner, Result
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from modelroll_server.artifact import catalog
from modelroll_server.cli import main
from modelroll_server.tensors import Datatype

FRAME = pd.DataFrame({"size": [1.0, 2.0, 3.5, 4.0] * 3, "count": [4, 2, 3, 1] * 3})
TARGET = ["no", "no", "yes", "yes"] * 3
COLUMNS = [{"type": "double", "name": "size"}, {"type": "long", "name": "count"}]
MLFLOW_2: dict[str, Any] = {"mlflow_version": "2.22.2"}
MLFLOW_3: dict[str, Any] = {"mlflow_version": "3.17.2", "model_id": None, "model_size_bytes": 1106, "prompts": None}


def written(directory: Path, model: Any, by: dict[str, Any], **sklearn: Any) -> Path:
    """A model directory: the description, the file, no example."""
    flavor = {"code": None, "pickled_model": "model.pkl", "serialization_format": "cloudpickle"} | sklearn
    directory.mkdir()
    name = str(flavor["pickled_model"])
    if flavor["serialization_format"] == "skops":
        skops.io.dump(model, directory / name)
    else:
        (directory / name).write_bytes(pickle.dumps(model))
    generic = {"loader_module": "mlflow.sklearn", "model_path": name, "predict_fn": "predict"}
    return described(directory, by | {"flavors": {"python_function": generic, "sklearn": flavor}})


def described(directory: Path, content: dict[str, Any]) -> Path:
    directory.mkdir(exist_ok=True)
    (directory / "MLmodel").write_text(yaml.safe_dump(content))
    return directory


def with_example(directory: Path, example: Any, kind: str, signature: list[dict[str, Any]]) -> Path:
    content = yaml.safe_load((directory / "MLmodel").read_text())
    content["saved_input_example_info"] = {
        "artifact_path": "input_example.json",
        "serving_input_path": "serving_input_example.json",
        "type": kind,
    }
    content["signature"] = {"inputs": json.dumps(signature), "outputs": None, "params": None}
    (directory / "input_example.json").write_text(json.dumps(example))
    return described(directory, content)


def pack(directory: Path, *more: Any) -> Result:
    asked = ["pack", directory, "--model", "m", "--version", "1.0.0", "--out", directory.parent / "models", *more]
    return CliRunner().invoke(main, [str(argument) for argument in asked])


def in_split(frame: pd.DataFrame) -> Any:
    return {"columns": list(frame.columns), "data": frame.to_numpy(object).tolist()}


@pytest.mark.parametrize("by", [MLFLOW_2, MLFLOW_3], ids=["MLflow 2", "MLflow 3"])
@pytest.mark.parametrize("name", ["pickle", "cloudpickle", "skops"])
def test_a_directory_is_packed_with_its_example_for_samples(tmp_path: Path, by: dict[str, Any], name: str) -> None:
    model = LogisticRegression().fit(FRAME, TARGET)
    file = "model.skops" if name == "skops" else "model.pkl"
    directory = written(tmp_path / "saved", model, by, serialization_format=name, pickled_model=file)
    with_example(directory, in_split(FRAME), "dataframe", COLUMNS)
    result = pack(directory)
    assert result.exit_code == 0, result.output
    manifest = catalog.read(tmp_path / "models/m/1.0.0").manifest
    assert [(column.name, column.datatype) for column in manifest.inputs] == [
        ("size", Datatype.FP64),
        ("count", Datatype.INT64),
    ]
    assert file in manifest.files
    assert manifest.golden is not None
    assert manifest.golden.rows


def test_whole_numbers_of_a_column_of_doubles_stay_doubles(tmp_path: Path) -> None:
    model = LogisticRegression().fit(FRAME, TARGET)
    directory = written(tmp_path / "saved", model, MLFLOW_3)
    with_example(directory, in_split(FRAME.assign(size=[1, 2, 3, 4] * 3)), "dataframe", COLUMNS)
    assert pack(directory).exit_code == 0
    assert catalog.read(tmp_path / "models/m/1.0.0").manifest.inputs[0].datatype is Datatype.FP64


def test_an_example_that_is_an_array_has_columns_without_names(tmp_path: Path) -> None:
    model = LogisticRegression().fit(FRAME.to_numpy(), TARGET)
    directory = written(tmp_path / "saved", model, MLFLOW_3)
    signature = [{"type": "tensor", "tensor-spec": {"dtype": "float64", "shape": [-1, 2]}}]
    with_example(directory, FRAME.to_numpy(float).tolist(), "ndarray", signature)
    assert pack(directory).exit_code == 0
    assert [column.name for column in catalog.read(tmp_path / "models/m/1.0.0").manifest.inputs] == ["x0", "x1"]


def test_samples_of_ones_own_are_preferred(tmp_path: Path) -> None:
    directory = written(tmp_path / "saved", LogisticRegression().fit(FRAME, TARGET), MLFLOW_3)
    with_example(directory, in_split(FRAME.head(1)), "dataframe", COLUMNS)
    FRAME.to_csv(tmp_path / "rows.csv", index=False)
    assert pack(directory, "--samples", tmp_path / "rows.csv").exit_code == 0
    size = catalog.read(tmp_path / "models/m/1.0.0").manifest.inputs[0]
    assert size.range == (1.0, 4.0)


def test_without_any_rows_the_samples_are_asked_for(tmp_path: Path) -> None:
    directory = written(tmp_path / "saved", LogisticRegression().fit(FRAME, TARGET), MLFLOW_3)
    result = pack(directory)
    assert result.exit_code == 2
    assert "--samples is missing, and no rows were saved with the model" in result.output


def by_value(tmp_path: Path) -> Path:
    """A model with a function that no module has."""
    model = make_pipeline(FunctionTransformer(lambda values: values * 2), LogisticRegression()).fit(FRAME, TARGET)
    directory = written(tmp_path / "saved", model[-1], MLFLOW_3)
    (directory / "model.pkl").write_bytes(cloudpickle.dumps(model))
    return with_example(directory, in_split(FRAME), "dataframe", COLUMNS)


def test_a_function_written_by_value_is_packed_and_cloudpickle_required(tmp_path: Path) -> None:
    result = pack(by_value(tmp_path))
    assert result.exit_code == 0, result.output
    trained = catalog.read(tmp_path / "models/m/1.0.0").manifest.sklearn
    assert trained is not None
    assert trained.requires["cloudpickle"] == cloudpickle.__version__


def test_where_cloudpickle_is_needed_and_not_there_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = by_value(tmp_path)
    for module in ("cloudpickle", "cloudpickle.cloudpickle"):
        monkeypatch.setitem(sys.modules, module, None)
    result = pack(directory)
    assert result.exit_code == 1
    assert "the model needs cloudpickle, which is not installed" in result.output


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({"flavors": {"python_function": {}}}, "its flavors are python_function, and only sklearn is served"),
        ({"flavors": {"python_function": {}, "xgboost": {}}}, "its flavors are python_function, xgboost, and"),
        ({"flavors": {"sklearn": {"pickled_model": "../model.pkl"}}}, "which is not in the directory"),
        ({"flavors": {"sklearn": {"pickled_model": "absent.pkl"}}}, "which is not in the directory"),
        ({"flavors": {"sklearn": {"serialization_format": "onnx"}}}, "was written as onnx, which is none of"),
        ({"run_id": "0"}, "names no flavors"),
    ],
)
def test_what_is_no_scikit_learn_model_is_refused_by_name(tmp_path: Path, content: Any, sentence: str) -> None:
    (tmp_path / "model.pkl").write_bytes(b"")
    result = pack(described(tmp_path / "saved", content))
    assert result.exit_code == 1
    assert sentence in result.output


def test_a_directory_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    result = pack(tmp_path / "saved")
    assert result.exit_code == 1
    assert "without a file MLmodel" in result.output
