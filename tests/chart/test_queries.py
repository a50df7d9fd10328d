"""Every rule and panel asks for metrics that the server or the operator exposes, with the labels that these have."""

import pytest

from chart import exposed, promql

OF_A_TARGET = frozenset({"namespace", "job", "pod", "instance"})  # monitoring.scrape, and the Prometheus Operator


def unknown(expression: str) -> list[str]:
    """What an expression asks for that nobody exposes."""
    there = exposed.samples()
    return [
        f"{one.metric} with {sorted(one.labels - OF_A_TARGET)}"
        for one in promql.asked(expression)
        if one.metric not in there or not one.labels <= there[one.metric] | OF_A_TARGET
    ]


@pytest.mark.needs("helm")
def test_every_rule_asks_for_what_is_exposed() -> None:
    assert {rule["alert"]: found for rule in promql.rules() if (found := unknown(rule["expr"]))} == {}


def test_every_panel_asks_for_what_is_exposed() -> None:
    assert {title: found for title, query in promql.queries() if (found := unknown(query))} == {}


def test_what_grafana_offers_for_a_release_is_exposed() -> None:
    assert unknown(promql.releases()) == []


@pytest.mark.parametrize(
    "expression",
    [
        "rate(prediction_totals[5m])",
        'rate(prediction_total{code="200"}[5m])',
        "sum by (status) (queued_rows)",
        "sum by (code) (rate(prediction_total[5m]))",
        "max by (pod) (queued_rows) or sum by (pod) (nothing)",
        "histogram_quantile(0.9, sum by (le) (rate(prediction_total[5m])))",
    ],
)
def test_what_nobody_exposes_is_found(expression: str) -> None:
    assert unknown(expression)


def test_a_label_that_is_aggregated_away_is_found() -> None:
    with pytest.raises(AssertionError, match="le"):
        promql.asked("histogram_quantile(0.9, sum by (pod) (rate(prediction_latency_seconds_bucket[5m])))")


@pytest.mark.needs("helm")
def test_every_metric_is_looked_at_by_somebody() -> None:
    """One that neither a rule nor a panel asks for is either missing there, or not worth its series."""
    expressions = [rule["expr"] for rule in promql.rules()] + [query for _, query in promql.queries()]
    asked = {one.metric for expression in expressions for one in promql.asked(expression)}
    families = {metric.name: {sample.name for sample in metric.samples} for metric in exposed.metrics()}
    assert {name for name, samples in families.items() if not samples & asked} == UNASKED


UNASKED = {
    "prediction_cache_entries",
    "modelroll_rollout_seconds",
    "modelroll_trace_spans",
    "modelroll_operator_trace_spans",
}
