"""What the operator asked of the API server, from the API server's own audit log.

Owns reading that log. The policy (`audit.yaml`) leaves nobody else's calls in it.
"""

import json
from collections import Counter
from pathlib import Path


class Calls:
    """The calls since they were looked at last."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._offset = 0

    def since_last(self) -> Counter[str]:
        """How many of each kind, such as `patch pods`, were answered. A watch counts when it ends."""
        found: Counter[str] = Counter()
        if not self._log.exists():
            return found
        with self._log.open("rb") as log:
            log.seek(self._offset)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                event = json.loads(line)
                about = event.get("objectRef") or {}
                parts = (about.get("resource"), about.get("subresource"))
                found[f"{event['verb']} {'/'.join(part for part in parts if part)}"] += 1
        return found
