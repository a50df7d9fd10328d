"""The Indexed Job of a batch job, as it is given to `kubectl create`.

The chart's template makes the same (charts/modelroll/templates/batch.yaml); a test compares the two.
"""

import copy
import dataclasses
from dataclasses import dataclass, field
from typing import Any

from modelroll_server import pods
from modelroll_server.errors import JobFailed

CONTAINER = "batch"
DATA = "/data"
MODELS = "/models"
TARGET = "/run/modelroll/target"
# What a server's container is told that a batch job has a use for; what a person added is kept beside it.
_NEEDED = (
    "MODEL_NAME",
    "MODEL_PATH",
    "MODEL_DIGEST",
    "MODEL_ROOT",
    "TARGET_DIR",
    "ARTIFACT_POLICY",
    "SIGNING_PUBLIC_KEY",
)
_OF_POD = ("imagePullSecrets", "priorityClassName", "nodeSelector", "tolerations", "affinity", "securityContext")
_IN_VAIN = [2, 65]  # exit codes: wrong options, and what would end the same another time

Object = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a person asks for.

    Attributes:
        name: Of the Job.
        arguments: Of `modelroll batch` in the pods, IN and OUT last.
        indexes: Shares of the work.
        parallelism: Pods at once.
        retries: Of one index.
        claim: Of the data, mounted at /data.
        cpu: Requested by each pod.
        memory: Requested, and the limit.
        keep: Seconds that the Job stays when it has ended.
        secret: A Secret whose keys are variables of the pods, such as of an object store; none if empty.
    """

    name: str
    arguments: list[str]
    indexes: int
    parallelism: int
    retries: int
    claim: str
    cpu: str
    memory: str
    keep: int
    secret: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """What the pods have that a server has, too.

    Attributes:
        image: With its tag or digest.
        policy: When it is pulled.
        env: Which model it is, and what may be loaded, as a container's `env`.
        models: The claim with the models.
        pod: Further fields of the pod.
        container: Its security context.
        release: The Deployment; empty where there is none.
    """

    image: str
    env: list[Object]
    models: str
    policy: str = "IfNotPresent"
    pod: Object = field(default_factory=lambda: {"securityContext": pods.restricted()})
    container: Object = field(default_factory=pods.restricted_container)
    release: str = ""


def of_deployment(deployment: Object, served: frozenset[str]) -> Template:
    """What the servers of an installed release have.

    Args:
        deployment: As `kubectl get` shows it.
        served: Names of variables that are for servers alone.

    Raises:
        JobFailed: It is none of the chart's.
    """
    name, pod = deployment["metadata"]["name"], deployment["spec"]["template"]["spec"]
    container = next((one for one in pod["containers"] if one["name"] == "server"), None)
    volumes = {one["name"]: one for one in pod.get("volumes", [])}
    models = volumes.get("models", {}).get("persistentVolumeClaim", {}).get("claimName")
    if container is None or models is None:
        raise JobFailed(
            f"the Deployment {name} is none of the chart modelroll: it has no server with a claim of models"
        )
    unwanted = served - set(_NEEDED)
    return Template(
        image=container["image"],
        policy=container.get("imagePullPolicy", "IfNotPresent"),
        env=[each for each in container.get("env", []) if each["name"] not in unwanted],
        models=models,
        pod={"serviceAccountName": pod.get("serviceAccountName", "default")}
        | {key: copy.deepcopy(pod[key]) for key in _OF_POD if key in pod},
        container=copy.deepcopy(container["securityContext"]),
        release=name,
    )


def with_model(template: Template, path: str, digest: str | None) -> Template:
    """The same with a model of its own, rather than what is live when a pod begins."""
    own = {"MODEL_PATH", "MODEL_DIGEST", "TARGET_DIR"}
    env = [each for each in template.env if each["name"] not in own]
    env.append({"name": "MODEL_PATH", "value": path})
    if digest is not None:
        env.append({"name": "MODEL_DIGEST", "value": digest})
    return dataclasses.replace(template, env=env)


def job(wanted: Wanted, template: Template) -> Object:
    """The Job."""
    labels = {
        "app.kubernetes.io/name": "modelroll",
        "app.kubernetes.io/component": "batch",
        "app.kubernetes.io/part-of": "modelroll",
    }
    if template.release:
        labels["app.kubernetes.io/instance"] = template.release
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": wanted.name, "labels": labels},
        "spec": {
            "completionMode": "Indexed",
            "completions": wanted.indexes,
            "parallelism": wanted.parallelism,
            "backoffLimitPerIndex": wanted.retries,
            "maxFailedIndexes": 0,
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                    {
                        "action": "FailIndex",
                        "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": _IN_VAIN},
                    },
                ]
            },
            "ttlSecondsAfterFinished": wanted.keep,
            "template": {"metadata": {"labels": dict(labels)}, "spec": _pod(wanted, template)},
        },
    }


def _pod(wanted: Wanted, template: Template) -> Object:
    follows = any(each["name"] == "TARGET_DIR" for each in template.env)
    mounts: list[Object] = [
        {"name": "models", "mountPath": MODELS, "readOnly": True},
        {"name": "data" if wanted.claim != template.models else "models", "mountPath": DATA},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a volume of the pod
    ]
    volumes: list[Object] = [{"name": "models", "persistentVolumeClaim": {"claimName": template.models}}]
    if wanted.claim != template.models:
        volumes.append({"name": "data", "persistentVolumeClaim": {"claimName": wanted.claim}})
    volumes.append({"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}})
    if follows:
        settled = {
            "name": f"{template.release}-target",
            "optional": True,
            "items": [{"key": "settled", "path": "settled"}],
        }
        mounts.append({"name": "target", "mountPath": TARGET, "readOnly": True})
        volumes.append({"name": "target", "configMap": settled})
    container: Object = {
        "name": CONTAINER,
        "image": template.image,
        "imagePullPolicy": template.policy,
        "args": ["batch", f"--indexes={wanted.indexes}", "--run=$(JOB_UID)", *wanted.arguments],
        "workingDir": DATA,
        "env": [*template.env, *_LABELS],
        "resources": {"requests": {"cpu": wanted.cpu, "memory": wanted.memory}, "limits": {"memory": wanted.memory}},
        "securityContext": template.container,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    }
    if wanted.secret:
        container["envFrom"] = [{"secretRef": {"name": wanted.secret}}]
    return {
        **template.pod,
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "containers": [container],
        "volumes": volumes,
    }


def _of_label(name: str, label: str) -> Object:
    path = f"metadata.labels['batch.kubernetes.io/{label}']"
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


_LABELS = [_of_label("JOB_NAME", "job-name"), _of_label("JOB_UID", "controller-uid")]
