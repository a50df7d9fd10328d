"""Which cluster is chosen, from what is on the machine and what was asked for."""

import pytest

from devcluster.fake_machine import Machine


@pytest.mark.parametrize(
    ("built", "docker", "environment", "expected"),
    [
        (True, True, {}, "devcluster"),
        (True, None, {}, "devcluster"),
        (False, True, {}, "kind"),
        (False, False, {}, "embedded"),
        (False, None, {}, "embedded"),
        (False, None, {"CI": "true"}, "devcluster"),
        (False, True, {"CI": "true"}, "kind"),
        (True, True, {"CLUSTER": "embedded"}, "embedded"),
        (True, True, {"CLUSTER": "kind"}, "kind"),
        (False, True, {"CLUSTER": "devcluster"}, "devcluster"),
        (True, True, {"CLUSTER": "current"}, "current"),
    ],
)
def test_resolves(
    machine: Machine, built: bool, docker: bool | None, environment: dict[str, str], expected: str
) -> None:
    machine.devcluster(built=built)
    if docker is not None:
        machine.docker(answers=docker)

    assert machine.cluster("resolve", **environment).stdout == f"{expected}\n"


def test_devcluster_is_not_chosen_for_a_person_who_is_not_root(machine: Machine) -> None:
    machine.devcluster(built=True)
    machine.program("id", "echo 1000")

    assert machine.cluster("resolve").stdout == "embedded\n"


def test_an_unknown_name_is_refused_with_the_known_ones(machine: Machine) -> None:
    result = machine.cluster("up", CLUSTER="minikube")

    assert result.returncode == 2
    assert "choose auto, devcluster, kind, current or embedded" in result.stderr


def test_without_a_cluster_the_choice_says_how_to_get_one(machine: Machine) -> None:
    assert "CLUSTER=devcluster builds one" in machine.cluster("resolve").stderr


def test_embedded_sets_nothing_up(machine: Machine) -> None:
    assert machine.cluster("up", CLUSTER="embedded").returncode == 0
    assert machine.calls.read_text() == ""
    assert machine.cluster("env", CLUSTER="embedded").stdout == "export CLUSTER=embedded\n"


def test_auto_builds_no_devcluster_on_a_persons_machine(machine: Machine) -> None:
    assert machine.cluster("up").returncode == 0
    assert "devcluster build" not in machine.calls.read_text()


@pytest.mark.parametrize("environment", [{"CLUSTER": "devcluster"}, {"CI": "true"}])
def test_devcluster_is_built_when_named_and_in_ci(machine: Machine, environment: dict[str, str]) -> None:
    machine.program("buildah", "exit 0")

    result = machine.cluster("up", **environment)

    calls = machine.calls.read_text()
    assert result.returncode == 0, result.stderr
    assert calls.index("devcluster build") < calls.index("devcluster up") < calls.index("devcluster load")


def test_env_names_the_images_by_what_is_in_them(machine: Machine) -> None:
    once = machine.cluster("env", CLUSTER="devcluster").stdout
    other_base = machine.cluster("env", CLUSTER="devcluster", BASE="python:3.12-slim").stdout

    assert "export CLUSTER=devcluster\n" in once
    assert "KUBECONFIG=/var/lib/devcluster/run/admin.kubeconfig\n" in once
    assert "MODELROLL_SERVER_IMAGE=localhost/modelroll-server:" in once
    assert "MODELROLL_OPERATOR_IMAGE=localhost/modelroll-operator:" in once
    assert once != other_base


def test_a_kind_of_another_version_does_not_count(machine: Machine) -> None:
    machine.docker(answers=True)
    machine.program("kind", "echo kind v0.23.0 go1.22.4 linux/amd64")

    result = machine.cluster("up", CLUSTER="kind")

    assert result.returncode == 2
    assert "needs kind v0.30.0" in result.stderr
    assert machine.cluster("resolve").stdout == "embedded\n"


@pytest.mark.parametrize(("there", "builds"), [("v4.1.3+gc94d381", False), ("v3.17.1+g980d8ac", True)])
def test_a_helm_that_is_not_the_pinned_one_gives_way_to_one_built_here(
    machine: Machine, there: str, builds: bool
) -> None:
    machine.program("helm", f"echo {there}")
    machine.program("go", "exit 0")

    result = machine.with_helm("true")

    assert result.returncode == 0, result.stderr
    assert ("go build" in machine.calls.read_text()) == builds


def test_kind_without_a_docker_that_answers_is_an_error_when_named(machine: Machine) -> None:
    machine.docker(answers=False)

    result = machine.cluster("up", CLUSTER="kind")

    assert result.returncode == 2
    assert "needs a Docker that answers" in result.stderr
