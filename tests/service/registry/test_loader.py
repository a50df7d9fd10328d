"""The gates, against real artifacts."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import stand_in
from both_runtimes import uncompiled
from modelroll_server import errors
from modelroll_server.artifact.manifest import Output
from modelroll_server.artifact.policy import Policy
from modelroll_server.registry import compatibility
from modelroll_server.registry.loader import Loader
from modelroll_server.registry.target import Content
from modelroll_server.registry.terms import Terms
from modelroll_server.schema import Input
from modelroll_server.tensors import Datatype

MODELS = Path(__file__).parents[3] / "models"


def loader(root: Path = MODELS, policy: Policy = Policy.ANY, model: str | None = None) -> Loader:
    return Loader(Terms(root, policy), model=lambda: model)


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


def test_what_takes_more_memory_than_is_left_is_refused_before_it_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewritten(tmp_path / "big", lambda manifest: manifest.update(load_peak_bytes=300 * 2**20))
    monkeypatch.setattr("modelroll_server.telemetry.memory.left", lambda: 331 * 2**20)
    with pytest.raises(errors.NotEnoughMemory, match="332 MiB, and the container has 331 MiB left"):
        loader(tmp_path).load(Content("1.2.0", "big"))
    monkeypatch.setattr("modelroll_server.telemetry.memory.left", lambda: 332 * 2**20)
    assert loader(tmp_path).load(Content("1.2.0", "big")).number == "1.2.0"


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


TENURE, CHARGES, CLOSED = stand_in.INPUTS
OPEN = replace(CLOSED, unknown="accept")


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        (CHARGES, replace(CHARGES, missing="refuse"), "charges may not be null any more"),
        (OPEN, CLOSED, "contract takes nothing but 'month', 'year' now"),
        (CLOSED, replace(CLOSED, categories=["month", "week"]), "contract does not take 'year' any more"),
        (CLOSED, replace(CLOSED, categories=["year", "month", "week"]), None),
        (CLOSED, OPEN, None),
        (CLOSED, replace(CLOSED, missing="none"), None),
        (replace(CHARGES, infinite=True), CHARGES, "charges may not be infinite any more"),
        (CHARGES, replace(CHARGES, infinite=True), None),
    ],
)
def test_what_takes_less_than_its_callers_may_send_is_another_schema(
    before: Input, after: Input, sentence: str | None
) -> None:
    old, new = (stand_in.manifest(version, [TENURE, one]) for version, one in (("1.0.0", before), ("2.0.0", after)))
    if sentence is None:
        compatibility.check(new, old)
    else:
        with pytest.raises(errors.SchemaChanged, match=sentence):
            compatibility.check(new, old)


NUMBER = Output("prediction", Datatype.FP64, [-1])
LABEL = Output("prediction", Datatype.INT64, [-1])
SURE = Output("probability", Datatype.FP64, [-1, 2])


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        ([NUMBER], [replace(NUMBER, shape=[-1, 2])], "the output prediction was FP64 [-1] and is FP64 [-1, 2]"),
        ([NUMBER], [replace(NUMBER, shape=[-1, 1])], "the output prediction was FP64 [-1] and is FP64 [-1, 1]"),
        ([NUMBER], [LABEL], "the output prediction was FP64 [-1] and is INT64 [-1]"),
        ([LABEL], [NUMBER], "the output prediction was INT64 [-1] and is FP64 [-1]"),
        (
            [LABEL],
            [replace(LABEL, datatype=Datatype.BYTES)],
            "the output prediction was INT64 [-1] and is BYTES [-1]",
        ),
        # Their classes are equal to Python: 0 is False.
        ([LABEL], [replace(LABEL, datatype=Datatype.BOOL)], "the output prediction was INT64 [-1] and is BOOL [-1]"),
        (
            [LABEL, SURE],
            [LABEL, replace(SURE, shape=[-1, 3])],
            "the output probability was FP64 [-1, 2] and is FP64 [-1, 3]",
        ),
        ([LABEL, SURE], [LABEL], "the output probability is gone"),
        ([LABEL], [LABEL, SURE], None),
        ([NUMBER], [replace(NUMBER, datatype=Datatype.FP32)], None),
        ([replace(NUMBER, datatype=Datatype.FP32)], [NUMBER], None),
        ([NUMBER], [], None),  # a bare file lists none
        ([], [NUMBER], None),
    ],
)
def test_what_answers_in_another_form_is_another_schema(
    before: list[Output], after: list[Output], sentence: str | None
) -> None:
    old = replace(stand_in.manifest(), outputs=before)
    new = replace(stand_in.manifest("2.0.0"), outputs=after)
    if sentence is None:
        compatibility.check(new, old)
    else:
        with pytest.raises(errors.SchemaChanged, match=re.escape(sentence)):
            compatibility.check(new, old)
