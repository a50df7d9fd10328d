"""Digests: `sha256:` and 64 hexadecimal digits, the identity of a version's content."""

import hashlib

PATTERN = r"^sha256:[0-9a-f]{64}$"


def of_bytes(data: bytes) -> str:
    """The digest of `data`."""
    return from_hex(hashlib.sha256(data).hexdigest())


def from_hex(hexadecimal: str) -> str:
    """The digest that a sha256 in hexadecimal makes."""
    return f"sha256:{hexadecimal}"
