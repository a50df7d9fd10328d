"""Names and labels at the limits that Kubernetes sets for them, with everything on that the chart makes."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from chart.rendering import Objects, render, template

pytestmark = pytest.mark.needs("helm")

EVERYTHING = (
    "operator.enabled=true",
    "stream.enabled=true",
    "stream.url=redis://redis",
    "stream.input=rows",
    "valkey.enabled=true",
    "ingress.enabled=true",
    "gateway.enabled=true",
    'gateway.parentRefs=[{"name":"public"}]',
    "monitoring.scrape.enabled=true",
    "monitoring.rules.enabled=true",
    "monitoring.dashboard.enabled=true",
)
LABEL = 63  # characters, of a label's value and of a Service's name
OBJECT = 253
CRON_JOB = 52  # the time of a run is added to it


def require_short(objects: Objects) -> None:
    for (kind, name), one in objects.items():
        assert len(name) <= {"Service": LABEL, "CronJob": CRON_JOB, "Job": LABEL}.get(kind, OBJECT), (kind, name)
        assert not name.endswith("-")
        for value in labels(one):
            assert len(value) <= LABEL, (kind, name, value)


def labels(one: Any) -> Iterator[str]:
    """The values of all labels within, of selectors and templates too."""
    if isinstance(one, list):
        for inner in one:
            yield from labels(inner)
    if isinstance(one, dict):
        for key, inner in one.items():
            if key in {"labels", "matchLabels", "selector"} and isinstance(inner, dict):
                yield from (value for value in inner.values() if isinstance(value, str))
            yield from labels(inner)


@pytest.mark.parametrize("release", ["r" * 53, "r" * 51 + "-r"])
def test_the_longest_release_can_be_installed(release: str) -> None:
    objects = render(*EVERYTHING, release=release)
    assert {kind for kind, _ in objects} >= {"Service", "Deployment", "Pod", "NetworkPolicy", "HTTPRoute", "Ingress"}
    require_short(objects)


def test_the_longest_names_of_batch_jobs_can_be_installed() -> None:
    nightly = {"in": "rows", "out": "nightly.csv", "claim": "d", "schedule": "0 2 * * *", "options": ["--overwrite"]}
    given = {"nightly": nightly, "o": {"in": "rows", "out": "once.csv", "claim": "d"}}
    objects = render(f"batch.jobs={json.dumps(given)}", release="r" * (CRON_JOB - len("-nightly")))
    assert max(len(name) for kind, name in objects if kind == "CronJob") == CRON_JOB
    require_short(objects)


def not_texts(one: Any, place: str = "") -> Iterator[str]:
    """Where a name, a namespace, a key, or a label stands that YAML reads as anything but text."""
    if isinstance(one, list):
        for inner in one:
            yield from not_texts(inner, place)
    if isinstance(one, dict):
        for key, inner in one.items():
            here = f"{place}/{key}"
            named = key == "namespace" or key.lower().endswith("name") or (key == "key" and "ref" in place.lower())
            if named and not isinstance(inner, str):
                yield here
            if key in {"labels", "annotations", "matchLabels"} and isinstance(inner, dict):
                yield from (f"{here}/{label}" for label, value in inner.items() if not isinstance(value, str))
            yield from not_texts(inner, here)


@pytest.mark.parametrize("release", ["1234", "true", "null", "1e3", "0x10"])
def test_what_yaml_reads_as_a_number_or_a_truth_value_stays_a_name(release: str) -> None:
    batch = {"in": "rows", "out": "out.csv", "claim": "77", "secret": "88"}
    named = (
        "fullnameOverride=churn",
        f"batch.jobs={json.dumps({'once': batch})}",
        'serviceAccount={"create":false,"name":"55"}',
        'tracing={"endpoint":"http://c:4318","headersSecret":{"name":"66","key":"1"}}',
        'tls={"secretName":"99"}',
    )
    objects = render(*EVERYTHING, *named, release=release, namespace="1234")
    assert [found for one in objects.values() for found in not_texts(one)] == []
    (subject,) = objects["RoleBinding", "churn-operator"]["subjects"]
    assert subject["namespace"] == "1234"
    assert objects["Deployment", "churn"]["metadata"]["labels"]["app.kubernetes.io/instance"] == release


@pytest.mark.parametrize(("indexes", "most"), [(1, 52), (10, 52), (11, 51), (100_000, 48)])
def test_a_name_leaves_room_for_the_indexes_of_its_pods(indexes: int, most: int) -> None:
    """The API server refuses an Indexed Job of which the last index' pod would have a name of more than 63."""
    given = {"a": {"in": "rows", "out": "out.csv", "claim": "d", "indexes": indexes}}
    longest, longer = (template(f"batch.jobs={json.dumps(given)}", release="r" * (most - 2 + more)) for more in (0, 1))
    assert longest.returncode == 0, longest.stderr
    assert f"Kubernetes takes {most} characters" in longer.stderr
