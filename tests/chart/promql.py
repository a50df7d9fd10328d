"""The PromQL of the chart: every rule's and every panel's, and what its parts ask for."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import promql_parser

from chart.rendering import CHART, Object, render

RULES_ON = "monitoring.rules.enabled=true"
STREAM_ON = ("stream.enabled=true", "stream.url=redis://redis:6379/0", "stream.input=sensors")
GRAFANA = {"$__rate_interval": "1m", "$namespace": "models", "$release": "churn"}


def rules(*settings: str) -> list[Object]:
    """The alerts of the release churn in the namespace models."""
    (group,) = render(RULES_ON, *STREAM_ON, *settings)["PrometheusRule", "churn"]["spec"]["groups"]
    found: list[Object] = group["rules"]
    return found


def dashboard() -> Object:
    """The dashboard of the chart."""
    found: Object = json.loads((CHART / "files" / "dashboard.json").read_text())
    return found


def panels() -> list[Object]:
    """The panels that show something."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, str]]:
    """The title and the PromQL of every query of a panel, as Grafana would ask for the release churn."""
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], in_place_of_grafana(target["expr"])


def releases() -> str:
    """The PromQL whose series are the releases that Grafana offers."""
    (variable,) = (one for one in dashboard()["templating"]["list"] if one["name"] == "release")
    found = re.fullmatch(r"query_result\((.*)\)", variable["query"]["query"])
    assert found is not None
    return in_place_of_grafana(found[1])


def in_place_of_grafana(expression: str) -> str:
    """PromQL with Grafana's variables filled in; one that it does not know stays."""
    return re.sub(r"\$\w+", lambda found: GRAFANA.get(found[0], found[0]), expression)


@dataclass(frozen=True)
class Asked:
    """One metric that an expression asks for, and the labels that it must have for the expression to work."""

    metric: str
    labels: frozenset[str]


def asked(expression: str) -> set[Asked]:
    """What an expression asks for: the matchers of each selector, and the labels of the aggregations around it."""
    return set(_asked(promql_parser.parse(expression), frozenset()))


def _asked(expr: Any, around: frozenset[str]) -> Iterator[Asked]:
    match expr:
        case promql_parser.VectorSelector():
            assert expr.name is not None, "every selector names its metric"
            matched = {one.name for one in expr.matchers.matchers}
            yield Asked(expr.name, around | matched)
        case promql_parser.MatrixSelector():
            yield from _asked(expr.vector_selector, around)
        case promql_parser.AggregateExpr():
            by = expr.modifier
            assert by is None or by.type == promql_parser.AggModifierType.By, (
                "`without` would keep labels that come later"
            )
            # What is aggregated away inside is not there for those around it.
            kept = frozenset(by.labels) if by is not None else frozenset()
            assert around <= kept, f"{sorted(around - kept)} are aggregated away"
            yield from _asked(expr.expr, kept)
        case promql_parser.BinaryExpr():
            yield from _asked(expr.lhs, around)
            yield from _asked(expr.rhs, frozenset())
        case promql_parser.Call():
            le = frozenset({"le"}) if expr.func.name == "histogram_quantile" else frozenset()
            for argument in expr.args:
                yield from _asked(argument, around | le)
        case promql_parser.ParenExpr() | promql_parser.UnaryExpr() | promql_parser.SubqueryExpr():
            yield from _asked(expr.expr, around)
        case _:
            assert isinstance(expr, promql_parser.NumberLiteral | promql_parser.StringLiteral), expr
