"""The live rule: which ModelVersion ought to answer.

The highest version that is not withdrawn, not being deleted, not in conflict, and has not failed under its present key.
A function of the specs and of which keys failed, so the order of applies never matters. Pure.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from modelroll_operator import version as versions
from modelroll_operator.observed import ModelVersion, Observed
from modelroll_operator.target import Content

STRATEGIES = frozenset({"RollingUpdate", "InPlace"})


@dataclass(frozen=True, slots=True)
class Choice:
    """What the rule says.

    Attributes:
        live: The ModelVersion that ought to answer; None: whatever is settled stays.
        blocked: Whether the highest version is in conflict, so that nothing may begin.
    """

    live: ModelVersion | None
    blocked: bool = False


def key(version: ModelVersion, template_hash: str) -> str:
    """What an attempt's outcome is remembered under: a change of any part makes the version eligible again."""
    # Hashed, as an annotation may be longer than what a key has room for.
    retry = hashlib.sha256(version.retry.encode()).hexdigest()[:16] if version.retry else ""
    return f"{_asked(version)}{retry}/{template_hash}"


def was_live(version: ModelVersion) -> bool:
    """Whether the last attempt at what it asks for now succeeded, with whatever image."""
    attempt = version.attempt
    return attempt is not None and attempt.outcome == "Succeeded" and attempt.key.startswith(_asked(version))


def is_back(version: ModelVersion, content: Content) -> bool:
    """Whether a rollout to it goes back from `content`: to what answered before, and gives way to it by its number."""
    if content.version is None or not versions.is_version(content.version) or not was_live(version):
        return False
    return versions.preference(version.version) < versions.preference(content.version)


def _asked(version: ModelVersion) -> str:
    return f"{version.uid}/{version.asks}/"


def failed(version: ModelVersion, template_hash: str) -> bool:
    """Whether its last attempt failed under its present key."""
    attempt = version.attempt
    return attempt is not None and attempt.outcome == "Failed" and attempt.key == key(version, template_hash)


def resolved(version: ModelVersion, siblings: tuple[str, ...], deployment: str) -> bool:
    """Whether this version is for this Deployment: by name, or as the only one of its model."""
    if version.deployment is not None:
        return version.deployment == deployment
    return siblings == (deployment,)


def conflicts(candidates: Iterable[ModelVersion]) -> frozenset[str]:
    """The versions that more than one of these has."""
    counts = Counter(version.version for version in candidates)
    return frozenset(text for text, count in counts.items() if count > 1)


def candidates(observed: Observed) -> tuple[ModelVersion, ...]:
    """The versions that this Deployment may serve at all."""
    name = observed.deployment.name
    return tuple(
        version
        for version in observed.versions
        if resolved(version, observed.siblings, name)
        and not version.withdrawn
        and not version.deleting
        and version.strategy in STRATEGIES
        and versions.is_version(version.version)
    )


def choose(observed: Observed) -> Choice:
    """Apply the rule."""
    possible = candidates(observed)
    twice = conflicts(possible)
    eligible = [one for one in possible if not failed(one, observed.deployment.template_hash)]
    best = max(eligible, key=lambda one: versions.preference(one.version), default=None)
    if best is None:
        return Choice(None)
    return Choice(None, blocked=True) if best.version in twice else Choice(best)


def unasked(observed: Observed) -> str | None:
    """Why what is settled stays although no ModelVersion that may be served asks for it; None where one does."""
    choice = choose(observed)
    if choice.live is not None or choice.blocked or observed.state is None or observed.state.settled is None:
        return None
    settled = observed.state.settled.content
    stays = "what MODEL_PATH names" if settled.env else str(settled.version)
    model = observed.deployment.model
    return f"no ModelVersion of {model} may be served: all are withdrawn, gone or failed; {stays} stays"
