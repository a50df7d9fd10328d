"""What the texts of a CSV stand for, a column at a time: by what it holds, as `modelroll predict` reads them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from modelroll_server.errors import shortened
from modelroll_server.schema import Input, missing
from modelroll_server.schema import texts as schema_texts
from modelroll_server.tensors import Array, Datatype

_ARROW = {Datatype.FP64: pa.float64(), Datatype.FP32: pa.float64(), Datatype.INT64: pa.int64()}
_MISSING = pa.array(sorted(missing.SPELLINGS))
_NOT_UTF8 = "is not UTF-8"


def read(column: Any, described: Input) -> tuple[Any, Any]:
    """A binary column of a CSV as an Arrow array of what it holds, with nulls where a value is missing.

    Returns:
        The array and None; or, where some value is not what the column holds, the same column and its bytes
        dictionary-encoded, for `values`.
    """
    try:
        found = column.cast(pa.string())
    except pa.ArrowInvalid:
        return column, column.dictionary_encode()
    if described.datatype is Datatype.BYTES and described.missing == "refuse":
        return found, None
    absent = pc.is_in(found, value_set=_MISSING)
    if pc.any(absent).as_py():
        found = pc.if_else(absent, pa.scalar(None, pa.string()), found)
    if described.datatype is Datatype.BYTES:
        return found, None
    if described.datatype in _ARROW:
        trimmed = pc.utf8_trim_whitespace(found)
        try:
            numbers = trimmed.cast(_ARROW[described.datatype])
        except pa.ArrowInvalid:
            pass
        else:
            if not _is_more_than_numbers(trimmed, numbers):
                return numbers, None
    return column, column.dictionary_encode()


def _is_more_than_numbers(found: Any, numbers: Any) -> bool:
    """Whether Arrow took something that is no number here: 0x10, inf, NAN, 1e999."""
    if pa.types.is_integer(numbers.type):
        return bool(pc.any(pc.match_substring(found, "x", ignore_case=True)).as_py())
    return not pc.all(pc.is_finite(numbers), min_count=0).as_py()


def values(found: Sequence[bytes], described: Input) -> tuple[Array, list[tuple[int, str]]]:
    """What each of these texts stands for, [texts] of objects; and those that are no texts, with the sentence."""
    read = np.empty(len(found), object)
    types = _types(described)
    refused = []
    for index, data in enumerate(found):
        try:
            read[index] = schema_texts.value(data.decode(), types)
        except UnicodeDecodeError:
            refused.append((index, _NOT_UTF8))
    return read, refused


def _types(described: Input) -> frozenset[str] | None:
    """The JSON types that a column takes; None: any."""
    if described.datatype is Datatype.ANY:
        return None
    if described.datatype is Datatype.BYTES:
        return frozenset({"string"} if described.missing == "refuse" else {"string", "null"})
    return frozenset({"boolean" if described.datatype is Datatype.BOOL else "number"})


def shown(sentence: str, value: Any) -> str:
    """A refusal of a text, with the text."""
    return f"{sentence}: {shortened(value)!r}" if type(value) is str else sentence


def strings(column: Any) -> tuple[Any, list[tuple[int, str]]]:
    """A binary column as texts; and the rows of which it is none, with the sentence."""
    try:
        return column.cast(pa.string()), []
    except pa.ArrowInvalid:
        pass
    found: list[str] = []
    refused = []
    for row, data in enumerate(column.to_pylist()):
        text = data.decode(errors="replace")
        if text.encode() != data:
            refused.append((row, _NOT_UTF8))
        found.append(text)
    return pa.array(found, pa.string()), refused
