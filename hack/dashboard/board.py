"""The chart's Grafana dashboard, made of Grafana's own types, so that a field that a panel does not have cannot be set.

Owns how it is shown, and `rows` what; `hack/generate.py` writes it to the chart. Every query is tested against what the
server and the operator expose (tests/chart/test_queries.py).
"""

import json

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.common import (
    BigValueGraphMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
)

from hack.dashboard.panels import Graph, Query
from hack.dashboard.rows import NUMBERS, ROWS

# Stream workers, which say what they serve too, are a part of their release and not another one.
RELEASES = 'count by (job) (model_info{namespace="$namespace"} unless on (job) stream_up{namespace="$namespace"})'
SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")


def make() -> str:
    """The dashboard's JSON."""
    board = (
        dashboard.Dashboard("modelroll")
        .uid("modelroll")
        .description(
            "Models served by modelroll, and their rollouts. docs/operations.md says what to do about an alert."
        )
        .tags(["modelroll"])
        .readonly()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .time("now-3h", "now")
        .refresh("30s")
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(_variable("namespace", "Namespace", "label_values(model_info, namespace)"))
        .with_variable(_variable("release", "Release", f"query_result({RELEASES})").regex('/job="([^"]*)"/'))
    )
    for title, unit, expr in NUMBERS:
        number = stat.Panel().title(title).unit(unit).datasource(SOURCE).height(4).span(4)
        number.graph_mode(BigValueGraphMode.NONE).reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        board.with_panel(number.with_target(_target(Query(expr, ""), 0).instant()))
    for title, graphs in ROWS:
        board.with_row(dashboard.Row(title))
        for graph in graphs:
            board.with_panel(_panel(graph))
    built = board.build()
    for place, panel in enumerate(built.panels or [], 1):
        panel.id_val = place
    return json.dumps(built, cls=JSONEncoder, indent=2) + "\n"


def _variable(name: str, label: str, query: str) -> dashboard.QueryVariable:
    variable = dashboard.QueryVariable(name).label(label).datasource(SOURCE)
    variable.query({"query": query, "refId": "StandardVariableQuery"})
    return variable.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(models.VariableSort.ALPHABETICAL_ASC)


def _target(query: Query, number: int) -> prometheus.Dataquery:
    target = prometheus.Dataquery().expr(query.expr).ref_id(chr(ord("A") + number)).datasource(SOURCE)
    return target.legend_format(query.legend) if query.legend else target


def _panel(graph: Graph) -> timeseries.Panel:
    legend = common.VizLegendOptions().show_legend(True).display_mode(LegendDisplayMode.LIST)
    panel = (
        timeseries.Panel()
        .title(graph.title)
        .description(graph.text)
        .unit(graph.unit)
        .min(0)
        .datasource(SOURCE)
        .height(7)
        .span(graph.wide)
        .fill_opacity(30 if graph.stacked else 0)
        .legend(legend.placement(LegendPlacement.BOTTOM).calcs([]))
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    if graph.stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    if graph.top is not None:
        panel.max(graph.top)
    for number, query in enumerate(graph.queries):
        panel.with_target(_target(query, number))
    return panel
