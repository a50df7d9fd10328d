"""One fault planted in a compiled model is seen; the model without it is equal."""

import copy
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    AdaBoostClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from equality_subject import Answer, subject
from modelroll_server.packing import equality
from modelroll_server.tensors import Array, Outputs, Table

SECONDS = 600.0  # far more than is needed: what is found must not depend on the machine


def target(rows: pd.DataFrame) -> Any:
    return (rows.iloc[:, 0].fillna(10.0) + rows.iloc[:, 1] > rows.iloc[:, 0].median() + rows.iloc[:, 1].median()) * 1


def three(rows: pd.DataFrame) -> Any:
    return target(rows) + (rows.iloc[:, 1] > rows.iloc[:, 1].quantile(0.8))


def columns(last: Any, **encoder: Any) -> Any:
    prepared = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["size", "count"]),
            ("kind", OneHotEncoder(handle_unknown="ignore", **encoder), ["kind"]),
            ("new", "passthrough", ["new"]),
        ]
    )
    return make_pipeline(prepared, last)


def forest() -> Any:
    return RandomForestClassifier(5, max_depth=4, random_state=0)


NUMBERS: dict[str, Callable[[], Any]] = {
    "logistic": LogisticRegression,
    "linear": LinearRegression,
    "support vectors": LinearSVC,
    "tree": lambda: DecisionTreeClassifier(max_depth=4, random_state=0),
    "scaled forest": lambda: make_pipeline(StandardScaler(), forest()),
    "boosting": lambda: GradientBoostingRegressor(n_estimators=5, random_state=0),
    "histogram": lambda: HistGradientBoostingClassifier(max_iter=5),
    "isolation": lambda: IsolationForest(n_estimators=5, random_state=0),
    "neighbours": lambda: KNeighborsClassifier(4),
    "chosen threshold": lambda: FixedThresholdClassifier(LogisticRegression(), threshold=0.3),
    "ada": lambda: AdaBoostClassifier(n_estimators=3, random_state=0),
    "bins": lambda: make_pipeline(KBinsDiscretizer(4, quantile_method="averaged_inverted_cdf"), LogisticRegression()),
}

TWO_CLASSES = {"chosen threshold"}


@functools.cache
def fitted(name: str) -> tuple[Any, pd.DataFrame]:
    rows = pd.DataFrame(np.random.default_rng(1).normal(5, 2, (300, 3)).round(2), columns=list("abc"))
    # Fitted on an array, which is called in a tenth of the time.
    return NUMBERS[name]().fit(rows.to_numpy(), target(rows) if name in TWO_CLASSES else three(rows)), rows


@pytest.mark.parametrize("name", NUMBERS)
def test_a_model_is_equal_to_itself(name: str) -> None:
    found = equality.check(subject(*fitted(name)), seconds=SECONDS)
    assert isinstance(found, equality.Equal), found
    assert found.rows["samples"] == 300


def test_a_pipeline_of_mixed_columns_is_equal_to_itself(mixed: pd.DataFrame) -> None:
    found = equality.check(subject(columns(forest()).fit(mixed, target(mixed)), mixed), seconds=SECONDS)
    assert isinstance(found, equality.Equal), found
    assert found.rows["thresholds"] > 0


# Faults in what comes in.


def in_float32(answer: Answer) -> Answer:
    def single(column: Array) -> Array:
        return column.astype(np.float32).astype(np.float64) if column.dtype == np.float64 else column

    return lambda table: answer(Table(table.names, tuple(single(column) for column in table.columns), table.rows))


def replacing(value: Any, other: Any) -> Callable[[Answer], Answer]:
    def is_it(one: Any) -> bool:
        return one == value and str(one) == str(value)  # -0.0 is not 0.0

    def plant(answer: Answer) -> Answer:
        def replaced(column: Array) -> Array:
            return np.array([other if is_it(one) else one for one in column.tolist()], column.dtype)

        return lambda table: answer(Table(table.names, tuple(replaced(one) for one in table.columns), table.rows))

    return plant


@pytest.mark.parametrize("name", ["scaled forest", "boosting", "histogram", "bins"])
def test_preprocessing_in_float32_is_seen(name: str) -> None:
    # The features themselves are compared as float32 in the second: there only what stands before it can be wrong.
    model, rows = fitted(name)
    if name == "boosting":
        model = make_pipeline(StandardScaler(), GradientBoostingRegressor(n_estimators=5)).fit(
            rows.to_numpy(), target(rows)
        )
    assert isinstance(equality.check(subject(model, rows, in_float32), seconds=SECONDS), equality.Differs)


def test_one_category_taken_for_another_is_seen(mixed: pd.DataFrame) -> None:
    model = columns(LogisticRegression()).fit(mixed, mixed["kind"] == "c")
    found = equality.check(subject(model, mixed, replacing("c", "b")), seconds=SECONDS)
    assert isinstance(found, equality.Differs)
    assert found.rows[0].row["kind"] == "c"


