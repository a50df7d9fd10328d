"""The stream workers of the chart: their Deployment, what they are told, what they follow, and what is refused."""

import re
from typing import Any

import pytest

from chart.promql import STREAM_ON
from chart.rendering import Object, environment, pod_of, render, template
from modelroll_server import settings
from modelroll_server.stream import terms

pytestmark = pytest.mark.needs("helm")

WORKER = ("Deployment", "churn-stream")
DIGEST = "sha256:" + "0" * 64


def volume(worker: Object, name: str) -> Any:
    (found,) = [one for one in pod_of(worker)["volumes"] if one["name"] == name]
    return found


def test_workers_are_off_by_default_and_are_policed_when_they_are_on() -> None:
    assert set(render(*STREAM_ON)) - set(render()) == {WORKER, ("NetworkPolicy", "churn-stream")}


def test_a_worker_is_told_what_its_server_is_told_and_where_events_are() -> None:
    objects = render(*STREAM_ON, f"model.digest={DIGEST}", "cache.url=redis://cache", "workers=2", "grpc.enabled=false")
    worker, server = (environment(objects["Deployment", name]) for name in ("churn-stream", "churn"))
    of_the_port = {"PORT", "GRPC_PORT", "WORKERS", "PAGE", "DRAIN_DELAY", "UNREADY_AFTER", "LOG_REQUESTS"}
    own = {name: value for name, value in worker.items() if server.get(name) != value}
    assert server.keys() - worker.keys() == of_the_port
    assert own == {
        "STREAM_URL": "redis://redis:6379/0",
        "STREAM_INPUT": "sensors",
        "STREAM_GROUP": "churn",
        "STREAM_BATCH": "64",
        "STREAM_CLAIM_AFTER": "30",
        "STREAM_MOST_DELIVERIES": "5",
        "STREAM_MOST_BYTES": "1Mi",
    }


@pytest.mark.parametrize(
    "url",
    [
        "redis://redis",
        "rediss://[::1]:6379/0?health_check_interval=5",
        "kafka+ssl://one:9093,two.kafka:9093",
        "tls://one:4222,tls://10.0.0.2:4222",
    ],
)
def test_the_addresses_of_brokers_are_those_that_modelroll_stream_takes(url: str) -> None:
    told = environment(render(*STREAM_ON, f"stream.url={url}".replace(",", r"\,"))[WORKER])
    found = settings.from_environment({name: value for name, value in told.items() if isinstance(value, str)})
    assert terms.of(found).url == url


def test_a_worker_has_every_variable_that_another_one_names() -> None:
    """Kubernetes leaves `$(NAME)` as it stands where NAME does not come before."""
    (container,) = pod_of(render(*STREAM_ON, "valkey.enabled=true")[WORKER])["containers"]
    before: set[str] = set()
    for one in container["env"]:
        assert set(re.findall(r"\$\((\w+)\)", one.get("value", ""))) <= before, one
        before.add(one["name"])
    assert {"VALKEY_PASSWORD", "CACHE_URL"} <= before


def test_what_a_worker_is_told_is_what_modelroll_stream_takes() -> None:
    given = ["output=answers", "dead=letters", "group=g", "batch=8", "mostBytes=2Mi"]
    worker = render(*STREAM_ON, "stream.url=nats://nats", *(f"stream.{one}" for one in given))[WORKER]
    told = {name: value for name, value in environment(worker).items() if isinstance(value, str)}
    found = terms.of(settings.from_environment(told))
    assert (found.output, found.dead, found.group, found.batch) == ("answers", "letters", "g", 8)
    assert settings.from_environment(told).stream_most_bytes == 2 * 2**20


def test_secrets_reach_a_worker_as_secrets() -> None:
    found = environment(render(*STREAM_ON, "stream.url=", "stream.urlSecret.name=broker")[WORKER])
    assert found["STREAM_URL"] == {"secretKeyRef": {"name": "broker", "key": "url"}}
    worker = render(
        *STREAM_ON,
        "stream.url=kafka+ssl://kafka:9093",
        "stream.sasl=scram-sha-512",
        "stream.credentialsSecret.name=user",
        "stream.tlsSecret.name=tls",
        "stream.tlsSecret.clientCertificate=true",
    )[WORKER]
    found = environment(worker)
    assert found["STREAM_SASL"] == "scram-sha-512"
    assert found["STREAM_PASSWORD"] == {"secretKeyRef": {"name": "user", "key": "password"}}
    assert found["STREAM_USER"] == {"secretKeyRef": {"name": "user", "key": "username", "optional": True}}
    (mount,) = [one for one in pod_of(worker)["containers"][0]["volumeMounts"] if one["name"] == "broker"]
    files = {item["key"] for item in volume(worker, "broker")["secret"]["items"]}
    assert {f"{mount['mountPath']}/{one}" for one in files} == {
        found[name] for name in ("STREAM_CA", "STREAM_CERTIFICATE", "STREAM_KEY")
    }


