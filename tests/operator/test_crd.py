"""The custom resource against a real API server: each sample accepted, or refused with its sentence."""

import hashlib
import json
import re
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CRD = ROOT / "k8s" / "crd" / "modelversions.modelroll.dev.yaml"
SAMPLES = ROOT / "k8s" / "samples"
VALID = sorted([*SAMPLES.glob("valid/*.yaml"), *SAMPLES.glob("churn-*.yaml")])
INVALID = sorted(SAMPLES.glob("invalid/*.yaml"))
ARTIFACTS = {"1.2.0": "models/churn/1.2.0", "2.0.0": "models/churn/2.0.0", "2.1.0": "tests/artifacts/churn/2.1.0"}

needs_cluster = pytest.mark.needs("cluster", "kubectl")


def _kubectl(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["kubectl", *arguments], input=stdin, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    """A namespace of a cluster that knows ModelVersions."""
    name = f"crd-{secrets.token_hex(4)}"
    installed = _kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRD))
    assert installed.returncode == 0, installed.stderr
    established = _kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", str(CRD))
    assert established.returncode == 0, established.stderr
    assert _kubectl("create", "namespace", name).returncode == 0
    yield name
    _kubectl("delete", "namespace", name, "--wait=false")


def _sentence(sample: Path) -> str:
    """What the API server is to say: the sample's first line."""
    return sample.read_text().splitlines()[0].removeprefix("# Refused: ")


def _messages(node: Any) -> Iterator[str]:
    """The sentences of all rules of the CRD."""
    match node:
        case dict():
            yield from (rule["message"] for rule in node.get("x-kubernetes-validations", ()))
            for child in node.values():
                yield from _messages(child)
        case list():
            for child in node:
                yield from _messages(child)


@needs_cluster
@pytest.mark.parametrize("sample", VALID, ids=lambda path: path.stem)
def test_a_valid_sample_is_accepted(namespace: str, sample: Path) -> None:
    done = _kubectl("apply", "--dry-run=server", "-n", namespace, "-f", str(sample))
    assert done.returncode == 0, done.stderr


@needs_cluster
@pytest.mark.parametrize("sample", INVALID, ids=lambda path: path.stem)
def test_an_invalid_sample_is_refused_with_its_sentence(namespace: str, sample: Path) -> None:
    done = _kubectl("apply", "--dry-run=server", "-n", namespace, "-f", str(sample))
    assert done.returncode != 0
    assert _sentence(sample) in done.stderr


CASES = json.loads((ROOT / "tests" / "version_cases.json").read_text())


@needs_cluster
def test_the_api_server_takes_exactly_the_versions_that_operator_and_server_take(namespace: str) -> None:
    texts = [*CASES["ascending"], *CASES["invalid"]]
    items = [
        {
            "apiVersion": "modelroll.dev/v1alpha1",
            "kind": "ModelVersion",
            "metadata": {"name": f"case-{index}"},
            "spec": {"model": "m", "version": text, "path": "p"},
        }
        for index, text in enumerate(texts)
    ]
    listed = json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
    done = _kubectl("apply", "--dry-run=server", "-n", namespace, "-o", "name", "-f", "-", stdin=listed)
    accepted = {int(number) for number in re.findall(r"/case-(\d+)", done.stdout)}
    assert {texts[index] for index in accepted} == set(CASES["ascending"])


@needs_cluster
@pytest.mark.parametrize(
    ("patch", "field"), [({"model": "other"}, "model"), ({"deployment": "other"}, "deployment")], ids=str
)
def test_what_cannot_be_changed_is_refused_with_a_sentence(namespace: str, patch: dict[str, str], field: str) -> None:
    made = _kubectl("apply", "-n", namespace, "-f", str(SAMPLES / "churn-1.2.0.yaml"))
    assert made.returncode == 0, made.stderr
    body = json.dumps({"spec": patch})
    done = _kubectl("patch", "mv", "churn-1.2.0", "-n", namespace, "--type=merge", "--dry-run=server", "-p", body)
    assert done.returncode != 0
    assert f"spec.{field} cannot be changed; delete this ModelVersion and make another" in done.stderr


def test_every_rule_that_looks_at_one_object_has_a_sample_that_it_refuses() -> None:
    messages = {one for one in _messages(yaml.safe_load(CRD.read_text())) if "cannot be changed" not in one}
    assert messages == {_sentence(sample) for sample in INVALID}


@pytest.mark.parametrize(("version", "artifact"), ARTIFACTS.items())
def test_the_samples_name_the_digest_of_the_artifact_they_are_for(version: str, artifact: str) -> None:
    (sample,) = SAMPLES.glob(f"churn-{version}*.yaml")
    manifest = (ROOT / artifact / "modelroll.json").read_bytes()
    spec = yaml.safe_load(sample.read_text())["spec"]
    assert spec["digest"] == f"sha256:{hashlib.sha256(manifest).hexdigest()}"
    assert (spec["model"], spec["version"], spec["path"]) == ("churn", version, f"churn/{version}")
