"""The Indexed Job of a batch job, as it is given to `kubectl create`.

The chart's template makes the same (charts/modelroll/templates/batch.yaml); a test compares the two.
"""

import copy
import dataclasses
from dataclasses import dataclass, field
from typing import Any

from modelroll_server import pods
from modelroll_server.errors import IN_VAIN, JobFailed

CONTAINER = "batch"
DATA = "/data"
MODELS = "/models"
TARGET = "/run/modelroll/target"
# What the chart tells a server that a batch job has a use for, too. No sampler: a pod sends one trace.
_NEEDED = {
    "MODEL_NAME",
    "MODEL_PATH",
    "MODEL_DIGEST",
    "MODEL_ROOT",
    "TARGET_DIR",
    "ARTIFACT_POLICY",
    "SIGNING_PUBLIC_KEY",
    "POD_NAME",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES",
}
_LAST = "LOG_REQUESTS"  # that the chart tells a server; what stands behind it a person added
_OF_POD = ("imagePullSecrets", "priorityClassName", "nodeSelector", "tolerations", "affinity", "securityContext")
_INSTANCE = "app.kubernetes.io/instance"
_NOT_AGAIN = [2, IN_VAIN]  # exit codes: wrong options, and what would end the same another time

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
        claim: Of the data, mounted at /data to be read and written; none if empty.
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
        scratch: The size of /tmp.
        deployment: The servers', which says what is live; empty where there is none.
        instance: The release; empty where there is none.
    """

    image: str
    env: list[Object]
    models: str
    policy: str = "IfNotPresent"
    pod: Object = field(default_factory=lambda: {"securityContext": pods.restricted()})
    container: Object = field(default_factory=pods.restricted_container)
    scratch: str = "64Mi"
    deployment: str = ""
    instance: str = ""


def of_deployment(deployment: Object) -> Template:
    """What the servers of an installed release have, as `kubectl get` shows their Deployment.

    Raises:
        JobFailed: It is none of the chart's, or a variable that a person added is one of the Job's own.
    """
    name, pod = deployment["metadata"]["name"], deployment["spec"]["template"]["spec"]
    container = next((one for one in pod["containers"] if one["name"] == "server"), None)
    volumes = {one["name"]: one for one in pod.get("volumes", [])}
    models = volumes.get("models", {}).get("persistentVolumeClaim", {}).get("claimName")
    if container is None or models is None:
        raise JobFailed(
            f"the Deployment {name} is none of the chart modelroll: it has no server with a claim of models"
        )
    return Template(
        image=container["image"],
        policy=container.get("imagePullPolicy", "IfNotPresent"),
        env=_environment(name, container.get("env", [])),
        models=models,
        pod={"serviceAccountName": pod.get("serviceAccountName", "default")}
        | {key: copy.deepcopy(pod[key]) for key in _OF_POD if key in pod},
        container=copy.deepcopy(container["securityContext"]),
        scratch=volumes.get("tmp", {}).get("emptyDir", {}).get("sizeLimit", "64Mi"),
        deployment=name,
        instance=deployment["metadata"].get("labels", {}).get(_INSTANCE, name),
    )


def _environment(name: str, env: list[Object]) -> list[Object]:
    """What a batch job is told, of what the servers of this Deployment are."""
    end = next((at for at, each in enumerate(env, 1) if each["name"] == _LAST), None)
    if end is None:
        raise JobFailed(f"the Deployment {name} is none of this version's chart: its server is not told {_LAST}")
    of_chart, added = [dict(each) for each in env[:end] if each["name"] in _NEEDED], env[end:]
    taken = sorted({each["name"] for each in _LABELS} & {each["name"] for each in added})
    if taken:
        raise JobFailed(f"the servers of {name} are told {taken[0]}, which a Job's pods get of it: rename it in `env`")
    for each in of_chart:
        if each["name"] == "OTEL_SERVICE_NAME":
            each["value"] = f"{name}-batch"
        elif each["name"] == "OTEL_RESOURCE_ATTRIBUTES":
            each["value"] = _attributes(name, each["value"])
    return [*of_chart, *added]


def _attributes(name: str, text: str) -> str:
    """Attributes of what sends traces: of the Job, where they were of this Deployment."""
    found = dict(pair.split("=", 1) for pair in text.split(","))
    if found.get("k8s.deployment.name") == name:
        del found["k8s.deployment.name"]
    found.setdefault("k8s.job.name", "$(JOB_NAME)")
    return ",".join(f"{key}={found[key]}" for key in sorted(found))


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
    }
    if template.instance:
        labels[_INSTANCE] = template.instance
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": wanted.name, "labels": {"app.kubernetes.io/part-of": "modelroll", **labels}},
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
                        "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": _NOT_AGAIN},
                    },
                ]
            },
            "ttlSecondsAfterFinished": wanted.keep,
            "template": {"metadata": {"labels": labels}, "spec": _pod(wanted, template)},
        },
    }


def _pod(wanted: Wanted, template: Template) -> Object:
    follows = any(each["name"] == "TARGET_DIR" for each in template.env)
    mounts: list[Object] = [{"name": "models", "mountPath": MODELS, "readOnly": True}]
    volumes: list[Object] = [{"name": "models", "persistentVolumeClaim": {"claimName": template.models}}]
    if wanted.claim:
        data = "models" if wanted.claim == template.models else "data"
        mounts.append({"name": data, "mountPath": DATA})
        if data != "models":
            volumes.append({"name": data, "persistentVolumeClaim": {"claimName": wanted.claim}})
    mounts.append({"name": "tmp", "mountPath": "/tmp"})  # noqa: S108 - a volume of the pod
    volumes.append({"name": "tmp", "emptyDir": {"sizeLimit": template.scratch}})
    if follows:
        settled = {
            "name": f"{template.deployment}-target",
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
        "env": [*_LABELS, *template.env],
        "resources": {"requests": {"cpu": wanted.cpu, "memory": wanted.memory}, "limits": {"memory": wanted.memory}},
        "securityContext": template.container,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
    }
    if wanted.claim:
        container["workingDir"] = DATA
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
