"""`modelroll batch --job`, against a kubectl that shows one state of a Job after the other."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from modelroll_server.cli import main
from modelroll_server.jobs import follow

PROGRAM = """#!{python}
import json, pathlib, sys
home = pathlib.Path({home!r})
told = json.loads((home / "told.json").read_text())
arguments = [one for one in sys.argv[1:] if not one.startswith(("--context=", "--namespace="))]
with (home / "calls").open("a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
key = " ".join(arguments[:2]) if arguments[0] in {{"get", "logs"}} else arguments[0]
if arguments[0] == "create":
    (home / "job.json").write_text(sys.stdin.read())
if key in told["fail"]:
    sys.exit(told["fail"][key])
if key == "get job":
    turn = home / "turn"
    at = int(turn.read_text()) if turn.exists() else 0
    turn.write_text(str(at + 1))
    state = told["states"][min(at, len(told["states"]) - 1)]
    if isinstance(state, str):
        sys.exit(state)
    print(json.dumps({{"status": state}}))
elif arguments[0] == "get":
    print(json.dumps(told[key]))
elif arguments[0] == "logs":
    print(told[key])
"""
COMPLETE = {"succeeded": 3, "conditions": [{"type": "Complete", "status": "True"}]}
FAILED = {
    "failedIndexes": "1",
    "conditions": [{"type": "Failed", "status": "True", "reason": "MaxFailedIndexesExceeded", "message": "too many"}],
}


def pod(name: str, index: int, phase: str, **terminated: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "annotations": {"batch.kubernetes.io/job-completion-index": str(index)}},
        "status": {"phase": phase, "containerStatuses": [{"name": "batch", "state": {"terminated": terminated}}]},
    }


class Cluster:
    """A kubectl on PATH, and what it was called with."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.told: dict[str, Any] = {
            "fail": {},
            "states": [COMPLETE],
            "get persistentvolumeclaims": {"items": [{"metadata": {"name": "models"}}, {"metadata": {"name": "data"}}]},
            "get pods": {"items": []},
            "get events": {"items": []},
        }
        program = home / "bin/kubectl"
        program.parent.mkdir()
        program.write_text(PROGRAM.format(python=sys.executable, home=str(home)))
        program.chmod(0o755)

    def batch(self, *arguments: str, own: bool = True) -> Result:
        (self.home / "told.json").write_text(json.dumps(self.told))
        flags = ["--claim=models", "--artifact=churn/1.2.0", "--data-claim=data"] if own else []
        return CliRunner().invoke(main, ["batch", "rows", "out.parquet", "--job", *flags, *arguments])

    @property
    def job(self) -> Any:
        return json.loads((self.home / "job.json").read_text())

    @property
    def container(self) -> Any:
        return self.job["spec"]["template"]["spec"]["containers"][0]

    @property
    def calls(self) -> list[list[str]]:
        return [json.loads(line) for line in (self.home / "calls").read_text().splitlines()]


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.delenv("MODELROLL_IMAGE", raising=False)
    monkeypatch.setattr(follow, "POLL", 0.0)
    return Cluster(tmp_path)


def test_the_pods_do_what_was_asked_and_no_more(cluster: Cluster) -> None:
    said = cluster.batch(
        "--indexes=8", "--parallelism=2", "--per-class", "--keep", "id", "--delimiter=\\t", "--digest=sha256:0",
        "--image=registry/server:1", "--cpu=2", "--memory=3Gi", "--env-from=keys", "--overwrite",
    )  # fmt: skip
    assert said.exit_code == 0, said.output
    flags = ["--delimiter=\\t", "--indexes=8", "--keep=id", "--overwrite", "--per-class", "--run=$(JOB_UID)"]
    assert sorted(cluster.container["args"][1:-3]) == flags
    assert cluster.container["args"][-3:] == ["--", "rows", "out.parquet"]
    assert cluster.container["image"] == "registry/server:1"
    assert cluster.container["envFrom"] == [{"secretRef": {"name": "keys"}}]
    environment = {each["name"]: each.get("value") for each in cluster.container["env"]}
    assert (environment["MODEL_PATH"], environment["MODEL_DIGEST"]) == ("churn/1.2.0", "sha256:0")
    assert cluster.container["resources"] == {"requests": {"cpu": "2", "memory": "3Gi"}, "limits": {"memory": "3Gi"}}
    assert (cluster.job["spec"]["completions"], cluster.job["spec"]["parallelism"]) == (8, 2)


