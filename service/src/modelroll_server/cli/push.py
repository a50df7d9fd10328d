"""`modelroll push`."""

import signal
import sys
from importlib.metadata import version
from pathlib import Path
from types import FrameType

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from modelroll_server.errors import KubectlFailed, PushFailed
from modelroll_server.kubectl import Kubectl
from modelroll_server.packing import advice
from modelroll_server.pushing import archive
from modelroll_server.pushing import push as pushing


@click.command("push")
@click.argument("directory", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--claim", required=True, help="PersistentVolumeClaim that the servers mount.")
@click.option("--namespace", "-n", help="Namespace of the claim; kubectl's own when not given.")
@click.option("--context", help="Context of your kubeconfig; the current one when not given.")
@click.option("--image", envvar="MODELROLL_IMAGE", help="Image of the receiving pod: modelroll-server of this version.")
@click.option("--timeout", default=120.0, show_default=True, help="Seconds that the pod may take to start.")
def push(
    directory: Path, claim: str, namespace: str | None, context: str | None, image: str | None, timeout: float
) -> None:
    """Put the versions in DIRECTORY onto a claim, through a short-lived pod.

    DIRECTORY is a model's directory, of which every complete version goes, or one artifact. What is there already is
    left as it is; the same version with other content is refused.
    """
    signal.signal(signal.SIGTERM, _interrupted)
    image = image or None  # an empty variable is none
    receiving = image or f"modelroll-server:{version('modelroll-server')}"
    destination = pushing.Destination(claim=claim, image=receiving, timeout=timeout)
    try:
        entries = pushing.find(directory)
        kubectl = Kubectl(context=context, namespace=namespace)
        with _progress() as progress:
            task = progress.add_task(str(directory), total=archive.size(entries))
            received = pushing.push(
                entries,
                kubectl,
                destination,
                report=lambda count: progress.advance(task, count),
                say=lambda line: click.echo(line, err=True),
            )
    except (KubectlFailed, PushFailed) as error:
        raise click.ClickException(error.message) from error
    outcomes = {one.version: one for one in received}
    for entry in entries:
        one = outcomes[entry.version.text]
        click.echo(f"{advice.volume_path(entry.manifest)}  {one.digest}  {one.outcome}")
    newest = entries[-1]
    click.echo(f"\nInstall:  {advice.helm_flags(newest.manifest, newest.digest, claim=claim, image=image)}\n")
    if image is None:
        click.echo(f"{advice.NO_IMAGE}\n")
    click.echo(
        "Or roll out, with kubectl apply -f. Apply what is served now as well: it is what a roll back goes to.\n"
    )
    click.echo("---\n".join(advice.model_version(entry.manifest, entry.digest) for entry in entries), nl=False)


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    return Progress(*columns, console=console, disable=not console.is_terminal, transient=True)


def _interrupted(number: int, frame: FrameType | None) -> None:
    del frame
    sys.exit(128 + number)  # unwinds, so that the pod is deleted
