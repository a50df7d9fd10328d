"""The sending end, against a kubectl that does what a test tells it: arguments, refusals, the pod always deleted."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from harness.waiting import wait_until
from modelroll_server.cli.push import push

CHURN = Path(__file__).parents[3] / "models/churn"
READY = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
PROGRAM = """#!{python}
import json, os, pathlib, subprocess, sys, time
home = pathlib.Path({home!r})
told = json.loads((home / "told.json").read_text())
arguments = [one for one in sys.argv[1:] if not one.startswith(("--context=", "--namespace="))]
with (home / "calls").open("a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
key = " ".join(arguments[:2]) if arguments[0] == "get" else arguments[0]
if arguments[0] == "create":
    (home / "pod.json").write_text(sys.stdin.read())
if key in told["fail"]:
    sys.exit(told["fail"][key])
if arguments[0] == "get":
    print(json.dumps(told[key]))
if arguments[0] == "exec":
    if told["exec"] == "hang":
        (home / "hanging").touch()
        time.sleep(60)
    code = "from modelroll_server.cli.receive import receive; receive()"
    given = arguments[arguments.index("--bytes"):]
    given[1] = told["bytes"] or given[1]
    ended = subprocess.run([sys.executable, "-c", code, "--root", told["volume"], *given]).returncode
    os.close(1)  # as the real one, which ends with what it ran
    (home / "left").write_bytes(sys.stdin.buffer.read())
    sys.exit(ended)
"""


class Cluster:
    """A kubectl on PATH, what it was called with, and the volume behind it."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.volume = home / "volume"
        self.volume.mkdir()
        self.told: dict[str, Any] = {
            "fail": {},
            "exec": "receive",
            "volume": str(self.volume),
            "bytes": None,
            "get persistentvolumeclaims": {"items": [{"metadata": {"name": "models"}}]},
            "get pod": READY,
            "get events": {"items": []},
        }
        program = home / "bin/kubectl"
        program.parent.mkdir()
        program.write_text(PROGRAM.format(python=sys.executable, home=str(home)))
        program.chmod(0o755)

    def tell(self) -> None:
        (self.home / "told.json").write_text(json.dumps(self.told))

    def push(self, *arguments: str, source: Path = CHURN) -> Result:
        self.tell()
        return CliRunner().invoke(push, [str(source), "--claim", "models", *arguments])

    @property
    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.home / "calls").read_text().splitlines()]

    @property
    def pod(self) -> Any:
        return json.loads((self.home / "pod.json").read_text())

    def deleted(self) -> bool:
        name = self.pod["metadata"]["name"]
        return any("delete" in call and name in call for call in self.calls)


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.delenv("MODELROLL_IMAGE", raising=False)
    return made


def test_every_complete_version_goes_and_what_to_do_next_is_printed(cluster: Cluster) -> None:
    result = cluster.push()
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in (cluster.volume / "churn").iterdir()) == ["1.2.0", "2.0.0"]
    assert "helm install churn charts/modelroll --set persistence.existingClaim=models" in result.output
    assert "--set image.repository=…" in result.output, "nothing said which image"
    assert result.output.count("kind: ModelVersion") == 2, "what is served now needs one too, to be gone back to"
    assert cluster.deleted()


def test_one_artifact_goes_alone(cluster: Cluster) -> None:
    assert cluster.push(source=CHURN / "1.2.0").exit_code == 0
    assert [path.name for path in (cluster.volume / "churn").iterdir()] == ["1.2.0"]


def test_pushing_again_says_that_it_is_there(cluster: Cluster) -> None:
    cluster.push()
    assert cluster.push().output.count("  present\n") == 2


