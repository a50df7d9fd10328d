"""A run as tables in Markdown, for the terminal and the page."""

import itertools
import statistics
from collections.abc import Iterable, Sequence

from benchmarks import offline, ratios, results, targets
from benchmarks.profile import PER_BATCH, Profile


def throughput(run: results.Run, model: str) -> str:
    """Good answers a second by connections, and p99, errors and the share of the bare server at the most usual load."""
    connections = sorted({sample.connections for sample in run.samples if sample.model == model})
    names = list(dict.fromkeys(sample.subject for sample in run.samples if sample.model == model))
    head = [
        "",
        *(f"{number}" for number in connections),
        "p50 at 1, ms",
        "p99 at 64, ms",
        "errors",
        "core used at 64",
        "of bare at 64",
        "by CPU time",
    ]
    rows = []
    for name in [subject.name for subject in run.subjects if subject.name in names]:
        rates = [ratios.median(run, ratios.rate, name, model, number) for number in connections]
        used = ratios.median(run, ratios.core, name, model, 64)
        shares = [
            ratios.compared(run, measure, name, targets.BARE, model, 64)
            for measure in (ratios.rate, ratios.rate_of_cpu)
        ]
        rows.append(
            [
                name,
                *(_number(one, 0) for one in rates),
                _number(ratios.median(run, ratios.p50, name, model, 1), 2),
                _number(ratios.median(run, ratios.p99, name, model, 64), 1),
                str(sum(ratios.errors(run, name, model, number) for number in connections)),
                "" if used is None else f"{used:.0%}",
                *("" if share is None else f"{share:.1%}" for share in shares),
            ]
        )
    rows += [[one.subject, *(["–"] * (len(head) - 1))] for one in run.absent if one.model == model]
    reasons = [
        f"{one.subject} is not measured: {one.reason.splitlines()[0]}\n" for one in run.absent if one.model == model
    ]
    return "\n".join([table(head, rows), *reasons])


def starts(run: results.Run) -> str:
    """Loading strategies: medians of the starts."""
    rows = []
    for model, name in dict.fromkeys((one.model, one.subject) for one in run.starts):
        found = [one for one in run.starts if (one.model, one.subject) == (model, name)]
        ready = ratios.middle(one.ready_seconds for one in found)
        answer = ratios.middle(one.answer_seconds for one in found)
        memory = ratios.middle(one.ready_mib for one in found)
        rows.append([model, name, f"{ready:.2f}", f"{answer:.2f}", f"{memory:.0f}"])
    return table(["model", "", "ready after, s", "first answer after, s", "resident when ready, MiB"], rows)


def verdicts(run: results.Run) -> str:
    """What was asked, measured, held."""
    said = {True: "held", False: "**not held**", None: ""}
    rows = [[one.what, one.asked, one.measured or "not measured", said[one.held]] for one in targets.verdicts(run)]
    return table(["", "asked", "measured", ""], rows)


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Markdown, padded so that it reads in a terminal too; all but the first column of words to the right."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(head))]

    def text(line: Sequence[str]) -> str:
        return "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |"

    rule = "| " + " | ".join("-" * width for width in widths) + " |"
    return "\n".join([text(lines[0]), rule, *(text(line) for line in lines[1:])]) + "\n"


def reloads(run: results.Run) -> str:
    """Memory and latency before and after many swaps."""
    head = [
        "model",
        "reloads",
        "apart, s",
        "in, s",
        "p99 before, ms",
        "p99 during, ms",
        "failed",
        "MiB before",
        "after 150",
        "after all",
    ]
    rows = [
        [
            one.model,
            str(one.count),
            f"{one.pause:g}",
            f"{one.seconds:.0f}",
            f"{one.before_ms.p99:.1f}",
            f"{one.during_ms.p99:.1f}",
            str(one.failed),
            f"{ratios.middle(one.before_mib):.1f}",
            f"{ratios.middle(one.mib[140:150]):.1f}" if len(one.mib) > 150 else "",
            f"{ratios.middle(one.mib[-10:]):.1f}",
        ]
        for one in run.reloads
    ]
    return table(head, rows)


def profile(name: str, found: Profile, rows: int = 20) -> str:
    """Where the processor time of one request goes, in µs."""
    lines = [[place, f"{share:.1%}", f"{share * found.cpu_micros:.1f}"] for place, share in found.functions.items()]
    files = [[place, f"{share:.1%}", f"{share * found.cpu_micros:.1f}"] for place, share in found.places.items()]
    waits = [
        [phase, "batch" if phase in PER_BATCH else "request", f"{micros:.1f}"] for phase, micros in found.phases.items()
    ]
    if found.batch_rows:
        waits.append(["infer", "row", f"{found.phases['infer'] / found.batch_rows:.1f}"])
    head = (
        f"{name}: {found.load.rate:,.0f}/s, p99 {found.load.latency_ms.p99:.1f} ms, "
        f"{found.cpu_micros:.1f} µs of processor time a request\n"
    )
    parts = [head, table(["file", "share", "µs"], files[:rows]), table(["function", "share", "µs"], lines[:rows])]
    return "\n".join([*parts, table(["phase, by its own count", "of one", "µs"], waits)] if waits else parts)


def remains(name: str, found: Profile, bare: Profile, rows: int = 20) -> str:
    """What a request costs more than at the bare server, in µs of processor time, by file."""
    files = {
        file: found.places.get(file, 0.0) * found.cpu_micros - bare.places.get(file, 0.0) * bare.cpu_micros
        for file in {**found.places, **bare.places}
    }
    more = sorted(files.items(), key=lambda one: one[1], reverse=True)
    lines = [["all", f"{found.cpu_micros - bare.cpu_micros:+.1f}"], *([file, f"{cost:+.1f}"] for file, cost in more)]
    return f"{name}: what remains above the bare server\n\n{table(['file', 'µs a request'], lines[: rows + 1])}"


def batch_speed(run: offline.Run) -> str:
    """Rows a second of batch jobs, and what they are to those of both bare loops in the same round."""
    head = ["subject", "rows/s", "to bare", "to bare, encoded alike", "CPU to that of bare", "to that encoded alike"]
    rounds: dict[str, list[offline.Measured]] = {}
    for one in run.speed:
        rounds.setdefault(one.subject, []).append(one)
    rows = []
    for subject, measured in rounds.items():
        row = [subject, f"{statistics.median(one.rate for one in measured):,.0f}"]
        for quantity, other in itertools.product(("rate", "cpu_seconds"), (offline.BARE, offline.ALIKE)):
            pairs = zip(measured, rounds[other], strict=True)
            row.append(f"{statistics.median(getattr(a, quantity) / getattr(b, quantity) for a, b in pairs):.2f}×")
        rows.append(row)
    return table(head, rows)


def batch_memory(run: offline.Run) -> str:
    """Peak memory of batch jobs, and what it is to that of the smallest input of its kind."""
    head = ["input", "rows", "peak", "to the fewest rows", "seconds"]
    smallest: dict[str, offline.Measured] = {}
    for one in sorted(run.memory, key=lambda one: one.rows):
        smallest.setdefault(one.input, one)
    rows = [
        [
            one.input,
            f"{one.rows:,}",
            f"{one.peak / 2**20:,.0f} MiB",
            f"{one.peak / smallest[one.input].peak:.2f}×",
            f"{one.seconds:.1f}",
        ]
        for one in run.memory
    ]
    return table(head, rows)
