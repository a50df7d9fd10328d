"""A candidate beside the live version: what it is asked for, and how it has done so far.

Owns the numbers that an operator judges it by. Computes nothing: `canary` does.
"""

import dataclasses
from typing import Any

from modelroll_server.registry.target import Candidate
from modelroll_server.registry.version import Version


@dataclasses.dataclass(slots=True)
class Numbers:
    """What became of rows, at one revision. Numbers of rows, but for the last four.

    Attributes:
        answered: Asked for by callers, and answered by the candidate.
        failed: That the candidate raised on, refused, was late for or predicted no finite number for, and the live
            version not; that answered their callers.
        compared: Answered by both, the live version's answers going to their callers.
        disagreed: Of those, where the two predict differently.
        dropped: That were to be compared, and came too fast for that.
        requests: Whose rows are among those answered, failed or compared.
        comparisons: Requests whose rows are among those compared.
        live_seconds: That the live version took to compute those compared.
        candidate_seconds: That the candidate took for the same.
    """

    answered: int = 0
    failed: int = 0
    compared: int = 0
    disagreed: int = 0
    dropped: int = 0
    requests: int = 0
    comparisons: int = 0
    live_seconds: float = 0.0
    candidate_seconds: float = 0.0


@dataclasses.dataclass(slots=True, weakref_slot=True, eq=False)
class Beside:
    """A version that passed its gates and is not live.

    Attributes:
        version: The version.
        asked: What it is to do; changes while it does it.
        revision: Of the target that asked last.
        has_other_rules: Whether it may refuse a value that the live version takes: rows are checked for it again.
        numbers: How it has done.
        attached: What other layers keep with it, each under its class.
    """

    version: Version
    asked: Candidate
    revision: int
    has_other_rules: bool = False
    numbers: Numbers = dataclasses.field(default_factory=Numbers)
    attached: dict[type, Any] = dataclasses.field(default_factory=dict)

    def ask(self, asked: Candidate, revision: int) -> None:
        """Have it do something else; its numbers begin anew."""
        self.asked, self.revision, self.numbers = asked, revision, Numbers()

    def document(self) -> dict[str, Any]:
        """As `/status` has it."""
        content = self.version.content
        return {
            "version": content.version,
            "path": content.path,
            "digest": content.digest,
            "revision": self.revision,
            "percent": self.asked.percent,
            "shadow": self.asked.shadow,
            "numbers": dataclasses.asdict(self.numbers),
        }
