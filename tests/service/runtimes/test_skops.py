"""skops files: what is in them is named before any of it is made, and nothing that is not listed is."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from modelroll_server.artifact import digest as digests
from modelroll_server.artifact.opening import open_artifact
from modelroll_server.artifact.policy import Policy
from modelroll_server.errors import LoadFailed, PolicyRefused, TrainedWithOther
from modelroll_server.runtimes import files
from modelroll_server.runtimes.loading import load
from modelroll_server.schema import Schema

X = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 5.0], [3.0, 4.0]])
Y = np.array(["no", "no", "yes", "yes"])


def doubled(values: Any) -> Any:
    return values * 2


def fitted(*, custom: bool = False) -> Any:
    first = FunctionTransformer(doubled) if custom else StandardScaler()
    return make_pipeline(first, LogisticRegression()).fit(X, Y)


def test_a_bare_file_of_known_types_is_served_under_its_digest(tmp_path: Path) -> None:
    file = tmp_path / "model.skops"
    skops.io.dump(fitted(), file)
    with open_artifact(file, policy=Policy.DIGEST) as opened, pytest.raises(PolicyRefused, match="a skops file"):
        load(opened)
    with open_artifact(file, policy=Policy.DIGEST, digest=digests.of_bytes(file.read_bytes())) as opened:
        loaded = load(opened)
    outputs = loaded.runtime.predict(Schema(loaded.manifest.inputs).decode_rows([{"x0": 3, "x1": 4}]))
    assert outputs.prediction.tolist() == ["yes"]
    assert loaded.manifest.sklearn is not None
    assert loaded.manifest.sklearn.format == "skops"


def test_a_type_that_nobody_listed_is_not_made() -> None:
    data = skops.io.dumps(fitted(custom=True))
    found = files.types_beyond_skops(io.BytesIO(data))
    assert [name.rpartition(".")[2] for name in found] == ["doubled"]
    with pytest.raises(LoadFailed, match=r"no manifest lists: .*doubled") as caught:
        files.load_estimator(io.BytesIO(data), "skops")
    assert (caught.value.expected, caught.value.found) == ([], found)
    estimator = files.load_estimator(io.BytesIO(data), "skops", found)
    assert estimator.predict(X).tolist() == Y.tolist()


def test_a_file_that_another_minor_wrote_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = LinearRegression().fit(X, [1.0, 2, 3, 4])
    state = {**model.__getstate__(), "_sklearn_version": "1.2.9"}
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(LinearRegression, "__getstate__", lambda _: state)
        data = skops.io.dumps(model)
    with pytest.raises(TrainedWithOther):
        files.load_estimator(io.BytesIO(data), "skops")


@pytest.mark.parametrize("data", [b"", b"no zip at all", skops.io.dumps(fitted())[:500]])
def test_what_is_no_skops_file_is_said_to_be_none(data: bytes) -> None:
    with pytest.raises(LoadFailed, match="skops"):
        files.load_estimator(io.BytesIO(data), "skops")


def test_what_predicts_nothing_is_refused() -> None:
    with pytest.raises(LoadFailed, match="no predict"):
        files.load_estimator(io.BytesIO(skops.io.dumps(StandardScaler().fit(X))), "skops")
