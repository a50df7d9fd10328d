"""What the estimator refuses, found by asking it: the schema then refuses the same, before the model runs.

Each question is one row: a sample that the estimator answers, with one value replaced. The estimator raises ⇔ the
schema refuses: that is the rule, and the answers are written into the inputs.
"""

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import numpy as np

from modelroll_server.errors import PackFailed
from modelroll_server.packing import histograms, ordinals
from modelroll_server.runtimes.base import Runtime
from modelroll_server.schema import Input, Scalar
from modelroll_server.tensors import Array, Datatype, Table

UNKNOWN_TEXT = "modelroll-unknown-category"
_MAX_CANDIDATES = 1000
# Up to here a double rounds to a finite float32, which is what trees cast to; one double further it is infinite.
_LAST_TO_FLOAT32 = math.nextafter(3.4028235677973366e38, 0.0)
_LARGEST = float(np.finfo(np.float64).max)


class Questions:
    """Asks one estimator about one value at a time.

    Attributes:
        base: A row that the estimator answers.
    """

    def __init__(self, runtime: Runtime, rows: Table) -> None:
        self._runtime = runtime
        complete = [_present(column) for column in rows.columns]
        best = int(np.argmax(np.sum(complete, axis=0)))
        self.base = rows.slice(best, best + 1)
        if not self._answers(self.base):
            raise PackFailed("the estimator raises on a sample row of its own")

    def accepts(self, index: int, value: Any) -> bool:
        """Whether the base row is answered with `value` in column `index`."""
        columns = list(self.base.columns)
        replaced = np.empty(1, columns[index].dtype)
        replaced[0] = value
        columns[index] = replaced
        return self._answers(Table(self.base.names, tuple(columns), 1))

    def _answers(self, row: Table) -> bool:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                self._runtime.predict(row)
            except Exception:  # noqa: BLE001 - that it raises is the answer
                return False
        return True


def refine(inputs: Sequence[Input], rows: Table, runtime: Runtime, known: Iterable[Scalar] = ()) -> list[Input]:
    """The inputs with what the estimator refuses: `missing`, `infinite`, `max_abs`, `unknown` and its `categories`.

    Args:
        inputs: As the samples describe them.
        rows: The samples.
        runtime: What answers.
        known: Values that encoders within the estimator know, of whatever column.

    Raises:
        PackFailed: It answers no sample row, or takes so many categories that they cannot be listed.
    """
    questions = Questions(runtime, rows)
    candidates = frozenset(known)
    return [_refined(questions, index, column, rows, candidates) for index, column in enumerate(inputs)]


def _refined(questions: Questions, index: int, column: Input, rows: Table, known: frozenset[Scalar]) -> Input:
    column = msgspec.structs.replace(column, missing=_missing(questions, index, column))
    if column.datatype is Datatype.BOOL:
        taken: list[Scalar] = [value for value in (False, True) if questions.accepts(index, value)]
        return column if len(taken) == 2 else msgspec.structs.replace(column, unknown="refuse", categories=taken)
    if not questions.accepts(index, _unknown(column)):
        categories = _categories(questions, index, column, rows, known)
        histogram = column.histogram
        if column.datatype is Datatype.BYTES:
            histogram = histograms.of_texts(rows.columns[index], categories)
        return msgspec.structs.replace(column, unknown="refuse", categories=categories, histogram=histogram)
    if column.datatype is Datatype.BYTES:
        return column
    if column.datatype is Datatype.INT64:
        return msgspec.structs.replace(column, max_abs=_largest_integer(questions, index))
    infinite = questions.accepts(index, math.inf) and questions.accepts(index, -math.inf)
    limit = None if column.datatype is Datatype.FP32 else _largest_number(questions, index)
    return msgspec.structs.replace(column, infinite=infinite, max_abs=limit)


def _missing(questions: Questions, index: int, column: Input) -> Any:
    if column.missing != "refuse":
        return column.missing  # the samples have some, and the estimator answered them
    if column.datatype in {Datatype.INT64, Datatype.BOOL}:
        return "refuse"
    if questions.accepts(index, math.nan):
        return "nan"
    return "none" if column.datatype is Datatype.BYTES and questions.accepts(index, None) else "refuse"


def _unknown(column: Input) -> Scalar:
    """A value within reach that no encoder was fitted on."""
    if column.datatype is Datatype.BYTES:
        return UNKNOWN_TEXT
    _, largest = column.range or (0.0, 1.0)
    return math.ceil(min(largest, 2.0**52)) + 12347 if column.datatype is Datatype.INT64 else largest + 12345.678


def _categories(questions: Questions, index: int, column: Input, rows: Table, known: frozenset[Scalar]) -> list[Scalar]:
    values = rows.columns[index]
    sampled = set(values[_present(values)].tolist())
    wanted = str if column.datatype is Datatype.BYTES else (int, float)
    candidates = sampled | {value for value in known if isinstance(value, wanted) and not isinstance(value, bool)}
    if len(candidates) > _MAX_CANDIDATES:
        raise PackFailed(
            f"the estimator refuses unknown values of {column.name} and may know {len(candidates)}: set its encoder's"
            " handle_unknown, or give it fewer categories"
        )
    taken: list[Any] = [value for value in sorted(candidates) if questions.accepts(index, value)]
    if column.datatype is Datatype.INT64:
        return sorted({int(value) for value in taken if float(value).is_integer()})
    return sorted({float(value) for value in taken}) if column.datatype is not Datatype.BYTES else taken


def _largest_integer(questions: Questions, index: int) -> float | None:
    def both(magnitude: int) -> bool:
        return questions.accepts(index, magnitude) and questions.accepts(index, -magnitude)

    if both(2**53 + 1) and both(2**63 - 1):
        return None
    return float(_last(both, np.array([0, 2**63 - 1])))


def _largest_number(questions: Questions, index: int) -> float | None:
    def both(magnitude: float) -> bool:
        return questions.accepts(index, magnitude) and questions.accepts(index, -magnitude)

    if both(_LARGEST):
        return None
    if both(_LAST_TO_FLOAT32) and not both(math.nextafter(_LAST_TO_FLOAT32, math.inf)):
        return _LAST_TO_FLOAT32
    return float(_last(both, np.array([0.0, _LARGEST])))


def _last(is_taken: Callable[[Any], bool], ends: Array) -> Any:
    """The largest magnitude that is taken, between one that is and one that is not: 63 questions at most."""

    def side(values: Array, _: Array) -> Array:
        return np.array([is_taken(value) for value in values.tolist()], bool)

    found, _ = ordinals.bisect(ends[:1], ends[1:], side, expired=lambda: False)
    return found[0].item()


def _present(column: Array) -> Array:
    """Which values are there: nan and None are equal to themselves in no, and in one, way."""
    if column.dtype == object:
        return np.array([value is not None and value == value for value in column], bool)  # noqa: PLR0124 - nan
    return ~np.isnan(column) if column.dtype.kind == "f" else np.ones(len(column), bool)
