"""Packing: what the manifest says of each kind of model, and that nothing is left of a pack that failed."""

import os
import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.cluster import KMeans
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.multioutput import ClassifierChain
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from modelroll_server.artifact.manifest import SklearnRuntime
from modelroll_server.errors import PackFailed
from modelroll_server.packing import footprint, pack
from modelroll_server.packing.verify import verify
from modelroll_server.tensors import Datatype

Packer = Callable[..., pack.Packed]


def pipeline(model: Any, **encoder: Any) -> Any:
    columns = ColumnTransformer(
        [
            ("size", make_pipeline(SimpleImputer(), StandardScaler()), ["size", "count"]),
            ("kind", OneHotEncoder(**encoder), ["kind"]),
            ("new", "passthrough", ["new"]),
        ]
    )
    return make_pipeline(columns, model)


def halved(values: Any) -> Any:
    return values / 2


def labels(frame: pd.DataFrame) -> Any:
    return np.where(frame["count"] > 4, "many", "few")


def trained(packed: pack.Packed) -> SklearnRuntime:
    assert packed.manifest.sklearn is not None
    return packed.manifest.sklearn


def reasons(packed: pack.Packed) -> list[str | None]:
    return [check.reason for check in verify(packed.path, packed.digest)]


def test_a_pipeline_is_described_by_its_columns(packer: Packer, frame: pd.DataFrame) -> None:
    packed = packer(pipeline(LogisticRegression()).fit(frame, labels(frame)), frame, metrics={"auc": 0.5})
    manifest = packed.manifest
    described = {column.name: (column.datatype, column.missing, column.unknown) for column in manifest.inputs}
    assert described == {
        "size": (Datatype.FP64, "nan", "accept"),
        "count": (Datatype.INT64, "refuse", "accept"),
        "kind": (Datatype.BYTES, "refuse", "refuse"),
        "new": (Datatype.BOOL, "refuse", "accept"),
    }
    assert (manifest.call, manifest.label, manifest.task) == ("frame", "argmax", "classifier")
    assert (manifest.classes, manifest.metrics) == (["few", "many"], {"auc": 0.5})
    assert manifest.inputs[2].categories == ["a", "b", "c"]
    for column in manifest.inputs:
        spread = column.histogram
        assert spread is not None
        assert sum(spread.counts) + spread.other + (spread.missing or 0) == len(frame)
    kinds = manifest.inputs[2].histogram
    assert kinds is not None
    assert kinds.counts == [(frame["kind"] == kind).sum() for kind in "abc"]
    assert {"python", "scikit-learn", "numpy"} <= set(trained(packed).requires)
    assert set(reasons(packed)) == {None}


def test_a_skops_file_is_packed_as_it_is_and_what_is_in_it_is_listed(packer: Packer, frame: pd.DataFrame) -> None:
    packed = packer(pipeline(LogisticRegression()).fit(frame, labels(frame)), frame, dump=skops.io.dump)
    runtime = trained(packed)
    assert (runtime.format, runtime.file, runtime.skops_types) == ("skops", "model.skops", [])
    assert "skops" in runtime.requires
    assert set(reasons(packed)) == {None}


def test_types_that_skops_does_not_know_are_listed_and_then_loaded(packer: Packer, frame: pd.DataFrame) -> None:
    model = make_pipeline(FunctionTransformer(halved), LinearRegression()).fit(frame[["count"]], frame["count"])
    packed = packer(model, frame, dump=skops.io.dump)
    assert [name.rpartition(".")[2] for name in trained(packed).skops_types] == ["halved"]
    assert set(reasons(packed)) == {None}


def test_columns_that_the_model_does_not_know_are_left_out(packer: Packer, frame: pd.DataFrame) -> None:
    fitted = pipeline(LogisticRegression()).fit(frame, labels(frame))
    dated = frame.assign(target=labels(frame), seen=pd.Timestamp("2026-01-01"))
    assert [column.name for column in packer(fitted, dated).manifest.inputs] == list(frame.columns)


