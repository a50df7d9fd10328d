"""What makes two rows the same: one canonical text of bytes a row, and its hash together with who answers.

A row becomes a head of fixed size, one field a column in manifest order, little-endian: numbers and booleans at the
manifest's dtype, the length of a text, or a mark for null; then the texts, one after the other. The head says where
each text ends, so no two rows have one encoding. −0 is 0, and there is one NaN.
"""

import hashlib
import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from modelroll_server.schema import Input, Row
from modelroll_server.tensors import Datatype

LAYOUT = "v1"  # of keys and values; another one shares nothing with this

_NAN = math.nan
_NULL, _NAN_TEXT = 2**32 - 1, 2**32 - 2  # in place of a length; no text is so long
_FORMATS = {
    Datatype.FP64: "d",
    Datatype.FP32: "f",
    Datatype.INT64: "q",
    Datatype.BOOL: "?",
    Datatype.BYTES: "I",
    Datatype.ANY: "I",
}
_FLOATS = {Datatype.FP64, Datatype.FP32}


class Keys:
    """The keys of one version's rows."""

    def __init__(self, identity: Sequence[str], columns: Sequence[Input]) -> None:
        """Keys of rows with these columns.

        Args:
            identity: What the answers depend on besides the row: model, digest, runtime, outputs.
            columns: In manifest order.
        """
        self._who = b"".join(_prefixed(text) for text in (LAYOUT, str(len(identity)), *identity))
        self._encode = encoder([column.datatype for column in columns])

    def of(self, row: Row) -> bytes:
        """The 32 bytes that stand for this row and who answers it."""
        return hashlib.sha256(self._who + self._encode(row)).digest()


def encoder(datatypes: Sequence[Datatype]) -> Callable[[Row], bytes]:
    """The function that encodes rows of these columns: equal rows, and only those, have equal bytes."""
    pack = struct.Struct("<" + "".join(_FORMATS[datatype] for datatype in datatypes)).pack
    if _FLOATS.issuperset(datatypes):
        # Adding zero makes 0 of −0, and a number is not equal to itself only if it is none.
        return lambda row: pack(*[value + 0.0 if value == value else _NAN for value in row])  # noqa: PLR0124
    if not {Datatype.BYTES, Datatype.ANY}.isdisjoint(datatypes):
        return _with_texts(datatypes, pack)
    floats = [datatype in _FLOATS for datatype in datatypes]
    return lambda row: pack(
        *[_number(value) if is_float else value for value, is_float in zip(row, floats, strict=True)]
    )


def _with_texts(datatypes: Sequence[Datatype], pack: Callable[..., bytes]) -> Callable[[Row], bytes]:
    texts = {Datatype.BYTES: _text, Datatype.ANY: _tagged}
    kinds = [(datatype in _FLOATS, texts.get(datatype)) for datatype in datatypes]

    def encode(row: Row) -> bytes:
        head: list[Any] = []
        tail: list[bytes] = []
        for value, (is_float, as_text) in zip(row, kinds, strict=True):
            if as_text is None:
                head.append(_number(value) if is_float else value)
            elif value is None:
                head.append(_NULL)
            elif type(value) is float and as_text is _text:
                head.append(_NAN_TEXT)  # what a missing text may be instead
            else:
                text = as_text(value)
                head.append(len(text))
                tail.append(text)
        return pack(*head) + b"".join(tail)

    return encode


def _number(value: float) -> float:
    return value + 0.0 if value == value else _NAN  # noqa: PLR0124 - as above


def _text(value: str) -> bytes:
    return value.encode("utf-8", "surrogatepass")


def _tagged(value: Any) -> bytes:
    """A value of a column that has no datatype: the number 1, the text "1" and true are three values."""
    if isinstance(value, str):
        return b"s" + _text(value)
    if isinstance(value, bool | np.bool_):
        return b"b1" if value else b"b0"
    if isinstance(value, int | np.integer):
        return b"i%d" % int(value)
    return b"f" + struct.pack("<d", _number(float(value)))


def _prefixed(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<I", len(data)) + data
