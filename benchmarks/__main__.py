"""The command line of the benchmarks: `python -m benchmarks --help`."""

import asyncio
import fnmatch
import os
import signal
import sys
import tempfile
from pathlib import Path

import click
import msgspec

from benchmarks import (
    access,
    drift,
    events,
    ghz,
    machine,
    models,
    noticed,
    offline,
    page,
    peers,
    places,
    profile,
    reloads,
    results,
    rounds,
    runs,
    shadow,
    sizing,
    starts,
    subjects,
    tables,
    targets,
    traces,
    wrk,
)

SECONDS = 3
WHOLE = rounds.Plan({1: 2, 16: 2, 64: SECONDS, 256: SECONDS}, rounds=3)
QUICK = rounds.Plan({1: 1, 64: 2}, rounds=3, once=frozenset({"tutorial FastAPI"}))
INSIDE = 60  # turns with and without, where the application is called without sockets
QUICK_MODELS = ("logistic", "forest", "churn")


@click.group()
def main() -> None:
    """Measure modelroll beside the bare server and its peers."""


@main.command()
@click.argument("names", nargs=-1, metavar="[PEER]...")
def setup(names: tuple[str, ...]) -> None:
    """Install the peers (all of peers.toml), each into an environment of its own under the cache directory."""
    wrk.check()
    places.cache().mkdir(parents=True, exist_ok=True)
    for name in names or peers.requirements():
        peers.set_up(name)
    if reason := ghz.set_up():
        print(f"ghz: {reason}")


@main.command()
@click.option("--quick", is_flag=True, help="Under three minutes: no peers but the tutorial, 64 connections and 1.")
@click.option("--subject", "patterns", multiple=True, help="Only subjects of that name; * stands for anything.")
@click.option("--model", "names", multiple=True, type=click.Choice(models.NAMES), help="Only these models.")
@click.option("--connections", multiple=True, type=int, help="Only these numbers of connections.")
@click.option("--rounds", "times", type=int, help="Turns of each subject.")
@click.option("--load-only", is_flag=True, help="Measure neither starts nor reloads.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The file of results.")
def run(
    *,
    quick: bool,
    patterns: tuple[str, ...],
    names: tuple[str, ...],
    connections: tuple[int, ...],
    times: int | None,
    load_only: bool,
    out: Path | None,
) -> None:
    """Measure, write the results, print the tables."""
    _confine()
    usual = QUICK if quick else WHOLE
    wanted = {number: usual.seconds.get(number, SECONDS) for number in connections or usual.seconds}
    plan = rounds.Plan(wanted, times or usual.rounds, usual.once)
    compared = [one for one in subjects.ALL if _is_wanted(one.name, patterns or (subjects.QUICK if quick else ("*",)))]
    found = runs.begin(plan, compared)
    file = out or runs.place(found, quick=quick)
    rounds.measure(found, names or (QUICK_MODELS if quick else models.NAMES), compared, plan)
    if not load_only:
        for name in ("logistic",) if quick else ("logistic", "deep", "churn"):
            starting = [one for one in subjects.STRATEGIES if not quick or one.name == "modelroll compiled"]
            starts.measure(found, name, starting, 3 if quick else 5)
    results.write(found, file)
    if not (load_only or quick):
        for pause in (reloads.APART, 0.0):
            reloads.measure(found, "churn", pause=pause)
        results.write(found, file)
    _print(found)
    print(f"\n{file}")


@main.command("more")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--subject", "patterns", multiple=True, help="Only subjects of that name; * stands for anything.")
@click.option("--model", "names", multiple=True, type=click.Choice(models.NAMES), help="Only these models.")
@click.option("--connections", multiple=True, type=int, help="Only these numbers of connections.")
@click.option("--rounds", "times", type=int, default=WHOLE.rounds, help="Turns of each subject.")
def add_rounds(
    file: Path, *, patterns: tuple[str, ...], names: tuple[str, ...], connections: tuple[int, ...], times: int
) -> None:
    """Add rounds of load to a file of results, of the same machine and the same servers."""
    _confine()
    found = runs.same(file)
    wanted = {number: WHOLE.seconds.get(number, SECONDS) for number in connections or WHOLE.seconds}
    first = 1 + max((sample.round for sample in found.samples), default=-1)
    compared = [one for one in subjects.ALL if _is_wanted(one.name, patterns or ("*",))]
    rounds.measure(found, names or models.NAMES, compared, rounds.Plan(wanted, times, first=first))
    results.write(found, file)
    _print(found)


def _confine() -> None:
    """Stay off the server's core, with all that this process does itself."""
    wrk.check()
    _, core = machine.cores()
    os.sched_setaffinity(0, {core})