MODELS: dict[str, tuple[Any, Callable[[pd.DataFrame], Any], list[Any] | None, str]] = {
    "number classes": (DecisionTreeClassifier(), lambda f: f["count"] // 3, [0, 1, 2], "classifier"),
    "boolean classes": (DecisionTreeClassifier(), lambda f: f["count"] > 4, [False, True], "classifier"),
    "float classes": (DecisionTreeClassifier(), lambda f: (f["count"] > 4) * 1.0, [0.0, 1.0], "classifier"),
    "regressor": (LinearRegression(), lambda f: f["count"] * 2.5, None, "regressor"),
    "regressor of two": (DecisionTreeRegressor(), lambda f: np.c_[f["count"], f["count"] + 1.5], None, "regressor"),
    "decision_function": (LinearSVC(), labels, ["few", "many"], "classifier"),
    "classifier of two": (
        RandomForestClassifier(3, random_state=0, n_jobs=2),
        lambda f: np.c_[f["count"] > 4, f["count"] // 3],
        [[0, 1], [0, 1, 2]],
        "classifier",
    ),
    "chain": (
        ClassifierChain(LogisticRegression()),
        lambda f: np.c_[f["count"] > 4, f["count"] > 2].astype(int),
        [[0, 1], [0, 1]],
        "classifier",
    ),
    "clusters": (KMeans(2, n_init=1, random_state=0), lambda f: None, None, "cluster"),
    "mixture": (GaussianMixture(2, random_state=0), lambda f: None, [0, 1], "cluster"),
    "outliers": (IsolationForest(n_estimators=5, random_state=0), lambda f: None, None, "outlier"),
}


@pytest.mark.parametrize(("model", "target", "classes", "task"), MODELS.values(), ids=MODELS.keys())
def test_every_kind_of_model_is_packed_and_verified(
    packer: Packer, frame: pd.DataFrame, model: Any, target: Any, classes: list[Any] | None, task: str
) -> None:
    packed = packer(pipeline(model).fit(frame, target(frame)), frame)
    assert (packed.manifest.classes, packed.manifest.task) == (classes, task)
    assert set(reasons(packed)) == {None}


def test_a_score_is_golden_where_there_is_no_probability(packer: Packer, frame: pd.DataFrame) -> None:
    manifest = packer(pipeline(LinearSVC()).fit(frame, labels(frame)), frame).manifest
    assert manifest.golden is not None
    assert manifest.golden.probability is None
    assert len(manifest.golden.score or []) == len(manifest.golden.rows)
    assert [output.name for output in manifest.outputs] == ["prediction", "score"]


@pytest.mark.filterwarnings("ignore:The `probability` parameter")
def test_labels_of_an_svc_never_come_from_its_probabilities(packer: Packer, frame: pd.DataFrame) -> None:
    fitted = pipeline(SVC(probability=True, random_state=0)).fit(frame, labels(frame))
    assert packer(fitted, frame).manifest.label == "predict"


def test_a_model_fitted_on_an_array_has_inputs_x0_and_on(packer: Packer, frame: pd.DataFrame) -> None:
    numbers = frame[["count", "count"]].to_numpy(np.float64)
    packed = packer(LogisticRegression().fit(numbers, labels(frame)), pd.DataFrame(numbers))
    assert [column.name for column in packed.manifest.inputs] == ["x0", "x1"]
    assert packed.manifest.call == "array"


def test_a_model_of_texts_is_called_with_a_list(packer: Packer) -> None:
    texts = pd.DataFrame({"text": ["good day", "bad day", "good night", "bad night"] * 3})
    fitted = make_pipeline(CountVectorizer(), MultinomialNB()).fit(texts["text"], ["+", "-"] * 6)
    packed = packer(fitted, texts)
    assert (packed.manifest.call, packed.manifest.inputs[0].name) == ("list", "text")
    assert set(reasons(packed)) == {None}


UNPACKABLE: dict[str, tuple[Callable[[int], Any], str]] = {
    "dates": (lambda n: pd.date_range("2026-01-01", periods=n), "column kind holds dates or times"),
    "lists": (lambda n: [[1, 2]] * n, "column kind is nested"),
    "objects": (lambda n: [{"a": 1}] * n, "column kind is nested"),
    "mixture": (lambda n: ["a", 1] * (n // 2), "column kind holds int and str"),
    "nothing": (lambda n: [None] * n, "column kind has no value"),
}


@pytest.mark.parametrize(("values", "sentence"), UNPACKABLE.values(), ids=UNPACKABLE.keys())
def test_a_column_without_a_datatype_is_refused_by_name(
    packer: Packer, frame: pd.DataFrame, values: Callable[[int], Any], sentence: str, tmp_path: Path
) -> None:
    fitted = pipeline(LogisticRegression()).fit(frame, labels(frame))
    with pytest.raises(PackFailed, match=sentence):
        packer(fitted, frame.assign(kind=values(len(frame))))
    assert not (tmp_path / "models").exists()


def test_samples_without_a_column_of_the_model_are_refused(packer: Packer, frame: pd.DataFrame) -> None:
    fitted = pipeline(LogisticRegression()).fit(frame, labels(frame))
    with pytest.raises(PackFailed, match="the samples lack kind, new"):
        packer(fitted, frame[["size", "count"]])


def test_a_version_that_is_there_is_never_written_over(packer: Packer, frame: pd.DataFrame) -> None:
    fitted = pipeline(LogisticRegression()).fit(frame, labels(frame))
    packed = packer(fitted, frame)
    before = (packed.path / "modelroll.json").read_bytes()
    with pytest.raises(PackFailed, match="a version never changes"):
        packer(fitted, frame, metrics={"other": 1.0})
    assert (packed.path / "modelroll.json").read_bytes() == before


def test_a_version_that_is_there_is_refused_before_any_work(frame: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "models/m/1.0.0").mkdir(parents=True)
    (tmp_path / "model.joblib").write_bytes(b"nothing that loads")
    request = pack.Request(files=[tmp_path / "model.joblib"], model="m", version="1.0.0", samples=frame)
    with pytest.raises(PackFailed, match="is there already"):
        pack.pack(request, tmp_path / "models")


@pytest.mark.parametrize(("model", "version"), [("../m", "1.0.0"), ("m", "v1"), ("", "1.0.0"), ("m", "1.0.0+b")])
def test_names_that_are_none_are_refused(frame: pd.DataFrame, tmp_path: Path, model: str, version: str) -> None:
    request = pack.Request(files=[tmp_path / "x"], model=model, version=version, samples=frame)
    with pytest.raises(PackFailed, match="is not a"):
        pack.pack(request, tmp_path / "models")


@pytest.mark.parametrize("content", [b"", b"no pickle", pickle.dumps([1, 2])], ids=["empty", "text", "a list"])
def test_a_file_that_holds_no_model_is_refused(frame: pd.DataFrame, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.pkl").write_bytes(content)
    request = pack.Request(files=[tmp_path / "model.pkl"], model="m", version="1.0.0", samples=frame)
    with pytest.raises(PackFailed):
        pack.pack(request, tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_a_preprocessor_and_a_model_become_one_pipeline(frame: pd.DataFrame, tmp_path: Path) -> None:
    whole = pipeline(LogisticRegression()).fit(frame, labels(frame))
    files = [tmp_path / "pre.pkl", tmp_path / "model.pkl"]
    for file, part in zip(files, (whole[0], whole[-1]), strict=True):
        file.write_bytes(pickle.dumps(part))
    request = pack.Request(files=files, model="m", version="1.0.0", samples=frame)
    packed = pack.pack(request, tmp_path / "models")
    composed = joblib.load(packed.path / "model.joblib")
    assert (composed.predict(frame) == whole.predict(frame)).all()


def test_golden_rows_of_the_users_own_are_all_kept(packer: Packer, frame: pd.DataFrame) -> None:
    fitted = pipeline(LogisticRegression()).fit(frame, labels(frame))
    own = frame.tail(3)
    golden = packer(fitted, frame, golden=own).manifest.golden
    assert golden is not None
    assert golden.prediction[-3:] == fitted.predict(own).tolist()


def test_a_golden_row_that_the_schema_refuses_is_named(packer: Packer, frame: pd.DataFrame) -> None:
    fitted = pipeline(LogisticRegression()).fit(frame, labels(frame))
    with pytest.raises(PackFailed, match=r"kind.*must be one of"):
        packer(fitted, frame, golden=frame.head(1).assign(kind="z"))


def test_the_same_model_packed_at_the_same_time_has_the_same_digest(frame: pd.DataFrame, tmp_path: Path) -> None:
    joblib.dump(pipeline(LogisticRegression()).fit(frame, labels(frame)), tmp_path / "model.joblib")
    created = datetime(2026, 1, 1, tzinfo=UTC)
    request = pack.Request(
        files=[tmp_path / "model.joblib"], model="m", version="1.0.0", samples=frame, created=created
    )
    digests = {pack.pack(request, tmp_path / out).digest for out in ("one", "two")}
    assert len(digests) == 1


def test_a_manifest_says_what_memory_a_load_takes(packer: Packer, frame: pd.DataFrame) -> None:
    x = np.random.default_rng(0).normal(size=(3000, 8))
    forest = RandomForestClassifier(300, n_jobs=1, random_state=0).fit(x, np.arange(3000) % 7)
    large = packer(forest, pd.DataFrame(x, columns=[f"x{index}" for index in range(8)]))
    size = large.manifest.files["model.joblib"].bytes
    assert large.manifest.load_peak_bytes is not None
    assert size * 1.5 < large.manifest.load_peak_bytes < size * 6, "the bytes, and what they become"


@pytest.mark.parametrize(
    ("count", "expected"), [(0, 16), (16, 16), (16.1, 24), (24, 24), (24.1, 32), (33, 48), (49, 64), (700, 768)]
)
def test_memory_is_said_in_steps(count: float, expected: int) -> None:
    assert footprint.roughly(int(count * 2**20)) == expected * 2**20


@pytest.mark.parametrize("written", [0, 1], ids=["the model", "the manifest"])
def test_a_disk_that_fills_while_writing_leaves_nothing(
    packer: Packer, frame: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    fitted = DecisionTreeClassifier().fit(frame[["count"]], labels(frame))
    calls: list[int] = []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > written:
            raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(PackFailed, match="No space left"):
        packer(fitted, frame)
    assert not (tmp_path / "models").exists()


def test_infinite_and_enormous_samples_are_described_and_are_no_golden_rows(packer: Packer) -> None:
    frame = pd.DataFrame({"x": [np.inf, -np.inf, -1.7e308, 1.7e308, *np.arange(20.0)], "y": np.arange(24.0)})
    bounded = make_pipeline(
        FunctionTransformer(np.clip, kw_args={"a_min": -1e9, "a_max": 1e9}), DecisionTreeClassifier()
    )
    manifest = packer(bounded.fit(frame, frame["x"] > 9), frame).manifest
    assert manifest.inputs[0].infinite
    histogram = manifest.inputs[0].histogram
    assert histogram is not None
    assert histogram.edges is not None
    assert (histogram.edges[0], histogram.edges[-1], sum(histogram.counts)) == (-1.7e308, 1.7e308, 22)
    assert manifest.golden is not None
    assert all(abs(row[0]) <= 1.7e308 for row in manifest.golden.rows if isinstance(row[0], float))
