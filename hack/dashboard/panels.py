"""What a panel asks, and of whom: the words that the rows of the dashboard are written in."""

from dataclasses import dataclass

SERVER = 'namespace="$namespace",job="$release"'
STREAM = 'namespace="$namespace",job="$release-stream"'
PODS = 'namespace="$namespace",job=~"$release(-stream)?"'  # the servers and the stream workers: both predict
OPERATOR = 'namespace="$namespace"'
DEPLOYMENT = 'namespace="$namespace",deployment="$release"'


@dataclass(frozen=True)
class Query:
    """One query: PromQL, with $__rate_interval for the time that Grafana takes rates over, and a line's name."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Graph:
    """One panel of lines.

    Attributes:
        text: What it shows and when to worry, behind the panel's mark.
        unit: One of Grafana's.
        wide: Columns, of 24.
        stacked: Whether the lines are parts of a whole.
        top: Where the axis ends at least, if it has a natural end.
    """

    title: str
    text: str
    unit: str
    queries: tuple[Query, ...]
    wide: int = 8
    stacked: bool = False
    top: float | None = None


def quantile(share: float, metric: str, by: str, selector: str = SERVER) -> str:
    """PromQL of a quantile of a histogram, by these labels."""
    return f"histogram_quantile({share}, sum by (le{by}) (rate({metric}_bucket{{{selector}}}[$__rate_interval])))"


def rate(metric: str, by: str, more: str = "", selector: str = SERVER) -> str:
    """PromQL of how fast a counter grows, by these labels."""
    return f"sum by ({by}) (rate({metric}{{{selector}{more}}}[$__rate_interval]))"
