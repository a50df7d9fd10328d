"""The release's own Valkey: what is rendered, what the servers are told, and a real server started as the pod is."""

import base64
import json
import re
from collections.abc import Iterator

import pytest
from redis import AuthenticationError, Redis

import redis_process
from chart.rendering import Object, Objects, environment, pod_of, render, template
from redis_process import RedisProcess

pytestmark = pytest.mark.needs("helm")

ON = "valkey.enabled=true"
DEPLOYMENT = ("Deployment", "churn-valkey")
PASSWORD = {"secretKeyRef": {"name": "churn-valkey", "key": "password"}}


@pytest.fixture(scope="module")
def objects() -> Objects:
    return render(ON)


def test_it_is_off_by_default() -> None:
    assert not [name for _, name in render() if "valkey" in name]


def test_it_is_one_restricted_pod_behind_a_service(objects: Objects) -> None:
    made = {kind for kind, name in objects if name == "churn-valkey"}
    assert made == {"Deployment", "NetworkPolicy", "Secret", "Service"}
    deployment = objects[DEPLOYMENT]
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    pod, server = pod_of(deployment), pod_of(objects["Deployment", "churn"])
    assert pod["securityContext"] == server["securityContext"]
    assert pod["containers"][0]["securityContext"] == server["containers"][0]["securityContext"]
    assert pod["automountServiceAccountToken"] is False
    service = objects["Service", "churn-valkey"]["spec"]
    assert service["selector"].items() <= deployment["spec"]["template"]["metadata"]["labels"].items()
    (port,), (listening,) = service["ports"], pod["containers"][0]["ports"]
    assert (port["port"], port["targetPort"], listening["containerPort"]) == (6379, listening["name"], 6379)


def test_the_servers_are_told_of_it_without_a_password_in_sight(objects: Objects) -> None:
    variables = environment(objects["Deployment", "churn"])
    assert variables["VALKEY_PASSWORD"] == PASSWORD
    assert variables["CACHE_URL"] == "redis://:$(VALKEY_PASSWORD)@churn-valkey:6379/0"
    assert variables["CACHE_KEY"] == {"secretKeyRef": {"name": "churn-valkey", "key": "key"}}
    assert variables["CACHE_TTL"] == "300"
    # Kubernetes puts a variable's value only where it stands further below.
    names = list(variables)
    assert names.index("VALKEY_PASSWORD") < names.index("CACHE_URL")


def test_password_and_key_are_made_once_and_differ(objects: Objects) -> None:
    data = objects["Secret", "churn-valkey"]["data"]
    values = [base64.b64decode(data[name]).decode() for name in ("password", "key")]
    assert all(re.fullmatch("[A-Za-z0-9]{40}", one) for one in values)
    assert values[0] != values[1]
    assert data != render(ON)["Secret", "churn-valkey"]["data"], "or everybody's chart has the same password"


def test_a_secret_can_be_brought_along() -> None:
    objects = render(ON, "valkey.secret.name=mine", "valkey.secret.passwordKey=pw", "valkey.secret.signingKey=hmac")
    assert ("Secret", "churn-valkey") not in objects
    variables = environment(objects["Deployment", "churn"])
    assert variables["VALKEY_PASSWORD"] == {"secretKeyRef": {"name": "mine", "key": "pw"}}
    assert variables["CACHE_KEY"] == {"secretKeyRef": {"name": "mine", "key": "hmac"}}
    assert environment(objects[DEPLOYMENT])["VALKEY_PASSWORD"] == variables["VALKEY_PASSWORD"]


def test_a_key_of_the_caches_own_goes_first() -> None:
    variables = environment(render(ON, "cache.keySecret.name=signing")["Deployment", "churn"])
    assert variables["CACHE_KEY"] == {"secretKeyRef": {"name": "signing", "key": "key"}}


def test_where_it_runs_can_be_said() -> None:
    tolerations: list[Object] = [{"key": "cache", "operator": "Exists"}]
    objects = render(ON, "valkey.nodeSelector.disk=none", f"valkey.tolerations={json.dumps(tolerations)}")
    pod = pod_of(objects[DEPLOYMENT])
    assert (pod["nodeSelector"], pod["tolerations"]) == ({"disk": "none"}, tolerations)
    pinned = render(ON, f"valkey.image.digest=sha256:{'0' * 64}")
    assert pod_of(pinned[DEPLOYMENT])["containers"][0]["image"] == f"docker.io/valkey/valkey@sha256:{'0' * 64}"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ((ON, "cache.url=redis://redis"), "set the one or the other"),
        ((ON, "cache.urlSecret.name=redis"), "set the one or the other"),
        ((ON, "valkey.maxMemory=193Mi"), "valkey.maxMemory (193Mi) is more than three quarters"),
        ((ON, "valkey.maxMemory=1Gi", "valkey.resources.limits.memory=1Gi"), "is more than three quarters"),
        ((ON, "valkey.secret.signingKey=password"), "are both password: who has the password could sign"),
        (("valkey.secret.name=mine",), "valkey.secret.name is set and valkey.enabled is false"),
        ((ON, "valkey.maxMemory=0Mi"), "/valkey/maxMemory"),
        ((ON, "valkey.maxMemory=200"), "/valkey/maxMemory"),
        ((ON, 'env=[{"name":"VALKEY_PASSWORD","value":"a"}]'), "env has VALKEY_PASSWORD"),
    ],
)
def test_a_contradiction_is_refused_with_a_sentence(settings: tuple[str, ...], sentence: str) -> None:
    result = template(*settings)
    assert result.returncode != 0
    assert sentence in result.stderr


@pytest.fixture(scope="module")
def started(objects: Objects, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisProcess]:
    """What the pod runs, with a password in it, and less memory so that a test can fill it."""
    small = render(ON, "valkey.maxMemory=4Mi")
    container = pod_of(small[DEPLOYMENT])["containers"][0]
    assert container["command"] == ["valkey-server"]
    arguments = [one.replace("$(VALKEY_PASSWORD)", "secret") for one in container["args"]]
    assert not [one for one in arguments if "$(" in one]
    # The port is the test's own.
    assert arguments[:2] == ["--port", "6379"]
    with redis_process.running(tmp_path_factory.mktemp("valkey"), *arguments[2:]) as server:
        yield server


@pytest.mark.needs("redis")
def test_nobody_gets_in_without_the_password(started: RedisProcess) -> None:
    with pytest.raises(AuthenticationError), Redis(port=started.port) as client:
        client.get("x")
    # As CACHE_URL spells it.
    with Redis.from_url(started.url.replace("redis://", "redis://:secret@")) as client:
        assert client.get("x") is None


@pytest.mark.needs("redis")
def test_a_full_one_lets_old_answers_go_and_keeps_nothing_on_disk(started: RedisProcess) -> None:
    with Redis(port=started.port, password="secret") as client:
        for each in range(100):
            client.set(f"answer-{each}", b"x" * 100_000)
        info = client.info()
        assert info["maxmemory"] == 4 * 2**20
        assert info["maxmemory_policy"] == "allkeys-lru"
        assert info["evicted_keys"] > 50
        assert client.get("answer-99") is not None, "the newest stays"
        assert (info["aof_enabled"], client.config_get("save")) == (0, {"save": ""})
