"""The inputs of a model as its manifest describes them, from what the estimator tells and the samples show."""

from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec
import numpy as np

from modelroll_server.errors import PackFailed
from modelroll_server.packing import histograms, samples
from modelroll_server.runtimes import estimators
from modelroll_server.schema import Input, Scalar
from modelroll_server.tensors import Array, Datatype

if TYPE_CHECKING:
    import pandas as pd

Call = Literal["frame", "array", "list"]

_MAX_CATEGORIES = 50


def select(estimator: Any, frame: "pd.DataFrame") -> tuple[Call, "pd.DataFrame"]:
    """How the estimator is called, and the columns of the samples that it is called with, in its order.

    Columns that it does not know (the target, an id) are left out.

    Raises:
        PackFailed: The samples lack a column, or have another number of them than the estimator was fitted on.
    """
    names = estimators.feature_names(estimator)
    if names is not None:
        absent = [name for name in names if name not in frame.columns]
        if absent:
            raise PackFailed(f"the samples lack {', '.join(absent)}, on which the model was fitted")
        return "frame", frame[names]
    count = estimators.feature_count(estimator)
    if count is None:
        if frame.shape[1] == 1 and samples.datatype(str(frame.columns[0]), frame.iloc[:, 0]) is Datatype.BYTES:
            return "list", frame
        return "frame", frame
    if frame.shape[1] != count:
        raise PackFailed(
            f"the model was fitted on {count} columns without names, and the samples have {frame.shape[1]}"
        )
    return "array", frame.set_axis([f"x{index}" for index in range(count)], axis="columns")


def describe(frame: "pd.DataFrame") -> list[Input]:
    """One input a column: datatype, missing, categories, range, example, histogram.

    What the estimator refuses is found out later, by `refusals`.

    Raises:
        PackFailed: A column's values have no datatype.
    """
    return [_input(str(name), frame.iloc[:, index]) for index, name in enumerate(frame.columns)]


def _input(name: str, column: "pd.Series[Any]") -> Input:
    kind = samples.datatype(name, column)
    marker = samples.missing_marker(column, kind)
    missing = cast("Literal['refuse', 'nan', 'none']", marker or "refuse")
    present = column.dropna()
    if not len(present):
        raise PackFailed(f"column {name} has no value in any sample row: add rows that have one")
    plain = Input(name=name, datatype=kind, missing=missing)
    if kind is Datatype.BYTES:
        return _with_categories(plain, column)
    absent = len(column) - len(present)
    if kind is Datatype.BOOL:
        histogram = histograms.of_flags(present.to_numpy(dtype=bool), missing=absent)
        return msgspec.structs.replace(plain, example=bool(present.iloc[0]), histogram=histogram)
    return _with_range(plain, present.to_numpy(dtype=kind.dtype), absent)


def _with_categories(plain: Input, column: "pd.Series[Any]") -> Input:
    counts = column.dropna().value_counts()
    categories: list[Scalar] | None = None
    if len(counts) <= _MAX_CATEGORIES:
        categories = sorted(str(value) for value in counts.index)
    histogram = histograms.of_texts(column, categories)
    return msgspec.structs.replace(plain, example=str(counts.index[0]), categories=categories, histogram=histogram)


def _with_range(plain: Input, present: Array, absent: int) -> Input:
    finite = present[np.isfinite(present)]
    if not len(finite):
        raise PackFailed(f"column {plain.name} has no finite value in any sample row: add rows that have one")
    example = np.sort(finite)[len(finite) // 2].item()
    histogram = histograms.of_numbers(finite, missing=absent)
    edges = (float(finite.min()), float(finite.max()))
    return msgspec.structs.replace(plain, example=example, range=edges, histogram=histogram)
