"""What Prometheus and Grafana get: off by default, and found, scraped and labelled as the rules expect."""

import json
import re
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from chart import exposed, promql
from chart.rendering import CHART, ROOT, pod_of, render, template

pytestmark = pytest.mark.needs("helm")

SCRAPE = "monitoring.scrape.enabled=true"
DASHBOARD = "monitoring.dashboard.enabled=true"
PAGE = (ROOT / "docs" / "operations.md").read_text()
KINDS = {"ServiceMonitor", "PodMonitor", "PrometheusRule"}


def test_nothing_asks_for_the_prometheus_operator_by_default() -> None:
    objects = render()
    assert not KINDS & {kind for kind, _ in objects}
    assert not [one for one in objects.values() if "monitoring" in one["apiVersion"]]
    assert ("ConfigMap", "churn-dashboard") not in objects


def test_the_servers_are_scraped_through_the_one_service_that_has_the_management_port() -> None:
    objects = render(SCRAPE)
    spec = objects["ServiceMonitor", "churn"]["spec"]
    (endpoint,) = spec["endpoints"]
    found = [
        name
        for (kind, name), one in objects.items()
        if kind == "Service"
        and spec["selector"]["matchLabels"].items() <= one["metadata"]["labels"].items()
        and endpoint["port"] in {port["name"] for port in one["spec"]["ports"]}
    ]
    assert found == ["churn-management"]
    assert endpoint["path"] == "/metrics"
    assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": "churn"}]


