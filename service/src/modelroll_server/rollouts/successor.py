"""Which ModelVersion becomes live when one is taken out: the operator's live rule, as far as statuses show it.

Knows no cluster. Pure.
"""

from collections.abc import Iterable, Sequence

from modelroll_server.artifact.version import Version, highest, is_version
from modelroll_server.rollouts.view import Json, has_failed, is_live, name_of

MANNERS = {"InPlace": "in place", "RollingUpdate": "by new pods"}


def left(gone: Json, items: Iterable[Json]) -> list[Json]:
    """Those that may be served in the place of the one that is taken out, if they do not fail: of its Deployment."""
    return [
        one
        for one in items
        if name_of(one) != name_of(gone)
        and one["spec"]["model"] == gone["spec"]["model"]
        and one["spec"].get("deployment") == gone["spec"].get("deployment")
        and not one["spec"].get("withdrawn")
        and "deletionTimestamp" not in one["metadata"]
        and is_version(one["spec"]["version"])
    ]


def successors(candidates: Sequence[Json]) -> list[Json]:
    """The one that becomes live; several when they have one version, so that none does; empty when all have failed."""
    eligible = [one for one in candidates if not has_failed(one)]
    best = highest(Version.parse(one["spec"]["version"]) for one in eligible)
    return [] if best is None else [one for one in eligible if one["spec"]["version"] == str(best)]


def outlook(gone: Json, items: Iterable[Json]) -> str:
    """What comes of taking it out, in words."""
    candidates = left(gone, items)
    if not candidates:
        return "no other ModelVersion of its model is left to go back to, so that what is served stays"
    chosen = successors(candidates)
    if not chosen:
        names = ", ".join(sorted(map(name_of, candidates)))
        return (
            f"all that are left have failed ({names}), so that what is served stays; "
            "once one is mended, `modelroll rollout retry NAME` tries it again"
        )
    if len(chosen) > 1:
        names = " and ".join(sorted(map(name_of, chosen)))
        return f"{names} have the same version: no rollout begins until one of them is withdrawn or deleted"
    return _outlook_of(chosen[0])


def _outlook_of(chosen: Json) -> str:
    name, spec = name_of(chosen), chosen["spec"]
    follow = f"`modelroll rollout status {name}` follows it"
    if is_live(chosen):
        return f"{name} is live, and stays so; {follow}"
    manner = MANNERS.get((spec.get("strategy") or {}).get("type", "RollingUpdate"), "by a strategy of its own")
    if spec.get("paused"):
        return f"{name} becomes live, {manner}, but is paused: `modelroll rollout resume {name}` lets it begin"
    return f"{name} becomes live, {manner}; {follow}"
