"""A run as pictures for docs/performance.md: one SVG a model, rate and p99 by connections."""

import io
import re
from pathlib import Path
from typing import NamedTuple

from benchmarks import ratios, results


class Line(NamedTuple):
    """One subject in one plot: values by connections, in the order of the connections."""

    subject: str
    connections: list[int]
    values: list[float]


def lines(run: results.Run, measure: ratios.Measure, model: str) -> list[Line]:
    """What is drawn: medians over the rounds, fastest first at the most connections."""
    connections = sorted({sample.connections for sample in run.samples if sample.model == model})
    found = []
    for name in dict.fromkeys(sample.subject for sample in run.samples if sample.model == model):
        points = [(number, ratios.median(run, measure, name, model, number)) for number in connections]
        measured = [(number, value) for number, value in points if value]
        if measured and not (measure is ratios.p99 and name.endswith("stream")):  # that is of a whole stream
            found.append(Line(name, [number for number, _ in measured], [value for _, value in measured]))
    return sorted(found, key=lambda line: line.values[-1], reverse=True)


def write(run: results.Run, model: str, file: Path) -> None:
    """Draw rate and p99 of every subject, both on logarithmic axes."""
    import matplotlib as mpl

    mpl.use("svg")
    # The same bytes for the same run: no date, and names that do not depend on memory addresses.
    mpl.rcParams.update({"svg.hashsalt": "modelroll", "font.size": 9})
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    names = [line.subject for line in lines(run, ratios.rate, model)]
    colors = mpl.colormaps["tab20"]
    panels = ((ratios.rate, "good answers a second"), (ratios.p99, "p99, ms"))
    for axis, (measure, title) in zip(axes, panels, strict=True):
        for line in lines(run, measure, model):
            own = line.subject.startswith("modelroll")
            bare = line.subject.startswith("bare")
            style = {"linewidth": 2.4 if own else 1.2, "linestyle": "--" if bare else "-", "marker": "o"}
            color = colors(names.index(line.subject))  # the same in both panels
            axis.plot(line.connections, line.values, label=line.subject, color=color, markersize=4, **style)
        axis.set(xscale="log", yscale="log", xlabel="connections", title=title)
        axis.set_xticks(sorted({number for line in lines(run, measure, model) for number in line.connections}))
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.minorticks_off()
        axis.grid(visible=True, alpha=0.3)
    figure.suptitle(f"{model}: one core for the server")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=8)
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    plt.close(figure)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(re.sub(r"[ \t]+$", "", drawn.getvalue(), flags=re.MULTILINE))
