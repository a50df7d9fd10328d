"""`modelroll batch`: a file of rows, predicted."""

import asyncio
import contextlib
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import click

from modelroll_server import settings as configuration
from modelroll_server.cli import batch_job, sharing
from modelroll_server.errors import BatchFailed, ModelrollError
from modelroll_server.offline.options import CHUNK, SHARD_ROWS, Share
from modelroll_server.telemetry import cpu, logs, traces

if TYPE_CHECKING:
    from modelroll_server.offline.job import Order, Summary
    from modelroll_server.registry.version import Version

_PASSWORD = re.compile("//[^/]*@")
_EVERY = 10.0  # seconds between two lines where there is no terminal


@click.command()
@click.argument("source", metavar="IN")
@click.argument("out", metavar="OUT")
@click.option("--artifact", type=click.Path(), help="Artifact, model file, or a model's directory.")
@click.option("--digest", "model_digest", metavar="sha256:…", help="The digest that the artifact must have.")
@click.option("--model", "model_name", metavar="NAME", help="The model's name; a manifest of another is refused.")
@click.option(
    "--artifact-policy", metavar="digest|signed|any", help="Whether a pickle needs a digest, or all a signature."
)
@click.option("--signing-public-key", metavar="FILE", help="PEM file of the keys whose signatures count (signed).")
@click.option("--chunk", default=CHUNK, show_default=True, type=click.IntRange(1), help="Rows computed at once.")
@click.option(
    "--shard-rows", default=SHARD_ROWS, show_default=True, type=click.IntRange(1), help="Rows kept at a kill, about."
)
@click.option("--per-class", is_flag=True, help="A column of probability for each class, too.")
@click.option(
    "--keep", metavar="NAMES", help="Columns of IN that OUT has, with commas between them, or none; else all."
)
@click.option("--prefix", default="", help="Put before the names of the columns that are added.")
@click.option("--delimiter", default=",", show_default=True, help="Between the values of a CSV; \\t is a tab.")
@click.option(
    "--bad-rows",
    default="reject",
    show_default=True,
    type=click.Choice(["reject", "fail"]),
    help="Write them to OUT's rejects with the reason, or end with the first.",
)
@click.option("--parts", is_flag=True, help="Leave the finished shards in OUT.parts/, and write no OUT.")
@click.option("--overwrite", is_flag=True, help="Replace OUT if it is there.")
@click.option("--restart", is_flag=True, help="Begin anew instead of going on where a run stopped.")
@click.option("--threads", type=click.IntRange(1), help="That compute; one for each usable CPU unless said otherwise.")
@click.option(
    "--indexes",
    type=click.IntRange(1),
    metavar="N",
    help="Share the shards among N processes; with --job 4 if not given.",
)
@click.option(
    "--index",
    envvar=sharing.INDEX,
    type=click.IntRange(0),
    help=f"Which of them this is, from 0; a pod of an Indexed Job knows by itself ({sharing.INDEX}).",
)
@click.option("--run", "run_id", default="", metavar="ID", help="What they have in common, and no others: a Job's UID.")
@click.pass_context
def batch(
    context: click.Context, /, source: str, out: str, *, artifact: str | None, threads: int | None, **flags: Any
) -> None:
    """Predict every row of IN, and write the rows with their predictions to OUT.

    IN is a file, a glob in quotes, or a directory, of Parquet, Arrow or CSV (by suffix: .parquet, .arrow or .feather,
    .csv); OUT is one file of any of these. Both may be on any file system of fsspec, such as s3://bucket/rows.parquet.
    The model is --artifact, or what MODEL_PATH says.

    A run that was stopped goes on where it stopped when it is begun again in the same way: OUT.parts/ has what it
    finished. Rows that the model cannot be given are written to the file beside OUT whose name ends with .rejects and
    OUT's suffix.

    With --indexes several processes share the work, and the last of them writes OUT. With --job they are the pods of a
    Job on a cluster: IN and OUT are URLs, or paths on the claim --data-claim, and the model is that of --release, or
    --artifact on --claim.
    """
    job_flags = batch_job.taken(flags)
    if job_flags.pop("job"):
        batch_job.run(context, source, out, artifact=artifact, **job_flags)
        return
    batch_job.refuse_without_job(context)
    if artifact is not None and not Path(artifact).exists():
        raise click.BadParameter(f"Path {artifact!r} does not exist.", param_hint="--artifact")
    share = sharing.share(context, flags.pop("index"), flags.pop("indexes"), flags.pop("run_id"))
    started = {name: flags.pop(name) for name in ("parts", "overwrite", "restart")}
    chosen = {name: flags.pop(name) for name in ("chunk", "shard_rows", "per_class", "prefix", "bad_rows")}
    chosen["keep"] = _names(flags.pop("keep"))
    chosen["delimiter"] = _delimiter(flags.pop("delimiter"))
    settings = _settings(artifact, flags)
    threads = threads or cpu.usable()
    # Before numpy is imported. One thread a computation: several chunks are computed side by side instead.
    os.environ.update(cpu.thread_variables(1, os.environ))
    if share is not None and started["restart"] and not share.run:
        raise click.UsageError(
            "--restart with --indexes needs --run: else each process would begin anew what others did"
        )
    try:
        with sharing.ended_by_signal():
            summary = _run(settings, source, out, {**started, "threads": threads}, chosen, share)
    except ModelrollError as error:
        click.echo(f"modelroll: {error}", err=True)
        sys.exit(sharing.exit_code(error))
    except KeyboardInterrupt as stop:
        click.echo("modelroll: stopped; what is finished is kept: run the same command again to go on", err=True)
        sys.exit(128 + (signal.SIGTERM if isinstance(stop, sharing.Terminated) else signal.SIGINT))
    _show(summary, share)


