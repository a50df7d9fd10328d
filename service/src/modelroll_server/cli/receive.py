"""`modelroll receive`: what `modelroll push` runs in its pod."""

import sys
from pathlib import Path
from typing import NoReturn

import click
import msgspec

from modelroll_server.errors import ReceiveFailed
from modelroll_server.pushing import receive as receiving


@click.command("receive", hidden=True)
@click.option("--root", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--bytes", "size", default=0, help="How many there will be.")
def receive(root: Path, size: int) -> None:
    """Unpack versions from a tar on standard input into ROOT/<model>/<version>/, and print a receipt a line."""
    try:
        receiving.check_room(root, size)
    except ReceiveFailed as error:
        _refuse(error)
    click.echo(receiving.READY)
    sys.stdout.flush()
    try:
        for received in receiving.receive(sys.stdin.buffer, root):
            click.echo(msgspec.json.encode(received).decode())
    except ReceiveFailed as error:
        receiving.drain(sys.stdin.buffer)
        _refuse(error)


def _refuse(error: ReceiveFailed) -> NoReturn:
    click.echo(error.message, err=True)
    raise SystemExit(1) from error
