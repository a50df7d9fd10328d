"""What every test may rely on: the marker `needs`, which keeps a missing part from being skipped silently.

`CLUSTER`, `KUBECONFIG` and `PATH` come from `hack/cluster env`, which `make test` evaluates. With `CI=true` a missing
part is a failure, because there it means that something was not set up; but for what no cluster of that kind has.
"""

import os
import shutil
import signal
from collections import Counter

import hypothesis
import pytest

import brokers
import browser
import redis_process
import s3

pytest.register_assert_rewrite(
    "both_runtimes", "checker", "harness", "server_process", "simulation"
)  # so that they show what they saw

# How long an example takes, or its making, says how busy the machine is.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")

PROOF_SECONDS = 900  # that a proof on the cluster may take, its release's installation among them

_BUILT = "`make test CLUSTER=devcluster` builds one (root, Debian)"
HOW_TO_GET = {
    "cluster": f"a Kubernetes cluster: {_BUILT}, CLUSTER=kind uses Docker",
    "helm": f"the helm command: {_BUILT}, or see https://helm.sh/docs/intro/install",
    "node": "a cluster with this machine for a node, so that it reaches pods: `make test CLUSTER=devcluster`",
    "nginx": "nginx: `apt-get install nginx` on Debian, or see https://nginx.org/en/download.html",
    "wrk": "the load generator wrk: apt-get install wrk, or see https://github.com/wg/wrk",
    "redis": "redis-server or valkey-server: `apt-get install redis-server` on Debian, or see https://redis.io/docs",
    "nats-server": "nats-server: `hack/servers/build nats-server` builds one (Go)",
    "versitygw": "versitygw, an S3 server: `hack/servers/build versitygw` builds one (Go)",
    "kafka": "Kafka's jars and java: `hack/servers/build kafka` gets them (Java 17 or later, Maven)",
    "prometheus": "prometheus and promtool: `apt-get install prometheus` on Debian, or see https://prometheus.io/download",
    "faketime": "the command faketime: `apt-get install faketime` on Debian, or see https://github.com/wolfcw/libfaketime",
    "chromium": "the browser chromium: `apt-get install chromium` on Debian, or see https://www.chromium.org",
    "go": "Go, by which the CRDs of the Gateway API are got: see https://go.dev/doc/install",
    "openssl": "the openssl command: `apt-get install openssl` on Debian",
    "kubectl": f"the kubectl command: {_BUILT}, or see https://kubernetes.io/docs/tasks/tools",
}


def _is_there(part: str) -> bool:
    if part == "cluster":
        return os.environ.get("CLUSTER", "embedded") in {"devcluster", "kind"} and "KUBECONFIG" in os.environ
    if part == "node":
        return os.environ.get("CLUSTER") == "devcluster" and "KUBECONFIG" in os.environ
    if part == "nginx":
        return any(map(shutil.which, ("nginx", "/usr/sbin/nginx")))
    if part == "redis":
        return redis_process.command() is not None
    if part == "nats-server":
        return brokers.nats_server() is not None
    if part == "versitygw":
        return s3.command() is not None
    if part == "kafka":
        return brokers.kafka_jars() is not None
    if part == "chromium":
        return browser.command() is not None
    if part == "prometheus":
        return None not in {shutil.which("prometheus"), shutil.which("promtool")}
    return shutil.which(part) is not None


def pytest_configure() -> None:
    """Have SIGINT end programs: a shell that begins them in the background, as `hack/test` does, has them ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the slow proofs on the cluster last, so that a plain fault shows first; and give them more time."""
    items.sort(key=_is_proof)
    for item in filter(_is_proof, items):
        if item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(PROOF_SECONDS))


def _is_proof(item: pytest.Item) -> bool:
    return "tests/e2e/" in item.nodeid


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse a test whose part is missing, with the way to get it."""
    for mark in item.iter_markers("needs"):
        for part in mark.args:
            if _is_there(part):
                continue
            sentence = f"needs {HOW_TO_GET[part]}"
            if part == "cluster" and os.environ.get("CLUSTER") == "current":
                sentence = f"never runs on a cluster of yours, as it breaks things; {_BUILT}, CLUSTER=kind uses Docker"
            if os.environ.get("CI") == "true" and not (part == "node" and os.environ.get("CLUSTER") == "kind"):
                pytest.fail(sentence, pytrace=False)
            pytest.skip(sentence)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say once per missing part how many tests did not run for want of it."""
    reasons = Counter(
        str(report.longrepr[2]).removeprefix("Skipped: ") for report in terminalreporter.stats.get("skipped", [])
    )
    for reason, count in reasons.items():
        terminalreporter.write_line(f"NOT RUN: {count} tests. {reason}", yellow=True)
