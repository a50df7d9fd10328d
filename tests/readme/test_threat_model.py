"""docs/threat-model.md names tests that there are."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "threat-model.md").read_text()
NAMED = re.compile(r"`((?:\w+/)+test_\w+\.py)(?:::(test_\w+))?`")


def test_every_test_that_it_names_is_there() -> None:
    found = NAMED.findall(PAGE)
    assert len(found) > 40
    missing = [
        f"{path}::{test}"
        for path, test in found
        if not (file := ROOT / "tests" / path).is_file()
        or not re.search(rf"def {test}\b" if test else "", file.read_text())
    ]
    assert missing == []


def test_every_claim_of_a_control_names_one() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and line.count(" | ") == 2]
    tables = PAGE.split("## A malicious artifact")[1]
    claims = [row for row in rows if row in tables and not row.startswith(("| what it tries", "| ---"))]
    assert len(claims) > 25
    assert [row for row in claims if not NAMED.search(row)] == []
