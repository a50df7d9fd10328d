"""Bodies that are almost right: seeded mutations of valid ones, by byte and by token."""

import os
import random
from collections.abc import Iterator, Sequence

# As the Open Inference Protocol has them, little-endian: written out, as the server's own table may be wrong.
DTYPES = {
    "BOOL": "?",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}

COUNT = int(os.environ.get("FUZZ_COUNT", "500"))  # of each kind of body

_TOKENS = [
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"1e999",
    b"-0.0",
    b"1e-400",
    b"9007199254740993",
    b"9223372036854775808",
    b"9" * 30,
    b"null",
    b"true",
    b'""',
    b'"\\ud800"',
    b'"\xff"',
    b"[]",
    b"{}",
    b"[" * 2000,
    b'{"a":' * 2000,
    b"0x10",
    b"\x00",
    b"\xef\xbb\xbf",
    b"\n",
    b"-1",
    b"[2,1]",
    b"4294967296",
    b"9223372036854775807," * 300,
    b"1," * 3000,
    b"INT64",
    b"FP16",
    b"BYTES",
    b"UINT8",
    b"BOOL",
]


def mutated(bodies: Sequence[bytes], seed: int, count: int = COUNT) -> Iterator[bytes]:
    """So many bodies, each a valid one with one to four changes; the same for the same seed."""
    chance = random.Random(seed)
    for _ in range(count):
        body = bytearray(chance.choice(bodies))
        for _ in range(chance.choice([1, 1, 1, 2, 4])):
            _mutate(body, chance, bodies)
        yield bytes(body)


def _mutate(body: bytearray, chance: random.Random, bodies: Sequence[bytes]) -> None:
    at = chance.randrange(len(body) + 1)
    end = min(len(body), at + chance.choice([1, 1, 2, 4, 8, 30]))
    match chance.randrange(10):
        case 0 if at < len(body):
            body[at] ^= 1 << chance.randrange(8)
        case 1:
            del body[at:end]
        case 2:
            body[at:at] = chance.randbytes(chance.randint(1, 8))
        case 3:
            body[at:at] = body[at:end]
        case 4:
            del body[at:]
        case 5:
            body[at:end] = chance.choice(_TOKENS)
        case 6:
            _replace_number(body, chance)
        case 7 | 8:
            _replace_digit(body, chance)
        case _:
            other = chance.choice(bodies)
            start = chance.randrange(len(other))
            body[at:end] = other[start : start + 20]


def _replace_digit(body: bytearray, chance: random.Random) -> None:
    places = [index for index, byte in enumerate(body) if chr(byte).isdigit()]
    if places:
        body[chance.choice(places)] = ord(chance.choice("0123456789.-e"))


def _replace_number(body: bytearray, chance: random.Random) -> None:
    """Put a token where a number stands: what a parser cannot refuse by its grammar."""
    places = [index for index, byte in enumerate(body) if chr(byte).isdigit()]
    if places:
        start = end = chance.choice(places)
        while end < len(body) and body[end] in b"0123456789.eE+-":
            end += 1
        body[start:end] = chance.choice(_TOKENS)
