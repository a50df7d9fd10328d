"""Versions: SemVer 2.0.0 with three numbers and an optional pre-release, and their order.

The server has the same rule; `tests/version_cases.json` tests both. Knows nothing of Kubernetes.
"""

import re
from collections.abc import Iterable

_VERSION = re.compile(
    r"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)"
    r"(?:-((?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(?:\.(?:0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*))?"
)
MAX_LENGTH = 63

Order = tuple[bool, tuple[int, ...], bool, tuple[tuple[bool, int, str], ...]]


def is_version(text: str) -> bool:
    """Whether `text` writes a version."""
    return len(text) <= MAX_LENGTH and _VERSION.fullmatch(text) is not None


def order(text: str) -> tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...]]:
    """A key that sorts versions by SemVer 2.0.0 §11.

    Raises:
        ValueError: `text` is not a version.
    """
    match = _VERSION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a version")
    parts = match[4].split(".") if match[4] else []
    # Numbers stand below words; a release stands above its pre-releases.
    pre_release = tuple((not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts)
    return tuple(int(match[i]) for i in (1, 2, 3)), not parts, pre_release


def preference(text: str) -> Order:
    """A key whose highest is the version to serve: releases before pre-releases, then the higher one."""
    numbers, release, pre_release = order(text)
    return release, numbers, release, pre_release


def highest(versions: Iterable[str]) -> str | None:
    """The version to serve among these; a pre-release only when there is no release."""
    return max(versions, key=preference, default=None)