batch.params += batch_job.OPTIONS  # after its own, in this order


def _settings(artifact: str | None, flags: dict[str, Any]) -> configuration.Settings:
    environment = dict(os.environ)
    if artifact is not None:
        # A person names a path of this machine, and trusts it.
        flags["model_path"] = str(Path(artifact).absolute())
        environment.setdefault("ARTIFACT_POLICY", "any")
        environment.pop("TARGET_DIR", None)
    try:
        settings = configuration.from_environment(environment, flags)
    except configuration.SettingsError as error:
        raise click.UsageError(f"{error} (--artifact)" if artifact is None else str(error)) from error
    logs.configure("warning", "console" if sys.stderr.isatty() else "json")
    return settings


def _names(text: str | None) -> list[str] | None:
    if text is None:
        return None
    return [] if text == "none" else [name.strip() for name in text.split(",") if name.strip()]


def _delimiter(text: str) -> str:
    found = "\t" if text == "\\t" else text
    if len(found) != 1 or not found.isascii() or found in '"\r\n':
        raise click.BadParameter(f"{text!r} is not one ASCII character", param_hint="--delimiter")
    return found


def _run(
    settings: configuration.Settings,
    source: str,
    out: str,
    started: dict[str, Any],
    chosen: dict[str, Any],
    share: Share | None,
) -> "Summary":
    _find_packages()
    try:
        import fsspec  # noqa: F401
        import pyarrow as pa
    except ImportError as error:
        raise BatchFailed(f"{error.name} is not installed: install modelroll-server[batch]") from error
    from modelroll_server.offline import job, shares
    from modelroll_server.offline.options import Options

    pa.set_cpu_count(cpu.usable())
    version = _load(settings)
    order = job.Order(source, out, **started)
    options = Options(**chosen)
    with _Progress() as progress, _traced(order, version) as (trace, found):
        if share is None:
            summary = job.run(order, version, options, progress, trace)
        else:
            found["modelroll.index"] = share.index
            summary = shares.run(order, share, version, options, progress, trace)
        found.update({"modelroll.rows": summary.rows, "modelroll.rejected": summary.rejected})
        return summary


