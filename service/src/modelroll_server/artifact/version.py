"""Versions: SemVer 2.0.0 with three numbers and an optional pre-release, nothing else.

Owns the pattern and the order. The operator and the CRD have the same; `tests/version_cases.json` tests all of them.
"""

import functools
import re
from collections.abc import Iterable
from dataclasses import dataclass

PATTERN = (
    r"^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)"
    r"(-(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*))*)?$"
)
MAX_LENGTH = 63  # a version is a label's value on Kubernetes objects

_COMPILED = re.compile(PATTERN.replace("$", r"\Z"))  # in Python, $ would let a final newline through


@functools.total_ordering
@dataclass(frozen=True, slots=True)
class Version:
    """One version, ordered by SemVer 2.0.0 §11.

    Attributes:
        text: As written.
        numbers: Major, minor, patch.
        pre_release: Its dot-separated identifiers; empty for a release.
    """

    text: str
    numbers: tuple[int, int, int]
    pre_release: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> "Version":
        """The version that `text` writes.

        Raises:
            ValueError: It is not one.
        """
        match = _COMPILED.match(text) if len(text) <= MAX_LENGTH else None
        if match is None:
            raise ValueError(
                f"{text!r} is not a version: three numbers and an optional pre-release, such as 2.0.0 or 2.1.0-rc.1"
            )
        pre_release = tuple(match[4][1:].split(".")) if match[4] else ()
        return cls(text, (int(match[1]), int(match[2]), int(match[3])), pre_release)

    def __lt__(self, other: "Version") -> bool:
        return self._key() < other._key()

    def __str__(self) -> str:
        return self.text

    def _key(self) -> tuple[tuple[int, int, int], bool, tuple[tuple[bool, int, str], ...]]:
        # Numbers stand below words; a release stands above its pre-releases.
        parts = tuple((not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in self.pre_release)
        return self.numbers, not self.pre_release, parts


def is_version(text: str) -> bool:
    """Whether `text` writes a version."""
    return len(text) <= MAX_LENGTH and _COMPILED.match(text) is not None


def highest(versions: Iterable[Version]) -> Version | None:
    """The version to serve among these: the highest release; a pre-release only when there is no release."""
    return max(versions, key=lambda version: (not version.pre_release, version), default=None)
