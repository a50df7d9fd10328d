"""How near two answers must be, and how near to another label a row may lie."""

from dataclasses import dataclass

import numpy as np

from modelroll_server.runtimes import estimators
from modelroll_server.tensors import Array, Outputs

PROBABILITY = 1e-6
SCORE = 1e-6
MARGIN = 2e-6
_RELATIVE = 1e-5
_OF_SPREAD = 1e-6


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Of one model.

    Attributes:
        numeric: Whether its predictions are numbers, which may differ a little, or labels, which may not.
        spread: Standard deviation of its predictions of the samples, [] or [outputs]; 0 for labels.
    """

    numeric: bool
    spread: Array

    @staticmethod
    def of(task: estimators.Task, answers: Outputs) -> "Tolerance":
        """The tolerance of a model, from what scikit-learn says of the samples."""
        numeric = task == "regressor" and answers.prediction.dtype.kind == "f"
        if not numeric:
            return Tolerance(numeric=False, spread=np.zeros(()))
        found = np.where(np.isfinite(answers.prediction), answers.prediction, 0.0)
        return Tolerance(numeric=True, spread=np.asarray(np.std(found, axis=0, dtype=np.float64)))

    def form(self, expected: Outputs, found: Outputs) -> str | None:
        """What is wrong with the arrays as a whole, whatever their values; None when nothing is."""
        pairs = [("prediction", expected.prediction, found.prediction)]
        for name, one, other in (
            ("probability", expected.probability, found.probability),
            ("score", expected.score, found.score),
        ):
            if (one is None) != (other is None) or isinstance(one, list) != isinstance(other, list):
                return f"only one of the two answers with {name}, or in another form"
            if isinstance(one, list) and isinstance(other, list):
                if len(one) != len(other):
                    return f"scikit-learn answers with {len(one)} arrays of {name}, the compiled model {len(other)}"
                pairs += [(name, *arrays) for arrays in zip(one, other, strict=True)]
            elif isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
                pairs.append((name, one, other))
        for name, wanted, got in pairs:
            if wanted.shape != got.shape:
                return f"scikit-learn's {name} has shape {wanted.shape}, the compiled model's {got.shape}"
            datatypes = [estimators.datatype_of(array) for array in (wanted, got)]
            if datatypes[0] != datatypes[1]:
                return f"scikit-learn's {name} is {datatypes[0]}, the compiled model's {datatypes[1]}"
        return None

    def labels_differ(self, expected: Outputs, found: Outputs) -> Array:
        """Which rows have another label, [rows]; none where predictions are numbers."""
        if self.numeric:
            return np.zeros(expected.rows, bool)
        return _any(np.asarray(expected.prediction != found.prediction, bool))

    def numbers_differ(self, expected: Outputs, found: Outputs) -> Array:
        """Which rows have a number that is too far from scikit-learn's, [rows]."""
        differ = np.zeros(expected.rows, bool)
        if self.numeric:
            wanted = expected.prediction.astype(np.float64)
            with np.errstate(all="ignore"):
                allowed = _RELATIVE * np.abs(wanted) + _OF_SPREAD * self.spread
            differ |= _any(_far(wanted, found.prediction.astype(np.float64), allowed))
        for wanted, got in zip(probabilities(expected), probabilities(found), strict=True):
            differ |= _any(_far(wanted, got, np.full(wanted.shape, PROBABILITY)))
        if expected.score is not None and found.score is not None:
            with np.errstate(all="ignore"):
                allowed = SCORE * np.maximum(1.0, np.abs(expected.score))
            differ |= _any(_far(expected.score, found.score, allowed))
        return differ


def probabilities(outputs: Outputs) -> list[Array]:
    """The probabilities, one array an output."""
    if outputs.probability is None:
        return []
    return outputs.probability if isinstance(outputs.probability, list) else [outputs.probability]


def numbers(outputs: Outputs) -> list[Array]:
    """What the label follows from: the probabilities, or the score, or the prediction where there is neither."""
    return probabilities(outputs) or [outputs.prediction if outputs.score is None else outputs.score]


def margins(outputs: Outputs) -> Array:
    """How far each row is from another label, [rows]: by probability, else by score, else infinite."""
    found = [_apart(array) for array in probabilities(outputs)]
    if not found and outputs.score is not None:
        found = [_apart(outputs.score)]
    return np.min(found, axis=0) if found else np.full(outputs.rows, np.inf)


def _apart(values: Array) -> Array:
    if values.ndim == 1:
        return np.abs(values)
    if values.shape[1] < 2:
        return np.full(len(values), np.inf)
    two = np.partition(values, -2, axis=1)[:, -2:]
    return np.asarray(two[:, 1] - two[:, 0])


def _far(wanted: Array, got: Array, allowed: Array) -> Array:
    """Where two numbers are not near; one that is not finite is near its like alone."""
    both = np.isfinite(wanted) & np.isfinite(got)
    with np.errstate(all="ignore"):
        near = np.abs(wanted - got) <= allowed
    same = (wanted == got) | (np.isnan(wanted) & np.isnan(got))
    return np.asarray(~np.where(both, near, same))


def _any(differ: Array) -> Array:
    return np.asarray(differ.reshape(len(differ), -1).any(axis=1))
