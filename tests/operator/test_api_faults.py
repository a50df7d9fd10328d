"""An operator whose API server is slow, refuses, cuts connections, hangs or is gone: it comes to the same end."""

import itertools
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.cluster import Namespace
from harness.faulty_api import Call, Decide, Fault, FaultyApi
from harness.operators import Operators, apply, rollout, state, versions_of_objects, wait_live, wait_reason
from harness.waiting import holds_for, wait_until
from simulation.kubelet import Kubelet, deployment

pytestmark = pytest.mark.needs("cluster", "kubectl")

LEASE = "/leases"


@pytest.fixture
def faulty(tmp_path: Path) -> Iterator[FaultyApi]:
    with FaultyApi(tmp_path) as one:
        yield one


def _now_and_then(seed: int, share: float, *faults: Fault) -> Decide:
    """A share of all calls but those of the Lease has one of these: who lost the Lease would rightly end."""
    chance = random.Random(seed)

    def decide(call: Call) -> Fault | None:
        if LEASE in call.path or call.is_watch or chance.random() >= share:
            return None
        return chance.choice(faults)

    return decide


def _watches(*faults: Fault) -> Callable[[], Decide]:
    """Each watch has the next of these."""

    def make() -> Decide:
        found = itertools.cycle(faults)
        return lambda call: next(found) if call.is_watch else None

    return make


FAULTS: dict[str, Callable[[], Decide]] = {
    "slow": lambda: _now_and_then(1, 0.3, Fault("delay", seconds=0.5)),
    "refusing": lambda: _now_and_then(2, 0.1, *(Fault("refuse", status) for status in (409, 410, 429, 500, 503))),
    "cutting, and stumbling": lambda: _now_and_then(
        5, 0.2, Fault("delay", seconds=0.5), Fault("refuse", 500), Fault("cut"), Fault("cut after")
    ),
    "watches that hang": _watches(Fault("hang", seconds=4.0)),
    "watches that are cut and refused": _watches(Fault("cut"), Fault("refuse", 410), Fault("refuse", 500)),
}


@pytest.mark.parametrize("name", FAULTS)
def test_rollouts_come_to_the_same_end(
    namespace: Namespace, kubelet: Kubelet, operators: Operators, faulty: FaultyApi, name: str
) -> None:
    namespace.apply(deployment("churn", "churn", kubelet.port))
    operators.start("one", KUBECONFIG=str(faulty.kubeconfig))
    apply(namespace, "1.2.0")
    wait_live(namespace, "1.2.0")
    faulty.decide = FAULTS[name]()
    apply(namespace, "2.0.0")
    wait_live(namespace, "2.0.0")
    apply(namespace, "2.1.0", strategy={"type": "InPlace"})
    wait_reason(namespace, "2.1.0", "Stalled", "GoldenRowsDiffer")
    apply(namespace, "3.0.0", strategy={"type": "InPlace"})
    wait_live(namespace, "3.0.0")
    faulty.decide = lambda _: None
    wait_until(lambda: len(namespace.items("pods")) == 2, what="no pod of another template is left")
    before = versions_of_objects(namespace)
    holds_for(lambda: versions_of_objects(namespace) == before, 2, what="nothing is written but the Lease")


def test_an_api_server_that_is_gone_for_a_while_ends_nothing(
    namespace: Namespace, kubelet: Kubelet, operators: Operators, faulty: FaultyApi
) -> None:
    namespace.apply(deployment("churn", "churn", kubelet.port))
    operators.start("one", KUBECONFIG=str(faulty.kubeconfig))
    apply(namespace, "1.2.0")
    wait_live(namespace, "1.2.0")
    apply(namespace, "2.0.0", strategy={"type": "InPlace"})
    began = wait_until(lambda: rollout(namespace), what="a rollout")
    faulty.decide = lambda _: Fault("cut")
    process = operators.running["one"]
    # Without its Lease for ten seconds it ends, so that nobody writes who may not, and is started anew.
    wait_until(lambda: process.poll() is not None, 30, what="the operator gives up its Lease")
    faulty.decide = lambda _: None
    operators.start("one", KUBECONFIG=str(faulty.kubeconfig))
    wait_live(namespace, "2.0.0")
    assert state(namespace)["settled"]["revision"] == began["revision"]