@contextlib.contextmanager
def _traced(order: "Order", version: "Version") -> Iterator[tuple[traces.Trace | None, dict[str, Any]]]:
    """The span of a job, and the attributes that it ends with: part of what TRACEPARENT names, if that is set."""
    began = time.monotonic()
    sent = traces.from_environment(os.environ, traces.BATCH)
    parent = (os.environ.get("TRACEPARENT"), os.environ.get("TRACESTATE"))
    trace = None if sent is None else sent.begin("batch", "internal", began, *parent)
    found: dict[str, Any] = {
        "modelroll.model": version.model,
        "modelroll.version": version.number,
        "modelroll.digest": version.digest,
        "modelroll.source": _PASSWORD.sub("//", order.source),
        "modelroll.out": _PASSWORD.sub("//", order.out),
    }
    failed = None
    try:
        yield trace, found
    except BaseException as error:
        failed = found["error.type"] = type(error).__name__
        raise
    finally:
        if sent is not None:
            if trace is not None:
                trace.end("batch", found, failed)
            sent.close()


def _find_packages() -> None:
    """The server's image has the extra `batch` beside its environment: pandas would load pyarrow into each server."""
    beside = Path(sys.prefix, "batch")
    if beside.is_dir():
        sys.path.append(str(beside))


def _load(settings: configuration.Settings) -> "Version":
    """The version that a server with these settings would start with, behind the same gates."""
    from modelroll_server.registry import sources, target
    from modelroll_server.registry.loader import Loader
    from modelroll_server.registry.terms import Terms

    named = sources.named(settings.model_path, settings.model_root, settings.model_digest, settings.target_dir)
    snapshot = asyncio.run(named.read())
    found = target.base(snapshot)
    if found is None or snapshot.invalid:
        raise BatchFailed("; ".join(snapshot.invalid) or f"{settings.target_dir} does not say what is served")
    return Loader(Terms.of(settings), model=lambda: settings.model_name).load(found.content)


class _Progress:
    """A bar for people; where there is no terminal, a line now and then."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._is_terminal = sys.stderr.isatty()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]} rows/s"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not self._is_terminal,
        )
        self._task = self._bar.add_task("predicting", total=None, rate="–")
        self._rows = self._before = self._done = 0
        self._began = self._said = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begin(self, rows: int, finished: int, shards: int) -> None:
        self._rows, self._before, self._done = rows, finished, finished
        self._began = self._said = time.monotonic()
        self._bar.update(self._task, total=rows, completed=finished)
        if finished:
            self._line(f"going on: {finished:,} of {rows:,} rows are finished, in {shards} shards")

    def advance(self, rows: int) -> None:
        self._done += rows
        now = time.monotonic()
        rate = (self._done - self._before) / max(now - self._began, 1e-9)
        self._bar.update(self._task, completed=self._done, rate=f"{rate:,.0f}")
        if not self._is_terminal and now - self._said >= _EVERY:
            self._said = now
            left = (self._rows - self._done) / max(rate, 1e-9)
            self._line(f"{self._done:,} of {self._rows:,} rows, {rate:,.0f} rows/s, {left:,.0f} s left")

    def assemble(self) -> None:
        self._bar.update(self._task, description="assembling")

    def _line(self, text: str) -> None:
        if self._is_terminal:
            self._bar.console.print(text)
        else:
            click.echo(text, err=True)


def _show(summary: "Summary", share: Share | None) -> None:
    from modelroll_server.offline import shares

    if isinstance(summary, shares.Partial):
        assert share is not None
        shards = f"{summary.waiting:,} {'shard is' if summary.waiting == 1 else 'shards are'} not finished yet"
        left = shards if summary.waiting else "another puts them together"
        click.echo(f"{summary.rows:,} rows predicted, those of index {share.index} of {share.indexes}; {left}")
        return
    lines = [f"{summary.rows:,} rows predicted: {summary.out}"]
    if share is not None and summary.rows and not summary.computed:
        lines.append("nothing was left to compute: OUT is of the same input, model and options")
    if summary.rejects is not None:
        lines.append(f"{summary.rejected:,} rows rejected: {summary.rejects}")
    if summary.lost:
        lines.append(f"{summary.lost:,} predictions are not finite, and null")
    for at, line in enumerate(lines):
        click.echo(click.style(line, fg="yellow") if at else line)
    if share is not None:
        sharing.leave_word("\n".join(lines))
