"""Rows made of other rows, and what a request would make of them."""

import math
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from modelroll_server.errors import RequestError
from modelroll_server.schema import Input, Row, Schema
from modelroll_server.tensors import Array, Datatype, Outputs, Table

_MAX_CELLS = 2_000_000
_MAX_ROWS = 8192


def take(table: Table, indexes: Array) -> Table:
    """The rows with these indexes, copied."""
    return Table(table.names, tuple(column[indexes] for column in table.columns), len(indexes))


def take_answers(answers: Outputs, indexes: Array) -> Outputs:
    """The answers to the rows with these indexes, copied."""
    probability = answers.probability
    if isinstance(probability, list):
        probability = [array[indexes] for array in probability]
    elif probability is not None:
        probability = probability[indexes]
    score = None if answers.score is None else answers.score[indexes]
    return Outputs(answers.prediction[indexes], probability, score)


def replace(table: Table, columns: Array, values: Sequence[Any] | Array) -> Table:
    """A copy in which row i has values[i] in column columns[i]."""
    copied = [np.array(column) for column in table.columns]
    for index in np.unique(columns):
        rows = np.flatnonzero(columns == index)
        copied[index][rows] = [values[row] for row in rows.tolist()]
    return Table(table.names, tuple(copied), table.rows)


def chunk_rows(table: Table) -> int:
    """How many rows of so many columns to hold at once."""
    return max(32, min(_MAX_ROWS, _MAX_CELLS // max(1, len(table.names))))


def movable(column: Input) -> bool:
    """Whether the column is a number that may have any value, rather than one of a few."""
    return column.unknown == "accept" and column.datatype in {Datatype.FP64, Datatype.FP32, Datatype.INT64}


def finite(values: Array) -> Array:
    """The finite values of a column of numbers."""
    return values if values.dtype.kind in "iub" else values[np.isfinite(values)]


def json_rows(table: Table) -> list[list[Any]]:
    """The rows as JSON has them: null for what is missing. What is infinite stays, and JSON cannot write it."""
    columns = [
        [None if isinstance(value, float) and math.isnan(value) else value for value in column.tolist()]
        for column in table.columns
    ]
    return [list(row) for row in zip(*columns, strict=True)] if columns else [[] for _ in range(table.rows)]


def decode(schema: Schema, table: Table) -> tuple[list[Row], Array]:
    """What the server makes of these rows when they are sent to it, and the indexes of those that it takes.

    Rows go through JSON. One with an infinite value cannot: it is taken as binary tensors bring it, if the inputs say
    that they may.
    """
    infinite = np.zeros(table.rows, bool)
    for column, described in zip(table.columns, schema.inputs, strict=True):
        if column.dtype.kind == "f" and described.infinite:
            infinite |= np.isinf(column)
    decoded: list[Row] = []
    taken: list[int] = []
    plain = np.flatnonzero(~infinite)
    sent = msgspec.json.decode(msgspec.json.encode(json_rows(take(table, plain))))
    for index, row in zip(plain.tolist(), sent, strict=True):
        try:
            decoded.append(schema.decode_row(row))
        except RequestError:
            continue
        taken.append(index)
    beyond = np.flatnonzero(infinite)
    decoded += zip(*(column[beyond].tolist() for column in table.columns), strict=True)
    return decoded, np.array([*taken, *beyond.tolist()], np.int64)
