"""A version that is broken ends Stalled with its reason, and costs nobody an answer and no ready pod.

In place, which is how a bad version gets nearest to those who ask, one kind for each reason and every kind that harms;
`KINDS=all` takes all there are, as the server's own tests do. The few that depend on how a pod starts by new pods, too.
"""

import os

import pytest

from harness import bad_artifacts
from harness.bad_artifacts import Case
from harness.cluster import Object
from harness.release import Release
from harness.spoiling import Spec
from harness.traffic import under_load
from harness.volume import put
from harness.waiting import wait_until

pytestmark = pytest.mark.needs("cluster", "helm", "kubectl")

IN_PLACE = {"type": "InPlace", "maxParallel": 3}
# Four fifths of the deadline are the trial's. A start of Python with scikit-learn takes some seconds on a busy node.
HASTY, PATIENT = 15, 120
BY_NEW_PODS = ("golden rows answered otherwise", "nothing at the path", "an end with exit code 0", "memory without end")
OUT_OF_MEMORY = {"memory without end": "CrashedWhileLoading"}  # a pod that starts has nobody to try it: the kernel does
PASSING = ("ArtifactMissing", "ArtifactIncomplete", "ArtifactUnreadable")  # a push may be under way
ALSO = ("a file truncated", "bytes of another version's file", "an input retyped", "nothing but NaN", "SystemExit")
FIRST = {case.reason: case for case in reversed(bad_artifacts.CASES)}
KINDS = [
    case
    for case in bad_artifacts.CASES
    if os.environ.get("KINDS") == "all" or case.harms != "none" or case is FIRST[case.reason] or case.name in ALSO
]
NUMBERED = {case.name: f"3.{number}.0" for number, case in enumerate(KINDS)}
AGAIN = {name: f"4.{number}.0" for number, name in enumerate(BY_NEW_PODS)}


@pytest.fixture(scope="module")
def specs(release: Release, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Spec]:
    """Every kind on the claim, put there at once; where each version lies and what it should hash to."""
    root = tmp_path_factory.mktemp("volume")
    by_name = {case.name: case for case in bad_artifacts.CASES}
    made = {version: bad_artifacts.make(by_name[name], root, version) for name, version in NUMBERED.items()}
    made |= {version: bad_artifacts.make(by_name[name], root, version) for name, version in AGAIN.items()}
    put(release.namespace, root)
    return made


@pytest.mark.timeout(1800)  # with KINDS=all
def test_no_kind_of_bad_version_costs_anything_in_place(release: Release, specs: dict[str, Spec]) -> None:
    release.apply_version("1.2.0", strategy=IN_PLACE)
    before = {one["metadata"]["uid"]: restarts(one) for one in release.pods()}
    unlike = {}
    with under_load(release.namespace) as traffic:
        for case in KINDS:
            version = NUMBERED[case.name]
            deadline = HASTY if case.harms == "time" else PATIENT
            apply(release, version, specs[version], {**IN_PLACE, "progressDeadlineSeconds": deadline})
            said = why(release, case, version)
            unlike[case.name] = "" if case.reason in said and case.says in said else said
            release.delete_version(version)
            wait_until(lambda: release.rollout() is None, 60, what="no rollout")
    assert {name: said for name, said in unlike.items() if said} == {}
    assert release.settled()["version"] == "1.2.0"
    assert traffic.verdict.by_version.keys() == {"1.2.0"}
    traffic.assert_flawless()
    assert {one["metadata"]["uid"]: restarts(one) for one in release.pods()} == before


@pytest.mark.parametrize("name", BY_NEW_PODS)
def test_no_new_pod_becomes_ready_on_one(release: Release, specs: dict[str, Spec], name: str) -> None:
    case = next(one for one in bad_artifacts.CASES if one.name == name)
    version = AGAIN[name]
    with under_load(release.namespace) as traffic:
        apply(release, version, specs[version], {"type": "RollingUpdate"})
        reason = release.wait_stalled(version, 150)
        release.wait_ready(3)
    assert reason == OUT_OF_MEMORY.get(name, case.reason)
    assert release.settled()["version"] == "1.2.0"
    assert version not in traffic.readiness.targets.values(), "a pod became Ready on it"
    assert traffic.verdict.by_version.keys() == {"1.2.0"}
    traffic.assert_flawless()
    assert reason in {one["reason"] for one in release.events(version) if one["type"] == "Warning"}
    assert release.condition(version, "Ready")["reason"] == reason


def test_a_refused_version_is_left_alone_and_a_good_one_goes_past_it(release: Release) -> None:
    """Runs after those above: theirs stay refused, and 2.0.0 is the highest that is not."""
    refused = AGAIN[BY_NEW_PODS[0]]
    with under_load(release.namespace) as traffic:
        release.apply_version("2.0.0")
        release.wait_live("2.0.0")
        release.wait_ready(3)
    traffic.assert_flawless()
    assert release.condition(refused, "Stalled")["reason"] == "GoldenRowsDiffer"
    assert traffic.verdict.by_version.keys() == {"1.2.0", "2.0.0"}


def apply(release: Release, version: str, spec: Spec, strategy: dict[str, object]) -> None:
    """A ModelVersion of it; without a digest where its fault is that it has none."""
    release.apply_version(version, path=spec.path or "", digest=spec.digest, strategy=strategy)


def why(release: Release, case: Case, version: str) -> str:
    """What the ModelVersion says of it at the end; or at once, where the operator waits for a push to end."""
    if case.reason not in PASSING:
        reason = release.wait_stalled(version)
        return f"{reason}: {release.condition(version, 'Stalled')['message']}"
    try:
        return wait_until(lambda: _said(release, version, case.reason), what=f"{version}: {case.reason}")
    except AssertionError as error:
        return str(error)


def _said(release: Release, version: str, reason: str) -> str:
    message = str(release.condition(version, "Reconciling").get("message", ""))
    return message if reason in message else ""


def restarts(pod: Object) -> int:
    """How often the containers of a pod were started anew."""
    return sum(one["restartCount"] for one in pod["status"]["containerStatuses"])
