"""What a batch will cost, learned from those before it."""

import math

WAITS = 0.02  # seconds
_FALL = 0.5  # how far an estimate follows a cheaper run: that it can be had for less is sure
_RISE = 0.05  # and a dearer one, which may have been the machine's fault


class Cost:
    """Seconds of one call of a runtime by the number of its rows, in classes of powers of two.

    One number a row will not do: a call of scikit-learn costs a millisecond for one row and for thirty.
    """

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}

    def learn(self, rows: int, seconds: float, cpu_seconds: float) -> None:
        """Take note of one call: how long it took, and how long its thread computed.

        What a thread waits for a little is the interpreter's lock or a processor, which are not the model's cost; a
        model that waits for long is one that sleeps.
        """
        if seconds - cpu_seconds < WAITS:
            seconds = cpu_seconds
        known = self._seconds.get(size := rows.bit_length())
        if known is None:
            self._seconds[size] = seconds
        else:
            self._seconds[size] = known + (seconds - known) * (_FALL if seconds < known else _RISE)

    def predict(self, rows: int) -> float:
        """Seconds that a call with so many rows will take; infinite before anything is known.

        A larger class that was never seen is as dear as if each row were paid for alone.
        """
        found = self._seconds.get(size := rows.bit_length())
        if found is not None:
            return found
        smaller = max((one for one in self._seconds if one < size), default=None)
        if smaller is not None:
            return self._seconds[smaller] * 2.0 ** (size - smaller)
        larger = min(self._seconds, default=None)
        return math.inf if larger is None else self._seconds[larger]
