"""The watches: kopf as informer. An event is a hint that something is dirty, never a fact.

Owns kopf's registry and settings. Only `on.event` handlers: no finalizers, no daemons, nothing that kopf would store.
"""

from collections.abc import Callable
from typing import Any

import kopf

from modelroll_operator import names
from modelroll_operator.api import Json

Mark = Callable[[str, str], object]  # the name of a Deployment that serves a model, and the model's
Touch = Callable[[str], object]  # the name of what may be one
Ask = Callable[[Json, bool], object]  # a ModelVersion, and whether it is there still

_SUFFIX = names.config_map("")


def registry(mark: Mark, touch: Touch, ask: Ask) -> kopf.OperatorRegistry:
    """Handlers that mark Deployments, touch those that something of theirs belongs to, and pass ModelVersions on."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    def log_in(**kwargs: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)

    @kopf.on.event("modelroll.dev", "v1alpha1", "modelversions", registry=handlers)
    def on_model_version(body: kopf.Body, event: kopf.RawEvent, **_: Any) -> None:
        ask(dict(body), event["type"] != "DELETED")

    @kopf.on.event("apps", "v1", "deployments", labels={names.MODEL_LABEL: kopf.PRESENT}, registry=handlers)
    def on_deployment(name: str, labels: kopf.Labels, **_: Any) -> None:
        mark(name, labels[names.MODEL_LABEL])

    @kopf.on.event("", "v1", "configmaps", labels={names.MODEL_LABEL: kopf.PRESENT}, registry=handlers)
    def on_config_map(name: str | None, **_: Any) -> None:
        if name is not None and name.endswith(_SUFFIX):
            touch(name.removesuffix(_SUFFIX))

    @kopf.on.event("", "v1", "pods", registry=handlers)
    def on_pod(body: kopf.Body, **_: Any) -> None:
        for owner in body.metadata.get("ownerReferences") or []:
            if owner["kind"] == "ReplicaSet":
                touch(owner["name"].rpartition("-")[0])

    return handlers


def settings() -> kopf.OperatorSettings:
    """What is known to matter."""
    chosen = kopf.OperatorSettings()
    chosen.peering.standalone = True
    chosen.scanning.disabled = True  # it would list and watch CRDs and namespaces, which the Role does not allow
    chosen.posting.enabled = False
    # A watch that ends by itself now and then cannot stall for ever. An int: the API server refuses a fraction.
    chosen.watching.server_timeout = 240
    chosen.watching.client_timeout = 300
    chosen.persistence.finalizer = "modelroll.dev/kopf"
    chosen.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix="kopf.modelroll.dev")
    chosen.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix="kopf.modelroll.dev")
    return chosen
