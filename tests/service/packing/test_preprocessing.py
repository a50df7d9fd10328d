"""Compiled preprocessing: columns of every kind, missing values, categories seen and unseen."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import ensemble, feature_selection, linear_model, pipeline, preprocessing
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import FeatureUnion, make_pipeline

from both_runtimes import assert_equal, both, named, shuffled
from modelroll_server.packing.converters.registry import CannotCompile
from modelroll_server.tensors import Table

NUMBERS = [
    FeatureUnion([("one", preprocessing.StandardScaler()), ("other", PCA(2))], transformer_weights={"other": 0.5}),
    PCA(2, whiten=True),
    TruncatedSVD(2, random_state=0),
    feature_selection.SelectKBest(k=2),
    feature_selection.VarianceThreshold(1.5),
    preprocessing.Binarizer(threshold=0.5),
    preprocessing.FunctionTransformer(np.square),
    preprocessing.FunctionTransformer(),
    preprocessing.KBinsDiscretizer(4, strategy="uniform"),
    preprocessing.KBinsDiscretizer(3, encode="ordinal", strategy="uniform"),
    preprocessing.MaxAbsScaler(),
    preprocessing.MinMaxScaler((-1, 1), clip=True),
    preprocessing.Normalizer("l1"),
    preprocessing.Normalizer(),
    preprocessing.PolynomialFeatures(3),
    preprocessing.PolynomialFeatures(2, include_bias=False, interaction_only=True),
    preprocessing.PowerTransformer(),
    preprocessing.RobustScaler(),
    preprocessing.StandardScaler(with_mean=False),
]

ENCODERS = [
    preprocessing.OneHotEncoder(handle_unknown="ignore"),
    preprocessing.OneHotEncoder(drop="first"),
    preprocessing.OneHotEncoder(drop="if_binary"),
    preprocessing.OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=20),
    preprocessing.OneHotEncoder(min_frequency=20),
    preprocessing.OrdinalEncoder(),
    preprocessing.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2),
    preprocessing.TargetEncoder(),
]


@pytest.fixture(scope="module")
def mixed() -> pd.DataFrame:
    """200 rows: numbers, integers, booleans, texts that mean what missing would, and missing ones of each kind."""
    rng = np.random.default_rng(8)
    size = rng.normal(0, 3, 200).round(2)
    size[::9] = np.nan
    kind = rng.choice(np.array(["nan", "None", "", "a", "É", "b"], object), 200)
    city = rng.choice(np.array(["Rome", "rome", "Oslo", None], object), 200, p=[0.5, 0.05, 0.3, 0.15])
    return pd.DataFrame(
        {
            "size": size,
            "kind": pd.Series(kind, dtype=object),
            "count": rng.integers(-3, 4, 200),
            "city": pd.Series(city, dtype=object),
            "new": rng.choice([True, False], 200),
            "weight": rng.lognormal(0, 1, 200),
        }
    )


@pytest.fixture(scope="module")
def target(mixed: pd.DataFrame) -> Any:
    value = mixed["weight"] + mixed["count"] + (mixed["kind"] == "nan") * 2 + mixed["size"].fillna(1)
    return np.where(value > value.median(), "high", "low")


@pytest.mark.parametrize("step", NUMBERS, ids=named)
def test_a_compiled_step_of_numbers_gives_the_same_numbers(step: Any, mixed: pd.DataFrame, target: Any) -> None:
    numbers = mixed[["weight", "count", "new"]].assign(other=mixed["size"].fillna(0.0))
    model = make_pipeline(step, linear_model.LinearRegression()).fit(numbers, (target == "high") * 3.0)
    pair = both(model, numbers)
    assert_equal(pair, pair.table)
    assert_equal(pair, shuffled(pair.table))


@pytest.mark.parametrize("encoder", ENCODERS, ids=named)
@pytest.mark.parametrize("columns", [["kind", "city"], ["count", "new"], ["kind", "count"]], ids=str)
def test_a_compiled_encoder_knows_the_same_categories(
    encoder: Any, columns: list[str], mixed: pd.DataFrame, target: Any
) -> None:
    steps = ColumnTransformer([("encoded", encoder, columns)], remainder="drop")
    model = make_pipeline(steps, linear_model.LogisticRegression()).fit(mixed, target)
    pair = both(model, mixed)
    assert_equal(pair, pair.table)
    assert_equal(pair, shuffled(pair.table))


@pytest.mark.parametrize("encoder", [ENCODERS[0], ENCODERS[3], ENCODERS[6], ENCODERS[7]], ids=named)
def test_an_unknown_category_is_unknown_to_both(encoder: Any, mixed: pd.DataFrame, target: Any) -> None:
    model = make_pipeline(
        ColumnTransformer([("encoded", encoder, ["kind", "city", "count"])]), linear_model.LogisticRegression()
    ).fit(mixed, target)
    pair = both(model, mixed)
    columns = list(pair.table.slice(0, 8).columns)
    columns[1] = np.array(["A", "a ", "a\0", "NaN", "none", "é", "É", "new"], object)
    columns[2] = np.array([99, -99, 2**53 + 1, 0, 1, 2, 3, 4])
    columns[3] = np.array(["nan", "None", "", None, "ROME", "Rome\0", "Rom", None], object)
    assert_equal(pair, Table(pair.table.names, tuple(columns), 8))


@pytest.mark.parametrize("strategy", ["mean", "median", "most_frequent", "constant"])
@pytest.mark.parametrize("indicator", [False, True], ids=["alone", "with indicator"])
def test_compiled_imputers_fill_numbers(strategy: str, indicator: bool, mixed: pd.DataFrame, target: Any) -> None:
    steps = ColumnTransformer(
        [("size", SimpleImputer(strategy=strategy, add_indicator=indicator), ["size", "weight"])],
        remainder="drop",
    )
    pair = both(make_pipeline(steps, linear_model.LogisticRegression()).fit(mixed, target), mixed)
    assert_equal(pair, shuffled(pair.table))


def test_compiled_imputers_fill_texts_where_the_marker_is_theirs(mixed: pd.DataFrame, target: Any) -> None:
    filled = make_pipeline(
        SimpleImputer(strategy="constant", fill_value="nobody", missing_values=None),
        preprocessing.OneHotEncoder(handle_unknown="ignore"),
    )
    model = make_pipeline(ColumnTransformer([("city", filled, ["city"])]), linear_model.LogisticRegression())
    pair = both(model.fit(mixed, target), mixed)
    assert_equal(pair, shuffled(pair.table))


def test_an_indicator_of_missing_numbers_is_compiled(mixed: pd.DataFrame, target: Any) -> None:
    steps = ColumnTransformer([("gaps", MissingIndicator(), ["size", "weight"]), ("weight", "passthrough", ["weight"])])
    pair = both(make_pipeline(steps, linear_model.LogisticRegression()).fit(mixed, target), mixed)
    assert_equal(pair, shuffled(pair.table))


@pytest.mark.parametrize(
    "model",
    [
        linear_model.LogisticRegression(max_iter=1000),
        ensemble.GradientBoostingClassifier(n_estimators=10, random_state=0),
        ensemble.HistGradientBoostingClassifier(max_iter=10, random_state=0),
        ensemble.RandomForestClassifier(10, random_state=0),
    ],
    ids=named,
)
def test_a_pipeline_of_mixed_columns_works_by_names_in_any_order(model: Any, mixed: pd.DataFrame, target: Any) -> None:
    steps = ColumnTransformer(
        [
            ("texts", preprocessing.OneHotEncoder(handle_unknown="ignore"), ["city", "kind"]),
            ("numbers", make_pipeline(SimpleImputer(), preprocessing.StandardScaler()), ["weight", "size"]),
            ("left", "drop", ["count"]),
        ],
        remainder="passthrough",
    )
    fitted = pipeline.Pipeline([("columns", steps), ("model", model)]).fit(mixed, target)
    pair = both(fitted, mixed[["new", "city", "count", "size", "kind", "weight"]])
    assert_equal(pair, pair.table)
    assert_equal(pair, shuffled(pair.table))


def test_a_pipeline_that_hands_on_frames_is_compiled_by_the_names_it_gives(mixed: pd.DataFrame, target: Any) -> None:
    first = ColumnTransformer(
        [("scaled", preprocessing.StandardScaler(), ["weight", "count"]), ("kept", "passthrough", ["new"])]
    ).set_output(transform="pandas")
    second = ColumnTransformer([("one", "passthrough", ["kept__new", "scaled__count"])])
    pair = both(make_pipeline(first, second, linear_model.LogisticRegression()).fit(mixed, target), mixed)
    assert_equal(pair, shuffled(pair.table))


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (preprocessing.FunctionTransformer(lambda values: values), "FunctionTransformer: it calls <lambda>"),
        (preprocessing.FunctionTransformer(np.sin), "FunctionTransformer: it calls numpy.sin"),
        (preprocessing.QuantileTransformer(n_quantiles=10), "QuantileTransformer: there is no converter for it"),
    ],
    ids=["a function of the user's", "a function of numpy's", "no converter"],
)
def test_what_has_no_converter_says_so(step: Any, reason: str, mixed: pd.DataFrame, target: Any) -> None:
    numbers = mixed[["weight", "count"]]
    model = make_pipeline(step, linear_model.LogisticRegression()).fit(numbers, target)
    with pytest.raises(CannotCompile) as caught:
        both(model, numbers)
    assert str(caught.value) == reason


def test_an_estimator_of_somebody_elses_is_not_compiled_by_its_name(mixed: pd.DataFrame, target: Any) -> None:
    class LogisticRegression(linear_model.LogisticRegression):  # type: ignore[misc]  # scikit-learn has no types
        """Its predict could be anything."""

    with pytest.raises(CannotCompile, match="no estimator of scikit-learn's own"):
        both(LogisticRegression().fit(mixed[["weight"]], target), mixed[["weight"]])
