"""A run of the benchmarks: one that begins, one that goes on from its file, and where that lies."""

from datetime import UTC, datetime
from pathlib import Path

import click

from benchmarks import machine, peers, places, results, rounds, subjects


def begin(plan: rounds.Plan, compared: list[subjects.Subject]) -> results.Run:
    """A run that has measured nothing yet."""
    return results.Run(
        began=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        seconds={str(number): long for number, long in plan.seconds.items()},
        machine=machine.this(),
        source=machine.source(),
        versions=machine.versions(),
        subjects=[
            results.Subject(one.name, one.says, peers.versions(one.peer) if one.peer else {}) for one in compared
        ],
    )


def same(file: Path) -> results.Run:
    """What a file says, if what would be measured now is what was measured then."""
    found = results.read(file)
    if found.machine != machine.this():
        raise click.ClickException("those results are of another machine")
    if found.source.changed or not machine.has_same_servers(found.source.commit):
        raise click.ClickException(f"what was measured at {found.source.commit[:10]} has changed since")
    return found


def place(found: results.Run, *, quick: bool) -> Path:
    """The file that it is written to, unless another is named."""
    if quick:
        return places.cache() / "results" / "quick.json"
    return places.RESULTS / f"{found.began[:10]}-{found.source.commit[:7]}.json"
