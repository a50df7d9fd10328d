"""Who may call, on a cluster: TLS and tokens from Secrets, and what they hold replaced under pods that go on."""

import base64
import time
from collections.abc import Callable

import pytest
from cryptography import x509

import credentials
from harness.cluster import CommandFailed, Object
from harness.release import CHURN, NAME, Release, fresh
from harness.waiting import wait_until

pytestmark = pytest.mark.needs("cluster", "helm", "kubectl")

BEFORE, AFTER = "shop-before-0123456789", "shop-after-0123456789"
PLACE = "/run/modelroll/access"
SHOWN = "import ssl; print(ssl.get_server_certificate(('127.0.0.1', {port})))"


def secret(name: str, kind: str, files: dict[str, bytes]) -> Object:
    """A Secret."""
    data = {key: base64.b64encode(value).decode() for key, value in files.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": kind, "data": data}


def secrets(authority: credentials.Authority, issued: credentials.Issued, *tokens: str) -> list[Object]:
    """Both; with the certificate comes who signed it, as a client of the test takes it."""
    pair = {"tls.crt": issued.chain + authority.pem, "tls.key": issued.key}
    lines = "\n".join(tokens).encode()
    return [secret("churn-tls", "kubernetes.io/tls", pair), secret("callers", "Opaque", {"shop": lines})]


def test_what_secrets_hold_is_taken_over_without_a_restart() -> None:
    authority = credentials.Authority()
    first, second = authority.issue(), authority.issue()
    with fresh("access") as release:
        namespace = release.namespace
        namespace.apply(*secrets(authority, first, BEFORE))
        release.push(CHURN)
        release.install(
            autoscaling__enabled="false",
            replicas="1",
            operator__enabled="false",
            tls__secretName="churn-tls",
            auth__tokensSecret__name="callers",
        )
        release.wait_ready(1)
        (pod,) = release.pods()
        name = pod["metadata"]["name"]
        assert serial(release, name, 8000) == serial(release, name, 50051) == first.serial
        assert "1.2.0" in predict(release, name, BEFORE)
        with pytest.raises(CommandFailed, match="MODELROLL_TOKEN"):
            predict(release, name, AFTER)
        namespace.helm("test", NAME, "--timeout=90s")

        namespace.apply(*secrets(authority, second, BEFORE, AFTER))
        seen(release, name, lambda: serial(release, name, 8000) == second.serial)
        assert serial(release, name, 50051) == second.serial
        seen(release, name, lambda: admits(release, name, AFTER))
        assert admits(release, name, BEFORE)
        (now,) = release.pods()
        assert now["metadata"]["uid"] == pod["metadata"]["uid"]
        assert [one["restartCount"] for one in now["status"]["containerStatuses"]] == [0]


def serial(release: Release, pod: str, port: int) -> int:
    """The serial number of the certificate that a port of a pod shows."""
    text = release.namespace.kubectl("exec", pod, "--", "python", "-c", SHOWN.format(port=port))
    return x509.load_pem_x509_certificate(text.encode()).serial_number


def predict(release: Release, pod: str, token: str) -> str:
    """What the command line is answered in a pod."""
    asked = ("modelroll", "predict", "https://127.0.0.1:8000", "--json", "--cacert", f"{PLACE}/tls/tls.crt")
    return release.namespace.kubectl("exec", pod, "--", *asked, "--token", token)


def admits(release: Release, pod: str, token: str) -> bool:
    """Whether a token is one that the pod knows."""
    try:
        return "1.2.0" in predict(release, pod, token)
    except CommandFailed as refused:
        assert "MODELROLL_TOKEN" in str(refused)  # noqa: PT017 - nothing else may go wrong
        return False


def seen(release: Release, pod: str, what: Callable[[], bool]) -> None:
    """Wait until a pod has taken it over; the kubelet looks at once where the pod changes, and else in a minute."""

    def look() -> bool:
        release.namespace.patch("pod", pod, {"metadata": {"annotations": {"looked": str(time.monotonic())}}})
        return what()

    wait_until(look, 60, what="the Secret taken over")
