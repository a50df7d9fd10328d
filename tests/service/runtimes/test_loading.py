"""Loading: what a bare file tells, what is refused before code runs, and what is said about it."""

import importlib.metadata
import io
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier, VotingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from both_runtimes import uncompiled
from modelroll_server.artifact import manifest as manifests
from modelroll_server.artifact.opening import open_artifact
from modelroll_server.artifact.policy import Policy
from modelroll_server.errors import LoadFailed, ModuleMissing, PolicyRefused, TrainedWithOther
from modelroll_server.runtimes import files, gates
from modelroll_server.runtimes.base import Loaded
from modelroll_server.runtimes.loading import load
from modelroll_server.schema import Schema
from modelroll_server.schema.json import JsonDecoder

CHURN = Path(__file__).parents[3] / "models/churn"
Bare = Callable[[Any], Loaded]
X = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 5.0], [3.0, 4.0]])
Y = np.array(["no", "no", "yes", "yes"])


def artifact_with(place: Path, **requires: str) -> Path:
    """Churn 1.2.0 as scikit-learn runs it alone, trained with other versions."""
    uncompiled(CHURN / "1.2.0", place)
    file = place / "modelroll.json"
    document = msgspec.json.decode(file.read_bytes())
    document["runtimes"][0]["requires"].update({name.replace("_", "-"): value for name, value in requires.items()})
    file.write_bytes(msgspec.json.encode(document))
    return place


def load_any(path: Path) -> Loaded:
    with open_artifact(path, policy=Policy.ANY) as opened:
        return load(opened)


def answers(loaded: Loaded, rows: list[Any]) -> dict[str, list[Any] | None]:
    return loaded.runtime.predict(Schema(loaded.manifest.inputs).decode_rows(rows)).as_lists()[0]


def test_a_bare_file_fitted_on_an_array_has_inputs_x0_and_on(bare: Bare) -> None:
    loaded = bare(LogisticRegression().fit(X, Y))
    assert [column.name for column in loaded.manifest.inputs] == ["x0", "x1"]
    assert loaded.manifest.classes == ["no", "yes"]
    assert answers(loaded, [{"x0": 3, "x1": 4.0}])["prediction"] == ["yes"]
    assert loaded.manifest.golden is None


def test_a_bare_file_fitted_on_a_frame_takes_its_columns_as_json_types_them(bare: Bare) -> None:
    frame = pd.DataFrame({"size": [1.0, 2.0, 3.0, 4.0], "kind": ["a", "b", "a", "b"]})
    encoded = ColumnTransformer([("kind", OneHotEncoder(), ["kind"])], remainder="passthrough")
    fitted = make_pipeline(encoded, LogisticRegression()).fit(frame, Y)
    loaded = bare(fitted)
    assert [column.name for column in loaded.manifest.inputs] == ["size", "kind"]
    assert answers(loaded, [{"size": 4, "kind": "b"}])["prediction"] == fitted.predict(frame.tail(1)).tolist()


def test_a_bare_file_gets_the_name_and_version_that_it_is_served_under(tmp_path: Path) -> None:
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(LinearRegression().fit(X, [1.0, 2, 3, 4])))
    with open_artifact(tmp_path / "m.pkl", policy=Policy.ANY) as opened:
        manifest = load(opened, model="churn", version="3.0.0").manifest
    assert (manifest.model, manifest.version, manifest.task) == ("churn", "3.0.0", "regressor")


@pytest.mark.parametrize("target", [["1.2.0"], ["2.0.0"]], ids=str)
def test_both_churn_versions_answer_as_their_golden_rows_say(target: list[str]) -> None:
    loaded = load_any(CHURN / target[0])
    decoder = JsonDecoder(Schema(loaded.manifest.inputs))
    gates.warm_up(loaded.manifest, decoder, loaded.runtime)
    gates.check_golden(loaded.manifest, decoder, loaded.runtime)


def test_a_pickle_is_not_loaded_without_digest_under_policy_digest(tmp_path: Path) -> None:
    with (
        open_artifact(uncompiled(CHURN / "1.2.0", tmp_path / "m"), policy=Policy.DIGEST) as opened,
        pytest.raises(PolicyRefused),
    ):
        load(opened)


def test_another_minor_of_scikit_learn_is_refused_with_both_versions(tmp_path: Path) -> None:
    with pytest.raises(TrainedWithOther) as caught:
        load_any(artifact_with(tmp_path / "m", **{"scikit-learn": "1.2.9"}))
    assert caught.value.expected == "1.2.9"