@pytest.mark.parametrize(("text", "other"), [("nan", np.nan), ("A", "a"), ("", "a"), ("None", np.nan), ("a ", "a")])
def test_a_text_that_is_nearly_a_category_is_seen(mixed: pd.DataFrame, text: str, other: Any) -> None:
    model = columns(LogisticRegression()).fit(mixed, mixed["kind"].isin(["a", "c"]))
    found = equality.check(subject(model, mixed, replacing(text, other)), seconds=SECONDS)
    assert isinstance(found, equality.Differs)
    assert found.rows[0].row["kind"] == text


def test_a_missing_value_that_is_not_imputed_is_seen(mixed: pd.DataFrame) -> None:
    whole = mixed.fillna({"size": 10.0})  # no sample shows that the model takes missing values
    model = columns(LogisticRegression()).fit(whole, target(whole))

    def plant(answer: Answer) -> Answer:
        def zeros(column: Array) -> Array:
            return np.nan_to_num(column) if column.dtype == np.float64 else column

        return lambda table: answer(Table(table.names, tuple(zeros(one) for one in table.columns), table.rows))

    found = equality.check(subject(model, whole, plant), seconds=SECONDS)
    assert isinstance(found, equality.Differs)
    assert found.rows[0].row["size"] is None


def test_a_negative_zero_that_is_another_number_is_seen() -> None:
    model, rows = fitted("logistic")
    found = equality.check(subject(model, rows, replacing(-0.0, 1.0)), seconds=SECONDS)
    assert isinstance(found, equality.Differs)
    assert "-0.0" in str(found.rows[0].row)


@pytest.mark.parametrize("change", [str.lower, lambda text: text.encode("ascii", "ignore").decode()])
def test_texts_normalised_otherwise_are_seen(change: Callable[[str], str]) -> None:
    texts = ["good day", "bad night", "good night", "a bad day", "Good Grief", "BAD luck"] * 10
    target = ["good" in text.lower() for text in texts]
    model = make_pipeline(TfidfVectorizer(lowercase=False), LogisticRegression()).fit(texts, target)
    rows = pd.DataFrame({"text": texts})

    def plant(answer: Answer) -> Answer:
        def changed(column: Array) -> Array:
            return np.array([change(text) for text in column], object)

        return lambda table: answer(Table(table.names, (changed(table.columns[0]),), table.rows))

    assert isinstance(equality.check(subject(model, rows), seconds=SECONDS), equality.Equal)
    assert isinstance(equality.check(subject(model, rows, plant), seconds=SECONDS), equality.Differs)


# Faults in the model itself.


@pytest.mark.parametrize("end", [-np.inf, np.inf])
@pytest.mark.parametrize("node", [0, 1, -1])
def test_one_threshold_a_step_off_is_seen(end: float, node: int) -> None:
    rows = pd.DataFrame(np.random.default_rng(1).normal(5, 2, (300, 3)).round(2), columns=list("abc"))
    model = HistGradientBoostingClassifier(max_iter=2, max_leaf_nodes=8).fit(rows.to_numpy(), target(rows))
    moved = copy.deepcopy(model)
    nodes = moved._predictors[0][0].nodes  # noqa: SLF001 - scikit-learn keeps its trees nowhere else
    inner = np.flatnonzero(nodes["is_leaf"] == 0)[node]
    nodes["num_threshold"][inner] = np.nextafter(nodes["num_threshold"][inner], end)
    found = equality.check(subject(model, rows, other=moved), seconds=SECONDS)
    assert isinstance(found, equality.Differs)
    assert found.counts.keys() <= {"borders", "thresholds"}


@pytest.mark.parametrize("scaled", [False, True])
def test_one_threshold_a_float32_step_off_is_seen(scaled: bool) -> None:
    rows = pd.DataFrame(np.random.default_rng(1).normal(5, 2, (300, 3)).round(2), columns=list("abc"))
    tree = DecisionTreeClassifier(max_depth=4, random_state=0)
    model = make_pipeline(StandardScaler(), tree) if scaled else make_pipeline(tree)
    model.fit(rows.to_numpy(), target(rows))
    moved = copy.deepcopy(model)
    thresholds = moved[-1].tree_.threshold
    inner = np.flatnonzero(thresholds != -2)[-1]
    highest = np.float32(thresholds[inner])
    while highest >= thresholds[inner]:  # the highest that goes left, which then goes right
        highest = np.nextafter(highest, np.float32(-np.inf))
    thresholds[inner] = np.nextafter(highest, np.float32(-np.inf))
    found = equality.check(subject(model, rows, other=moved), seconds=SECONDS)
    assert isinstance(found, equality.Differs)


