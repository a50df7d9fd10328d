"""`modelroll rollout`: status, history, undo, retry, pause, resume."""

import time
from collections.abc import Callable
from typing import Any, Self

import click
from rich import box
from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from modelroll_server.errors import KubectlFailed
from modelroll_server.kubectl import Kubectl
from modelroll_server.rollouts.modelversions import ModelVersions
from modelroll_server.rollouts.successor import outlook
from modelroll_server.rollouts.view import View, has_failed, history, is_live, view

LOOK_EVERY = 0.5  # seconds
BAR = 24  # characters


class Group(click.Group):
    """Commands whose cluster may refuse."""

    def invoke(self, ctx: click.Context) -> Any:
        """As a sentence, not as a traceback."""
        try:
            return super().invoke(ctx)
        except KubectlFailed as error:
            raise click.ClickException(error.message) from error


def _of_a_cluster(command: Callable[..., None]) -> Callable[..., None]:
    namespace = click.option("--namespace", "-n", help="Namespace of the ModelVersion; kubectl's own when not given.")
    context = click.option("--context", help="Context of your kubeconfig; the current one when not given.")
    return namespace(context(command))


def _model_versions(namespace: str | None, context: str | None) -> ModelVersions:
    return ModelVersions(Kubectl(context=context, namespace=namespace))


@click.group(cls=Group)
def rollout() -> None:
    """See and steer the rollouts of ModelVersions."""


@rollout.command()
@click.argument("name")
@click.option("--watch/--no-watch", default=True, help="Wait for the end of the rollout, or only say where it stands.")
@click.option("--timeout", type=click.FloatRange(min=0), help="Seconds after which no longer to wait.")
@_of_a_cluster
def status(name: str, *, watch: bool, timeout: float | None, namespace: str | None, context: str | None) -> None:
    """Follow the rollout to the ModelVersion NAME to its end.

    Ends well once it is live and every pod serves it, and with code 1 when it is not going to be.
    """
    versions = _model_versions(namespace, context)
    end = None if timeout is None else time.monotonic() + timeout
    with _Screen() as screen:
        while True:
            seen = view(versions.get(name))
            screen.show(seen)
            if seen.end == "live":
                return
            if seen.end is not None:
                raise click.ClickException(_failure(seen))
            if not watch:
                return
            if end is not None and time.monotonic() > end:
                raise click.ClickException(f"{name} is not live after {timeout:g} s: {seen.reason or seen.message}")
            time.sleep(LOOK_EVERY)


def _failure(seen: View) -> str:
    said = f"{seen.name} is not live: {seen.reason}: {seen.message}"
    return (
        f"{said}\n`modelroll rollout retry {seen.name}` tries it again once that is mended"
        if seen.is_to_retry
        else said
    )


class _Screen:
    """Shows where a rollout stands: a line that changes on a terminal, a line a change elsewhere."""

    def __init__(self) -> None:
        console = Console()
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._said = ""

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, seen: View) -> None:
        """Say it, if it is news. That it is not going to be live is left to the error that ends the command."""
        if self._live is not None:
            self._live.update(_line(seen), refresh=True)
        elif seen.end != "not live" and str(seen) != self._said:
            click.echo(str(seen))
        self._said = str(seen)


def _line(seen: View) -> Table:
    colour = {"live": "green", "not live": "red", None: "yellow"}[seen.end]
    bar = ProgressBar(total=max(seen.desired, 1), completed=seen.updated, width=BAR)
    grid = Table.grid(padding=(0, 1))
    if not seen.reason:
        grid.add_row(seen.name, seen.message)
        return grid
    message = "" if seen.end == "not live" else seen.message
    grid.add_row(seen.name, bar, f"{seen.updated}/{seen.desired} pods", Text(seen.reason, style=colour), message)
    return grid


@rollout.command("history")
@click.argument("name")
@_of_a_cluster
def show_history(name: str, *, namespace: str | None, context: str | None) -> None:
    """List how the rollouts of a model ended, the newest first. NAME is the model's, or a ModelVersion's of it."""
    events = history(_model_versions(namespace, context).of_the_model(name))
    if not events:
        click.echo(f"no rollout of {name} has ended yet")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in ("Time", "Name", "Version", "Outcome", "Revision", "Why"):
        table.add_column(title, overflow="fold")
    for event in events:
        why = ": ".join(text for text in (event.reason, event.message) if text)
        revision = "" if event.revision is None else str(event.revision)
        table.add_row(event.time, event.name, event.version, event.outcome, revision, Text(why))
    Console(width=None if Console().is_terminal else 200).print(table)


@rollout.command()
@click.argument("name")
@_of_a_cluster
def undo(name: str, *, namespace: str | None, context: str | None) -> None:
    """Take the ModelVersion NAME out, by spec.withdrawn: the highest one that is left becomes live."""
    versions = _model_versions(namespace, context)
    gone = versions.change(name, withdrawn=True)
    click.echo(f"{name} is withdrawn")
    click.echo(outlook(gone, versions.of_the_model(name)))


@rollout.command()
@click.argument("name")
@_of_a_cluster
def retry(name: str, *, namespace: str | None, context: str | None) -> None:
    """Try the ModelVersion NAME again, which has failed, by the annotation modelroll.dev/retry."""
    versions = _model_versions(namespace, context)
    before = versions.get(name)
    if before["spec"].get("withdrawn"):
        raise click.ClickException(_withdrawn(name))
    if not has_failed(before):
        click.echo(f"{name} has not failed, so that there is nothing to try again")
        return
    versions.retry(name)
    click.echo(f"{name} may be tried again; `modelroll rollout status {name}` follows it")


@rollout.command()
@click.argument("name")
@_of_a_cluster
def pause(name: str, *, namespace: str | None, context: str | None) -> None:
    """Hold the rollout to the ModelVersion NAME, by spec.paused."""
    paused = _model_versions(namespace, context).change(name, paused=True)
    click.echo(f"{name} is paused" + (", which holds nothing now: it is live" if is_live(paused) else ""))


@rollout.command()
@click.argument("name")
@_of_a_cluster
def resume(name: str, *, namespace: str | None, context: str | None) -> None:
    """Let the rollout to the ModelVersion NAME begin, or go on."""
    versions = _model_versions(namespace, context)
    before = versions.get(name)
    was_paused = before["spec"].get("paused", False)
    if was_paused:
        versions.change(name, paused=False)
    if before["spec"].get("withdrawn"):
        click.echo(_withdrawn(name))
    else:
        click.echo(f"{name} goes on" if was_paused else f"{name} was not paused")


def _withdrawn(name: str) -> str:
    back = """--type merge -p '{"spec":{"withdrawn":false}}'"""
    return f"{name} is withdrawn: `kubectl patch modelversion {name} {back}` brings it back"
