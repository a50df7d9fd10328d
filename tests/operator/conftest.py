"""A namespace of a real API server with a stand-in for its node, and operators in it."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cluster import Namespace, run
from harness.operators import FAILING, LEASE, Operators, install_crd
from harness.waiting import wait_until
from simulation.kubelet import Kubelet


@pytest.fixture(scope="module")
def namespace() -> Iterator[Namespace]:
    install_crd()
    name = f"operator-{secrets.token_hex(4)}"
    run("kubectl", "create", "namespace", name)
    yield Namespace(name)
    run("kubectl", "delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def kubelet(namespace: Namespace) -> Iterator[Kubelet]:
    with Kubelet(namespace.name, FAILING) as one:
        yield one


@pytest.fixture
def operators(namespace: Namespace, tmp_path: Path) -> Iterator[Operators]:
    """No operator runs, and no model is there, when a test begins."""
    found = Operators(namespace.name, tmp_path)
    yield found
    found.kill_all()
    namespace.kubectl("delete", "modelversions,deployments", "--all", "--wait=true")
    namespace.kubectl("delete", "lease", LEASE, "--ignore-not-found")
    wait_until(lambda: not namespace.items("pods"), 30, what="no pods")
