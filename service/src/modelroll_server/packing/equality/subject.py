"""What is compared, and what comes of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from modelroll_server.artifact.manifest import Label
from modelroll_server.runtimes.base import Runtime
from modelroll_server.runtimes.estimators import Task
from modelroll_server.runtimes.scikit import Call
from modelroll_server.schema import Input, Schema
from modelroll_server.tensors import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One model, and two runtimes that should answer alike.

    Attributes:
        estimator: What was loaded: trees and encoders are looked for in it.
        inputs: Its inputs, as `refusals` refined them.
        schema: The same, compiled: what it refuses is not asked.
        call: How the estimator is called.
        task: What the model is for: labels are equal or not, numbers nearly.
        classes: Its classes as the manifest has them.
        reference: What is right: the sklearn runtime, with labels from `predict`.
        compiled: What may answer in its place.
        samples: Rows as `reference` is given them.
    """

    estimator: Any
    inputs: Sequence[Input]
    schema: Schema
    call: Call
    task: Task
    classes: Sequence[Label | list[Label]] | None
    reference: Runtime
    compiled: Runtime
    samples: Table


@dataclass(frozen=True, slots=True)
class Equal:
    """No row told the two apart.

    Attributes:
        rows: How many were compared, by kind; `rounding` are those of any kind that are as near as rounding allows.
        seed: Of everything random; the same seed asks the same rows, as far as the time goes.
        seconds: How long it took.
        unasked: How many more there were, by kind, when the time was over; empty when all were asked.
    """

    rows: dict[str, int]
    seed: int
    seconds: float
    unasked: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Difference:
    """One row that told them apart.

    Attributes:
        kind: Of row.
        row: The values by name, as JSON has them.
        batch: How many rows the compiled model was asked at once.
        expected: What scikit-learn answers, `prediction` and `probability` or `score`; or `error`.
        found: What the compiled model answers, likewise.
    """

    kind: str
    row: dict[str, Any]
    batch: int
    expected: dict[str, Any]
    found: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Differs:
    """The compiled model may not answer.

    Attributes:
        reason: One sentence.
        counts: Rows that differ, by kind; empty when it is not for a row.
        rows: Up to three of them.
    """

    reason: str
    counts: dict[str, int] = field(default_factory=dict)
    rows: list[Difference] = field(default_factory=list)
