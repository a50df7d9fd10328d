"""The demo on a cluster: push, install, apply a new ModelVersion under load."""

import os
import shlex
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from checker import ending, legal, verdict
from harness import load_pod

ROOT = Path(__file__).parents[2]
NAMESPACE = "modelroll-demo"
OLD, NEW = "1.2.0", "2.0.0"
SECONDS = 5.0  # of load on either side of the rollout


def run() -> int:
    """Show it; 0 when no request failed. KEEP=1 leaves everything there to look at."""
    _quietly("kubectl", "delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=150s")
    try:
        _install()
        return _roll_under_load()
    finally:
        if os.environ.get("KEEP") == "1":
            print(f"Left there: kubectl delete namespace {NAMESPACE}")
        else:
            _quietly("kubectl", "delete", "namespace", NAMESPACE, "--wait=false")
            if os.environ["CLUSTER"] != "current":
                print("The cluster stays up for the next time; make cluster-down stops it.")


def _install() -> None:
    _type("kubectl", "create", "namespace", NAMESPACE)
    _quietly(str(ROOT / "hack" / "cluster"), "volume", "models", NAMESPACE)
    _quietly_in_environment("modelroll", "push", "models/churn", "--claim", "models", "--namespace", NAMESPACE)
    values = {
        "persistence.existingClaim": "models",
        "model.path": f"churn/{OLD}",
        "model.digest": ending.digest_of(OLD),
        "autoscaling.enabled": "false",
        "replicas": "3",
    }
    flags = [flag for name, value in values.items() for flag in ("--set", f"{name}={value}")]
    for prefix, variable in (("image", "MODELROLL_SERVER_IMAGE"), ("operator.image", "MODELROLL_OPERATOR_IMAGE")):
        repository, _, tag = os.environ[variable].rpartition(":")
        flags += ["--set-string", f"{prefix}.repository={repository}", "--set-string", f"{prefix}.tag={tag}"]
    _type("helm", "install", "churn", "charts/modelroll", "--namespace", NAMESPACE, *flags, silent=True)
    _type("kubectl", "--namespace", NAMESPACE, "rollout", "status", "deployment/churn", "--timeout=180s")
    _apply(OLD)


def _roll_under_load() -> int:
    print("Asking scikit-learn itself what 500 customers get, to check every answer against…")
    load_pod.start_pod(NAMESPACE, load_pod.rows())
    watch = legal.Watch(NAMESPACE, "churn", OLD)
    loads = [load_pod.Load(NAMESPACE, keep_alive=keep_alive) for keep_alive in (True, False)]
    with ExitStack() as running:
        running.callback(watch.close)
        for load in loads:
            running.callback(load.stop)
        for load in loads:
            load.wait_for_answers()
        print("Load: two clients in the cluster, one with a connection for each request; each answer is checked.")
        time.sleep(SECONDS)
        applied = time.time()
        seconds = _apply(NEW)
        _type("kubectl", "--namespace", NAMESPACE, "get", "modelversions")
        time.sleep(SECONDS)
    records = [record for load in loads for record in load.records]
    found = verdict.judge(records, watch.timeline)
    ending.draw(records, watch.timeline, found, applied)
    return ending.end(found, {NEW: seconds}, (OLD, NEW))


def _apply(version: str) -> float:
    """Apply a ModelVersion and wait until it is live; how many seconds that took."""
    began = time.monotonic()
    _type("kubectl", "--namespace", NAMESPACE, "apply", "--filename", f"k8s/samples/churn-{version}.yaml")
    waiting = ("--for=condition=Live", f"modelversion/churn-{version}", "--timeout=180s")
    _type("kubectl", "--namespace", NAMESPACE, "wait", *waiting)
    return time.monotonic() - began


def _type(*command: str, silent: bool = False) -> None:
    """Run a command that a person would type, and show it."""
    print(f"$ {shlex.join(command)}", flush=True)
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE if silent else None, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"that ended with {done.returncode}; KEEP=1 leaves everything there to look at")


def _quietly(*command: str) -> None:
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)


def _quietly_in_environment(name: str, *arguments: str) -> None:
    """Run one of this environment's own commands; of what it says, show what was written."""
    print(f"$ {shlex.join((name, *arguments))}", flush=True)
    command = [str(Path(sys.executable).with_name(name)), *arguments]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"that ended with {done.returncode}")
    print(
        "".join(line for line in done.stdout.splitlines(keepends=True) if "sha256" in line and "written" in line),
        end="",
    )
