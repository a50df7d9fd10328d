"""The gates, against real artifacts."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import stand_in
from both_runtimes import uncompiled
from modelroll_server import errors
from modelroll_server.artifact.policy import Policy
from modelroll_server.registry import compatibility
from modelroll_server.registry.loader import Loader
from modelroll_server.registry.target import Content
from modelroll_server.schema import Input
from modelroll_server.tensors import Datatype

MODELS = Path(__file__).parents[3] / "models"


def loader(root: Path = MODELS, policy: Policy = Policy.ANY, model: str | None = None) -> Loader:
    return Loader(root, policy, model=lambda: model, extra_fields="refuse")


def test_a_good_artifact_passes() -> None:
    version = loader(model="churn").load(Content("1.2.0", "churn/1.2.0"), Content(path="churn/2.0.0"))
    assert (version.number, version.model, version.runtime.kind) == ("1.2.0", "churn", "onnx")
    assert version.content.digest == version.digest


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (Content("1.2.0", "churn/9.9.9"), "ArtifactMissing"),
        (Content("2.0.0", "churn/1.2.0"), "VersionMismatch"),
        (Content("1.2.0", "churn/1.2.0", "sha256:" + "0" * 64), "DigestMismatch"),
        (Content("1.2.0", "../models/churn/1.2.0"), None),
        (Content(env=True), "ArtifactMissing"),
    ],
)
def test_what_is_wrong_has_its_reason(content: Content, reason: str | None) -> None:
    if reason is None:  # the path leads back under the root
        assert loader().load(content).number == "1.2.0"
        return
    with pytest.raises(errors.LoadError) as caught:
        loader().load(content)
    assert caught.value.reason == reason


def test_a_model_that_does_not_give_its_golden_answers_is_refused() -> None:
    with pytest.raises(errors.GoldenRowsDiffer):
        loader(MODELS.parent / "tests" / "artifacts").load(Content("2.1.0", "churn/2.1.0"))


def rewritten(place: Path, change: Callable[[dict[str, Any]], None]) -> None:
    shutil.copytree(MODELS / "churn" / "1.2.0", place)
    manifest = json.loads((place / "modelroll.json").read_bytes())
    change(manifest)
    (place / "modelroll.json").write_text(json.dumps(manifest))


def column(manifest: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in manifest["inputs"] if one["name"] == name)


def test_known_values_written_as_other_numbers_are_the_same_values(tmp_path: Path) -> None:
    rewritten(
        tmp_path / "1.2.0",
        lambda found: column(found, "tenure").update(unknown="refuse", categories=[float(n) for n in range(73)]),
    )
    version = loader(tmp_path).load(Content("1.2.0", "1.2.0"))
    assert version.manifest.golden is not None
    row = dict(zip(version.schema.names, version.manifest.golden.rows[0], strict=True))
    assert version.json.row(json.dumps(row).encode())
    with pytest.raises(errors.InvalidField, match="must be one of"):
        version.json.row(json.dumps({**row, "tenure": 73}).encode())


def test_another_model_is_refused() -> None:
    with pytest.raises(errors.ModelMismatch):
        loader(model="fraud").load(Content("1.2.0", "churn/1.2.0"))


def test_a_pickle_without_a_digest_is_refused_by_policy(tmp_path: Path) -> None:
    uncompiled(MODELS / "churn/1.2.0", tmp_path / "1.2.0")
    with pytest.raises(errors.PolicyRefused):
        loader(tmp_path, policy=Policy.DIGEST).load(Content("1.2.0", "1.2.0"))


def test_a_compiled_model_without_a_digest_is_served_under_every_policy() -> None:
    assert loader(policy=Policy.DIGEST).load(Content("1.2.0", "churn/1.2.0")).runtime.kind == "onnx"


def test_an_artifact_that_lost_an_input_is_refused_against_its_baseline(tmp_path: Path) -> None:
    shutil.copytree(MODELS / "churn" / "1.2.0", tmp_path / "old")
    manifest = json.loads((tmp_path / "old" / "modelroll.json").read_bytes())
    manifest["inputs"][0]["name"] = "renamed"
    (tmp_path / "old" / "modelroll.json").write_text(json.dumps(manifest))
    shutil.copytree(MODELS / "churn" / "2.0.0", tmp_path / "new")
    with pytest.raises(errors.SchemaChanged):
        loader(tmp_path).load(Content(None, "new"), Content(path="old"))


@pytest.mark.parametrize("broken", ["model.joblib", "modelroll.json", ""])
def test_a_broken_baseline_keeps_nobody_out(tmp_path: Path, broken: str) -> None:
    shutil.copytree(MODELS / "churn" / "1.2.0", tmp_path / "old")
    shutil.copytree(MODELS / "churn" / "2.0.0", tmp_path / "new")
    if broken:
        (tmp_path / "old" / broken).unlink()
    else:
        shutil.rmtree(tmp_path / "old")
    assert loader(tmp_path).load(Content(None, "new"), Content(path="old")).number == "2.0.0"


def test_the_schema_of_a_baseline_that_lost_its_model_is_kept_to_all_the_same(tmp_path: Path) -> None:
    shutil.copytree(MODELS / "churn" / "1.2.0", tmp_path / "old")
    (tmp_path / "old" / "model.joblib").unlink()
    manifest = json.loads((tmp_path / "old" / "modelroll.json").read_bytes())
    manifest["inputs"][0]["name"] = "renamed"
    (tmp_path / "old" / "modelroll.json").write_text(json.dumps(manifest))
    shutil.copytree(MODELS / "churn" / "2.0.0", tmp_path / "new")
    with pytest.raises(errors.SchemaChanged):
        loader(tmp_path).load(Content(None, "new"), Content(path="old"))


def test_compatibility_names_each_change() -> None:
    before, after = stand_in.manifest(), stand_in.manifest("2.0.0", [*stand_in.INPUTS[1:]])
    with pytest.raises(errors.SchemaChanged, match="tenure is gone"):
        compatibility.check(after, before)
    with pytest.raises(errors.SchemaChanged, match="tenure is new"):
        compatibility.check(before, after)
    retyped = stand_in.manifest("2.0.0", [Input(name="tenure", datatype=Datatype.FP64), *stand_in.INPUTS[1:]])
    with pytest.raises(errors.SchemaChanged, match="tenure was INT64 and is FP64"):
        compatibility.check(retyped, before)
    compatibility.check(before, before)
