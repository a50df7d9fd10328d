"""Tensors of a request to the rows of one model: one tensor with all columns, or one a column."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from modelroll_server import errors
from modelroll_server.batching.batch import Rows
from modelroll_server.openinference.tensors import DTYPES, Tensor
from modelroll_server.registry.version import Version
from modelroll_server.schema import Schema
from modelroll_server.schema.arrays import ArrayDecoder
from modelroll_server.schema.schema import MAX_ROWS
from modelroll_server.tensors import Array

FEW = 64  # values a tensor; up to here a loop in Python is cheaper than what each call of numpy costs


def decoder(version: Version) -> "TensorDecoder":
    """What reads the tensors of requests to one version; made once."""
    found: TensorDecoder | None = version.attached.get(TensorDecoder)
    if found is None:
        found = version.attached[TensorDecoder] = TensorDecoder(version.schema, version.arrays)
    return found


class TensorDecoder:
    """Reads the tensors of requests to one model."""

    def __init__(self, schema: Schema, arrays: ArrayDecoder) -> None:
        self._schema = schema
        self._arrays = arrays
        self._width = len(schema.names)

    def rows(self, tensors: Sequence[Tensor]) -> Rows:
        """Checked rows, or a table when there are many.

        Raises:
            errors.RequestError: the tensors are not the model's inputs, or break its rules.
        """
        if len(tensors) == 1 and len(tensors[0].shape) == 2 and tensors[0].shape[1] == self._width:
            return self._block(tensors[0])
        by_name = {tensor.name: tensor for tensor in tensors}
        if len(by_name) != len(tensors):
            raise errors.InvalidField("two tensors have the same name", field=_repeated(tensors))
        if len(tensors) != self._width or any(name not in by_name for name in self._schema.names):
            self._refuse_names(by_name)
        ordered = [by_name[name] for name in self._schema.names]
        rows = _rows(ordered[0])
        for tensor in ordered:
            if _rows(tensor) != rows:
                sentence = f"{tensor.name} has {_rows(tensor)} rows, and {ordered[0].name} has {rows}"
                raise errors.InvalidField(sentence, field=tensor.name)
        _check(rows)
        if rows == 1:
            return [self._arrays.row([_list(tensor)[0] for tensor in ordered], "[0]")]
        if rows <= FEW:
            return self._arrays.rows([_list(tensor) for tensor in ordered])
        return self._arrays.table([_array(tensor) for tensor in ordered])

    def _block(self, tensor: Tensor) -> Rows:
        rows, width = tensor.shape
        _check(rows)
        if rows * width <= FEW:
            values = _list(tensor)
            if rows == 1:
                return [self._arrays.row(values, "[0]")]
            return self._arrays.rows([values[index::width] for index in range(width)])
        return self._arrays.block(_array(tensor).reshape(rows, width))

    def _refuse_names(self, by_name: dict[str, Tensor]) -> None:
        known = frozenset(self._schema.names)
        wrong = [
            errors.InvalidField(f"{name} is missing", field=name) for name in self._schema.names if name not in by_name
        ]
        if self._schema.refuses_extra_fields:
            wrong += [
                errors.InvalidField(f"{name} is not an input of this model", field=name)
                for name in [errors.shortened(name) for name in by_name if name not in known]
            ]
        if len(by_name) == 1 and self._width > 1:
            (tensor,) = by_name.values()
            is_column = tensor.name in known and math.prod(tensor.shape[1:]) == 1
            if not is_column:
                expected = f"[rows, {self._width}] was expected, or one tensor a column"
                sentence = f"the tensor {tensor.name} has the shape {list(tensor.shape)}; {expected}"
                raise errors.InvalidField(sentence, field=tensor.name)
        if wrong:
            raise wrong[0] if len(wrong) == 1 else errors.InvalidFields(wrong)


def _rows(tensor: Tensor) -> int:
    """How many rows a tensor of one column has.

    Raises:
        errors.InvalidField: it is of more columns.
    """
    shape = tensor.shape
    if len(shape) == 1 or (len(shape) == 2 and shape[1] == 1):
        return shape[0]
    sentence = f"the tensor {tensor.name} has the shape {list(shape)}; [rows] or [rows, 1] was expected"
    raise errors.InvalidField(sentence, field=tensor.name)


def _check(rows: int) -> None:
    if rows == 0:
        raise errors.InvalidRequest("the tensors have no rows")
    if rows > MAX_ROWS:
        raise errors.PayloadTooLarge(f"{rows} rows; one request may have {MAX_ROWS}")


def _list(tensor: Tensor) -> list[Any]:
    values = tensor.values
    return values if isinstance(values, list) else values.tolist()


def _array(tensor: Tensor) -> Array:
    values = tensor.values
    if not isinstance(values, list):
        return values
    dtype = DTYPES.get(tensor.datatype)
    if dtype is None or None in values:
        return np.fromiter(values, object, len(values))
    return np.array(values, dtype)


def _repeated(tensors: Sequence[Tensor]) -> str:
    seen: set[str] = set()
    for tensor in tensors:
        if tensor.name in seen:
            return tensor.name
        seen.add(tensor.name)
    raise AssertionError
