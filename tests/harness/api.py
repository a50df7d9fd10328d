"""What stands on the API server, read and patched over a connection that stays open.

A test looks many times a second. A `kubectl get` each time costs a tenth of a second of a processor, of which the pods
that are looked at have two.
"""

import atexit
import os
import signal
import subprocess
from collections.abc import Mapping
from functools import cache
from typing import Any

import httpx

Object = dict[str, Any]

MERGE = "application/merge-patch+json"

_GROUPS = {
    "configmaps": "api/v1",
    "deployments": "apis/apps/v1",
    "events": "api/v1",
    "horizontalpodautoscalers": "apis/autoscaling/v2",
    "leases": "apis/coordination.k8s.io/v1",
    "modelversions": "apis/modelroll.dev/v1alpha1",
    "pods": "api/v1",
    "services": "api/v1",
}


class Refused(AssertionError):
    """The API server did not answer as it should; the message holds what it said."""


def one(namespace: str, kind: str, name: str) -> Object | None:
    """An object, or None where there is none."""
    return _get(f"{_path(namespace, kind)}/{name}")


def several(namespace: str, kind: str, selector: str = "") -> list[Object]:
    """All objects of a kind, or those that a label selector finds."""
    found = _get(_path(namespace, kind), {"labelSelector": selector})
    assert found is not None, f"no API server knows {kind}"
    named = {"kind": str(found["kind"]).removesuffix("List"), "apiVersion": found["apiVersion"]}
    return [named | item for item in found["items"]]


def patch(namespace: str, kind: str, name: str, change: Object) -> None:
    """Merge a change into an object."""
    _call("PATCH", f"{_path(namespace, kind)}/{name}", json=change, headers={"Content-Type": MERGE})


def said(namespace: str, pod: str, port: int, path: str) -> str | None:
    """What a pod answers, through the API server; None where it does not."""
    try:
        response = _api(os.environ["KUBECONFIG"]).get(f"/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy/{path}")
    except httpx.HTTPError:
        return None
    return response.text if response.is_success else None


def _path(namespace: str, kind: str) -> str:
    plural = kind if kind.endswith("s") else f"{kind}s"
    return f"/{_GROUPS[plural]}/namespaces/{namespace}/{plural}"


def _get(path: str, query: Mapping[str, str] | None = None) -> Object | None:
    response = _call("GET", path, params=query)
    found: Object | None = None if response.status_code == httpx.codes.NOT_FOUND else response.json()
    return found


def _call(method: str, path: str, **more: Any) -> httpx.Response:
    try:
        response = _api(os.environ["KUBECONFIG"]).request(method, path, **more)
    except httpx.HTTPError as error:
        raise Refused(f"{method} {path}: {type(error).__name__}: {error}") from error
    if not response.is_success and (method, response.status_code) != ("GET", httpx.codes.NOT_FOUND):
        raise Refused(f"{method} {path}: {response.status_code}: {response.text[:1000]}")
    return response


@cache
def _api(kubeconfig: str) -> httpx.Client:
    """Through a proxy, which knows every way in that a kubeconfig may name."""
    command = ("kubectl", f"--kubeconfig={kubeconfig}", "proxy", "--port=0")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    address = process.stdout.readline().split()[-1]  # Starting to serve on 127.0.0.1:…
    client = httpx.Client(base_url=f"http://{address}", timeout=30)

    def end() -> None:
        client.close()
        with process:
            os.killpg(process.pid, signal.SIGKILL)  # what kubectl begins, too, where it is a wrapper

    atexit.register(end)
    return client
