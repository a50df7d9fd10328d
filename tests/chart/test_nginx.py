"""k8s/nginx, as kustomize puts it together, fits what the chart makes."""

import re
import subprocess
from typing import Any

import pytest
import yaml

from chart.rendering import ROOT, render

pytestmark = pytest.mark.needs("helm", "kubectl")

STRATEGIES = ("round-robin", "least-connections", "ip-hash", "weighted")
SERVER = re.compile(r"^ *server ([-a-z]+)\.\$\{NAMESPACE\}\.svc\.cluster\.local:8000 resolve", re.MULTILINE)


@pytest.fixture(scope="module", params=STRATEGIES)
def objects(request: pytest.FixtureRequest) -> dict[tuple[str, str], Any]:
    directory = ROOT / "k8s" / "nginx" / str(request.param)
    made = subprocess.run(["kubectl", "kustomize", str(directory)], capture_output=True, text=True, check=True)
    return {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(made.stdout)}


def test_names_are_of_services_that_are_there(objects: dict[tuple[str, str], Any]) -> None:
    ((_, config_map),) = (one for one in objects.items() if one[0][0] == "ConfigMap")
    names = set(SERVER.findall(config_map["data"]["upstream.conf.template"]))
    # A second release is called as its owner likes; the configuration says churn-next.
    there = {name for kind, name in (*render(), *objects) if kind == "Service"} | {"churn-next"}
    assert names
    assert names <= there


def test_pods_are_found_as_the_release_finds_them(objects: dict[tuple[str, str], Any]) -> None:
    ours = objects["Service", "churn-pods"]["spec"]
    theirs = render()["Service", "churn"]["spec"]
    assert ours["selector"] == theirs["selector"]
    assert [one["targetPort"] for one in ours["ports"]] == ["http"]
    assert ours["clusterIP"] == "None", "its name stands for the pods' addresses"


def test_nginx_is_given_its_configuration(objects: dict[tuple[str, str], Any]) -> None:
    (name,) = (name for kind, name in objects if kind == "ConfigMap")
    pod = objects["Deployment", "churn-nginx"]["spec"]["template"]["spec"]
    assert {"name": "templates", "configMap": {"name": name}} in pod["volumes"]
    assert set(objects["ConfigMap", name]["data"]) == {"proxy.conf.template", "upstream.conf.template"}
