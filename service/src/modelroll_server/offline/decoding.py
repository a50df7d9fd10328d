"""Arrow columns to the table that a model is given, by the rules that every transport checks values by.

Columns are converted as a whole. Texts are checked once for each that is different, numbers by `schema.arrays`, which
looks singly only at those that may break a rule.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from modelroll_server.errors import BatchFailed
from modelroll_server.offline import texts
from modelroll_server.schema import Input, Refused, Schema, checker
from modelroll_server.schema.arrays import ArrayDecoder
from modelroll_server.schema.checks import largest_number
from modelroll_server.tensors import Array, Datatype, Table

Refusals = dict[int, str]
"""Why a row is refused, by its index."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """The rows of a batch that the model can be given, and the others.

    Attributes:
        table: The former.
        kept: Which they are, [rows] of booleans; None: all.
    """

    table: Table
    kept: Array | None


class Decoder:
    """Decodes batches of one schema of a model."""

    def __init__(self, schema: Schema, arrays: ArrayDecoder, *, of_texts: bool) -> None:
        """A decoder.

        Args:
            schema: The model's.
            arrays: What checks its values.
            of_texts: Whether binary columns are the texts of a CSV.
        """
        self._schema = schema
        self._of_texts = of_texts
        self._arrays = arrays
        self._checks = tuple(map(checker, schema.inputs))
        self._missing = tuple(map(_missing, schema.inputs))

    def decode(self, batch: Any, refusals: Refusals) -> Decoded:
        """Check the rows of an Arrow record batch that has a column for each input, of a type that `accepts` says.

        Args:
            batch: That.
            refusals: Rows that are refused for other reasons already; gets the others.
        """
        columns = []
        for index, name in enumerate(self._schema.names):
            values, refused = self._column(index, batch.column(name))
            columns.append(values)
            for row, sentence in refused:
                refuse(refusals, row, f"{name} {sentence}")
        if not refusals:
            return Decoded(Table(self._schema.names, tuple(columns), batch.num_rows), None)
        kept = np.ones(batch.num_rows, np.bool_)
        kept[list(refusals)] = False
        good = tuple(column[kept] for column in columns)
        return Decoded(Table(self._schema.names, good, int(kept.sum())), kept)

    def _column(self, index: int, column: Any) -> tuple[Array, Sequence[tuple[int, str]]]:
        if self._of_texts and pa.types.is_binary(column.type):
            column, unread = texts.read(column, self._schema.inputs[index])
            if unread is not None:
                return self._by_value(index, unread)
        kind = column.type
        if pa.types.is_dictionary(kind) and not _is_text(kind.value_type):
            column, kind = column.cast(kind.value_type), kind.value_type
        elif _is_text(kind):
            column = column.dictionary_encode()
        if pa.types.is_dictionary(column.type):
            return self._by_value(index, column)
        if pa.types.is_decimal(kind):
            column = _undecimal(column, self._schema.inputs[index])
        elif kind == pa.float16():
            column = column.cast(pa.float32())
        return self._numbers(index, column)

    def _by_value(self, index: int, column: Any) -> tuple[Array, Sequence[tuple[int, str]]]:
        """A dictionary-encoded column: what its values become, put where its codes say."""
        values = column.dictionary
        if values.null_count:  # a dictionary may have a null of its own
            column = column.cast(column.type.value_type).dictionary_encode()
            values = column.dictionary
        found, refused = self._values(index, values)
        count = len(found)
        sentences = dict(refused)
        marker, sentence = self._missing[index]
        lookup = np.empty(count + 1, found.dtype)
        lookup[:count] = found
        if marker is not None or found.dtype.kind == "O":
            lookup[count] = marker
        if sentence is not None:
            sentences[count] = sentence
        codes = column.indices.fill_null(count) if column.indices.null_count else column.indices
        codes = codes.cast(pa.int64()).to_numpy()
        if not sentences:
            return lookup[codes], ()
        is_bad = np.zeros(count + 1, np.bool_)
        is_bad[list(sentences)] = True
        return lookup[codes], [(row, sentences[code]) for row, code in _at(codes, is_bad[codes])]

    def _values(self, index: int, values: Any) -> tuple[Array, Sequence[tuple[int, str]]]:
        described = self._schema.inputs[index]
        if pa.types.is_binary(values.type):  # of a CSV, each to be read by itself
            return self._texts(index, values.to_pylist())
        array = values.to_numpy(zero_copy_only=False)
        if described.unknown == "accept" and described.datatype in {Datatype.BYTES, Datatype.ANY}:
            return array, ()  # they are texts, and any will do
        return self._arrays.column(index, array)

    def _texts(self, index: int, found: Sequence[bytes]) -> tuple[Array, Sequence[tuple[int, str]]]:
        """What these texts become: by the rules of JSON, as those do that are converted as a whole."""
        described = self._schema.inputs[index]
        read, refused = texts.values(found, described)
        bad = dict(refused)
        values = np.zeros(len(read), described.datatype.dtype)
        for at in range(len(read)):
            if at in bad:
                continue
            try:
                values[at] = self._checks[index](read[at])
            except Refused as error:
                refused.append((at, texts.shown(str(error), read[at])))
        return values, refused

    def _numbers(self, index: int, column: Any) -> tuple[Array, Sequence[tuple[int, str]]]:
        """A column of numbers or booleans, of which some may be missing."""
        described = self._schema.inputs[index]
        if not column.null_count:
            return self._present(index, column.to_numpy(zero_copy_only=False))
        absent = column.is_null().to_numpy(zero_copy_only=False)
        marker, sentence = self._missing[index]
        values = np.empty(len(column), described.datatype.dtype)
        values[absent] = 0 if marker is None and values.dtype.kind != "O" else marker
        where = np.flatnonzero(~absent)
        present, refused = self._present(index, column.drop_null().to_numpy(zero_copy_only=False))
        values[where] = present
        found = [(int(where[at]), why) for at, why in refused]
        if sentence is not None:
            found += [(row, sentence) for row in np.flatnonzero(absent).tolist()]
        return values, found

    def _present(self, index: int, values: Array) -> tuple[Array, Sequence[tuple[int, str]]]:
        described = self._schema.inputs[index]
        if described.datatype is not Datatype.FP32 or values.dtype != np.float64:
            return self._arrays.column(index, values)
        return self._rounded(index, values)

    def _rounded(self, index: int, values: Array) -> tuple[Array, Sequence[tuple[int, str]]]:
        """Doubles for a column of single precision: checked as they are and then rounded, as JSON's numbers are."""
        described = self._schema.inputs[index]
        finite = np.isfinite(values)
        with np.errstate(invalid="ignore", over="ignore"):
            found = values.astype(np.float32)
            suspects = ~(np.abs(values) <= largest_number(described)) | (described.unknown == "refuse")
        others = np.flatnonzero(~finite)
        found[others], refused = self._arrays.column(index, values[others])
        wrong = [(int(others[at]), why) for at, why in refused]
        for row in np.flatnonzero(suspects & finite).tolist():
            try:
                self._checks[index](float(values[row]))
            except Refused as error:
                wrong.append((row, str(error)))
        return found, wrong


