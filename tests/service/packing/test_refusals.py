"""The estimator raises ⇔ the schema refuses, for every value that the spec names."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from modelroll_server.errors import RequestError
from modelroll_server.packing import pack
from modelroll_server.schema import Schema
from modelroll_server.tensors import Datatype

Packer = Callable[..., pack.Packed]

HISTOGRAM = HistGradientBoostingClassifier(max_iter=2)
PIPELINES: dict[str, Any] = {
    "scaler, linear": lambda: make_pipeline(_columns(StandardScaler(), OneHotEncoder()), LogisticRegression()),
    "imputer, tree": lambda: make_pipeline(_columns(SimpleImputer(), OneHotEncoder()), DecisionTreeClassifier()),
    "unknown ignored": lambda: make_pipeline(
        _columns(SimpleImputer(), OneHotEncoder(handle_unknown="ignore")), LogisticRegression()
    ),
    "bare tree": lambda: make_pipeline(_columns("passthrough", OrdinalEncoder()), DecisionTreeClassifier()),
    "histogram": lambda: make_pipeline(
        _columns("passthrough", OrdinalEncoder()), HistGradientBoostingClassifier(max_iter=2)
    ),
}
NUMBERS: list[Any] = [None, 0, -0.0, 1e5, 3.4e38, 3.5e38, -1e39, 1e39, 1e300, -1.7e308, 2**53 + 1]
TEXTS: list[Any] = [None, "a", "b", "z", "", "A", "nan", "None", "é"]


def _columns(numbers: Any, texts: Any) -> Any:
    return ColumnTransformer([("numbers", numbers, ["size", "count"]), ("texts", texts, ["kind"])])


@pytest.mark.filterwarnings("ignore:Found unknown categories")
@pytest.mark.parametrize("make", PIPELINES.values(), ids=PIPELINES.keys())
def test_the_schema_refuses_what_the_estimator_refuses(packer: Packer, make: Any) -> None:
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(
        {"size": rng.normal(0, 1, 80), "count": rng.integers(0, 9, 80), "kind": rng.choice(["a", "b"], 80)}
    )
    fitted = make().fit(frame, frame["count"] > 4)
    manifest = packer(fitted, frame).manifest
    schema = Schema(manifest.inputs)
    sample = {"size": 0.5, "count": 3, "kind": "a"}
    wrong = []
    questions: list[tuple[str, list[Any]]] = [("size", NUMBERS), ("count", NUMBERS), ("kind", TEXTS)]
    for name, values in questions:
        column = next(column for column in manifest.inputs if column.name == name)
        for value in values:
            if column.datatype is Datatype.INT64 and not isinstance(value, int):
                continue  # what an INT64 cannot hold is refused whatever the estimator would do
            row = sample | {name: value}
            if _schema_takes(schema, row) != _estimator_takes(fitted, row, column.missing):
                wrong.append((name, value))
    assert wrong == []


def _schema_takes(schema: Schema, row: dict[str, Any]) -> bool:
    try:
        schema.decode_row(row)
    except RequestError:
        return False
    return True


def _estimator_takes(fitted: Any, row: dict[str, Any], missing: str) -> bool:
    given = {name: math.nan if value is None and missing != "none" else value for name, value in row.items()}
    frame = pd.DataFrame([given]).astype({"kind": object})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            fitted.predict_proba(frame)
        except ValueError:
            return False
    return True


def test_an_encoded_number_refuses_what_the_encoder_does_not_know(packer: Packer) -> None:
    frame = pd.DataFrame({"code": [10, 20, 30] * 10, "size": np.arange(30.0)})
    encoded = ColumnTransformer([("code", OneHotEncoder(), ["code"])], remainder="passthrough")
    fitted = make_pipeline(encoded, DecisionTreeClassifier()).fit(frame, frame["code"] > 10)
    code = packer(fitted, frame.query("code < 30")).manifest.inputs[0]
    assert (code.unknown, code.categories) == ("refuse", [10, 20, 30])


def test_the_limit_of_a_tree_is_the_last_double_that_float32_holds(packer: Packer) -> None:
    frame = pd.DataFrame({"x": np.arange(20.0)})
    manifest = packer(DecisionTreeClassifier().fit(frame, frame["x"] > 9), frame).manifest
    limit = manifest.inputs[0].max_abs
    assert limit is not None
    with np.errstate(over="ignore"):
        assert np.isfinite(np.float32(limit))
        assert np.isinf(np.float32(math.nextafter(limit, math.inf)))