def written_with(version: str) -> bytes:
    """A fitted model as that version of scikit-learn would have written it."""
    data = pickle.dumps(LinearRegression().fit(X, [1.0, 2, 3, 4]), protocol=0)
    here = importlib.metadata.version("scikit-learn").encode()
    assert here in data
    return data.replace(here, version.encode())


def test_a_file_that_another_minor_wrote_is_refused_whatever_a_manifest_says(tmp_path: Path) -> None:
    (tmp_path / "m.pkl").write_bytes(written_with("1.2.9"))
    with pytest.raises(TrainedWithOther) as caught:
        load_any(tmp_path / "m.pkl")
    assert caught.value.expected == "1.2.9"
    with pytest.raises(TrainedWithOther):
        files.load_estimator(io.BytesIO(written_with("pre-0.18")), "pickle")


def test_a_file_that_another_patch_wrote_is_loaded() -> None:
    minor = ".".join(importlib.metadata.version("scikit-learn").split(".")[:2])
    assert files.load_estimator(io.BytesIO(written_with(f"{minor}.99")), "pickle") is not None


def test_another_patch_of_scikit_learn_or_another_numpy_is_loaded(tmp_path: Path) -> None:
    manifest = manifests.decode((CHURN / "1.2.0/modelroll.json").read_bytes())
    assert manifest.sklearn is not None
    major_minor = manifest.sklearn.requires["scikit-learn"].rpartition(".")[0]
    load_any(
        artifact_with(tmp_path / "m", **{"scikit-learn": f"{major_minor}.99", "numpy": "1.0.0", "python": "3.9.0"})
    )


def test_a_distribution_that_is_not_installed_is_refused_with_the_line_that_adds_it(tmp_path: Path) -> None:
    with pytest.raises(ModuleMissing, match=r"RUN pip install no-such-thing==1\.0"):
        load_any(artifact_with(tmp_path / "m", no_such_thing="1.0"))


class _Gone:
    """Pickled as something of a module that nobody has."""

    def __reduce__(self) -> Any:
        return (__import__, ("no_such_module.inside",))


class _Exits:
    def __reduce__(self) -> Any:
        return (int, ("no number",))


def test_a_module_that_is_missing_on_loading_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.pkl").write_bytes(pickle.dumps(_Gone()))
    with pytest.raises(ModuleMissing, match=r"RUN pip install no_such_module$"):
        load_any(tmp_path / "m.pkl")


@pytest.mark.parametrize(
    "content",
    [b"", b"text", pickle.dumps(_Exits()), pickle.dumps({"a": 1}), b"c__main__\nnothing\n.", pickle.dumps([1])[:-3]],
    ids=["empty", "text", "raises", "no estimator", "of a script", "cut"],
)
@pytest.mark.parametrize("name", ["m.pkl", "m.joblib", "m"])
def test_whatever_a_file_holds_instead_of_a_model_is_a_failed_load(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(LoadFailed):
        load_any(tmp_path / name)


def test_no_part_of_a_model_starts_threads_of_its_own(bare: Bare) -> None:
    forest = RandomForestClassifier(2, n_jobs=2, random_state=0)
    voting = VotingClassifier([("a", forest), ("b", LogisticRegression())], n_jobs=2).fit(X, Y)
    estimator: Any = bare(make_pipeline(voting)).runtime
    fitted = estimator.estimator[-1]
    assert (fitted.n_jobs, fitted.estimators_[0].n_jobs) == (1, 1)


def test_what_reads_artifacts_and_schemas_does_not_import_scikit_learn() -> None:
    code = (
        "import sys, modelroll_server.runtimes.loading, modelroll_server.runtimes.gates, modelroll_server.schema;"
        "sys.exit(bool({'sklearn', 'pandas', 'joblib'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("names", [None, ["a", "b"]], ids=["array", "frame"])
def test_null_is_refused_for_a_bare_file_whose_estimator_refuses_nan(bare: Bare, names: list[str] | None) -> None:
    given: Any = X if names is None else pd.DataFrame(X, columns=names)
    assert {column.missing for column in bare(LogisticRegression().fit(given, Y)).manifest.inputs} == {"refuse"}
    forest = RandomForestClassifier(2, random_state=0).fit(given, Y)
    loaded = bare(forest)
    assert {column.missing for column in loaded.manifest.inputs} == {"nan"}
    assert answers(loaded, [[None, 1.0]])["prediction"] is not None