def test_the_pod_is_restricted_and_mounts_the_claim(cluster: Cluster) -> None:
    cluster.push("--image", "registry/server:1")
    spec = cluster.pod["spec"]
    [container] = spec["containers"]
    assert container["image"] == "registry/server:1"
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == spec["securityContext"]["fsGroup"] == 65532
    assert spec["automountServiceAccountToken"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert spec["volumes"][0]["persistentVolumeClaim"]["claimName"] == "models"


def test_context_and_namespace_go_with_every_call(cluster: Cluster) -> None:
    cluster.push("--context", "there", "-n", "team")
    assert all(call[:2] == ["--context=there", "--namespace=team"] for call in cluster.calls)


def test_the_image_may_come_from_the_environment(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELROLL_IMAGE", "registry/server:2")
    said = cluster.push().output
    assert cluster.pod["spec"]["containers"][0]["image"] == "registry/server:2"
    assert "--set image.repository=registry/server --set image.tag=2" in said


def test_a_claim_that_is_not_there_is_named_with_those_that_are(cluster: Cluster) -> None:
    cluster.told["get persistentvolumeclaims"] = {"items": [{"metadata": {"name": "data"}}]}
    result = cluster.push()
    assert result.exit_code == 1
    assert "no claim models in this namespace; there are: data" in result.output


def test_without_kubectl_the_way_to_get_it_is_said(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert "there is no kubectl on PATH" in cluster.push().output


def test_a_directory_without_versions_is_refused_before_the_cluster_is_asked(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "none/1.0.0").mkdir(parents=True)
    assert "holds no complete version" in cluster.push(source=tmp_path / "none").output
    assert not (cluster.home / "calls").exists()


@pytest.mark.parametrize("reason", ["ImagePullBackOff", "ErrImageNeverPull", "CreateContainerConfigError"])
def test_a_pod_that_will_never_run_is_given_up_with_its_events(cluster: Cluster, reason: str) -> None:
    waiting = {"state": {"waiting": {"reason": reason, "message": "it cannot"}}}
    cluster.told["get pod"] = {"status": {"phase": "Pending", "containerStatuses": [waiting]}}
    cluster.told["get events"] = {"items": [{"reason": "Failed", "message": "not found"}] * 2}
    result = cluster.push()
    assert result.exit_code == 1
    assert f"{reason}: it cannot" in result.output
    assert result.output.count("Failed: not found") == 1
    assert cluster.deleted()


def test_a_pod_that_cannot_be_scheduled_is_given_up_in_time_with_its_events(cluster: Cluster) -> None:
    cluster.told["get pod"] = {"status": {"phase": "Pending"}}
    cluster.told["get events"] = {"items": [{"reason": "FailedScheduling", "message": "0/1 nodes are available"}]}
    result = cluster.push("--timeout", "0")
    assert "did not start within 0 s" in result.output
    assert "FailedScheduling: 0/1 nodes are available" in result.output
    assert cluster.deleted()


def test_what_keeps_the_pod_from_starting_is_told_while_it_waits(cluster: Cluster) -> None:
    cluster.told["get pod"] = {"status": {"phase": "Pending"}}
    cluster.told["get events"] = {"items": [{"reason": "FailedScheduling", "message": "0/1 nodes are available"}]}
    result = cluster.push("--timeout", "4")
    lines = [line for line in result.output.splitlines() if line.startswith("waiting for the pod modelroll-push-")]
    assert len(lines) == 1, "each once"
    assert lines[0].endswith(": FailedScheduling: 0/1 nodes are available")


def test_a_pod_that_admission_refuses_is_told_in_its_own_words(cluster: Cluster) -> None:
    cluster.told["fail"] = {"create": "pods is forbidden: violates PodSecurity"}
    assert "violates PodSecurity" in cluster.push().output


def test_what_the_receiving_end_refuses_is_told_in_its_own_words(cluster: Cluster) -> None:
    (cluster.volume / "churn/1.2.0").mkdir(parents=True)
    result = cluster.push()
    assert result.exit_code == 1
    assert "a version never changes" in result.output
    assert cluster.deleted()


def test_a_volume_without_the_room_is_told_before_anything_is_sent(cluster: Cluster) -> None:
    cluster.told["bytes"] = str(2**62)
    result = cluster.push()
    assert result.exit_code == 1
    assert "the volume is full: 4,611,686,018,427,387,904 bytes are to come, and " in result.output
    assert list(cluster.volume.iterdir()) == []
    assert (cluster.home / "left").read_bytes() == b""
    assert cluster.deleted()


def test_the_room_asked_for_is_what_all_files_take(cluster: Cluster) -> None:
    assert cluster.push().exit_code == 0
    told = next(call[call.index("--bytes") + 1] for call in cluster.calls if "--bytes" in call)
    sizes = [path.stat().st_size for path in CHURN.glob("*/model.*")]
    assert int(told) == sum(sizes) > 10_000


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_the_pod_is_deleted_when_a_push_is_interrupted(cluster: Cluster, sent: signal.Signals) -> None:
    cluster.told["exec"] = "hang"
    cluster.tell()
    command = [
        sys.executable,
        "-c",
        "from modelroll_server.cli.push import push; push()",
        str(CHURN),
        "--claim",
        "models",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        wait_until((cluster.home / "hanging").exists)
        process.send_signal(sent)
        process.communicate(timeout=60)
    assert process.returncode != 0
    assert cluster.deleted()
