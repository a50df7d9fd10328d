"""What was asked of modelroll's speed and memory, beside what a run measured: held, not held, or not measured."""

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks import ratios, results, subjects

BARE = "bare uvicorn"
COMPILED = "modelroll compiled"
UNCOMPILED = "modelroll uncompiled"
CACHED = "modelroll cached"
GRPC = "modelroll gRPC"
BARE_GRPC = "bare grpc.aio"


@dataclass(frozen=True)
class Verdict:
    """One thing that was asked.

    Attributes:
        what: In words.
        asked: The bound, in words.
        measured: What the run says, in words; None when it does not.
        held: Whether it is within the bound; None when not measured.
    """

    what: str
    asked: str
    measured: str | None
    held: bool | None


def verdicts(run: results.Run) -> list[Verdict]:
    """All that was asked, in order."""
    return [*_throughput(run), *_latency(run), *_starts(run), *_reloads(run)]


def _throughput(run: results.Run) -> Iterator[Verdict]:
    for model in ("logistic", "forest"):
        yield _share(run, f"{model}, compiled, 64 connections, against bare uvicorn", COMPILED, model, 0.8)
    yield from _peers(run)
    yield _share(run, "logistic, uncompiled, 64 connections, against bare uvicorn", UNCOMPILED, "logistic", 0.5)
    yield _share(run, "churn, compiled, 64 connections, against bare uvicorn", COMPILED, "churn", 0.5)
    yield _share(run, "cache hit (logistic), 64 connections, against bare uvicorn", CACHED, "logistic", 0.85)
    yield _share(run, "logistic, gRPC unary, 64 connections, against bare grpc.aio", GRPC, "logistic", 0.8, BARE_GRPC)
    for connections in (64, 16):
        what = f"logistic, gRPC stream in both directions, {connections} connections, against a bare one"
        yield _share(run, what, f"{GRPC}, stream", "logistic", 0.8, f"{BARE_GRPC}, stream", connections)


def _share(
    run: results.Run, what: str, subject: str, model: str, least: float, other: str = BARE, connections: int = 64
) -> Verdict:
    found = ratios.by_round(run, ratios.rate, subject, other, model, connections)
    if not found:
        return Verdict(what, f"≥ {least:.0%}", None, None)
    middle = statistics.median(found)
    return Verdict(what, f"≥ {least:.0%}", f"{middle:.0%}, {_spread(found, '{:.0%}')}", middle >= least)


def _spread(found: list[float], form: str) -> str:
    return f"{form.format(found[0])} to {form.format(found[-1])} in {len(found)} rounds"


def _peers(run: results.Run) -> Iterator[Verdict]:
    """Against the fastest of the others; for the forest also against the fastest of those that failed requests."""
    for model, least in (("logistic", 18), ("forest", 100)):
        clean = [name for name in subjects.PEERS if not ratios.errors(run, name, model, 64)]
        if not any(ratios.rounds(run, name, model, 64) for name in subjects.PEERS if name not in subjects.QUICK):
            clean = []  # a quick run does not know the best
        usual = [name for name in clean if name not in subjects.TUNED]
        what = f"{model}, compiled, 64 connections, against the best peer without errors"
        yield _times(run, f"{what}, as it comes", usual, model, least)
        yield _times(run, f"{what}, tuned", [name for name in clean if name in subjects.TUNED], model, least)
    failing = [name for name in subjects.PEERS if ratios.errors(run, name, "forest", 64)]
    what = "forest, compiled, 64 connections, against the fastest peer with errors"
    yield _times(run, what, failing, "forest", 30)


def _times(run: results.Run, what: str, names: list[str], model: str, least: int) -> Verdict:
    best = ratios.fastest(run, names, model, 64)
    found = [] if best is None else ratios.by_round(run, ratios.rate, COMPILED, best[0], model, 64)
    if best is None or not found:
        return Verdict(what, f"≥ {least}×", None, None)
    middle = statistics.median(found)
    return Verdict(what, f"≥ {least}×", f"{middle:.1f}× ({best[0]}), {_spread(found, '{:.1f}×')}", middle >= least)


def _latency(run: results.Run) -> Iterator[Verdict]:
    for model in ("logistic", "forest", "churn"):
        found = ratios.by_round(run, ratios.p99, COMPILED, BARE, model, 64)
        yield _at_most(f"p99, {model}, compiled, 64 connections, against bare uvicorn's", found, 1.5, "×")
    for model in ("logistic", "forest", "churn"):
        found = ratios.by_round(run, ratios.p50, COMPILED, BARE, model, 1, minus=True)
        yield _at_most(f"p50, {model}, compiled, 1 connection, above bare uvicorn's", found, 0.3, " ms")


def _at_most(what: str, found: list[float], most: float, unit: str) -> Verdict:
    if not found:
        return Verdict(what, f"≤ {most}{unit}", None, None)
    middle = statistics.median(found)
    text = f"{middle:.2f}{unit}, {_spread(found, '{:.2f}' + unit)}"
    return Verdict(what, f"≤ {most}{unit}", text, middle <= most)


def _starts(run: results.Run) -> Iterator[Verdict]:
    starts = [one for one in run.starts if one.subject == COMPILED]
    for what, asked, values, most, unit in (
        ("process start to ready, compiled", "≤ 1.5 s", [one.ready_seconds for one in starts], 1.5, "s"),
        ("resident memory when ready, compiled", "≤ 130 MB", [one.ready_mib * 1.048576 for one in starts], 130, "MB"),
    ):
        if not values:
            yield Verdict(what, asked, None, None)
            continue
        found = statistics.median(values)
        yield Verdict(what, asked, f"{found:.2f} {unit}" if unit == "s" else f"{found:.0f} {unit}", found <= most)


def _reloads(run: results.Run) -> Iterator[Verdict]:
    for how, pauses in (("half a second apart", True), ("one after the other", False)):
        growth = f"500 reloads under load, {how}: growth of resident memory"
        slower = f"500 reloads under load, {how}: p99 during to before"
        found = next((one for one in run.reloads if one.count >= 500 and bool(one.pause) is pauses), None)
        if found is None:
            yield Verdict(growth, "< 5 MB", None, None)
            yield Verdict(slower, "≤ 2×", None, None)
        else:
            yield from _reloaded(found, growth, slower)


def _reloaded(found: results.Reloads, growth: str, slower: str) -> Iterator[Verdict]:
    more = (statistics.median(found.mib[-10:]) - statistics.median(found.before_mib)) * 1.048576
    yield Verdict(growth, "< 5 MB", f"{more:.1f} MB", more < 5)
    times = found.during_ms.p99 / found.before_ms.p99
    yield Verdict(slower, "≤ 2×", f"{times:.2f}×, {found.failed} failed", times <= 2 and found.failed == 0)
