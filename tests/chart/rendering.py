"""Rendering the chart with the real helm, and what its objects are called in tests."""

import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "modelroll"

Object = dict[str, Any]
Objects = dict[tuple[str, str], Object]


def template(
    *settings: str,
    release: str = "churn",
    namespace: str = "models",
    path: str = "churn/1.2.0",
    values: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `helm template` with settings as `--set` spells them, or `--set-json` for a list or a map."""
    command = ["helm", "template", release, str(CHART), "--namespace", namespace, "--set", f"model.path={path}"]
    if values is not None:
        command += ["--values", str(values)]
    for setting in settings:
        value = setting.partition("=")[2]
        command += ["--set-json" if value.startswith(("[", "{")) else "--set", setting]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def render(*settings: str, release: str = "churn", namespace: str = "models", values: Path | None = None) -> Objects:
    """The objects that the chart renders, by kind and name."""
    result = template(*settings, release=release, namespace=namespace, values=values)
    assert result.returncode == 0, result.stderr
    found = [one for one in yaml.safe_load_all(result.stdout) if one]
    by_name = {(one["kind"], one["metadata"]["name"]): one for one in found}
    assert len(by_name) == len(found), "two objects of one kind and name"
    return by_name


def pod_of(one: Object) -> Object:
    """The pod spec of a Deployment, a Job, a CronJob or a Pod."""
    spec: Object = one["spec"]["jobTemplate"]["spec"] if one["kind"] == "CronJob" else one["spec"]
    found: Object = spec if one["kind"] == "Pod" else spec["template"]["spec"]
    return found


def environment(one: Object) -> dict[str, Any]:
    """The environment of the first container: the value of each variable, or where it comes from."""
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in pod_of(one)["containers"][0]["env"]}
