"""Which artifacts may be loaded: a pickle runs code, so somebody must have said which one.

Owns the policies and the sentence that a refusal prints. Knows nothing of how files are read.
"""

from enum import StrEnum

from modelroll_server.errors import PolicyRefused


class Policy(StrEnum):
    """What an artifact needs before code in it may run.

    Attributes:
        DIGEST: Pickles (joblib files are pickles) and skops files need a digest that was given with them.
        SIGNED: Every artifact, compiled or not, needs a signature by a trusted key (`signature`).
        ANY: Whatever lies at the path is loaded.
    """

    DIGEST = "digest"
    SIGNED = "signed"
    ANY = "any"


def require_digest(policy: Policy, *, file_format: str, given: str | None, found: str) -> None:
    """Refuse a file that runs code and that nobody named by its digest.

    Args:
        policy: The policy in force.
        file_format: What the file is, for the message.
        given: The digest that came with the path, already compared with `found`; None when none came.
        found: The digest of what lies there.

    Raises:
        PolicyRefused: The policy wants a digest and none was given.
    """
    if policy is not Policy.DIGEST or given is not None:
        return
    raise PolicyRefused(
        f"a {file_format} file may run code when it is loaded, and no digest was given for it. If you trust what lies"
        f" there, add --digest {found} (modelroll serve), --set model.digest={found} (helm), or digest: {found} to the"
        " ModelVersion's spec",
        found=found,
    )
