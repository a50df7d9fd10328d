"""The operator's objects: its Deployment, and a Role that is exactly what the design page lists."""

import re
from collections.abc import Iterator

import pytest

from chart.rendering import ROOT, environment, pod_of, render

pytestmark = pytest.mark.needs("helm")

DEPLOYMENT = ("Deployment", "churn-operator")
Grant = tuple[str, str, str, str]  # API group, resource, resource name or "", verb


def granted() -> Iterator[Grant]:
    for rule in render()["Role", "churn-operator"]["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for name in rule.get("resourceNames", [""]):
                    for verb in rule["verbs"]:
                        yield group, resource, name, verb


def listed() -> Iterator[Grant]:
    """The rows of the table `| API group | resource | verbs | …` of the operator's design page."""
    page = (ROOT / "docs" / "design" / "0002-operator.md").read_text()
    _, _, after = page.partition("| API group | resource | verbs |")
    for line in after.splitlines()[2:]:
        if not line.startswith("|"):
            return
        cells = [cell.strip() for cell in re.sub(r"[`\"]", "", line).strip("|").split("|")]
        group = "" if cells[0] in {"core", ""} else cells[0]
        for resource_text in cells[1].split(", "):
            resource, _, name = resource_text.partition(" ")
            for verb in cells[2].split(", "):
                yield group, resource, name.strip("()"), verb


def test_the_role_is_what_the_design_page_lists() -> None:
    assert sorted(granted()) == sorted(listed())


def test_the_role_asks_for_no_wildcard_and_no_secret() -> None:
    for group, resource, _, verb in granted():
        assert "*" not in {group, resource, verb}
        assert resource != "secrets"


def test_the_binding_joins_the_role_to_the_operators_account() -> None:
    objects = render(namespace="models")
    binding = objects["RoleBinding", "churn-operator"]
    assert binding["roleRef"]["name"] == "churn-operator"
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "churn-operator", "namespace": "models"}]
    assert pod_of(objects[DEPLOYMENT])["serviceAccountName"] == "churn-operator"


def test_the_operator_can_be_left_out() -> None:
    assert not [name for _, name in render("operator.enabled=false") if "operator" in name]


def test_an_account_for_the_operator_can_be_brought_along() -> None:
    objects = render("operator.serviceAccount.create=false", "operator.serviceAccount.name=mine")
    assert not [kind for kind, name in objects if kind in {"Role", "RoleBinding"} or name == "mine"]
    assert pod_of(objects[DEPLOYMENT])["serviceAccountName"] == "mine"


def test_values_reach_the_operator() -> None:
    deployment = render(
        "operator.replicas=2",
        "operator.image.repository=registry.example.com/operator",
        "operator.image.tag=dev",
        "operator.log.level=debug",
        "operator.log.format=console",
        "operator.resources.limits.memory=512Mi",
        "operator.nodeSelector.disk=ssd",
        'operator.tolerations=[{"operator":"Exists"}]',
        'operator.affinity={"nodeAffinity":{}}',
        "operator.podAnnotations.note=yes",
        "operator.serviceAccount.annotations.note=yes",
        'imagePullSecrets=[{"name":"registry"}]',
    )[DEPLOYMENT]
    pod = pod_of(deployment)
    assert deployment["spec"]["replicas"] == 2
    assert pod["containers"][0]["image"] == "registry.example.com/operator:dev"
    assert environment(deployment)["LOG_LEVEL"] == "debug"
    assert environment(deployment)["LOG_FORMAT"] == "console"
    assert pod["containers"][0]["resources"]["limits"] == {"memory": "512Mi"}
    assert (pod["nodeSelector"], pod["tolerations"]) == ({"disk": "ssd"}, [{"operator": "Exists"}])
    assert (pod["affinity"], pod["imagePullSecrets"]) == ({"nodeAffinity": {}}, [{"name": "registry"}])
    assert deployment["spec"]["template"]["metadata"]["annotations"] == {"note": "yes"}


def test_no_selector_of_one_part_matches_pods_of_another() -> None:
    objects = render()
    selectors = [one["spec"]["selector"]["matchLabels"] for (kind, _), one in objects.items() if kind == "Deployment"]
    labels = [
        one["spec"]["template"]["metadata"]["labels"] for (kind, _), one in objects.items() if kind == "Deployment"
    ]
    labels.append(objects["Pod", "churn-test-predict"]["metadata"]["labels"])
    for selector in selectors:
        assert sum(selector.items() <= each.items() for each in labels) == 1