def test_the_operator_is_scraped_from_its_pods() -> None:
    objects = render(SCRAPE)
    spec = objects["PodMonitor", "churn-operator"]["spec"]
    template_labels = objects["Deployment", "churn-operator"]["spec"]["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= template_labels.items()
    (endpoint,) = spec["podMetricsEndpoints"]
    ports = {port["name"] for port in pod_of(objects["Deployment", "churn-operator"])["containers"][0]["ports"]}
    assert endpoint["port"] in ports
    assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": "churn-operator"}]


def test_stream_workers_are_scraped_from_their_pods() -> None:
    objects = render(SCRAPE, *promql.STREAM_ON)
    spec = objects["PodMonitor", "churn-stream"]["spec"]
    worker = objects["Deployment", "churn-stream"]
    assert spec["selector"]["matchLabels"].items() <= worker["spec"]["template"]["metadata"]["labels"].items()
    (endpoint,) = spec["podMetricsEndpoints"]
    assert endpoint["port"] in {port["name"] for port in pod_of(worker)["containers"][0]["ports"]}
    assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": "churn-stream"}]
    assert ("PodMonitor", "churn-stream") not in render(SCRAPE)


def test_without_an_operator_nothing_is_asked_of_one() -> None:
    objects = render(SCRAPE, promql.RULES_ON, "operator.enabled=false")
    assert ("PodMonitor", "churn-operator") not in objects
    expressions = [rule["expr"] for rule in promql.rules("operator.enabled=false")]
    assert expressions
    asked = {one.metric for expression in expressions for one in promql.asked(expression)}
    its_own = {sample.name for metric in exposed.operator().registry.collect() for sample in metric.samples}
    assert its_own
    assert not asked & its_own


def test_where_drift_is_not_told_of_no_alert_asks_for_it() -> None:
    names = {rule["alert"] for rule in promql.rules()}
    assert names - {rule["alert"] for rule in promql.rules("drift.enabled=false")} == {"ModelrollInputDrift"}
    server = pod_of(render("drift.enabled=false")["Deployment", "churn"])["containers"][0]
    found = {one["name"]: one.get("value") for one in server["env"] if one["name"].startswith("DRIFT")}
    assert found == {"DRIFT": "false"}


def test_intervals_and_labels_reach_the_monitors() -> None:
    objects = render(
        SCRAPE,
        "monitoring.scrape.interval=15s",
        "monitoring.scrape.timeout=5s",
        "monitoring.scrape.labels.release=prom",
    )
    for kind, name, ports in (
        ("ServiceMonitor", "churn", "endpoints"),
        ("PodMonitor", "churn-operator", "podMetricsEndpoints"),
    ):
        (endpoint,) = objects[kind, name]["spec"][ports]
        assert (endpoint["interval"], endpoint["scrapeTimeout"]) == ("15s", "5s")
        assert objects[kind, name]["metadata"]["labels"]["release"] == "prom"


def test_a_label_that_the_chart_sets_too_stands_there_once() -> None:
    part = "app.kubernetes.io/part-of"
    common = f'commonLabels={{"{part}":"bank"}}'
    assert {one["metadata"]["labels"][part] for one in render(common).values()} == {"bank"}
    own = f'monitoring.rules.labels={{"{part}":"kube-prometheus-stack"}}'
    for settings in ((common, own), (own,)):
        result = template(promql.RULES_ON, *settings)
        (rules,) = [one for one in result.stdout.split("\n---") if "kind: PrometheusRule" in one]
        assert rules.partition("spec:")[0].count(part) == 1
        assert f"{part}: kube-prometheus-stack" in rules


def test_values_reach_the_rules() -> None:
    rule = promql.rules(
        "monitoring.rules.window=10m",
        'monitoring.rules.errors={"percent":2.5,"for":"1m"}',
        "monitoring.rules.alertLabels.team=data",
        "monitoring.rules.runbookUrl=https://example.com/operations.md",
        "monitoring.rules.labels.release=prom",
    )[1]
    assert rule["alert"] == "ModelrollErrors"
    assert rule["expr"].count("[10m]") == 2
    assert rule["expr"].endswith("> 2.5")
    assert rule["for"] == "1m"
    assert rule["labels"] == {"severity": "critical", "team": "data"}
    assert rule["annotations"]["runbook_url"] == "https://example.com/operations.md#modelrollerrors"


@pytest.mark.parametrize(
    ("setting", "alert", "end"),
    [
        ("latency.milliseconds=250", "ModelrollLatency", "> 0.25"),
        ("turnsAway.percent=5", "ModelrollTurnsAway", "> 5"),
        ("queue.rows=100", "ModelrollQueue", "> 100"),
        ("drift.psi=1", "ModelrollInputDrift", "> 1"),
        ("certificate.days=30", "ModelrollCertificateExpires", "< 2592000"),
        ("rollout.unfinishedSeconds=90000", "ModelrollRolloutUnfinished", "> 90000"),
        ("stream.lagEvents=2500000", "ModelrollStreamBehind", "> 2500000"),
        ("stream.deadLettersPercent=5", "ModelrollStreamDeadLetters", "> 5"),
    ],
)
def test_a_limit_reaches_its_rule(setting: str, alert: str, end: str) -> None:
    (rule,) = [one for one in promql.rules(f"monitoring.rules.{setting}") if one["alert"] == alert]
    assert rule["expr"].endswith(end)


@pytest.mark.parametrize(
    ("section", "alerts"),
    [
        ("down", {"ModelrollDown", "ModelrollStreamDown"}),
        ("errors", {"ModelrollErrors"}),
        ("latency", {"ModelrollLatency"}),
        ("turnsAway", {"ModelrollTurnsAway"}),
        ("queue", {"ModelrollQueue"}),
        ("cache", {"ModelrollCacheNotAsked", "ModelrollCacheInvalid"}),
        ("reload", {"ModelrollReloadFailing"}),
        ("skew", {"ModelrollVersionSkew"}),
        ("drift", {"ModelrollInputDrift"}),
        ("certificate", {"ModelrollCertificateExpires"}),
        ("credentials", {"ModelrollCredentialsFailing"}),
        ("rollout", {"ModelrollRolloutStalled", "ModelrollDegraded", "ModelrollNothingEligible"}),
        ("operator", {"ModelrollOperatorDown", "ModelrollOperatorFailing"}),
        ("stream", {"ModelrollStreamStalled", "ModelrollStreamBehind", "ModelrollStreamDeadLetters"}),
    ],
)
def test_how_long_something_lasts_before_it_alerts_is_a_value(section: str, alerts: set[str]) -> None:
    found = promql.rules(f"monitoring.rules.{section}.for=77s")
    assert {rule["alert"] for rule in found if rule.get("for") == "77s"} == alerts


def test_nothing_is_asked_of_stream_workers_that_are_not_there() -> None:
    (group,) = render(promql.RULES_ON)["PrometheusRule", "churn"]["spec"]["groups"]
    assert not [rule for rule in group["rules"] if "stream" in rule["expr"] or "Stream" in rule["alert"]]


def test_any_alert_can_be_left_out_and_no_other_name_is_taken() -> None:
    names = [rule["alert"] for rule in promql.rules()]
    schema = json.loads((CHART / "values.schema.json").read_text())
    disabled = schema["properties"]["monitoring"]["properties"]["rules"]["properties"]["disabled"]
    assert disabled["items"]["enum"] == names
    left = promql.rules(f"monitoring.rules.disabled={json.dumps(names[3:])}")
    assert [rule["alert"] for rule in left] == names[:3]
    assert template(promql.RULES_ON, 'monitoring.rules.disabled=["Modelroll"]').returncode != 0


def test_rules_of_two_releases_in_one_namespace_ask_for_their_own() -> None:
    """But for those of the operator, which is the namespace's."""
    objects = render(promql.RULES_ON, *promql.STREAM_ON, release="telco")
    (group,) = objects["PrometheusRule", "telco"]["spec"]["groups"]
    for rule in group["rules"]:
        assert "churn" not in rule["expr"]
        assert 'namespace="models"' in rule["expr"]
        own = re.search('="telco(-stream)?"|=~"telco[|]telco-stream"', rule["expr"])
        assert own or rule["alert"].startswith("ModelrollOperator")


def test_every_alert_is_on_the_page_and_nothing_else() -> None:
    """In the order of the rules, each with its severity, what it means, how to see more and what to do."""
    parts = re.findall(r"^### (Modelroll\w+)\n(.*?)(?=^#|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in parts] == [rule["alert"] for rule in promql.rules()]
    severities = {rule["alert"]: rule["labels"]["severity"] for rule in promql.rules()}
    for name, text in parts:
        assert text.strip().startswith(f"*{severities[name]}*"), name
        assert re.findall(r"^\*\*(.+?)\*\*", text, re.MULTILINE) == ["Means.", "See more.", "Do."], name


def test_the_page_has_every_metric_with_its_labels_and_nothing_else() -> None:
    said: dict[str, frozenset[str]] = {}
    for names, labels in re.findall(r"^\| (`[^|]+`) \| ([^|]*)\|", PAGE, re.MULTILINE):
        metrics = re.findall(r"`(\w+)`", names)
        lists = [frozenset(one.replace(",", " ").split()) for one in labels.split(";")]
        said |= zip(metrics, lists if len(lists) > 1 else lists * len(metrics), strict=True)
    assert said == exposed.families()


def test_the_dashboard_is_found_by_the_sidecar() -> None:
    one = render(DASHBOARD, "monitoring.dashboard.annotations.grafana_folder=Models")["ConfigMap", "churn-dashboard"]
    assert one["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert one["metadata"]["annotations"] == {"grafana_folder": "Models"}
    assert json.loads(one["data"]["modelroll.json"]) == promql.dashboard()


def test_the_dashboard_holds_nothing_that_grafanas_types_do_not_know() -> None:
    """What they read of it is all of it: a field that is none, or stands where it does not belong, would be lost."""
    document = promql.dashboard()
    read = models.Dashboard.from_json(json.loads(json.dumps(document)))
    assert json.loads(json.dumps(read, cls=JSONEncoder)) == document


def test_panels_have_numbers_and_places_of_their_own() -> None:
    every = promql.dashboard()["panels"]
    assert len({panel["id"] for panel in every}) == len(every)
    taken: set[tuple[int, int]] = set()
    for panel in every:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not taken & cells, panel["title"]
        assert max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells


def test_panels_ask_the_source_that_is_chosen_and_use_only_variables_that_there_are() -> None:
    known = {one["name"] for one in promql.dashboard()["templating"]["list"]} | {"__rate_interval"}
    for panel in promql.panels():
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        for target in panel["targets"]:
            assert set(re.findall(r"\$(\w+)", target["expr"])) <= known, panel["title"]


def labels_in(legend: str) -> set[str]:
    """The labels that a line's name is made of."""
    return set(re.findall(r"\{\{(\w+)\}\}", legend))


def test_the_name_of_a_line_is_made_of_labels_that_it_has() -> None:
    for panel in promql.panels():
        targets: list[dict[str, Any]] = panel["targets"]
        for target in targets:
            grouped = re.findall(r"by \(([^)]*)\)", target["expr"])
            has = {label.strip() for one in grouped for label in one.split(",")}
            assert labels_in(target.get("legendFormat", "")) <= has, panel["title"]


def test_every_panel_says_what_it_shows() -> None:
    assert [
        panel["title"] for panel in promql.panels() if panel["type"] != "stat" and not panel.get("description")
    ] == []


def test_every_release_has_its_own_objects() -> None:
    one, other = (set(render(SCRAPE, promql.RULES_ON, DASHBOARD, release=name)) for name in ("a", "b"))
    assert not one & other