def _is_wanted(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _print(found: results.Run) -> None:
    for model in dict.fromkeys(sample.model for sample in found.samples):
        print(f"\n{model}: good answers a second by connections\n\n{tables.throughput(found, model)}")
    if found.starts:
        print(f"\nstarts\n\n{tables.starts(found)}")
    if found.reloads:
        print(f"\nreloads under load\n\n{tables.reloads(found)}")
    print(f"\nasked and measured\n\n{tables.verdicts(found)}")


@main.command("show")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def show(file: Path) -> None:
    """Print the tables of a file of results."""
    _print(results.read(file))


@main.command("page")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def write_page(file: Path) -> None:
    """Put the tables and plots of a file of results into docs/performance.md."""
    page.write(results.read(file), str(file.resolve().relative_to(places.ROOT)))


@main.command("reloads")
@click.option("--model", "name", default="churn", show_default=True, type=click.Choice(models.NAMES))
@click.option("--count", default=reloads.COUNT, show_default=True, type=int)
@click.option("--pause", default=reloads.APART, show_default=True, type=float, help="Seconds between two of them.")
@click.option(
    "--more", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Add them to a file."
)
def measure_reloads(name: str, count: int, pause: float, file: Path | None) -> None:
    """Swap versions under load, and print what callers and memory saw."""
    _confine()
    found = runs.begin(WHOLE, []) if file is None else runs.same(file)
    reloads.measure(found, name, count, pause)
    if file is not None:
        results.write(found, file)
    print(f"\n{tables.reloads(found)}")


@main.command("shadow")
@click.option("--model", "name", default="churn", show_default=True, type=click.Choice(models.NAMES))
def measure_shadow(name: str) -> None:
    """Compare a candidate in the shadow, and print what the live version's callers saw of it."""
    _confine()
    head = ["connections", "p50", "p99", "answers a second", "compared", "failed"]
    rows = [
        [
            str(one.connections),
            f"{one.p50:.2f}×",
            f"{one.p99:.2f}×",
            f"{one.rate:.2f}×",
            f"{one.compared:.1%}",
            str(one.failed),
        ]
        for one in shadow.measure(name)
    ]
    print(f"{name}: with a candidate in the shadow to without\n\n{tables.table(head, rows)}")


@main.command("drift")
@click.option("--model", "name", default="churn", show_default=True, type=click.Choice(models.NAMES))
@click.option("--pairs", default=9, show_default=True, help="Windows of load with and without, at each number.")
def measure_drift(name: str, pairs: int) -> None:
    """Compare a server that counts its rows for drift with one that does not."""
    _confine()
    head = ["connections", "answers a second", "ratio", "CPU for an answer", "p99"]
    rows = [
        [str(one.connections), f"{one.answers:,.0f}", f"{one.rate:.3f}×", f"{one.cpu:.3f}×", f"{one.p99:.2f}×"]
        for one in drift.measure(name, pairs)
    ]
    print(f"{name}: with drift counted to without\n\n{tables.table(head, rows)}\n")
    inside = asyncio.run(drift.measure_inside(name, INSIDE))
    print(
        f"Without sockets: {inside.counted:.2f} µs of processor time for a request with, {inside.not_counted:.2f} µs"
        f" without, at the least; {inside.ratio:.3f}× by the median of {INSIDE} pairs."
    )


@main.command("access")
@click.option("--model", "name", default="churn", show_default=True, type=click.Choice(models.NAMES))
def measure_access(name: str) -> None:
    """Ask a server with TLS, tokens, both and neither, and print what it costs."""
    _confine()
    head = ["server with", "connections", "answers a second", "to neither", "CPU an answer", "p99", "failed"]
    rows = [
        [
            one.name,
            str(one.connections),
            f"{one.rate:,.0f}",
            f"{one.ratio:.2f}×",
            f"{one.cpu:.0f} µs",
            f"{one.p99:.2f} ms",
            str(one.failed),
        ]
        for one in access.measure(name)
    ]
    print(f"{name}: what TLS and tokens cost on kept connections\n\n{tables.table(head, rows)}")


@main.command("noticed")
@click.option("--model", "name", default="churn", show_default=True, type=click.Choice(models.NAMES))
def measure_noticed(name: str) -> None:
    """Roll versions in place, and print what callers at a steady rate saw of it."""
    _confine()
    head = ["pod", "requests", "failed", "of a core", "seconds", "p50", "p99", "p99 ratio"]
    rows = [
        [
            one.kind,
            str(one.requests),
            str(one.failed),
            f"{one.share:.0%}",
            f"{one.seconds:.2f}",
            " → ".join(f"{ms:.2f} ms" for ms in one.p50),
            " → ".join(f"{ms:.2f} ms" for ms in one.p99),
            f"{one.p99[1] / one.p99[0]:.2f}×",
        ]
        for one in noticed.measure(name)
    ]
    print(f"{name}: between rollouts → while one is under way\n\n{tables.table(head, rows)}")


@main.command("sizing")
@click.option("--model", "names", multiple=True, type=click.Choice(models.NAMES), help="Only these models.")
def measure_sizing(names: tuple[str, ...]) -> None:
    """Ask at rates that leave the server time to rest, and print what a request costs then, and its memory."""
    wrk.check()
    _confine()
    head = ["model", "", "at rest", *(f"{rate:,}/s" for rate in sizing.RATES), "MiB"]
    rows = [
        [
            one.model,
            one.subject,
            f"{one.idle:.1%} of a core",
            *(f"{cost.microseconds:.0f} ({cost.rate:,.0f}/s)" for cost in one.costs),
            f"{one.mib:.0f}",
        ]
        for one in sizing.measure(names or models.NAMES)
    ]
    print(f"µs of processor time for a request (requests a second that came about)\n\n{tables.table(head, rows)}")


@main.command("offline")
@click.option("--model", "name", default="churn", show_default=True, type=click.Choice(models.NAMES))
@click.option("--rows", default=1_000_000, show_default=True, type=click.IntRange(1_000), help="Of each timed run.")
@click.option("--rounds", "times", default=5, show_default=True, type=click.IntRange(0), help="Turns of each subject.")
@click.option("--size", "sizes", multiple=True, type=click.IntRange(1_000), help="Rows by which memory is compared.")
@click.option("--large", is_flag=True, help="Compare it by 1, 10 and 50 million rows, and CSV by 1 and 10 million.")
@click.option("--place", type=click.Path(file_okay=False, exists=True), help="Where files are made; 10 GB for --large.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="The file of results.")
def measure_offline(
    *, name: str, rows: int, times: int, sizes: tuple[int, ...], large: bool, place: str | None, out: Path | None
) -> None:
    """Predict files by bare loops and by batch jobs, and print rows a second and peak memory."""
    inputs = offline.LARGE if large else [offline.Input(size) for size in sizes or (rows, 4 * rows)]
    found = offline.begin(name)
    with tempfile.TemporaryDirectory(dir=place) as directory:
        offline.measure_speed(found, rows, times, Path(directory))
        offline.measure_memory(found, inputs, Path(directory))
    file = out or places.cache() / "results" / "offline.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")
    if found.speed:
        print(f"{name}: {rows:,} rows of Parquet, medians of {times} rounds\n\n{tables.batch_speed(found)}")
    print(f"{name}: peak memory of a batch job\n\n{tables.batch_memory(found)}\n{file}")


@main.command("traces")
def measure_traces() -> None:
    """Trace no request, one of a hundred, and every one, and print what that costs."""
    _confine()
    found = runs.begin(traces.PLAN, [])
    head = ["traced", "connections", "answers a second", "a CPU second", "p50", "p99", "failed"]
    rows = [
        [
            one.name,
            str(one.connections),
            f"{one.rate:.2f}×",
            f"{one.rate_of_cpu:.2f}×",
            f"{one.p50:.2f}×",
            f"{one.p99:.2f}×",
            str(one.failed),
        ]
        for one in traces.measure(found)
    ]
    print(f"\n{tables.throughput(found, traces.MODEL)}\n\nto no traces\n\n{tables.table(head, rows)}")


@main.command("events")
@click.argument("kind", type=click.Choice(events.NAMES))
@click.option("--model", "name", default="churn", show_default=True, type=click.Choice(models.NAMES))
@click.option("--events", "count", default=50_000, show_default=True, type=click.IntRange(1_000))
@click.option("--rounds", "times", default=3, show_default=True, type=click.IntRange(1))
def measure_events(kind: str, name: str, count: int, times: int) -> None:
    """Answer events of a broker beside bare consumers of the same, and print events a second of each."""
    head = ["subject", "events/s", "to reading", "to sending, too", "CPU/event", "the broker's"]
    found = [
        [
            one.name,
            f"{one.rate:,.0f}",
            f"{one.reads:.2f}×",
            f"{one.sends:.2f}×",
            f"{one.cpu:,.0f} µs",
            f"{one.broker:,.0f} µs",
        ]
        for one in events.measure(kind, name, count, times)
    ]
    print(f"{name}: {count:,} events of {kind}\n\n{tables.table(head, found)}")


@main.command("profile")
@click.option("--model", "name", default="logistic", show_default=True, type=click.Choice(models.NAMES))
@click.option("--subject", "patterns", multiple=True, help="Only subjects of that name; * stands for anything.")
@click.option("--connections", default=64, show_default=True, type=int)
def print_profile(name: str, patterns: tuple[str, ...], connections: int) -> None:
    """Print where the processor time of one request goes, for the bare server and for modelroll."""
    _confine()
    model = models.open_model(name)
    seen: dict[str, profile.Profile] = {}
    for subject in subjects.ALL:
        if not _is_wanted(subject.name, patterns or ("bare uvicorn", "modelroll*")):
            continue
        if reason := subject.absent(model):
            print(f"{subject.name}: {reason}\n")
            continue
        seen[subject.name] = profile.measure(subject, model, connections)
        print(tables.profile(f"{subject.name}, {name}", seen[subject.name]), flush=True)
    bare = seen.pop(targets.BARE, None)
    if bare is not None:
        for one, found in seen.items():
            print(tables.remains(f"{one}, {name}", found, bare))


@main.command("targets")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def print_targets(file: Path) -> None:
    """Print what was asked beside what a file of results says."""
    print(tables.verdicts(results.read(file)))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no server outlives it, stopped and unseen
    try:
        main()
    except (wrk.Missing, machine.TooFewCores) as missing:
        sys.exit(str(missing))
