"""Where the records of a CSV end: line ends that are not within quotes.

Owns the reading of RFC 4180, as Arrow's parser has it: a quote opens a field only where the field begins, `""` within
quotes is one quote, and any other quote stands for itself. https://www.rfc-editor.org/rfc/rfc4180
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from modelroll_server.tensors import Array

_QUOTE, _NEWLINE, _RETURN = 0x22, 0x0A, 0x0D


@dataclass(frozen=True, slots=True)
class Ends:
    """Records that ended in one block of a file.

    Attributes:
        offsets: Where each ends, the line end included, [records]; bytes from the start.
        longest: Bytes of the longest of them.
    """

    offsets: Array
    longest: int


class OpenQuote(ValueError):
    """The bytes end within quotes."""


class Scanner:
    """Finds the ends of records, block by block. Blank lines are no records.

    Attributes:
        has_quotes: Whether a quote was seen so far.
    """

    def __init__(self, delimiter: str) -> None:
        self.has_quotes = False
        self._before = np.frombuffer(delimiter.encode() + b"\r\n", np.uint8)  # what a field begins after
        self._is_open = False
        self._last = _NEWLINE  # the byte before this block
        self._closed = False  # whether that was a quote that closed a field
        self._offset = 0  # of this block
        self._end = 0  # of the record, or blank line, before

    def ends(self, blocks: Iterable[bytes]) -> Iterator[Ends]:
        """The records of each block; what comes after the last line end is a record of its own.

        Raises:
            OpenQuote: It ends within quotes.
        """
        for block in blocks:
            yield self._scan(block)
        if self._is_open:
            raise OpenQuote
        if self._offset > self._end:
            yield Ends(np.array([self._offset], np.int64), self._offset - self._end)

    def _scan(self, block: bytes) -> Ends:
        data = np.frombuffer(block, np.uint8)
        newlines = np.flatnonzero(data == _NEWLINE)
        quotes = np.flatnonzero(data == _QUOTE) if b'"' in block else np.empty(0, np.int64)
        if quotes.size or self._is_open:
            self.has_quotes = True
            toggles = self._toggles(data, quotes)
            outside = (np.searchsorted(toggles, newlines) + self._is_open) % 2 == 0
            newlines = newlines[outside]
            self._is_open = bool((len(toggles) + self._is_open) % 2)
            self._closed = bool(toggles.size) and toggles[-1] == len(data) - 1 and not self._is_open
        else:
            self._closed = False
        found = newlines + (self._offset + 1)
        sizes = np.diff(found, prepend=self._end)
        before = np.where(newlines > 0, data[newlines - 1], self._last) if len(newlines) else newlines
        is_blank = (sizes == 1) | ((sizes == 2) & (before == _RETURN))
        if len(data):
            self._last = int(data[-1])
        self._offset += len(data)
        if len(found):
            self._end = int(found[-1])
        return Ends(found[~is_blank], int(sizes.max(initial=0)))

    def _toggles(self, data: Array, quotes: Array) -> Array:
        """The quotes that open a field, close one, or begin or end a doubled one."""
        before = np.where(quotes > 0, data[quotes - 1], self._last)
        begins = np.isin(before, self._before)
        opening = slice(1 if self._is_open else 0, None, 2)
        doubled = before == _QUOTE
        if len(quotes) and quotes[0] == 0:
            doubled[0] &= self._closed
        if (begins | doubled)[opening].all():
            return quotes
        return self._one_by_one(quotes, begins)

    def _one_by_one(self, quotes: Array, begins: Array) -> Array:
        """The same where some quotes stand for themselves."""
        found, is_open = [], self._is_open
        closed = -1 if self._closed else -2
        for at, may_open in zip(quotes.tolist(), begins.tolist(), strict=True):
            if is_open:
                is_open, closed = False, at
            elif may_open or closed == at - 1:
                is_open = True
            else:
                continue
            found.append(at)
        return np.array(found, np.int64)
