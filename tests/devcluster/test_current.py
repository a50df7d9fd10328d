"""A cluster that belongs to somebody is used only when its owner said so."""

import pytest

from devcluster.fake_machine import Machine

IMAGES = {"IMAGE": "registry.example/server:1", "OPERATOR_IMAGE": "registry.example/operator:1"}


@pytest.fixture
def owned(machine: Machine) -> Machine:
    """A machine with a kubeconfig of its owner's, whose context is `production`."""
    machine.program("kubectl", 'case "$*" in *current-context*) echo production ;; *view*) echo "{}" ;; esac')
    machine.program("helm", "exit 0")
    return machine


def test_it_wants_an_image_that_the_cluster_can_pull(owned: Machine) -> None:
    result = owned.cluster("up", CLUSTER="current", YES="1")

    assert result.returncode == 2
    assert "needs IMAGE=, a server image that 'production' can pull" in result.stderr


def test_it_prints_the_context_and_does_nothing_where_nobody_can_be_asked(owned: Machine) -> None:
    result = owned.cluster("up", CLUSTER="current", **IMAGES)

    assert result.returncode == 2
    assert "context 'production'" in result.stderr
    assert "say YES=1" in result.stderr
    assert "view" not in owned.calls.read_text()


def test_with_yes_it_goes_on_and_env_names_the_images_given(owned: Machine) -> None:
    assert owned.cluster("up", CLUSTER="current", YES="1", **IMAGES).returncode == 0

    exports = owned.cluster("env", CLUSTER="current", **IMAGES).stdout

    assert "export MODELROLL_SERVER_IMAGE=registry.example/server:1\n" in exports
    assert "export MODELROLL_OPERATOR_IMAGE=registry.example/operator:1\n" in exports
    assert "export CLUSTER_CONTEXT=production\n" in exports


def test_down_leaves_it_alone(owned: Machine) -> None:
    assert owned.cluster("down", CLUSTER="current").returncode == 0
    assert "delete" not in owned.calls.read_text()
