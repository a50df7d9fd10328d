"""What follows from something else is up to date, and the reader of values.yaml keeps its own rules."""

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from chart.rendering import CHART, ROOT, Object, pod_of, render

sys.path.insert(0, str(ROOT))

from hack.chart_values import CommentMissing, read_values, table, values_schema

SMALL = """\
# A section.
section:
  # -- How many, in
  # two lines.
  # @schema {"minimum": 1}
  count: 2
# -- A map of anything.
# @schema {"type": "object"}
map: {a: 1}
"""


@pytest.mark.needs("helm")
def test_everything_generated_is_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "hack" / "generate.py"), "--check"]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_comments_become_a_closed_schema() -> None:
    schema = values_schema(read_values(SMALL), {})
    assert schema["properties"]["section"] == {
        "description": "A section.",
        "type": "object",
        "additionalProperties": False,
        "properties": {"count": {"description": "How many, in two lines.", "type": "integer", "minimum": 1}},
        "required": ["count"],
    }
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["section", "map"], "what was set to null is not there"
    assert schema["properties"]["map"] == {"description": "A map of anything.", "type": "object"}


def test_what_may_be_null_may_be_missing() -> None:
    source = """
# -- A number, or none.
# @schema {"type": ["integer", "null"]}
own: null
# -- A shape with null.
# @schema {"$ref": "#/$defs/amount"}
shaped: 1
# -- A shape of a shape, without.
# @schema {"$ref": "#/$defs/name"}
named: a
"""
    shapes: dict[str, dict[str, Any]] = {
        "amount": {"type": ["number", "null"]},
        "name": {"$ref": "#/$defs/word"},
        "word": {"type": "string"},
    }
    schema = values_schema(read_values(source), shapes)
    assert schema["required"] == ["named"]
    assert schema["properties"]["shaped"] == {"description": "A shape with null.", "$ref": "#/$defs/amount"}
    assert schema["$defs"] == shapes


def test_comments_become_a_table_of_leaves() -> None:
    assert table(read_values(SMALL)).splitlines()[2:] == [
        "| `section.count` | `2` | How many, in two lines. |",
        '| `map` | `{"a": 1}` | A map of anything. |',
    ]


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("a: 1\n", "a has no description"),
        ("# A section's comment.\na: 1\n", "a has no description"),
        ("s:\n  # -- Good.\n  a: 1\n\n  b: 2\n", "s.b has no description"),
        ("# -- What it is.\na: null\n", "its default does not show its type"),
        ("a: {}\n", "an empty map"),
        ("- a\n", "not a map"),
        ('# -- Many.\n# @schema {"minimum": 1}\n# @schema {"minimum": 2}\na: 1\n', "a has 2 lines of `# @schema`"),
    ],
)
def test_a_value_that_does_not_say_enough_is_refused(source: str, sentence: str) -> None:
    with pytest.raises(CommentMissing, match=sentence):
        read_values(source)


def test_the_schema_of_the_chart_is_one_and_takes_the_defaults() -> None:
    schema = yaml.safe_load((CHART / "values.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(yaml.safe_load((CHART / "values.yaml").read_text()), schema)


def test_the_charts_crd_is_the_source_byte_for_byte() -> None:
    name = "modelversions.modelroll.dev.yaml"
    assert (CHART / "crds" / name).read_bytes() == (ROOT / "k8s" / "crd" / name).read_bytes()


@pytest.mark.needs("kubectl")
@pytest.mark.parametrize(
    ("folder", "namespace", "model"),
    [("base", "default", "churn/1.2.0"), ("overlays/example", "models", "churn/2.0.0")],
)
def test_kustomize_builds(folder: str, namespace: str, model: str) -> None:
    objects = kustomized(ROOT / "k8s" / folder)
    kinds = {one["kind"] for one in objects}
    assert {"CustomResourceDefinition", "Deployment", "Service", "Role", "RoleBinding"} <= kinds
    assert {one["metadata"].get("namespace", namespace) for one in objects} == {namespace}
    subjects = [subject for one in objects for subject in one.get("subjects", [])]
    assert [subject["namespace"] for subject in subjects] == [namespace]
    environment = {
        variable["name"]: variable.get("value")
        for one in objects
        if one["kind"] == "Deployment" and one["metadata"]["name"] == "churn"
        for variable in pod_of(one)["containers"][0]["env"]
    }
    assert environment.keys() >= {"MODEL_ROOT", "TARGET_DIR"}, "a patch must change variables, not replace them all"
    manifest = (ROOT / "models" / model / "modelroll.json").read_bytes()
    assert environment["MODEL_PATH"] == model
    assert environment["MODEL_DIGEST"] == f"sha256:{hashlib.sha256(manifest).hexdigest()}"


def kustomized(folder: Path) -> list[Object]:
    result = subprocess.run(["kubectl", "kustomize", str(folder)], check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return list(yaml.safe_load_all(result.stdout))


@pytest.mark.needs("helm")
def test_skaffold_names_what_is_there() -> None:
    config = yaml.safe_load((ROOT / "skaffold.yaml").read_text())
    targets = {line.split()[-1] for line in (ROOT / "Dockerfile").read_text().splitlines() if line.startswith("FROM ")}
    images = set()
    for artifact in config["build"]["artifacts"]:
        assert (ROOT / artifact["docker"]["dockerfile"]).exists()
        assert artifact["docker"]["target"] in targets
        images.add(artifact["image"].replace("-", "_"))
    (release,) = config["deploy"]["helm"]["releases"]
    assert (ROOT / release["chartPath"]).resolve() == CHART
    templates = release["setValueTemplates"]
    for image in images:
        assert f"{{{{.IMAGE_REPO_{image}}}}}" in templates.values()
        assert f"{{{{.IMAGE_TAG_{image}}}}}" in templates.values()
    testing = yaml.safe_load((ROOT / "hack" / "kind" / "cluster.yaml").read_text())["name"]
    assert config["deploy"]["kubeContext"] != f"kind-{testing}", "`make cluster-down` deletes that one"
    settings = [f"{key}={str(value).lower()}" for key, value in release["setValues"].items()]
    settings += [f"{key}=image" for key in templates]
    assert (("Service", config["portForward"][0]["resourceName"])) in render(*settings, release=release["name"])
