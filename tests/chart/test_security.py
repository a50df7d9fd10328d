"""Every pod of the chart meets the restricted Pod Security Standard, and holds no more of the API than it needs."""

import pytest

from chart.rendering import Object, pod_of, render

pytestmark = pytest.mark.needs("helm")


def pods() -> list[tuple[str, Object]]:
    return [(f"{kind}/{name}", pod_of(one)) for (kind, name), one in render().items() if kind in {"Deployment", "Pod"}]


def test_every_pod_is_restricted() -> None:
    for name, pod in pods():
        context = pod["securityContext"]
        assert context["runAsNonRoot"], name
        assert {context["runAsUser"], context["runAsGroup"], context["fsGroup"]} == {65532}, name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod), name
        assert not [volume for volume in pod.get("volumes", []) if "hostPath" in volume], name
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name


def test_every_container_has_a_memory_limit_and_requests() -> None:
    for name, pod in pods():
        for container in pod["containers"]:
            assert "memory" in container["resources"]["limits"], name
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name


def test_only_the_operator_holds_an_api_token() -> None:
    tokens = {name: pod["automountServiceAccountToken"] for name, pod in pods()}
    assert tokens == {
        "Deployment/churn": False,
        "Deployment/churn-operator": True,
        "Pod/churn-test-predict": False,
    }
    accounts = [one for (kind, _), one in render().items() if kind == "ServiceAccount"]
    assert [one["automountServiceAccountToken"] for one in accounts] == [False, False]


def test_nothing_reaches_beyond_the_namespace() -> None:
    assert not [kind for kind, _ in render() if kind.startswith("Cluster")]


def test_the_models_are_mounted_read_only() -> None:
    """Whether a batch job's pods may write to them is test_batch.py's."""
    objects = render("stream.enabled=true", "stream.url=redis://redis:6379", "stream.input=rows")
    for name in ("churn", "churn-stream"):
        (container,) = pod_of(objects["Deployment", name])["containers"]
        mounts = [each for each in container["volumeMounts"] if each["name"] == "models"]
        assert [(each["mountPath"], each["readOnly"]) for each in mounts] == [("/models", True)], name
