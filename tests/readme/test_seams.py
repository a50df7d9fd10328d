"""docs/design/0001-seams.md lists every setting of the server, and no other."""

import dataclasses
import re
from pathlib import Path

from modelroll_server.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "design" / "0001-seams.md").read_text()


def test_its_table_has_the_settings_that_there_are() -> None:
    section = PAGE.split("## Environment of the server")[1].split("\n## ")[0]
    cells = [line.split(" | ")[0] for line in section.splitlines() if line.startswith("| `")]
    listed = [name for cell in cells for name in re.findall(r"`([A-Z_]+)`", cell)]
    assert sorted(listed) == sorted(field.name.upper() for field in dataclasses.fields(Settings))
