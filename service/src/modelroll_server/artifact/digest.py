"""Digests: `sha256:` and 64 hexadecimal digits, the identity of a version's content."""

import hashlib
import re

PATTERN = r"^sha256:[0-9a-f]{64}$"
_COMPILED = re.compile(PATTERN.replace("$", r"\Z"))


def of_bytes(data: bytes) -> str:
    """The digest of `data`."""
    return from_hex(hashlib.sha256(data).hexdigest())


def from_hex(hexadecimal: str) -> str:
    """The digest that a sha256 in hexadecimal makes."""
    return f"sha256:{hexadecimal}"


def is_digest(text: str) -> bool:
    """Whether `text` writes a digest."""
    return _COMPILED.match(text) is not None
