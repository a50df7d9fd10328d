"""How a demo ends: the table, and whether it showed what it set out to show."""

import hashlib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from checker import picture, table
from checker.verdict import Record, Timeline, Verdict

ROOT = Path(__file__).parents[2]
CHURN = ROOT / "models" / "churn"
PICTURE = ROOT / "dist" / "rollout.png"


def digest_of(version: str) -> str:
    """What the version of models/churn hashes to."""
    return f"sha256:{hashlib.sha256((CHURN / version / 'modelroll.json').read_bytes()).hexdigest()}"


def draw(records: Sequence[Record], timeline: Timeline, found: Verdict, since: float) -> None:
    """Draw every request into PICTURE, second 0 being the moment `since`, and say where that is."""
    if records:
        picture.draw(records, timeline, found, since, PICTURE)
        sys.stdout.write(f"Every request as a point: {PICTURE.relative_to(ROOT)}\n")


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
