"""The root README's way from a claim to a roll back, typed as it stands; only names of images and ports are put in."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

import ports
from harness import readme
from harness.cluster import ROOT, run
from harness.release import CHURN, Release, digest_of, fresh
from harness.waiting import wait_until

pytestmark = [pytest.mark.needs("cluster"), pytest.mark.needs("helm"), pytest.mark.needs("kubectl")]

# What is not typed here: the model is one of the repository's, images are there, and the claim is bound by hand where
# no class provisions one.
LEFT_OUT = (
    "make setup ",
    "modelroll pack ",
    "modelroll serve ",
    "modelroll predict ",  # of what is served there
    "for part in ",
    "kubectl apply -f k8s/samples/claim.yaml",
)


@pytest.fixture
def release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Release]:
    """A namespace with a claim, which is the one that kubectl and helm use when nobody names another."""
    with fresh("readme") as found:
        config = tmp_path / "kubeconfig"
        config.write_text(run("kubectl", "config", "view", "--minify", "--flatten"))
        config.chmod(0o600)
        run(
            "kubectl",
            "--kubeconfig",
            str(config),
            "config",
            "set-context",
            "--current",
            f"--namespace={found.namespace.name}",
        )
        monkeypatch.setenv("KUBECONFIG", str(config))
        monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        yield found


def test_the_commands_of_the_readme_lead_from_a_claim_to_a_roll_back(release: Release) -> None:
    typed = [one for one in readme.commands("Your first model on a cluster") if not one.startswith(LEFT_OUT)]
    port = ports.reserve()
    put_in = {
        "REGISTRY/modelroll-server:0.2.0": os.environ["MODELROLL_SERVER_IMAGE"],
        "sha256:…": digest_of(CHURN / "1.2.0"),
        "service/churn 8000": f"service/churn {port}:8000",
        "localhost:8000": f"localhost:{port}",
    }
    answers = []
    environment = forwarding = ""
    for command in (_put_in(one, put_in) for one in typed):
        if command.startswith("export "):
            environment = f"{command}; "
        elif command.startswith("helm install "):
            _type(environment + _with_images(command))
        elif command.endswith(" &"):
            forwarding = command.removesuffix(" &")
        elif command.startswith("curl "):
            with _in_background(forwarding, port):
                answers.append(_type(command))
        else:
            _type(environment + command)
    assert len(answers) == 1
    assert '"model_version":"1.2.0"' in answers[0]
    release.wait_live("1.2.0")
    assert release.condition("2.0.0", "Ready")["reason"] == "Withdrawn"


def _put_in(command: str, words: Mapping[str, str]) -> str:
    for placeholder, word in words.items():
        command = command.replace(placeholder, word)
    return command


def _with_images(command: str) -> str:
    for prefix, part in (("image", "SERVER"), ("operator.image", "OPERATOR")):
        repository, _, tag = os.environ[f"MODELROLL_{part}_IMAGE"].rpartition(":")
        named, count = re.subn(rf"(?<= {prefix}\.repository=)\S+", repository, command)
        assert count == 1, f"the README's helm install does not set {prefix}.repository"
        command = f"{named} --set-string {prefix}.tag={tag}"
    return f"{command} --set resources.requests.cpu=50m --set resources.requests.memory=200Mi"


def _type(command: str) -> str:
    return run("bash", "-euo", "pipefail", "-c", command)


@contextmanager
def _in_background(command: str, port: int) -> Iterator[None]:
    with subprocess.Popen(command.split(), cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: _is_open(port), 20, what=command)
            yield
        finally:
            process.terminate()


def _is_open(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0
