"""How many fields a message has, counted in its bytes, before protobuf makes objects of them.

An empty message takes two bytes to write and fifty times that to hold. Owns the wire format as far as counting needs
it; knows no service.

Source: https://protobuf.dev/programming-guides/encoding
"""

import functools
from collections.abc import Mapping
from typing import Any

_VARINT, _BYTES = 0, 2
_FIXED = {1: 8, 5: 4}  # bytes that such a field has
_LONGEST = 10  # bytes of a varint


def are_more(data: bytes, descriptor: Any, most: int) -> bool:
    """Whether a message has more fields than `most`, those of the messages within it among them.

    False if it is cut off or malformed before that: protobuf refuses it then, at the same byte.

    Args:
        data: The message.
        descriptor: Its type's.
        most: How many are looked at.
    """
    if len(data) <= 2 * most:  # a field has two bytes at least
        return False
    outer: list[tuple[int, Mapping[int, Any]]] = []  # where the messages around this one end, and their types
    at, end, messages = 0, len(data), _messages(descriptor)
    try:
        for _ in range(most + 1):
            while at == end:
                end, messages = outer.pop()
            tag, at = _varint(data, at)
            kind = tag & 7
            if kind == _BYTES:
                size, at = _varint(data, at)
                inner = messages.get(tag >> 3)
                if inner is None or at + size > end:
                    at += size
                else:
                    outer.append((end, messages))
                    end, messages = at + size, _messages(inner)
            elif kind == _VARINT:
                _, at = _varint(data, at)
            elif kind in _FIXED:
                at += _FIXED[kind]
            else:  # a group, which no message here has: as many fields as it likes
                return True
            if at > end:
                return False
    except IndexError:  # nothing is around this message, or nothing follows
        return False
    return True


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number, and where what follows it begins."""
    byte = data[at]
    if byte < 128:
        return byte, at + 1
    number = byte & 127
    for shift in range(7, 7 * _LONGEST, 7):
        at += 1
        byte = data[at]
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at + 1
    raise IndexError


@functools.cache
def _messages(descriptor: Any) -> Mapping[int, Any]:
    """The types of those fields of a message that are messages themselves, by number."""
    fields = descriptor.fields_by_number.items()
    return {number: field.message_type for number, field in fields if field.message_type is not None}
