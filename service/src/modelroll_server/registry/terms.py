"""On what terms versions are loaded: the same in the process that answers, in its workers, and where one is tried."""

import dataclasses
from pathlib import Path
from typing import Literal

from modelroll_server.artifact.policy import Policy
from modelroll_server.artifact.signature import PublicKeys
from modelroll_server.settings import Settings


@dataclasses.dataclass(frozen=True, slots=True)
class Terms:
    """Where versions are, and which of them may be loaded.

    Attributes:
        root: What paths are relative to, and do not leave.
        policy: Which artifacts may be loaded.
        keys: Whose signatures count, under the policy `signed`.
        extra_fields: What becomes of fields that are no inputs.
    """

    root: Path
    policy: Policy
    keys: PublicKeys | None = None
    extra_fields: Literal["refuse", "ignore"] = "refuse"

    @classmethod
    def of(cls, settings: Settings) -> "Terms":
        """As the server was told.

        Raises:
            errors.KeyInvalid: There is no public key in the text of the keys, or one that cannot be used.
        """
        keys = PublicKeys(settings.signing_public_key) if settings.signing_public_key else None
        return cls(settings.model_root, Policy(settings.artifact_policy), keys, settings.extra_fields)
