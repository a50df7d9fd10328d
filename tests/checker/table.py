"""The small table at the end of a run."""

import time
from collections import Counter

from rich.console import Console
from rich.table import Table

from checker.verdict import Record, Verdict

LINES = 40


def show(verdict: Verdict, times: dict[str, float]) -> None:
    """Print what every request got.

    Args:
        verdict: The run.
        times: Seconds from apply to live, by what was applied.
    """
    table = Table(title="What every request got", title_justify="left", show_header=False)
    table.add_column("")
    table.add_column("", justify="right")
    for version, count in verdict.by_version.items():
        table.add_row(f"answered by {version}", f"{count:,}")
    table.add_row("failed or wrong", f"{len(verdict.failed):,}", style="bold red" if verdict.failed else "bold green")
    table.add_row(
        "by a version not legal then", f"{len(verdict.illegal):,}", style="bold red" if verdict.illegal else ""
    )
    table.add_row("p50 / p99", f"{verdict.p50:.1f} / {verdict.p99:.1f} ms")
    for what, seconds in times.items():
        table.add_row(f"{what}: apply → live", f"{seconds:.1f} s")
    Console().print(table)
    for line in _summed_up(verdict.failed):
        Console(stderr=True).print(line)
    for record in (*verdict.failed, *verdict.illegal)[:5]:
        Console(stderr=True).print(record)


def _summed_up(failed: tuple[Record, ...]) -> list[str]:
    """How many failed in which second, and of what."""
    found = Counter(
        (int(one.get("cut") or one.get("start", 0)), one.get("error") or one.get("cut_by") or "") for one in failed
    )
    times = sorted(found)[:LINES]
    return [f"{time.strftime('%H:%M:%S', time.localtime(at))} {found[at, why]} × {why}" for at, why in times]
