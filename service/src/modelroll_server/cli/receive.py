"""`modelroll receive`: what `modelroll push` runs in its pod."""

import sys
from pathlib import Path

import click
import msgspec

from modelroll_server.errors import ReceiveFailed
from modelroll_server.packing import receive as receiving


@click.command("receive", hidden=True)
@click.option("--root", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
def receive(root: Path) -> None:
    """Unpack versions from a tar on standard input into ROOT/<model>/<version>/, and print a receipt a line."""
    try:
        for received in receiving.receive(sys.stdin.buffer, root):
            click.echo(msgspec.json.encode(received).decode())
    except ReceiveFailed as error:
        click.echo(error.message, err=True)
        raise SystemExit(1) from error
