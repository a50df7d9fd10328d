"""A run as a picture: every request as a point, by the version that answered it."""

from collections.abc import Sequence
from pathlib import Path

from checker.verdict import Record, Timeline, Verdict

COLORS = ("#4c78a8", "#f58518", "#54a24b", "#b279a2", "#9d755d")
BIN = 1.0  # seconds


def draw(records: Sequence[Record], timeline: Timeline, verdict: Verdict, since: float, file: Path) -> None:
    """Draw the milliseconds of every request, and the answers of each version in every second.

    Args:
        records: What `client` printed; one at least.
        timeline: From which moment on which versions were legal, oldest first.
        verdict: What the run came to.
        since: The moment that is drawn as second 0, in seconds, as time.time() has them.
        file: Where the PNG goes.
    """
    import matplotlib as mpl

    mpl.use("agg")
    mpl.rcParams.update({"font.size": 9})
    from matplotlib import pyplot as plt

    figure, (above, below) = plt.subplots(
        2, 1, figsize=(9, 4.5), sharex=True, layout="constrained", height_ratios=(3, 2)
    )
    answered = {version: [one for one in records if one["version"] == version] for version in verdict.by_version}
    colors = dict(zip(answered, COLORS * len(answered), strict=False))
    for version, ones in answered.items():
        moments = [one["start"] - since for one in ones]
        above.scatter(moments, [one["ms"] for one in ones], s=6, color=colors[version], label=f"{version}")
    failed = [(one.get("start", since) - since, one.get("ms", 0)) for one in (*verdict.failed, *verdict.illegal)]
    if failed:
        above.scatter(*zip(*failed, strict=True), s=40, marker="x", color="red", label="failed, wrong or not legal")
    above.set(yscale="log", ylabel="ms of each request")
    above.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    above.yaxis.set_minor_formatter(lambda *_: "")
    moments = sorted(one["start"] - since for one in records)
    edges = [moments[0] + BIN * number for number in range(int(moments[-1] - moments[0]) + 1)]
    series = [[one["start"] - since for one in ones] for ones in answered.values()]
    if len(edges) > 1:  # the last second is not whole, and would look like an outage
        below.hist(series, bins=edges, stacked=True, color=list(colors.values()))
    below.set(ylabel="answers a second", xlabel="seconds since the new version was applied")
    both = [moment - since for moment, versions in timeline if len(versions) > 1]
    ends = [
        moment - since for moment, versions in timeline if len(versions) == 1 and moment - since > min(both, default=0)
    ]
    for axis in (above, below):
        if both:
            until = min(ends, default=moments[-1])
            axis.axvspan(min(both), until, color="grey", alpha=0.2, label="both versions are legal")
    above.legend(loc="upper right", title="answered by", fontsize=8)
    failures = len(verdict.failed) + len(verdict.illegal)
    figure.suptitle(f"{verdict.requests:,} requests, {failures} failed, wrong or by a version that was not legal")
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110, metadata={"Software": None})
    plt.close(figure)
