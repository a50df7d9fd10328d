"""What the check asks and leaves, apart from what it finds."""

import copy
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    BaggingClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    VotingClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, RadiusNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PowerTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from equality_subject import Answer, subject
from modelroll_server.packing import equality
from modelroll_server.packing.equality import trees
from modelroll_server.runtimes.scikit import SklearnRuntime
from modelroll_server.tensors import Outputs, Table


def rows_and_target() -> tuple[pd.DataFrame, Any]:
    rng = np.random.default_rng(4)
    rows = pd.DataFrame(rng.normal(5, 2, (200, 2)).round(2), columns=["a", "b"])
    return rows.assign(kind=rng.choice(["x", "y"], 200)), rows["a"] * rows["b"] > 25


class Noting:
    """Plants nothing, and keeps what is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def __call__(self, answer: Answer) -> Answer:
        def noted(table: Table) -> Outputs:
            self.asked += zip(*(column.tolist() for column in table.columns), strict=True)
            return answer(table)

        return noted


def test_both_sides_of_every_threshold_are_asked_in_the_columns_own_numbers() -> None:
    rows, target = rows_and_target()
    rows = rows[["a", "b"]]
    swapped = ColumnTransformer([("bent", PowerTransformer(), [1]), ("scaled", StandardScaler(), [0])])
    model = make_pipeline(swapped, DecisionTreeClassifier(max_depth=3, random_state=0)).fit(rows.to_numpy(), target)
    noting = Noting()
    found = equality.check(subject(model, rows, noting), seconds=600)
    assert isinstance(found, equality.Equal), found
    tree = model[-1].tree_
    asked = np.array(sorted({row for row in noting.asked if not any(np.isnan(row)) and max(map(abs, row)) < 1e6}))
    features = model[0].transform(asked).astype(np.float32)
    for node in np.flatnonzero(tree.feature >= 0):
        feature = tree.feature[node]
        left = features[:, feature] <= tree.threshold[node]
        column = asked[:, 1 - feature]
        assert np.nextafter(column[left].max(), np.inf) == column[~left].min()


def test_the_same_seed_asks_the_same_rows_and_another_asks_others() -> None:
    rows, target = rows_and_target()
    model = DecisionTreeClassifier(max_depth=2).fit(rows[["a", "b"]].to_numpy(), target)
    asked = []
    for seed in (0, 0, 1):
        noting = Noting()
        assert isinstance(equality.check(subject(model, rows[["a", "b"]], noting), seed=seed), equality.Equal)
        asked.append(sorted(map(repr, noting.asked)))
    assert asked[0] == asked[1]
    assert asked[0] != asked[2]


def test_what_the_schema_refuses_is_not_asked() -> None:
    rows, target = rows_and_target()
    prepared = ColumnTransformer([("kind", OneHotEncoder(), ["kind"])], remainder="passthrough")
    noting = Noting()
    model = make_pipeline(prepared, LogisticRegression(max_iter=1000)).fit(rows, target)
    assert isinstance(equality.check(subject(model, rows, noting), seconds=600), equality.Equal)
    assert {row[2] for row in noting.asked} == {"x", "y"}
    assert not any(np.isnan(row[0]) or np.isinf(row[0]) for row in noting.asked)


@pytest.mark.parametrize(("seconds", "outcome"), [(0.0, equality.Differs), (600.0, equality.Equal)])
def test_a_check_without_the_time_for_enough_rows_is_not_passed(seconds: float, outcome: type) -> None:
    rows, target = rows_and_target()
    model = LogisticRegression().fit(rows[["a", "b"]].to_numpy(), target)
    found = equality.check(subject(model, rows[["a", "b"]]), seconds=seconds)
    assert isinstance(found, outcome)
    if isinstance(found, equality.Differs):
        assert "the time was over" in found.reason
    if isinstance(found, equality.Equal):
        assert found.unasked == {}
        assert sum(found.rows.values()) > 2_000


def test_samples_where_rounding_decides_are_not_shipped() -> None:
    rows = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0] * 10, "b": [0.5] * 40})
    model = LogisticRegression().fit(rows.to_numpy(), rows["a"] > 1)
    model.intercept_ = np.zeros(1)
    model.coef_ = np.array([[1.0, 0.0]])
    found = equality.check(subject(model, rows))
    assert found == equality.Differs(
        "10 of 40 samples lie so near to another answer that rounding decides", {"samples": 10}
    )


def test_a_label_where_rounding_decides_may_be_either() -> None:
    rows, target = rows_and_target()
    model = LogisticRegression().fit(rows[["a", "b"]].to_numpy(), target)

    def plant(answer: Answer) -> Answer:
        def rounded(table: Table) -> Outputs:  # as in another order of additions
            outputs = answer(table)
            assert isinstance(outputs.probability, np.ndarray)
            near = np.abs(outputs.probability[:, 1] - 0.5) < 1e-12
            return Outputs(np.where(near, ~outputs.prediction, outputs.prediction), outputs.probability)

        return rounded

    assert isinstance(equality.check(subject(model, rows[["a", "b"]], plant)), equality.Equal)


# Trees are found wherever they are, and the estimator is afterwards as it was.

NESTED: dict[str, Any] = {
    "forest": RandomForestClassifier(3, max_depth=3, random_state=0),
    "bagging of columns": BaggingClassifier(
        DecisionTreeClassifier(max_depth=3), n_estimators=4, max_features=1, random_state=0
    ),
    "voting": VotingClassifier(
        [
            ("line", LogisticRegression()),
            ("scaled", make_pipeline(StandardScaler(), DecisionTreeClassifier(max_depth=3))),
        ],
        voting="soft",
    ),
    "boosting": GradientBoostingClassifier(n_estimators=3, random_state=0),
    "histogram": HistGradientBoostingRegressor(max_iter=3),
}


@pytest.mark.parametrize("name", NESTED)
def test_trees_within_are_found_with_the_features_that_reach_them(name: str) -> None:
    rows, target = rows_and_target()
    numbers = rows[["a", "b"]]
    model = copy.deepcopy(NESTED[name]).fit(numbers.to_numpy(), target)
    before = [sorted(vars(part)) for part in (model, *getattr(model, "estimators_", ())) if hasattr(part, "__dict__")]
    runtime = SklearnRuntime(model, call="array", label="predict")
    table = Table(("a", "b"), (numbers["a"].to_numpy(), numbers["b"].to_numpy()), 200)
    views = trees.views(model, runtime, table)
    assert len(views) == (2 if name == "bagging of columns" else 1)
    for view in views:
        features = view.features(runtime, table)
        assert features.shape == (200, 1 if name == "bagging of columns" else 2)
        assert all((trees.reached(tree, features, np.arange(200)) >= 0).all() for tree in view.trees)
    after = [sorted(vars(part)) for part in (model, *getattr(model, "estimators_", ())) if hasattr(part, "__dict__")]
    assert before == after


def test_scikit_learn_raising_on_a_row_that_the_schema_takes_is_a_difference() -> None:
    rows, target = rows_and_target()
    numbers = rows[["a", "b"]]
    model = RadiusNeighborsClassifier(radius=1.23456).fit(numbers.to_numpy(), target)  # raises where nobody is near

    def plant(answer: Answer) -> Answer:
        def answers(table: Table) -> Outputs:
            even = np.full((table.rows, 2), 0.5)
            return Outputs(np.zeros(table.rows, bool), even) if table.block.max() > 20 else answer(table)

        return answers

    found = equality.check(subject(model, numbers, plant))
    assert isinstance(found, equality.Differs)
    assert found.reason == "scikit-learn raises on rows that the schema takes"
    assert "No neighbors found" in found.rows[0].expected["error"]


def test_a_value_that_swallows_the_rest_of_the_row_excuses_no_wrong_answer_beside_it() -> None:
    rows, target = rows_and_target()
    numbers = rows[["a", "b"]]
    model = KNeighborsClassifier(3).fit(numbers.to_numpy(), target)

    def wrong_from(limit: float) -> Any:
        def plant(answer: Answer) -> Answer:
            def answers(table: Table) -> Outputs:
                outputs = answer(table)
                assert isinstance(outputs.probability, np.ndarray)
                wrong = np.abs(table.block).max(axis=1) > limit
                probability = np.where(wrong[:, None], outputs.probability[:, ::-1], outputs.probability)
                return Outputs(np.where(wrong, ~outputs.prediction, outputs.prediction), probability)

            return answers

        return plant

    allowed = equality.check(subject(model, numbers, wrong_from(1e15)))
    assert isinstance(allowed, equality.Equal)
    assert allowed.rows["rounding"] > 0
    assert isinstance(equality.check(subject(model, numbers, wrong_from(11.0))), equality.Differs)
