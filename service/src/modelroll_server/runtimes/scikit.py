"""The runtime `sklearn`: what scikit-learn trained, run by scikit-learn.

Owns how a table becomes the argument of `predict`, and how what it returns becomes outputs. Importing this module
does not import scikit-learn or pandas; loading does.
"""

import pickle
import warnings
from collections.abc import Callable
from typing import Any, BinaryIO, Literal

import numpy as np

from modelroll_server.errors import LoadError, LoadFailed
from modelroll_server.runtimes import estimators, requirements
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


def load_estimator(file: BinaryIO, file_format: str) -> Any:
    """The estimator that was pickled into `file`, set to one thread. This runs code that the file names.

    Raises:
        ModuleMissing: It needs a module that is not installed.
        TrainedWithOther: scikit-learn wrote it in another major.minor than the one installed.
        LoadFailed: It is no pickle, or cannot be put together here, or is no estimator.
    """
    estimator = unpickle(file, file_format)
    if not hasattr(estimator, "predict"):
        kind = type(estimator).__name__
        raise LoadFailed(f"the file holds a {kind}, which has no predict", found=kind)
    estimators.single_threaded(estimator)
    return estimator


def unpickle(file: BinaryIO, file_format: str) -> Any:
    """Whatever was pickled into `file`; errors as for `load_estimator`."""
    try:
        import joblib
        from sklearn.exceptions import InconsistentVersionWarning
    except ModuleNotFoundError as error:
        raise requirements.missing("modelroll-server[sklearn]") from error
    # An encoder that ignores unknown categories says so on each: the schema has accepted them.
    warnings.filterwarnings("ignore", message="Found unknown categories", module=r"sklearn\.")
    trained_with: set[str] = set()
    try:
        with warnings.catch_warnings(record=True) as raised:
            warnings.simplefilter("always", InconsistentVersionWarning)
            try:
                return pickle.load(file) if file_format == "pickle" else joblib.load(file)  # noqa: S301 - see policy
            finally:
                found = [one.message for one in raised]
                trained_with = {
                    one.original_sklearn_version for one in found if isinstance(one, InconsistentVersionWarning)
                }
                requirements.check_sklearn(trained_with)
    except ModuleNotFoundError as error:
        raise requirements.missing((error.name or "a module").partition(".")[0]) from error
    except (MemoryError, LoadError):
        raise
    except Exception as error:  # unpickling raises whatever the classes in the file raise
        raise _failed(error, file_format) from error


def _failed(error: Exception, file_format: str) -> LoadError:
    if isinstance(error, AttributeError) and "__main__" in str(error):
        return LoadFailed(
            f"the model uses a function or class of the script that trained it ({error}):"
            " move it into a module that is installed where the model is served"
        )
    return LoadFailed(
        f"the file cannot be loaded as {file_format}: {type(error).__name__}: {error};"
        f" is it one, and written with scikit-learn {requirements.found(requirements.SKLEARN)}, as is installed here?"
    )


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
    return np.column_stack(table.columns)


def _texts(table: Table) -> Any:
    return table.columns[0].tolist()


_ARGUMENTS: dict[str, Callable[[Table], Any]] = {
    "frame": _frame,
    "typed": _frame_as_typed,
    "array": _array,
    "list": _texts,
}
