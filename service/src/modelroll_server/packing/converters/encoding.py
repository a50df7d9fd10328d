"""Categories into numbers. A category is found by comparing identities, and what is missing is no text.

scikit-learn keeps NaN and None apart from the texts "nan" and "None"; so does a mask beside the texts here.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from modelroll_server.packing.converters.frame import Frame
from modelroll_server.packing.converters.registry import CannotCompile, transformer
from modelroll_server.packing.graph import ML, Graph, Value
from modelroll_server.tensors import Array

_UNKNOWN, _MISSING = -1, -2


@transformer("OneHotEncoder")
def one_hot_encoder(graph: Graph, estimator: Any, frame: Frame) -> Frame:
    """One column a category; rare ones share one, dropped ones have none."""
    hot = _hot(graph, frame, estimator.categories_)
    counts = [len(categories) for categories in estimator.categories_]
    infrequent = getattr(estimator, "infrequent_categories_", None) or [None] * len(counts)
    columns: list[Array] = []
    rest: list[int] = []  # columns that also stand for what is unknown
    start = 0
    for index, count in enumerate(counts):
        made = _grouped(np.asarray(estimator.categories_[index], object), infrequent[index])
        if infrequent[index] is not None and estimator.handle_unknown == "infrequent_if_exist":
            rest.append(sum(len(part) for part in columns) + len(made) - 1)
        dropped = None if estimator.drop_idx_ is None else estimator.drop_idx_[index]
        placed = np.zeros((len(made), sum(counts)))
        placed[:, start : start + count] = made
        if dropped is not None:
            placed = _without(placed, _dropped_row(made, int(dropped)))
            if rest and rest[-1] >= sum(len(part) for part in columns):
                raise CannotCompile("it drops a category of a column with rare ones")
        columns.append(placed)
        start += count
    weights = np.concatenate(columns)
    if rest:
        return Frame.of(_with_rest(graph, hot @ weights.T, weights, rest, counts), len(weights))
    if (weights.sum(axis=1) == 1).all():  # every column is one category: no product is needed
        return Frame.of(_hot(graph, frame, estimator.categories_, weights.argmax(axis=1)), len(weights))
    return Frame.of(hot @ np.ascontiguousarray(weights.T), len(weights))


@transformer("OrdinalEncoder")
def ordinal_encoder(graph: Graph, estimator: Any, frame: Frame) -> Frame:
    """The category's number."""
    unknown = estimator.unknown_value if estimator.handle_unknown == "use_encoded_value" else np.nan
    if getattr(estimator, "infrequent_categories_", None) and any(
        one is not None for one in estimator.infrequent_categories_
    ):
        raise CannotCompile("it has rare categories")
    tables = []
    for categories in estimator.categories_:
        table = np.arange(len(categories), dtype=np.float64)
        # NaN alone: None is a category like others to it.
        table[[value is not None and _is_missing(value) for value in categories]] = estimator.encoded_missing_value
        tables.append(table)
    return Frame.of(look_up(graph, frame, estimator.categories_, tables, [float(unknown)] * frame.width), frame.width)


@transformer("TargetEncoder")
def target_encoder(graph: Graph, estimator: Any, frame: Frame) -> Frame:
    """The mean of the target for the category, the mean of all for an unknown one."""
    if getattr(estimator, "target_type_", "") == "multiclass":
        raise CannotCompile("it has a column a class")
    tables = [np.asarray(table, np.float64) for table in estimator.encodings_]
    unknown = [float(np.ravel(estimator.target_mean_)[0])] * frame.width
    return Frame.of(look_up(graph, frame, estimator.categories_, tables, unknown), frame.width)


def look_up(
    graph: Graph, frame: Frame, categories: Sequence[Array], tables: Sequence[Array], unknown: Sequence[float]
) -> Value:
    """A number for each category, of each column from a table of its own: float64 [rows, columns]."""
    hot = _hot(graph, frame, categories)
    starts = np.cumsum([0, *[len(one) for one in categories]])
    place = np.zeros((int(starts[-1]), len(categories)))
    for index in range(len(categories)):
        place[starts[index] : starts[index + 1], index] = np.arange(1, len(categories[index]) + 1)
    # Which of the column's entries, 0 when unknown; then one table of all columns'.
    entries = (hot @ place).cast(np.int64)
    offsets = np.cumsum([0, *[len(one) + 1 for one in categories]])[:-1].astype(np.int64)
    flat = np.concatenate([np.array([rest, *table]) for rest, table in zip(unknown, tables, strict=True)])
    return graph.op("Gather", graph.constant(flat), entries + offsets, axis=0)


