"""What people and machines do to a rollout that is under way, on a real API server: it ends as the specs say."""

from collections.abc import Callable

import pytest

from harness.cluster import Namespace
from harness.operators import Operators, apply, condition, rollout, state, wait_live, wait_reason
from harness.waiting import wait_until
from simulation.kubelet import Kubelet, deployment

pytestmark = pytest.mark.needs("cluster", "kubectl")


def _scale(namespace: Namespace, pods: int) -> None:
    namespace.kubectl("scale", "deployment/churn", f"--replicas={pods}")


def _up_and_down(namespace: Namespace, _: Kubelet) -> None:
    _scale(namespace, 10)
    wait_until(lambda: len(namespace.items("pods")) >= 10, 30, what="ten pods")
    _scale(namespace, 2)


def _withdraw(namespace: Namespace, _: Kubelet) -> None:
    namespace.patch("modelversion", "churn-2.0.0", {"spec": {"withdrawn": True}})


def _delete(namespace: Namespace, _: Kubelet) -> None:
    namespace.kubectl("delete", "modelversion", "churn-2.0.0")


def _forget(namespace: Namespace, _: Kubelet) -> None:
    namespace.kubectl("delete", "configmap", "churn-target")


def _scribble(namespace: Namespace, _: Kubelet) -> None:
    namespace.patch("configmap", "churn-target", {"data": {"operator": "{"}})


def _pause(namespace: Namespace, _: Kubelet) -> None:
    namespace.kubectl("rollout", "pause", "deployment/churn")
    wait_until(lambda: (rollout(namespace) or {}).get("held"), 30, what="the rollout is held")
    namespace.kubectl("rollout", "resume", "deployment/churn")


def _edit(namespace: Namespace, _: Kubelet) -> None:
    """A new template, as by `helm upgrade`."""
    namespace.kubectl("set", "env", "deployment/churn", "LOG_LEVEL=debug")


def _drain(namespace: Namespace, _: Kubelet) -> None:
    for pod in namespace.items("pods"):
        namespace.evict(pod["metadata"]["name"])


def _fall_silent(namespace: Namespace, kubelet: Kubelet) -> None:
    """A pod accepts connections and never answers; one that a rollout in place does not ask first."""
    name = max(one["metadata"]["name"] for one in namespace.items("pods"))
    kubelet.silent.add(name)


def _supersede(namespace: Namespace, _: Kubelet) -> None:
    apply(namespace, "2.2.0", strategy={"type": "InPlace"})


INTERVENTIONS: dict[str, tuple[Callable[[Namespace, Kubelet], None], str]] = {
    "scaled from 3 to 10 to 2": (_up_and_down, "2.0.0"),
    "withdrawn": (_withdraw, "1.2.0"),
    "deleted": (_delete, "1.2.0"),
    "superseded": (_supersede, "2.2.0"),
    "ConfigMap deleted": (_forget, "2.0.0"),
    "ConfigMap scribbled over": (_scribble, "2.0.0"),
    "Deployment paused and resumed": (_pause, "2.0.0"),
    "template edited": (_edit, "2.0.0"),
    "every pod evicted": (_drain, "2.0.0"),
    "a pod that never answers": (_fall_silent, "2.0.0"),
}


@pytest.fixture
def mid_rollout(namespace: Namespace, kubelet: Kubelet, operators: Operators) -> Callable[[str], None]:
    """Has three pods serve 1.2.0, and a rollout to 2.0.0 begun by a strategy."""

    def begin(strategy: str) -> None:
        kubelet.silent.clear()
        namespace.apply(deployment("churn", "churn", kubelet.port, replicas=3))
        operators.start("one")
        apply(namespace, "1.2.0", strategy={"type": strategy})
        wait_live(namespace, "1.2.0")
        apply(namespace, "2.0.0", strategy={"type": strategy, "maxParallel": 1})
        wait_until(lambda: rollout(namespace), 30, what="a rollout")

    return begin


# What a rollout by new pods takes differently: pods come and go by the Deployment's controller, and by its template.
BY_NEW_PODS = ("scaled from 3 to 10 to 2", "withdrawn", "ConfigMap deleted", "template edited", "every pod evicted")


@pytest.mark.parametrize(
    ("strategy", "name"),
    [("InPlace", name) for name in INTERVENTIONS] + [("RollingUpdate", name) for name in BY_NEW_PODS],
)
def test_a_rollout_ends_as_the_specs_say(
    namespace: Namespace, kubelet: Kubelet, mid_rollout: Callable[[str], None], name: str, strategy: str
) -> None:
    intervene, expected = INTERVENTIONS[name]
    mid_rollout(strategy)
    intervene(namespace, kubelet)
    wait_live(namespace, expected)
    assert state(namespace)["settled"]["version"] == expected
    if kubelet.silent:
        kubelet.silent.clear()
        wait_live(namespace, expected)


def test_an_undo_by_kubectl_ends_a_rolling_update_and_its_template_is_left_alone(
    namespace: Namespace, mid_rollout: Callable[[str], None]
) -> None:
    mid_rollout("RollingUpdate")
    wait_until(lambda: (rollout(namespace) or {}).get("phase") == "applied", 30, what="the template is written")
    namespace.kubectl("rollout", "undo", "deployment/churn")
    wait_reason(namespace, "2.0.0", "Stalled", "TemplateChanged")
    wait_live(namespace, "1.2.0")


def test_two_of_one_version_hold_up_nothing_and_are_told_so(
    namespace: Namespace, mid_rollout: Callable[[str], None]
) -> None:
    mid_rollout("InPlace")
    wait_live(namespace, "2.0.0")
    twin = {"model": "churn", "version": "2.0.0", "path": "churn/other"}
    namespace.apply(
        {"apiVersion": "modelroll.dev/v1alpha1", "kind": "ModelVersion", "metadata": {"name": "twin"}, "spec": twin}
    )
    wait_until(lambda: condition(namespace, "2.0.0", "Conflict").get("status") == "True", 30, what="a conflict")
    assert state(namespace)["settled"]["version"] == "2.0.0", "what was live before goes on"
    namespace.kubectl("delete", "modelversion", "twin")
    wait_live(namespace, "2.0.0")


@pytest.mark.needs("faketime")
@pytest.mark.parametrize("offset", ["+1h", "-1h"])
def test_an_operator_whose_clock_is_wrong_does_the_same(
    namespace: Namespace, kubelet: Kubelet, operators: Operators, offset: str
) -> None:
    namespace.apply(deployment("churn", "churn", kubelet.port))
    operators.start("wrong", clock=offset)
    apply(namespace, "1.2.0")
    wait_live(namespace, "1.2.0")
    apply(namespace, "2.0.0", strategy={"type": "InPlace", "progressDeadlineSeconds": 30})
    wait_live(namespace, "2.0.0")
    operators.start("right")  # the Lease is not taken from who holds it
    apply(namespace, "2.1.0", strategy={"type": "InPlace"})
    wait_reason(namespace, "2.1.0", "Stalled", "GoldenRowsDiffer")
    assert "Lease lost" not in operators.log("wrong")
