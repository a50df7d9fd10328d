"""Numbers in the order in which a machine can tell them apart: adjacent doubles have adjacent ordinals."""

from collections.abc import Callable
from typing import Any

import numpy as np

from modelroll_server.tensors import Array

Side = Callable[[Array, Array], Array]

_BITS: dict[np.dtype[Any], np.dtype[Any]] = {
    np.dtype(np.float64): np.dtype(np.int64),
    np.dtype(np.float32): np.dtype(np.int32),
}


def ordinals(values: Array) -> Array:
    """The ordinal of each float64, float32 or int64, as int64; both zeros have 0. No value may be NaN."""
    integers = _BITS.get(values.dtype)
    if integers is None:
        return values.astype(np.int64)
    bits = np.ascontiguousarray(values).view(integers).astype(np.int64)
    return np.asarray(np.where(bits < 0, -(bits & np.iinfo(integers).max), bits))


def numbers(found: Array, dtype: np.dtype[Any]) -> Array:
    """The values of `dtype` that have these ordinals."""
    integers = _BITS.get(dtype)
    if integers is None:
        return found.astype(dtype)
    magnitudes: Array = np.abs(found).astype(integers).view(dtype)
    return np.asarray(np.where(found < 0, -magnitudes, magnitudes))


def bisect(low: Array, high: Array, side: Side, *, expired: Callable[[], bool]) -> tuple[Array, Array]:
    """Each pair of values brought together until they are adjacent, with `side` still true of low and false of high.

    Args:
        low: Values of one dtype, [n]; of each, `side` is true.
        high: Of each, `side` is false. It may be the smaller one.
        side: Given values [m] and the indexes [m] of the pairs that they belong to, tells the side of each.
        expired: Whether there is no time left; then the pairs are returned as near as they are.
    """
    left, right = ordinals(low), ordinals(high)
    while not expired():
        apart = (left != right) & (left != right + 1) & (left + 1 != right)
        active = np.flatnonzero(apart)
        if not len(active):
            break
        middle = (left[active] & right[active]) + ((left[active] ^ right[active]) >> 1)  # their mean, without overflow
        is_low = side(numbers(middle, low.dtype), active)
        left[active] = np.where(is_low, middle, left[active])
        right[active] = np.where(is_low, right[active], middle)
    return numbers(left, low.dtype), numbers(right, low.dtype)
