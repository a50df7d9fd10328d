"""What Redis keeps of an answer: msgpack with the arrays as they are, dtypes included, signed where there is a secret.

Never pickle. Whatever cannot be told apart from an answer that was computed is written; the rest is not kept.
"""

import hashlib
import hmac
import re
from typing import Annotated

import msgspec
import numpy as np

from modelroll_server.tensors import Answers, Array, Outputs

_PLAIN = re.compile(r"[<|][biuf][0-9]{1,2}\Z")
_LISTED = re.compile(r"\|O\Z|<U[0-9]{1,4}\Z")
_ITEMS = (str, int, float, bool, type(None))
_SIGNATURE = 32  # bytes


class Invalid(ValueError):
    """Bytes that are no value, or not signed with the secret."""


class _Array(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    dtype: str
    shape: list[Annotated[int, msgspec.Meta(ge=0)]]  # without the rows
    content: bytes | list[str | int | float | bool | None]  # texts and objects are listed


class _Value(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    key: bytes  # that it is kept under: values cannot change places, nor can the answers to two commands
    expires: float  # seconds since 1970
    prediction: _Array
    probability: list[_Array] | None
    is_multi_output: bool
    score: _Array | None


class Values:
    """Writes and reads values."""

    def __init__(self, secret: str | None = None) -> None:
        self._secret = None if secret is None else secret.encode()
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder = msgspec.msgpack.Decoder(_Value)

    def dump(self, key: bytes, outputs: Outputs, expires: float) -> bytes | None:
        """The bytes for the outputs of one row; None for those that could not be read back as they are.

        Args:
            key: What they are kept under.
            outputs: Of one row.
            expires: When, in seconds since 1970.
        """
        probability = outputs.probability
        several = probability if isinstance(probability, list) else [probability]
        try:
            value = _Value(
                key,
                expires,
                _dump(outputs.prediction),
                None if probability is None else [_dump(array) for array in several if array is not None],
                isinstance(probability, list),
                None if outputs.score is None else _dump(outputs.score),
            )
            data = self._encoder.encode(value)
        except (TypeError, OverflowError, UnicodeEncodeError):
            return None
        return data if self._secret is None else self._sign(data) + data

    def load(self, key: bytes, data: bytes) -> tuple[Answers, float]:
        """The answer to one row, and when it expires, in seconds since 1970.

        Raises:
            Invalid: these are no such bytes, not for this key, or written by nobody with the secret.
        """
        if self._secret is not None:
            signature, data = data[:_SIGNATURE], data[_SIGNATURE:]
            if not hmac.compare_digest(signature, self._sign(data)):
                raise Invalid("the signature is another one")
        try:
            value = self._decoder.decode(data)
            if value.key != key:
                raise Invalid("it is the value of another key")
            arrays = None if value.probability is None else [_load(array) for array in value.probability]
            probability = arrays if arrays is None or value.is_multi_output else arrays[0]
            score = None if value.score is None else _load(value.score)
            answers = Answers.of(Outputs(_load(value.prediction), probability, score))
            answers.lists()  # what cannot be written as JSON is found now
        except (msgspec.MsgspecError, ValueError, TypeError, IndexError, OverflowError, RecursionError) as error:
            raise Invalid("it cannot be read") from error
        return answers, value.expires

    def _sign(self, data: bytes) -> bytes:
        assert self._secret is not None
        return hmac.digest(self._secret, data, hashlib.sha256)


def _dump(array: Array) -> _Array:
    """One row of an array; TypeError for what could not be read back as it is."""
    shape = list(array.shape[1:])
    if array.dtype.kind in "OU":
        items = array.ravel().tolist()
        if any(type(item) not in _ITEMS for item in items):
            raise TypeError("an object of a type that msgpack does not have")
        return _Array(array.dtype.newbyteorder("<").str, shape, items)
    little = array.dtype.newbyteorder("<")
    if _PLAIN.match(little.str) is None:
        raise TypeError(f"an array of {little.str}")
    return _Array(little.str, shape, array.astype(little).tobytes())


def _load(array: _Array) -> Array:
    shape = (1, *array.shape)
    kinds = _LISTED if isinstance(array.content, list) else _PLAIN
    if kinds.match(array.dtype) is None:
        raise Invalid(f"an array of {array.dtype[:20]!r}")
    dtype = np.dtype(array.dtype)
    if isinstance(array.content, list):
        found = np.empty(len(array.content), dtype)
        found[:] = array.content
    else:
        found = np.frombuffer(array.content, dtype)
    found = found.astype(dtype.newbyteorder("="))
    found = found.reshape(shape)
    found.flags.writeable = False  # callers share it
    return found
