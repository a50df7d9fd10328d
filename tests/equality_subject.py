"""Subjects whose compiled half is scikit-learn itself, so that one fault can be planted in what is otherwise true."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from modelroll_server.packing import equality, inputs, refusals, samples
from modelroll_server.runtimes import estimators
from modelroll_server.runtimes.scikit import SklearnRuntime
from modelroll_server.schema import Schema
from modelroll_server.tensors import Outputs, Table

Answer = Callable[[Table], Outputs]
Plant = Callable[[Answer], Answer]


class Compiled:
    """Answers as scikit-learn does, but for what was planted."""

    kind = "onnx"

    def __init__(self, estimator: Any, call: Any, plant: Plant | None) -> None:
        true = SklearnRuntime(estimator, call=call, label="predict").predict
        self._answer = plant(true) if plant else true

    def predict(self, table: Table) -> Outputs:
        return self._answer(table)


def subject(estimator: Any, rows: pd.DataFrame, plant: Plant | None = None, other: Any = None) -> equality.Subject:
    """The estimator, and itself (or `other`) with a fault as the compiled model."""
    call, frame = inputs.select(estimator, rows)
    described = inputs.describe(frame)
    table = samples.table(frame, described)
    reference = SklearnRuntime(estimator, call=call, label="predict")
    described = refusals.refine(described, table, reference, estimators.known_categories(estimator))
    return equality.Subject(
        estimator=estimator,
        inputs=described,
        schema=Schema(described),
        call=call,
        task=estimators.task(estimator),
        classes=estimators.classes(estimator),
        reference=reference,
        compiled=Compiled(other or estimator, call, plant),
        samples=table,
    )
