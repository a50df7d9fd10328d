"""Gates and outputs: golden rows compared as they should be, and answers as JSON has them."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from modelroll_server.artifact.manifest import Golden, Manifest, decode
from modelroll_server.artifact.opening import open_artifact
from modelroll_server.artifact.policy import Policy
from modelroll_server.errors import GoldenRowsDiffer, WarmUpFailed
from modelroll_server.runtimes import gates
from modelroll_server.runtimes.loading import load
from modelroll_server.schema import Input, Schema
from modelroll_server.schema.json import JsonDecoder
from modelroll_server.tensors import Datatype, Outputs, Table

ROOT = Path(__file__).parents[3]
CHURN = decode((ROOT / "models/churn/1.2.0/modelroll.json").read_bytes())


class Fixed:
    """A runtime that answers the same to every row."""

    kind = "fixed"

    def __init__(self, prediction: Any, probability: Any = None) -> None:
        self._prediction = prediction
        self._probability = probability

    def predict(self, table: Table) -> Outputs:
        if isinstance(self._prediction, Exception):
            raise self._prediction
        prediction = np.array([self._prediction] * table.rows)
        probability = None if self._probability is None else np.array([self._probability] * table.rows)
        return Outputs(prediction, probability)


def manifest_of(golden: Golden, task: Any = "classifier") -> Manifest:
    inputs = [Input(name="x", datatype=Datatype.FP64, example=1.0)]
    return msgspec.structs.replace(CHURN, inputs=inputs, golden=golden, task=task)


def gate(manifest: Manifest, runtime: Fixed) -> None:
    gates.check_golden(manifest, JsonDecoder(Schema(manifest.inputs)), runtime)


def golden(prediction: Any, probability: Any = None) -> Golden:
    rows = None if probability is None else [probability]
    return Golden(rows=[[1.0]], prediction=[prediction], probability=rows, rtol=1e-6, atol=1e-8)


def test_the_broken_version_is_stopped_at_its_golden_rows() -> None:
    with open_artifact(ROOT / "tests/artifacts/churn/2.1.0", policy=Policy.ANY) as opened:
        loaded = load(opened)
    with pytest.raises(GoldenRowsDiffer) as caught:
        gates.check_golden(loaded.manifest, JsonDecoder(Schema(loaded.manifest.inputs)), loaded.runtime)
    assert {caught.value.expected, caught.value.found} == {"Yes", "No"}


def test_golden_rows_that_callers_could_not_send_differ() -> None:
    manifest = msgspec.structs.replace(
        manifest_of(golden("a")), inputs=[Input(name="x", datatype=Datatype.FP64, max_abs=0.5)]
    )
    with pytest.raises(GoldenRowsDiffer, match="refuses x of golden row 0: x must be a number"):
        gate(manifest, Fixed("a"))


def test_a_label_must_be_equal_and_of_the_same_type() -> None:
    gate(manifest_of(golden("a")), Fixed("a"))
    for expected, found in (("a", "b"), ("1", 1), (1, 2)):
        with pytest.raises(GoldenRowsDiffer, match="another prediction"):
            gate(manifest_of(golden(expected)), Fixed(found))


def test_numbers_may_differ_within_the_tolerance_and_no_further() -> None:
    regressor = manifest_of(golden(2.0), "regressor")
    gate(regressor, Fixed(2.0 + 1e-7))
    with pytest.raises(GoldenRowsDiffer):
        gate(regressor, Fixed(2.001))
    with pytest.raises(GoldenRowsDiffer):
        gate(regressor, Fixed(float("nan")))


def test_a_label_with_other_probabilities_differs() -> None:
    with pytest.raises(GoldenRowsDiffer, match="another probability"):
        gate(manifest_of(golden("a", [0.6, 0.4])), Fixed("a", [0.7, 0.3]))


def test_probabilities_that_are_no_longer_there_differ() -> None:
    with pytest.raises(GoldenRowsDiffer, match="another probability"):
        gate(manifest_of(golden("a", [0.6, 0.4])), Fixed("a"))


def test_a_model_that_raises_on_its_golden_rows_differs() -> None:
    with pytest.raises(GoldenRowsDiffer, match="ValueError: no"):
        gate(manifest_of(golden("a")), Fixed(ValueError("no")))


def test_a_model_that_raises_fails_the_warm_up() -> None:
    manifest = manifest_of(golden("a"))
    with pytest.raises(WarmUpFailed, match="ValueError: no"):
        gates.warm_up(manifest, JsonDecoder(Schema(manifest.inputs)), Fixed(ValueError("no")))
