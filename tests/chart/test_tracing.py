"""Traces in the chart: off by default, and OpenTelemetry's own variables where a collector is named."""

import pytest

from chart.rendering import environment, render, template

pytestmark = pytest.mark.needs("helm")

ENDPOINT = "tracing.endpoint=http://otel-collector:4318"
SERVER, OPERATOR = ("Deployment", "churn"), ("Deployment", "churn-operator")


def traced(*settings: str, of: tuple[str, str] = SERVER) -> dict[str, object]:
    return {name: value for name, value in environment(render(*settings)[of]).items() if name.startswith("OTEL_")}


def test_no_traces_are_sent_by_default() -> None:
    assert traced() == traced(of=OPERATOR) == {}


def test_a_collector_is_all_that_it_takes() -> None:
    pod = "k8s.namespace.name=models,k8s.pod.name=$(POD_NAME)"
    sent = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://otel-collector:4318",
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }
    assert traced(ENDPOINT) == {
        **sent,
        "OTEL_SERVICE_NAME": "churn",
        "OTEL_RESOURCE_ATTRIBUTES": f"k8s.deployment.name=churn,{pod}",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.01",
    }
    assert traced(ENDPOINT, of=OPERATOR) == {
        **sent,
        "OTEL_SERVICE_NAME": "churn-operator",
        "OTEL_RESOURCE_ATTRIBUTES": f"k8s.deployment.name=churn-operator,{pod}",
    }


def test_the_pods_name_is_known_before_it_is_referred_to() -> None:
    for name in (SERVER, OPERATOR):
        variables = list(environment(render(ENDPOINT)[name]))
        assert variables.index("POD_NAME") < variables.index("OTEL_RESOURCE_ATTRIBUTES")


def test_values_reach_the_servers_and_the_operator() -> None:
    settings = (
        ENDPOINT,
        "tracing.sampleRatio=1",
        "tracing.headersSecret.name=collector",
        'tracing.resourceAttributes={"deployment.environment.name":"production","k8s.deployment.name":"mine"}',
    )
    assert traced(*settings)["OTEL_TRACES_SAMPLER_ARG"] == "1"
    for found in (traced(*settings), traced(*settings, of=OPERATOR)):
        assert found["OTEL_EXPORTER_OTLP_HEADERS"] == {"secretKeyRef": {"name": "collector", "key": "headers"}}
        attributes = str(found["OTEL_RESOURCE_ATTRIBUTES"]).split(",")
        assert {"deployment.environment.name=production", "k8s.deployment.name=mine"} < set(attributes)
        assert len(attributes) == 4


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (("tracing.headersSecret.name=collector",), "set tracing.endpoint"),
        (('tracing.resourceAttributes={"team":"data"}',), "set tracing.endpoint"),
        (("tracing.endpoint=otel-collector:4318",), "tracing/endpoint"),
        (("tracing.endpoint=http://me:secret@otel:4318",), "put them into tracing.headersSecret"),
        ((ENDPOINT, "tracing.sampleRatio=1.5"), "tracing/sampleRatio"),
        ((ENDPOINT, 'tracing.resourceAttributes={"team":"a=b"}'), "tracing/resourceAttributes/team"),
        ((ENDPOINT, 'env=[{"name":"OTEL_SERVICE_NAME","value":"other"}]'), "the chart sets from another value"),
    ],
)
def test_what_cannot_be_meant_is_refused(settings: tuple[str, ...], sentence: str) -> None:
    result = template(*settings)
    assert result.returncode != 0
    assert sentence in result.stderr
