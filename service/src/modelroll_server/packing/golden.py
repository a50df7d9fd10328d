"""Golden rows: samples, and the answers that the model gave to them when it was packed."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from modelroll_server.artifact.manifest import Golden
from modelroll_server.errors import PackFailed, RequestError
from modelroll_server.packing.samples import json_row
from modelroll_server.runtimes.base import Runtime
from modelroll_server.schema import Schema
from modelroll_server.tensors import Array, Outputs, Table

COUNT = 20
MARGIN = 2e-6  # nearer than this, another machine may round to the other label
RTOL = 1e-6
ATOL = 1e-8


def make(schema: Schema, runtime: Runtime, tables: Sequence[Table], answers: Outputs) -> Golden:
    """Golden rows from the samples, and all rows that the user named.

    Args:
        schema: Of the model; a row that it refuses is no golden row.
        runtime: What answers.
        tables: The samples, then the user's own rows if there are any.
        answers: What the model says about the samples.

    Raises:
        PackFailed: The schema refuses a row of the user's own.
    """
    sampled = (json_row(tables[0], index) for index in choose(answers, COUNT))
    rows = [row for row in sampled if _is_taken(schema, row)]
    for table in tables[1:]:
        rows += [json_row(table, index) for index in range(table.rows)]
    try:
        decoded = schema.decode_rows(rows, "golden row {}".format)
    except RequestError as error:
        raise PackFailed(f"{error.field}: {error.message}") from error
    found, _ = runtime.predict(decoded).as_lists()
    return Golden(
        rows=rows,
        prediction=found["prediction"] or [],
        probability=found["probability"],
        score=found["score"],
        rtol=RTOL,
        atol=ATOL,
    )


def _is_taken(schema: Schema, row: list[Any]) -> bool:
    """Whether a sample can be asked for in JSON: one that is infinite cannot."""
    try:
        schema.decode_row(row)
    except RequestError:
        return False
    return True


def choose(answers: Outputs, count: int) -> list[int]:
    """Which samples: the first of each answer, as far as there is room, then evenly spread; none between two labels."""
    clear = np.flatnonzero(_clear(answers))
    labels = np.asarray(answers.prediction)
    chosen: dict[int, None] = {}
    if labels.ndim == 1 and labels.dtype.kind != "f":
        _, first = np.unique(labels[clear].astype(str), return_index=True)
        chosen.update(dict.fromkeys(clear[np.sort(first)][: count // 2].tolist()))
    spread = clear[np.linspace(0, len(clear) - 1, min(count, len(clear))).astype(int)] if len(clear) else clear
    chosen.update(dict.fromkeys(spread.tolist()))
    return sorted(list(chosen)[:count])


def _clear(answers: Outputs) -> Array:
    if answers.probability is None:
        return np.ones(answers.rows, bool) if answers.score is None else _apart(answers.score)
    arrays = answers.probability if isinstance(answers.probability, list) else [answers.probability]
    return np.asarray(np.all([_apart(array) for array in arrays], axis=0))


def _apart(values: Array) -> Array:
    if values.ndim == 1:
        return np.asarray(np.abs(values) > MARGIN)
    if values.shape[1] < 2:
        return np.ones(len(values), bool)
    ordered = np.sort(values, axis=1)
    return np.asarray(ordered[:, -1] - ordered[:, -2] > MARGIN)
