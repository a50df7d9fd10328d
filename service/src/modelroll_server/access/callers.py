"""Who calls, by the token that they show: a directory with one file for each caller, named after it.

A file has its caller's tokens, one a line, so that a new one can be given before the old one is taken away. Only their
SHA-256 is kept, and each of them is compared with what was shown, in a time that does not depend on where they differ.
"""

import hashlib
import hmac
from pathlib import Path

from modelroll_server import errors
from modelroll_server.access import mounted
from modelroll_server.telemetry.metrics import Metrics
from modelroll_server.telemetry.tally import Count, Counts

SHORTEST = 16  # characters of a token
MOST = 1000  # tokens: each request is compared with all of them, on the event loop


class Caller:
    """Somebody who may call.

    Attributes:
        name: As its file is named.
        requests: How many it made.
    """

    __slots__ = ("name", "requests")

    def __init__(self, name: str, requests: Count) -> None:
        self.name = name
        self.requests = requests


class Callers:
    """Those that a directory names. Until it was read, and where it cannot be read, there are none."""

    def __init__(self, directory: Path, metrics: Metrics) -> None:
        """Callers, to be read.

        Args:
            directory: Where their files are.
            metrics: Where their requests, and those of others, are counted.
        """
        self._directory = directory
        self._known: tuple[tuple[bytes, Caller], ...] = ()
        self._requests = Counts("modelroll_caller_requests", "Requests with a token, by whose it is", ("caller",))
        self._refused = Counts("modelroll_unauthorized", "Requests that were refused for want of a token", ("reason",))
        metrics.add(self._requests)
        metrics.add(self._refused)

    def read(self) -> int:
        """Take what the files say now, and return how many callers there are.

        Raises:
            errors.CredentialsUnusable: nothing can be taken, and nobody may call; or not all of it, and those who were
                understood may.
        """
        known, wrong = [], []
        try:
            contents = mounted.read_all(self._directory)
        except errors.CredentialsUnusable:
            self._known = ()
            raise
        found: dict[bytes, str] = {}
        for name, content in contents.items():
            caller = Caller(name, self._requests.labels(name))
            for number, line in enumerate(content.splitlines(), 1):
                token = line.strip()
                digest = hashlib.sha256(token).digest()
                if not token:
                    continue
                if not _is_token(token):
                    wrong.append(
                        f"line {number} of {self._directory / name} is no token: it must be {SHORTEST} or more"
                        " printable ASCII characters without spaces"
                    )
                elif found.setdefault(digest, name) != name:
                    wrong.append(f"{name} and {found[digest]} have the same token: it counts as {found[digest]}'s")
                else:
                    known.append((digest, caller))
        if len(known) > MOST:
            wrong.insert(
                0,
                f"{self._directory} has {len(known)} tokens, and {MOST} are taken, as each request is compared with all"
                " of them: those after the first, in the order of the files' names, do not count; take some away",
            )
        self._known = tuple(known[:MOST])
        if not known:
            wrong.append(f"{self._directory} has no token, so nobody may call: a file for each caller, a token a line")
        if wrong:
            raise errors.CredentialsUnusable("; ".join(wrong[:3]))
        return len(set(found.values()))

    def find(self, shown: bytes | None) -> Caller | None:
        """Whose token this is, counted as a request of theirs.

        Args:
            shown: The header `Authorization`; None if there was none.
        """
        digest = hashlib.sha256(_token(shown) or b"").digest()
        compare = hmac.compare_digest
        found = [caller for known, caller in self._known if compare(known, digest)]  # all, wherever it stands
        if not found:
            return None
        found[0].requests.value += 1
        return found[0]

    def refusal(self, shown: bytes | None) -> errors.Unauthorized:
        """Why such a request is refused, counted."""
        if not self._known:
            reason, message = "no_tokens", "this server has no tokens, and refuses all; its log says why"
        elif shown is None:
            reason, message = "missing", "this server needs a token: send the header Authorization: Bearer <token>"
        elif _token(shown) is None:
            reason, message = "scheme", "the header Authorization may be Bearer and a token, of one space apart"
        else:
            reason, message = "unknown", "the token is none of this server's: it may have been replaced"
        self._refused.labels(reason).value += 1
        return errors.Unauthorized(message)


def _token(shown: bytes | None) -> bytes | None:
    scheme, _, token = (shown or b"").partition(b" ")
    token = token.strip(b" ")
    return token if scheme.lower() == b"bearer" and token and b" " not in token else None


def _is_token(line: bytes) -> bool:
    return len(line) >= SHORTEST and all(0x21 <= byte <= 0x7E for byte in line)