def _hot(graph: Graph, frame: Frame, categories: Sequence[Array], wanted: Array | None = None) -> Value:
    """1.0 where a row has a category: float64 [rows, all categories of all columns], or those that are wanted."""
    starts = np.cumsum([0, *[len(one) for one in categories]])
    total = int(starts[-1])
    chosen = np.arange(total) if wanted is None else np.asarray(wanted)
    parts, places = [], []
    for is_text, indexes in frame.kinds():
        of_these = np.concatenate([np.arange(starts[index], starts[index + 1]) for index in indexes])
        taken = of_these[np.isin(of_these, chosen)]
        if not len(taken):
            continue
        column = np.concatenate([np.full(len(categories[index]), place) for place, index in enumerate(indexes)])
        column = column[np.isin(of_these, chosen)]
        values = [
            list(categories[index])[int(at - starts[index])]
            for index in indexes
            for at in taken
            if starts[index] <= at < starts[index + 1]
        ]
        compare = _texts_equal if is_text else _numbers_equal
        parts.append(compare(graph, frame.select(indexes), column, values).cast(np.float64))
        places += taken.tolist()
    found = graph.concat(parts)
    order = np.array([places.index(int(at)) for at in chosen])
    return found if (order == np.arange(len(order))).all() else found.take(order)


def _texts_equal(graph: Graph, frame: Frame, columns: Array, values: Sequence[Any]) -> Value:
    known = sorted({value for value in values if isinstance(value, str)})
    if not all(isinstance(value, str) or _is_missing(value) for value in values):
        raise CannotCompile("an encoder of a column of texts knows numbers")
    number = {text: index for index, text in enumerate(known)}
    ids = graph.op(
        "LabelEncoder",
        frame.texts(),
        domain=ML,
        dtype=np.int64,
        keys_strings=known or [""],
        values_int64s=list(range(len(known))) or [_UNKNOWN],
        default_int64=_UNKNOWN,
    )
    if (missing := frame.missing()) is not None:
        ids = graph.where(missing, _MISSING, ids, np.int64)
    markers = [column.marker for column in frame.columns]
    wanted = [
        number[value] if isinstance(value, str) else _marked(value, markers[int(column)])
        for column, value in zip(columns, values, strict=True)
    ]
    return _repeated(ids, columns, frame.width).equals(np.array(wanted, np.int64))


def _marked(value: Any, marker: str) -> int:
    """A missing category that the column's marker is not never comes."""
    return _MISSING if (value is None) == (marker == "none") else -3


def _numbers_equal(graph: Graph, frame: Frame, columns: Array, values: Sequence[Any]) -> Value:
    if any(isinstance(value, str) for value in values):
        raise CannotCompile("an encoder of a column of numbers knows texts")
    exact = all(isinstance(value, bool | int | np.bool_ | np.integer) for value in values)
    if exact and all(column.tensor.dtype.kind in "ib" for column in frame.columns):
        return _repeated(frame.integers(), columns, frame.width).equals(np.array([int(value) for value in values]))
    numbers = frame.numbers()
    wanted = np.array([np.nan if value is None else float(value) for value in values])
    equal = _repeated(numbers, columns, frame.width).equals(wanted)  # NaN equals nothing
    if not np.isnan(wanted).any():
        return equal
    absent = _repeated(graph.op("IsNaN", numbers, dtype=np.bool_), columns, frame.width)
    return graph.op("Or", graph.op("And", absent, graph.constant(np.isnan(wanted))), equal)


def _repeated(values: Value, columns: Array, width: int) -> Value:
    return values if (len(columns) == width and (columns == np.arange(width)).all()) else values.take(columns)


def _grouped(categories: Array, infrequent: Any) -> Array:
    """Which categories each made column stands for: [columns, categories]; the rare ones' column comes last."""
    if infrequent is None:
        return np.eye(len(categories))
    rare = np.array([value in set(infrequent) for value in categories])
    return np.concatenate([np.eye(len(categories))[~rare], rare[None].astype(np.float64)])


def _dropped_row(made: Array, category: int) -> int:
    return int(np.flatnonzero(made[:, category])[0])


def _without(rows: Array, index: int) -> Array:
    return np.delete(rows, index, axis=0)


def _with_rest(graph: Graph, made: Value, weights: Array, rest: Sequence[int], counts: Sequence[int]) -> Value:
    """Rare columns hold what no other column of theirs holds: rare categories, and unknown ones."""
    starts = np.cumsum([0, *counts])
    owner = [int(np.searchsorted(starts, np.flatnonzero(row)[0], side="right")) - 1 for row in weights]
    others = np.zeros((len(weights), len(rest)))
    for place, column in enumerate(rest):
        others[[row for row in range(len(weights)) if owner[row] == owner[column] and row != column], place] = 1.0
    remaining = graph.constant(1.0) - made @ others
    joined = graph.concat([made, remaining])
    order = [len(weights) + rest.index(column) if column in rest else column for column in range(len(weights))]
    return joined.take(order)


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float | np.floating) and bool(np.isnan(value)))
