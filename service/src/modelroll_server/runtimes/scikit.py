"""The runtime `sklearn`: what scikit-learn trained, run by scikit-learn.

Owns how a table becomes the argument of `predict`, and how what it returns becomes outputs. Importing this module
does not import pandas; answering does.
"""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from modelroll_server.runtimes import estimators
from modelroll_server.tensors import Array, Outputs, Table

Call = Literal["frame", "array", "list"]
LabelFrom = Literal["predict", "argmax"]


class SklearnRuntime:
    """An estimator that answers tables. Threads may share it: `predict` of a fitted estimator changes nothing.

    Attributes:
        kind: `sklearn`.
        estimator: What was loaded.
    """

    kind = "sklearn"

    def __init__(self, estimator: Any, *, call: Call, label: LabelFrom, as_typed: bool = False) -> None:
        self.estimator = estimator
        self._argument = _ARGUMENTS["typed" if as_typed and call == "frame" else call]
        self._argmax = label == "argmax"
        self._has_probability = hasattr(estimator, "predict_proba")
        self._has_score = not self._has_probability and hasattr(estimator, "decision_function")

    def take_blocks(self) -> None:
        """Call the estimator with arrays in place of frames of one dtype, if that is all one to it."""
        if self._argument is _frame and estimators.forget_names(self.estimator):
            self._argument = _array

    def predict(self, table: Table) -> Outputs:
        """The answers to the rows of `table`. Raises whatever the estimator raises."""
        argument = self._argument(table)
        with np.errstate(all="ignore"):  # what is not finite is answered as null and counted
            probability = _as_float64(self.estimator.predict_proba(argument)) if self._has_probability else None
            if self._argmax and probability is not None:
                return Outputs(self._most_probable(probability), probability)
            score = np.asarray(self.estimator.decision_function(argument), np.float64) if self._has_score else None
            return Outputs(np.asarray(self.estimator.predict(argument)), probability, score)

    def _most_probable(self, probability: Array | list[Array]) -> Array:
        classes = self.estimator.classes_
        if isinstance(probability, list):
            labels = [one[array.argmax(axis=1)] for one, array in zip(classes, probability, strict=True)]
            return np.stack(labels, axis=1)
        return np.asarray(classes[probability.argmax(axis=1)])


def _as_float64(probability: Any) -> Array | list[Array]:
    if isinstance(probability, list):
        return [np.asarray(array, np.float64) for array in probability]
    return np.asarray(probability, np.float64)


def _frame(table: Table) -> Any:
    import pandas as pd

    # Object columns stay objects: pandas would otherwise make None and nan one.
    series = {
        name: pd.Series(column, dtype=column.dtype, copy=False)
        for name, column in zip(table.names, table.columns, strict=True)
    }
    return pd.DataFrame(series, copy=False)


def _frame_as_typed(table: Table) -> Any:
    return _frame(table).infer_objects()


def _array(table: Table) -> Any:
    return table.block


def _texts(table: Table) -> Any:
    return table.columns[0].tolist()


_ARGUMENTS: dict[str, Callable[[Table], Any]] = {
    "frame": _frame,
    "typed": _frame_as_typed,
    "array": _array,
    "list": _texts,
}