def test_less_where_less_or_equal_stands_is_seen() -> None:
    rows = pd.DataFrame({"a": np.arange(40.0), "b": np.arange(40.0)[::-1].copy()})
    model = HistGradientBoostingClassifier(max_iter=1, min_samples_leaf=2).fit(rows.to_numpy(), rows["a"] > 20)
    moved = copy.deepcopy(model)
    for stage in moved._predictors:  # noqa: SLF001 - scikit-learn keeps its trees nowhere else
        stage[0].nodes["num_threshold"] = np.nextafter(stage[0].nodes["num_threshold"], -np.inf)
    found = equality.check(subject(model, rows, other=moved), seconds=SECONDS)
    assert isinstance(found, equality.Differs)


# Faults in what comes out.


def answering(change: Callable[[Outputs], Outputs]) -> Callable[[Answer], Answer]:
    return lambda answer: lambda table: change(answer(table))


def last_of_a_tie(outputs: Outputs) -> Outputs:
    assert isinstance(outputs.probability, np.ndarray)
    last = outputs.probability.shape[1] - 1 - outputs.probability[:, ::-1].argmax(axis=1)
    return Outputs(last, outputs.probability)


@pytest.mark.parametrize("name", ["tree", "neighbours"])
def test_a_tie_broken_otherwise_is_seen(name: str) -> None:
    model, rows = fitted(name)
    if name == "tree":
        rows = rows.assign(a=np.arange(300) // 150)  # a leaf of one half of the rows holds both classes alike
        model = DecisionTreeClassifier(max_depth=1).fit(rows[["a"]], (np.arange(300) % 2) | rows["a"])
    found = equality.check(subject(model, rows, answering(last_of_a_tie)), seconds=SECONDS)
    assert isinstance(found, equality.Differs)
    assert "labels" in found.reason


def test_labels_by_argmax_where_predict_is_not_are_seen() -> None:
    model, rows = fitted("chosen threshold")

    def argmax(outputs: Outputs) -> Outputs:
        assert isinstance(outputs.probability, np.ndarray)
        return Outputs(outputs.probability.argmax(axis=1), outputs.probability)

    found = equality.check(subject(model, rows, answering(argmax)), seconds=SECONDS)
    assert isinstance(found, equality.Differs)


def off_by(error: float, share: float = 1.0) -> Callable[[Outputs], Outputs]:
    def change(outputs: Outputs) -> Outputs:
        assert isinstance(outputs.probability, np.ndarray)
        wrong = np.abs(outputs.probability[:, :1] - 0.5) < share
        return Outputs(outputs.prediction, outputs.probability + error * wrong * np.array([1.0, *[-1.0] * 2][:3]))

    return change


def test_a_probability_is_allowed_a_millionth_and_no_more() -> None:
    model, rows = fitted("logistic")
    for error, kind in ((1e-5, equality.Differs), (5e-7, equality.Equal)):
        assert isinstance(equality.check(subject(model, rows, answering(off_by(error))), seconds=SECONDS), kind)


def test_what_is_not_finite_is_seen() -> None:
    model, rows = fitted("linear")

    def change(outputs: Outputs) -> Outputs:
        beyond = np.abs(outputs.prediction) > 1e30
        return Outputs(np.where(beyond, np.inf, outputs.prediction))

    found = equality.check(subject(model, rows, answering(change)), seconds=SECONDS)
    assert isinstance(found, equality.Differs)
    assert found.counts.keys() == {"edges"}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda outputs: Outputs(outputs.prediction.astype(bool), outputs.probability), "is INT64"),
        (lambda outputs: Outputs(outputs.prediction.astype(float), outputs.probability), "is INT64"),
        (lambda outputs: Outputs(outputs.prediction[:, None], outputs.probability), "shape"),
        (lambda outputs: Outputs(outputs.prediction), "probability"),
    ],
)
def test_answers_of_another_form_are_seen(change: Callable[[Outputs], Outputs], reason: str) -> None:
    found = equality.check(subject(*fitted("logistic"), answering(change)), seconds=SECONDS)
    assert isinstance(found, equality.Differs)
    assert reason in found.reason


def test_a_row_that_is_answered_otherwise_alone_is_seen() -> None:
    def plant(answer: Answer) -> Answer:
        def shifted(table: Table) -> Outputs:
            outputs = answer(table)
            return Outputs(1 - outputs.prediction if table.rows == 1 else outputs.prediction, outputs.probability)

        return shifted

    found = equality.check(subject(*fitted("logistic"), plant), seconds=SECONDS)
    assert isinstance(found, equality.Differs)
    assert found.rows[0].batch == 1


def test_a_row_on_which_the_compiled_model_raises_is_named(mixed: pd.DataFrame) -> None:
    model = columns(LogisticRegression()).fit(mixed, target(mixed))

    def plant(answer: Answer) -> Answer:
        def raises(table: Table) -> Outputs:
            if "nan" in table.columns[2].tolist():
                raise ValueError("unknown category")
            return answer(table)

        return raises

    found = equality.check(subject(model, mixed, plant), seconds=SECONDS)
    assert isinstance(found, equality.Differs)
    assert found.rows[0].row["kind"] == "nan"
    assert found.rows[0].found == {"error": "ValueError: unknown category"}
    assert "prediction" in found.rows[0].expected
