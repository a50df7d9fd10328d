"""How a demo ends: the table, and whether it showed what it set out to show."""

import hashlib
import sys
from collections.abc import Iterable
from pathlib import Path

from checker import table
from checker.verdict import Verdict

CHURN = Path(__file__).parents[2] / "models" / "churn"


def digest_of(version: str) -> str:
    """What the version of models/churn hashes to."""
    return f"sha256:{hashlib.sha256((CHURN / version / 'modelroll.json').read_bytes()).hexdigest()}"


def end(found: Verdict, seconds: dict[str, float], versions: Iterable[str]) -> int:
    """Show the table; 0 when each of these versions answered, under its own digest, and nothing failed."""
    table.show(found, seconds)
    if found.failed or found.illegal:
        return 1
    expected = {version: frozenset({digest_of(version)}) for version in versions}
    if found.digests != expected:
        sys.stderr.write(f"answers came under the digests {found.digests}, and not {expected}\n")
        return 1
    return 0