def test_a_worker_follows_what_the_servers_have_settled_on_and_is_nobodys_to_move() -> None:
    objects = render(*STREAM_ON, "fullnameOverride=telco")
    worker, server = objects["Deployment", "telco-stream"], objects["Deployment", "telco"]
    assert "modelroll.dev/model" not in worker["metadata"]["labels"]
    settled = volume(server, "target")["projected"]["sources"][1]["configMap"]
    assert volume(worker, "target") == {"name": "target", "configMap": settled}
    labels = worker["spec"]["template"]["metadata"]["labels"]
    assert not server["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert worker["spec"]["selector"]["matchLabels"].items() <= labels.items()


def test_a_worker_is_as_restricted_as_a_server_and_probed_alike() -> None:
    objects = render(*STREAM_ON, 'nodeSelector={"disk":"fast"}', 'imagePullSecrets=[{"name":"registry"}]')
    worker, server = (pod_of(objects["Deployment", name]) for name in ("churn-stream", "churn"))
    same = ("securityContext", "serviceAccountName", "automountServiceAccountToken", "nodeSelector", "imagePullSecrets")
    assert {name: worker[name] for name in same} == {name: server[name] for name in same}
    assert worker["automountServiceAccountToken"] is False
    own, other = worker["containers"][0], server["containers"][0]
    for name in ("securityContext", "startupProbe", "livenessProbe", "readinessProbe", "image"):
        assert own[name] == other[name], name
    assert "memory" in own["resources"]["limits"]
    assert {"cpu", "memory"} <= own["resources"]["requests"].keys()
    assert not [one for one in own["volumeMounts"] if one["name"] == "models" and not one["readOnly"]]


def test_the_number_of_workers_can_be_somebody_elses() -> None:
    assert render(*STREAM_ON, "stream.replicas=3")[WORKER]["spec"]["replicas"] == 3
    assert "replicas" not in render(*STREAM_ON, "stream.replicas=null")[WORKER]["spec"], (
        "a null would be Helm's word for 1"
    )


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (("url=",), "nothing says where the broker is"),
        (("urlSecret.name=a",), "both say where the broker is"),
        (("url=redis://user:secret@redis",), "everybody who may read the Deployment would see"),
        (("input=",), "nothing says where events are read from"),
        (("output=sensors",), "answers would be read as events"),
        (("dead=sensors",), "answers would be read as events"),
        (("output=a", "dead=a"), "dead letters could not be told from answers"),
        (("dead=sensors.predictions",), "both sensors.predictions: dead letters could not be told from answers"),
        (("output=sensors.dead",), "both sensors.dead: dead letters could not be told from answers"),
        (("url=redis://:6379",), 'has "redis://:6379" where a host is to stand'),
        (("url=redis:///0",), 'has "redis:///0" where a host is to stand'),
        (("url=redis://redis:port",), 'has "redis://redis:port" where a host is to stand'),
        ((r"url=kafka://one:9092\,:9092",), 'has ":9092" where a host is to stand'),
        ((r"url=nats://one\,",), 'has "" where a host is to stand'),
        ((r"url=kafka://one:9092\,kafka://two:9092",), 'has "kafka://two:9092" where a host is to stand'),
        (("sasl=plain",), "set stream.credentialsSecret.name, or no sasl"),
        (("url=redis://redis?password=secret",), "stream.url has a user or a password"),
        (("sasl=plain", "credentialsSecret.name=a"), "stream.url is of another broker"),
        (("url=kafka://kafka", "credentialsSecret.name=a"), "set stream.sasl"),
        (("tlsSecret.name=a",), "stream.url is one without TLS"),
        (("tlsSecret.clientCertificate=true",), "does not say where the certificate is"),
        (("terminationGracePeriodSeconds=44",), "the kubelet would kill workers that still settle"),
        (('podAnnotations={"modelroll.dev/move":"a"}',), "annotations of modelroll.dev on pods are the operator's"),
    ],
)
def test_contradictions_of_workers_are_refused_with_a_sentence(settings: tuple[str, ...], sentence: str) -> None:
    result = template(*STREAM_ON, *(f"stream.{one}" for one in settings))
    assert result.returncode != 0
    assert sentence in result.stderr


def test_a_variable_that_the_chart_sets_of_a_worker_is_refused() -> None:
    assert "set that one" in template(*STREAM_ON, 'env=[{"name":"STREAM_GROUP","value":"a"}]').stderr


@pytest.mark.parametrize(
    ("setting", "where"),
    [
        ("url=amqp://rabbit", "/stream/url"),
        ("input=two words", "/stream/input"),
        ("group=a.b", "/stream/group"),
        ("batch=0", "/stream/batch"),
        ("claimAfterSeconds=5", "/stream/claimAfterSeconds"),
        ("sasl=gssapi", "/stream/sasl"),
        ("mostBytes=1M", "/stream/mostBytes"),
        ("unknown=1", "/stream"),
    ],
)
def test_bad_values_of_workers_are_refused_by_the_schema(setting: str, where: str) -> None:
    result = template(*STREAM_ON, f"stream.{setting}")
    assert result.returncode != 0
    assert f"at '{where}" in result.stderr
