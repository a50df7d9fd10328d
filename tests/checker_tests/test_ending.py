"""When a demo may say that it showed what it set out to show."""

from dataclasses import replace

import pytest

from checker import ending
from checker.verdict import Verdict

GOOD = Verdict(
    requests=2,
    failed=(),
    illegal=(),
    cut=0,
    cut_by={},
    by_version={"1.2.0": 1, "2.0.0": 1},
    digests={version: frozenset({ending.digest_of(version)}) for version in ("1.2.0", "2.0.0")},
    p50=1.0,
    p99=2.0,
)
WRONG = {"1.2.0": GOOD.digests["1.2.0"], "2.0.0": frozenset({"sha256:other"})}


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (GOOD, 0),
        (replace(GOOD, failed=({"status": 500},)), 1),
        (replace(GOOD, illegal=({"version": "1.2.0"},)), 1),
        (replace(GOOD, digests=WRONG), 1),
        (replace(GOOD, digests={"1.2.0": GOOD.digests["1.2.0"]}), 1),
    ],
)
def test_a_demo_ends_well_only_when_every_answer_was_right(found: Verdict, code: int) -> None:
    assert ending.end(found, {"2.0.0": 1.0}, ("1.2.0", "2.0.0")) == code