def test_it_is_shown_without_a_cluster(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    said = cluster.batch("--dry-run", "-n", "team", "--name=tonight")
    assert said.exit_code == 0, said.output
    shown = yaml.safe_load(said.stdout)
    assert (shown["kind"], shown["metadata"]["name"], shown["metadata"]["namespace"]) == ("Job", "tonight", "team")
    assert not (cluster.home / "calls").exists()


def test_it_is_followed_to_its_end(cluster: Cluster) -> None:
    cluster.told["states"] = [{"active": 3}, {"active": 2, "succeeded": 1}, {"active": 2, "succeeded": 1}, COMPLETE]
    cluster.told["get pods"] = {
        "items": [
            pod("a", 0, "Succeeded"),
            pod("b", 1, "Failed", exitCode=137, reason="OOMKilled"),
            pod("c", 1, "Succeeded", message="900 rows predicted: out.parquet"),
        ]
    }
    cluster.told["logs b"] = "10 of 300 rows\nand then"
    said = cluster.batch("--indexes=3", "--context", "there", "-n", "team")
    assert said.exit_code == 0, said.output
    assert said.stdout == "900 rows predicted: out.parquet\n"
    lines = [line for line in said.stderr.splitlines() if line]
    assert lines[1:] == [
        "IN and OUT are looked for on the claim data, from its root on",
        "0 of 3 indexes finished, 3 pods at work",
        "index 1: the pod b failed (exit code 137, OOMKilled)",
        "  10 of 300 rows",
        "  and then",
        "1 of 3 indexes finished, 2 pods at work",
        "3 of 3 indexes finished, 0 pods at work",
    ]
    assert all(call[:2] == ["--context=there", "--namespace=team"] for call in cluster.calls)


def test_a_job_that_fails_is_a_failure(cluster: Cluster) -> None:
    cluster.told["states"] = [FAILED]
    cluster.told["get pods"] = {"items": [pod("a", 1, "Failed", exitCode=65, reason="Error", message="modelroll: no")]}
    cluster.told["fail"] = {"logs a": "pods a not found"}  # its node is gone
    said = cluster.batch()
    assert said.exit_code == 1
    assert "index 1: the pod a failed (exit code 65)\n  modelroll: no" in said.output
    assert "failed: MaxFailedIndexesExceeded: too many" in said.output


def test_a_cluster_that_is_away_for_a_while_does_not_end_the_following(cluster: Cluster) -> None:
    away = "The connection to the server was refused"
    cluster.told["states"] = [{"active": 1}, away, away, {"active": 1}, away, COMPLETE]
    said = cluster.batch("--name=tonight")
    assert said.exit_code == 0, said.output
    assert said.stdout == "job/tonight has succeeded\n"
    assert said.stderr.count("the cluster cannot be asked, and is asked again: kubectl get: The connection") == 2


def test_a_cluster_that_stays_away_leaves_the_job_to_itself(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "PATIENCE", 0.0)
    cluster.told["states"] = [{"active": 1}, "The connection to the server was refused"]
    said = cluster.batch("--name=tonight")
    assert said.exit_code == 75  # a Job that fails ends with 1
    assert "it is not followed any more: kubectl get: The connection to the server was refused" in said.stderr
    assert "the Job goes on: `kubectl get job tonight` says how far it is" in said.stderr


def test_pods_that_never_start_are_not_waited_for(cluster: Cluster) -> None:
    waiting = {"name": "batch", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    cluster.told["states"] = [{"active": 1}]
    cluster.told["get pods"] = {
        "items": [{"metadata": {"name": "a"}, "status": {"phase": "Pending", "containerStatuses": [waiting]}}]
    }
    cluster.told["get events"] = {"items": [{"reason": "Failed", "message": "not found"}]}
    said = cluster.batch()
    assert said.exit_code == 1
    assert "cannot start: ImagePullBackOff: no such image\n  Failed: not found" in said.output


def test_what_holds_a_pod_up_is_told_once(cluster: Cluster) -> None:
    cluster.told["states"] = [{"active": 1}, {"active": 1}, COMPLETE]
    cluster.told["get pods"] = {"items": [{"metadata": {"name": "a"}, "status": {"phase": "Pending"}}]}
    cluster.told["get events"] = {"items": [{"reason": "FailedScheduling", "message": "no room"}]}
    said = cluster.batch()
    assert said.exit_code == 0, said.output
    assert said.stderr.count("a pod waits: FailedScheduling: no room") == 1


def test_pods_that_admission_refuses(cluster: Cluster) -> None:
    cluster.told["states"] = [{}]
    cluster.told["get events"] = {"items": [{"reason": "FailedCreate", "message": "violates PodSecurity"}]}
    assert "gets no pods: FailedCreate: violates PodSecurity" in cluster.batch().output


def test_a_job_that_somebody_deleted(cluster: Cluster) -> None:
    cluster.told["fail"] = {"get job": "Error from server (NotFound): jobs"}
    assert "is not there any more: somebody deleted it" in cluster.batch().output


def test_it_need_not_be_followed(cluster: Cluster) -> None:
    assert cluster.batch("--detach").exit_code == 0
    assert not [call for call in cluster.calls if call[:2] == ["get", "job"]]


def test_a_claim_that_is_not_there_is_named_with_those_that_are(cluster: Cluster) -> None:
    said = cluster.batch("--data-claim=rows")
    assert said.exit_code == 1
    assert "no claim rows in this namespace; there are: data, models" in said.output
    assert not (cluster.home / "job.json").exists()


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        ((), "--job needs --release, or --claim and --artifact"),
        (("--claim=models",), "--job needs --release, or --claim and --artifact"),
        (("--release=churn", "--claim=models"), "both say where the models are"),
        (
            ("--claim=m", "--artifact=a"),
            "rows is no URL: say --data-claim, the claim that it lies on. It may be m, that",
        ),
        (("--claim=m", "--artifact=a", "--data-claim="), "rows is no URL: say --data-claim"),
        (("--claim=m", "--artifact=a", "--index=1", "--dry-run"), "--index is for the pods of a Job"),
        (("--release=churn", "--data-claim=d", "--digest=sha256:0"), "--digest is that of --artifact"),
        (("--claim=m", "--artifact=a", "--run=1", "--dry-run"), "--run is for the pods of a Job"),
    ],
)
def test_flags_that_do_not_go_together(cluster: Cluster, flags: tuple[str, ...], sentence: str) -> None:
    said = cluster.batch(*flags, own=False)
    assert said.exit_code == 2
    assert sentence in said.output


def test_a_deployment_that_is_another_chart_s(cluster: Cluster) -> None:
    spec = {"template": {"spec": {"containers": [{"name": "nginx"}]}}}
    cluster.told["get deployment"] = {"metadata": {"name": "web"}, "spec": spec}
    said = cluster.batch("--release=web", own=False)
    assert said.exit_code == 1
    assert "the Deployment web is none of the chart modelroll" in said.output


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        ([], "the Deployment churn is none of this version's chart: its server is not told LOG_REQUESTS"),
        ([{"name": "LOG_REQUESTS"}, {"name": "JOB_UID"}], "told JOB_UID, which a Job's pods get of it: rename it in"),
    ],
)
def test_variables_that_cannot_be_taken_over(cluster: Cluster, env: list[dict[str, str]], sentence: str) -> None:
    server = {"name": "server", "image": "a", "env": env, "securityContext": {}}
    volume = {"name": "models", "persistentVolumeClaim": {"claimName": "models"}}
    spec = {"template": {"spec": {"containers": [server], "volumes": [volume]}}}
    cluster.told["get deployment"] = {"metadata": {"name": "churn"}, "spec": spec}
    said = cluster.batch("--release=churn", own=False)
    assert said.exit_code == 1
    assert sentence in said.output
