"""Versions that need no scikit-learn: a runtime whose answers say which version gave them, and loaders that obey."""

import threading
from collections.abc import Callable

import numpy as np

from modelroll_server.artifact.manifest import File, Manifest, Output, SklearnRuntime
from modelroll_server.registry.target import Content
from modelroll_server.registry.version import Version
from modelroll_server.runtimes.base import Runtime
from modelroll_server.schema import Input, Schema
from modelroll_server.schema.json import JsonDecoder
from modelroll_server.tensors import Datatype, Outputs, Table

INPUTS = [
    Input(name="tenure", datatype=Datatype.INT64, example=3, range=(0, 72)),
    Input(name="charges", datatype=Datatype.FP64, missing="nan", example=29.85),
    Input(name="contract", datatype=Datatype.BYTES, unknown="refuse", categories=["month", "year"], example="month"),
]
ROW = {"tenure": 3, "charges": 29.85, "contract": "month"}


class Echo:
    """Answers a row with its tenure, and with probabilities that depend on its charges."""

    kind = "stand-in"

    def __init__(self, before: Callable[[Table], None] = lambda _: None) -> None:
        self.before = before

    def predict(self, table: Table) -> Outputs:
        """The answers."""
        self.before(table)
        charges = np.asarray(table.columns[1], dtype=np.float64)
        return Outputs(table.columns[0], np.stack([1 - charges, charges], axis=1))


def manifest(number: str = "1.0.0", inputs: list[Input] = INPUTS) -> Manifest:
    """A manifest of a model `churn`."""
    return Manifest(
        schema=1,
        model="churn",
        version=number,
        created="2026-01-01T00:00:00Z",
        task="classifier",
        files={"model.joblib": File("0" * 64, 1)},
        runtimes=[SklearnRuntime("joblib", "model.joblib", {})],
        call="frame",
        label="predict",
        inputs=inputs,
        outputs=[Output("prediction", Datatype.INT64, [-1])],
        classes=[0, 1],
    )


def version(
    number: str = "1.0.0",
    runtime: Runtime | None = None,
    content: Content | None = None,
    inputs: list[Input] = INPUTS,
) -> Version:
    """A version in memory."""
    described = manifest(number, inputs)
    digest = "sha256:" + number.replace(".", "") * 16
    found = content or Content(number, f"churn/{number}", digest)
    return Version(found, described, JsonDecoder(Schema(inputs)), runtime or Echo(), digest, 0.01)


class Loads:
    """Loads that remember what they were asked, and fail or wait as they are told."""

    def __init__(self) -> None:
        self.asked: list[Content] = []
        self.baselines: list[Content | None] = []
        self.failing: dict[str | None, Exception] = {}
        self.hanging: dict[str | None, threading.Event] = {}
        self.inputs: dict[str | None, list[Input]] = {}
        self.during: Callable[[], None] = lambda: None
        self.may_end = threading.Event()
        self.may_end.set()

    def check_baseline(self, manifest: Manifest, baseline: Content | None) -> None:
        """Find every manifest right."""
        del manifest
        self.baselines.append(baseline)

    def load(self, content: Content, baseline: Content | None) -> Version:
        """Load."""
        self.asked.append(content)
        self.baselines.append(baseline)
        self.during()
        assert self.may_end.wait(60)
        if content.path in self.hanging:
            assert self.hanging[content.path].wait(60)
        if content.path in self.failing:
            raise self.failing[content.path]
        number = content.version or "1.0.0"
        found = Content(number, content.path, f"sha256:{number}", content.env)
        return version(number, content=found, inputs=self.inputs.get(content.path, INPUTS))
