"""The values that come with the chart, for one node and for a thousand pods, and those of the Gateway's example."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from chart.rendering import CHART, ROOT, Object, pod_of, render

pytestmark = pytest.mark.needs("helm")

ONE_NODE, THOUSAND = CHART / "values-one-node.yaml", CHART / "values-thousand-pods.yaml"
EXAMPLE = ROOT / "k8s" / "gateway"


def leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


@pytest.mark.parametrize("path", [ONE_NODE, THOUSAND], ids=lambda path: path.stem)
def test_each_value_is_another_than_the_default(path: Path) -> None:
    defaults = dict(leaves(read(CHART / "values.yaml")))
    assert not [key for key, value in leaves(read(path)) if defaults.get(key, "none") == value]


def test_one_node_needs_no_other() -> None:
    objects = render(values=ONE_NODE)
    assert not {"HorizontalPodAutoscaler", "PodDisruptionBudget"} & {kind for kind, _ in objects}
    deployment = objects["Deployment", "churn"]
    assert deployment["spec"]["replicas"] == 2
    assert "topologySpreadConstraints" not in pod_of(deployment)
    assert objects["PersistentVolumeClaim", "churn-models"]["spec"]["accessModes"] == ["ReadWriteOnce"]
    kept_free = sum(
        mebibytes(pod_of(one)["containers"][0]["resources"]["requests"]["memory"]) * pods
        for one, pods in ((deployment, 3), (objects["Deployment", "churn-operator"], 1))
    )
    assert kept_free < 1024, "of a machine with two gigabytes, while a rollout lasts"


def test_a_thousand_pods_move_by_parts_and_the_operator_has_room() -> None:
    objects = render(values=THOUSAND)
    assert objects["HorizontalPodAutoscaler", "churn"]["spec"]["maxReplicas"] == 1000
    for shares in (
        objects["Deployment", "churn"]["spec"]["strategy"]["rollingUpdate"]["maxSurge"],
        objects["PodDisruptionBudget", "churn"]["spec"]["maxUnavailable"],
    ):
        assert str(shares).endswith("%"), "a number that is good for ten pods is not for a thousand"
    assert "PersistentVolumeClaim" not in {kind for kind, _ in objects}
    operator = objects["Deployment", "churn-operator"]
    assert operator["spec"]["replicas"] == 2
    # docs/scale.md: about 75 MiB, and 50 to 60 KiB for each pod.
    assert mebibytes(pod_of(operator)["containers"][0]["resources"]["limits"]["memory"]) > 2 * (75 + 1000 * 60 / 1024)


def test_a_thousand_pods_can_be_watched() -> None:
    watched = ("monitoring.scrape.enabled=true", "monitoring.rules.enabled=true")
    (endpoint,) = render(*watched, values=THOUSAND)["ServiceMonitor", "churn"]["spec"]["endpoints"]
    assert endpoint["interval"] == "30s"


def test_the_example_of_two_releases_is_what_its_plain_routes_say() -> None:
    first, second = (render(release=f"churn-{one}", values=EXAMPLE / f"values-{one}.yaml") for one in "ab")
    plain = {one["kind"]: one for one in yaml.safe_load_all((EXAMPLE / "routes.yaml").read_text())}
    for kind in ("HTTPRoute", "GRPCRoute"):
        made = first[kind, "churn-a"]["spec"]
        # The chart has no rule by a header.
        expected = plain[kind]["spec"] | {"rules": plain[kind]["spec"]["rules"][-1:]}
        assert made == expected
        for backend in made["rules"][0]["backendRefs"]:
            assert backend["port"] in ports((first | second)["Service", backend["name"]])
    gateway = next(
        one for one in yaml.safe_load_all((EXAMPLE / "gateway.yaml").read_text()) if one["kind"] == "Gateway"
    )
    (parent,) = plain["HTTPRoute"]["spec"]["parentRefs"]
    assert parent == {key: gateway["metadata"][key] for key in ("name", "namespace")}
    assert ("Deployment", "churn-b-operator") not in second, "one operator does for the namespace"


def ports(service: Object) -> set[int]:
    return {port["port"] for port in service["spec"]["ports"]}


def mebibytes(quantity: str) -> int:
    assert quantity.endswith("Mi")
    return int(quantity.removesuffix("Mi"))
