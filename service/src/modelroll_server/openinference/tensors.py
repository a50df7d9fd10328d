"""Tensors of the protocol: their datatypes, and their values as JSON lists, as arrays, and as bytes.

Source: the Open Inference Protocol and its binary tensor extension. Bytes are little-endian and row-major; an element
of BYTES is its length as four bytes, and then itself.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelroll_server import errors
from modelroll_server.schema.checks import MAX_EXACT, MAX_INT64
from modelroll_server.schema.schema import MAX_ROWS
from modelroll_server.tensors import Array

DTYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
MAX_DIMENSIONS = 2  # of an input
_LENGTH = struct.Struct("<I")
_NUMBERS = frozenset({float, int})
_JSON_TYPES: dict[str, frozenset[type]] = {
    **dict.fromkeys(DTYPES, _NUMBERS),
    "BOOL": frozenset({bool}),
    "BYTES": frozenset({str}),
}
_PLAIN: dict[str, type] = {"FP64": float, "BOOL": bool, "BYTES": str}
_RANGES = {
    name: (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)) for name, dtype in DTYPES.items() if dtype.kind in "iu"
}


@dataclass(slots=True)
class Tensor:
    """One tensor of a request or an answer.

    Attributes:
        name: As its sender calls it.
        datatype: BOOL, BYTES, or a number's with its width, such as INT64.
        shape: Of its values.
        values: All of them, row-major: a list (numbers, booleans, texts, None), or an array of its dtype, of shape
            [elements]; texts are `str`.
    """

    name: str
    datatype: str
    shape: Sequence[int]
    values: list[Any] | Array


def count(name: str, shape: Sequence[int], most: int = MAX_INT64) -> int:
    """The number of elements, of which there may be so many.

    Raises:
        errors.InvalidField: there are not one or two dimensions, as an input has, or one is negative or too large.
        errors.PayloadTooLarge: there are more than `most`.
    """
    if not 0 < len(shape) <= MAX_DIMENSIONS:
        raise wrong(name, f"has {len(shape) or 'no'} dimensions; [rows] or [rows, columns] was expected")
    elements = 1
    for size in shape:
        if size < 0:
            raise wrong(name, "has a negative number in its shape")
        if size > MAX_INT64:
            raise wrong(name, "has a number in its shape that is too large")
        elements *= size
    if elements > most:
        shown = f"{errors.shortened(name)} of shape {list(shape)}"
        raise errors.PayloadTooLarge(f"the tensor {shown} has too many values; one request may have {MAX_ROWS} rows")
    return elements


def from_json(name: str, datatype: str, shape: Sequence[int], data: list[Any], most: int = MAX_INT64) -> Tensor:
    """A tensor of JSON values, flat or nested as its shape says; null is None.

    Raises:
        errors.InvalidField: datatype, shape and data do not fit each other.
        errors.PayloadTooLarge: there are more than `most` elements.
    """
    if len(data) == 1 and type(data[0]) is _PLAIN.get(datatype) and shape in ([1], [1, 1]):
        return Tensor(name, datatype, shape, data)  # what a request of one row is made of
    elements = count(name, shape, most)
    if data and type(data[0]) is list:
        data = _flattened(name, shape, data)
    if len(data) != elements:
        raise _wrong_count(name, shape, elements, len(data))
    return Tensor(name, datatype, shape, _typed(name, datatype, data))


def from_values(name: str, datatype: str, shape: Sequence[int], values: Sequence[Any], most: int) -> Tensor:
    """A tensor of values that are of the datatype's type (texts as bytes), but may not be in its range.

    Raises:
        errors.InvalidField: datatype, shape and values do not fit each other.
        errors.PayloadTooLarge: there are more than `most` elements.
    """
    elements = count(name, shape, most)
    if len(values) != elements:
        raise _wrong_count(name, shape, elements, len(values))
    found = texts(name, values) if datatype == "BYTES" else list(values)
    if datatype in _RANGES:
        _check_range(name, datatype, found)
    return Tensor(name, datatype, shape, found)


def from_bytes(name: str, datatype: str, shape: Sequence[int], data: memoryview, most: int = MAX_INT64) -> Tensor:
    """A tensor of raw bytes.

    Raises:
        errors.InvalidField: datatype, shape and data do not fit each other.
        errors.PayloadTooLarge: there are more than `most` elements.
    """
    elements = count(name, shape, most)
    if datatype == "BYTES":
        texts = _split(name, data, elements)
        if len(texts) != elements:
            raise _wrong_count(name, shape, elements, len(texts))
        return Tensor(name, datatype, shape, texts)
    dtype = _dtype(name, datatype)
    if len(data) != elements * dtype.itemsize:
        expected = f"{datatype} of shape {list(shape)} has {elements * dtype.itemsize}"
        raise wrong(name, f"has {len(data)} bytes; {expected}")
    array = np.frombuffer(data, dtype)
    if datatype == "BOOL" and array.view(np.uint8).max(initial=0) > 1:
        raise wrong(name, "has bytes that are neither true nor false")
    return Tensor(name, datatype, shape, array)


def to_bytes(tensor: Tensor) -> bytes:
    """The raw bytes of a tensor. None has none: a text that is None becomes empty."""
    values = tensor.values
    if tensor.datatype == "BYTES":
        parts: list[bytes] = []
        for value in values:
            data = b"" if value is None else value.encode()
            parts += (_LENGTH.pack(len(data)), data)
        return b"".join(parts)
    return np.asarray(values, DTYPES[tensor.datatype]).tobytes()


def texts(name: str, values: Sequence[bytes]) -> list[str]:
    """The elements of a tensor of BYTES as texts.

    Raises:
        errors.InvalidField: one is not UTF-8.
    """
    try:
        return [value.decode() for value in values]
    except UnicodeDecodeError as error:
        raise wrong(name, "has a text that is not UTF-8") from error


def wrong(name: str, what: str, element: str = "") -> errors.InvalidField:
    """The error of one tensor, or of one element of it (such as `[3]`); its name may be of any length."""
    shown = errors.shortened(name)
    return errors.InvalidField(f"the tensor {shown} {what}", field=f"{shown}{element}")


def _dtype(name: str, datatype: str) -> np.dtype[Any]:
    found = DTYPES.get(datatype)
    if found is None:
        raise _unknown(name, datatype)
    return found


def _flattened(name: str, shape: Sequence[int], data: list[Any]) -> list[Any]:
    for size in shape[1:]:
        if any(type(part) is not list or len(part) != size for part in data):
            raise wrong(name, f"has data that is not of shape {list(shape)}")
        data = [value for part in data for value in part]
    return data


def _typed(name: str, datatype: str, data: list[Any]) -> list[Any]:
    """The values as the datatype has them: of its type, in its range, rounded to its width."""
    allowed = _JSON_TYPES.get(datatype)
    if allowed is None:
        raise _unknown(name, datatype)
    kinds = set(map(type, data))
    kinds.discard(type(None))
    if not kinds <= allowed:
        row = next(index for index, value in enumerate(data) if value is not None and type(value) not in allowed)
        raise wrong(name, f"has data that is not all {datatype}: element {row} is another", f"[{row}]")
    if datatype.startswith("FP") and not (datatype == "FP64" and kinds <= {float}):
        return _rounded(name, datatype, data)
    if datatype in _RANGES:
        if float in kinds:
            data = _integers(name, datatype, data)
        _check_range(name, datatype, data)
    return data


def _check_range(name: str, datatype: str, values: list[Any]) -> None:
    low, high = _RANGES[datatype]
    present = [value for value in values if value is not None]
    if present and not (low <= min(present) and max(present) <= high):
        raise wrong(name, f"has numbers that {datatype} does not hold")


def _integers(name: str, datatype: str, data: list[Any]) -> list[Any]:
    """Integers, where some are written as 3.0."""
    found = []
    for row, value in enumerate(data):
        if type(value) is float and not (value.is_integer() and abs(value) <= MAX_EXACT):
            raise wrong(name, f"has {value}, which is no {datatype}", f"[{row}]")
        found.append(value if value is None else int(value))
    return found


def _rounded(name: str, datatype: str, data: list[Any]) -> list[Any]:
    try:
        if datatype == "FP64":
            return [value if value is None else float(value) for value in data]
        with np.errstate(over="raise"):
            dtype = DTYPES[datatype].type
            return [value if value is None else float(dtype(value)) for value in data]
    except (OverflowError, FloatingPointError) as error:
        raise wrong(name, f"has numbers that {datatype} does not hold") from error


def _split(name: str, data: memoryview, elements: int) -> list[str]:
    found: list[bytes] = []
    at, end = 0, len(data)
    while at < end and len(found) <= elements:
        if end - at < _LENGTH.size:
            raise wrong(name, "has bytes that are cut off")
        (length,) = _LENGTH.unpack_from(data, at)
        at += _LENGTH.size
        if end - at < length:
            raise wrong(name, "has bytes that are cut off")
        found.append(bytes(data[at : at + length]))
        at += length
    return texts(name, found)


def _wrong_count(name: str, shape: Sequence[int], elements: int, found: int) -> errors.InvalidField:
    return wrong(name, f"has {found} values; the shape {list(shape)} has {elements}")


def _unknown(name: str, datatype: str) -> errors.InvalidField:
    return wrong(name, f"has the datatype {datatype[:20]}, which is not read here")