def refuse(refusals: Refusals, row: int, sentence: str) -> None:
    """Add a reason to those that a row is refused for."""
    before = refusals.get(row)
    refusals[row] = sentence if before is None else f"{before}; {sentence}"


def _undecimal(column: Any, described: Input) -> Any:
    """Decimals as integers where the model takes those: a double has no room for all of them."""
    if described.datatype is Datatype.INT64:
        with contextlib.suppress(pa.ArrowInvalid):
            return column.cast(pa.int64())
    return column.cast(pa.float64())


def _at(codes: Array, chosen: Array) -> list[tuple[int, int]]:
    rows = np.flatnonzero(chosen)
    return list(zip(rows.tolist(), codes[rows].tolist(), strict=True))


def _missing(column: Input) -> tuple[Any, str | None]:
    """What a missing value becomes, or the sentence that refuses it."""
    try:
        return checker(column)(None), None
    except Refused as error:
        return None, str(error)


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def accepts(column: Input, kind: Any) -> bool:
    """Whether a column of this Arrow type may hold what the model takes; its values are checked when they are read."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_null(kind):
        return column.missing != "refuse"
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if column.datatype is Datatype.ANY:
        return is_number or pa.types.is_boolean(kind) or _is_text(kind)
    if column.datatype is Datatype.BYTES:
        return _is_text(kind)
    return bool(pa.types.is_boolean(kind)) if column.datatype is Datatype.BOOL else bool(is_number)


_TAKES = {
    Datatype.FP64: "numbers",
    Datatype.FP32: "numbers",
    Datatype.INT64: "integers",
    Datatype.BOOL: "booleans",
    Datatype.BYTES: "texts",
    Datatype.ANY: "numbers, texts or booleans",
}


def check_columns(inputs: Sequence[Input], schema: Any, where: str, *, of_texts: bool) -> None:
    """Refuse an Arrow schema that lacks an input, or has one of a type that holds something else.

    Args:
        inputs: Of the model.
        schema: Of the files.
        where: One of them.
        of_texts: Whether binary columns are the texts of a CSV, of which each value is looked at.

    Raises:
        BatchFailed: With all that is wrong.
    """
    there = set(schema.names)
    absent = [column.name for column in inputs if column.name not in there]
    if absent:
        sentence = f"{where} has no column {', '.join(absent)}, which the model takes; it has {', '.join(schema.names)}"
        if [column.name for column in inputs] == [f"x{index}" for index in range(len(inputs))]:
            sentence += ". The model was fitted without names: x0, x1, … are its columns in order"
        raise BatchFailed(sentence)
    wrong = [
        f"{column.name} is {schema.field(column.name).type}, and the model takes {_TAKES[column.datatype]}"
        for column in inputs
        if not (of_texts and pa.types.is_binary(schema.field(column.name).type))
        and not accepts(column, schema.field(column.name).type)
    ]
    if wrong:
        raise BatchFailed(f"{where} has columns of other types: {'; '.join(wrong)}")
