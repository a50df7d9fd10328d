"""The commands of a section of the root README.md, as a reader would copy them."""

import re

from harness.cluster import ROOT


def commands(section: str) -> list[str]:
    """The indented lines of a section, without comments; a line that goes on, or a loop, is one command."""
    text = (ROOT / "README.md").read_text()
    body = re.split(r"^## ", text.split(f"\n## {section}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    found: list[str] = []
    is_open = False
    for line in re.findall(r"^ {4,}(\S.*)$", body, flags=re.MULTILINE):
        bare = re.sub(r"\s{2,}#.*$", "", line).rstrip()
        if is_open:
            found[-1] += f"\n{bare}"
        else:
            found.append(bare)
        is_open = bare.endswith("\\") or ("for " in found[-1] and not bare.startswith("done"))
    return found
