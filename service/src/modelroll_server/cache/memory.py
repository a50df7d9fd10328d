"""Answers kept in this process: those used last, within a number of bytes, each for its time."""

import collections
import time
from collections.abc import Callable

from modelroll_server.tensors import Answers, Array, Outputs

_ENTRY = 900  # bytes of a kept answer's own objects, measured
_NUMBER = 32  # bytes of a float in a list: answers are kept as JSON values, too
_ARRAY = 112  # bytes of an array's object


class Memory:
    """Answers by key, the least recently used leaving first.

    Attributes:
        bytes: What the answers take, about.
    """

    def __init__(self, max_bytes: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_bytes = max_bytes
        self._clock = clock
        self._kept: collections.OrderedDict[bytes, tuple[Answers, float, int]] = collections.OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: bytes) -> Answers | None:
        """The answer kept under `key`, if its time is not over."""
        found = self._kept.get(key)
        if found is None:
            return None
        if found[1] <= self._clock():
            self._forget(key)
            return None
        self._kept.move_to_end(key)
        return found[0]

    def put(self, key: bytes, answers: Answers, seconds: float) -> None:
        """Keep the answer to one row for so long. One that is larger than all there is room for is not kept."""
        if key in self._kept:
            self._forget(key)
        size = _size(answers.outputs)
        if size > self._max_bytes or seconds <= 0:
            return
        self._kept[key] = (answers, self._clock() + seconds, size)
        self.bytes += size
        while self.bytes > self._max_bytes:
            _, (_, _, freed) = self._kept.popitem(last=False)
            self.bytes -= freed

    def _forget(self, key: bytes) -> None:
        self.bytes -= self._kept.pop(key)[2]


def _size(outputs: Outputs) -> int:
    probability = outputs.probability
    arrays = [outputs.prediction, *(probability if isinstance(probability, list) else [probability]), outputs.score]
    return _ENTRY + sum(_size_of(array) for array in arrays if array is not None)


def _size_of(array: Array) -> int:
    texts = sum(len(value) for value in array.flat if isinstance(value, str)) if array.dtype.kind == "O" else 0
    return _ARRAY + array.nbytes + array.size * _NUMBER + texts
