"""`modelroll sign`."""

import os
from pathlib import Path

import click

from modelroll_server.artifact import signature
from modelroll_server.errors import KeyInvalid, ModelrollError
from modelroll_server.packing import signing

PASSPHRASE = "MODELROLL_SIGNING_PASSPHRASE"  # noqa: S105 - the name of a variable


@click.command("sign")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--key",
    "key_file",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=f"PEM file of an EC private key. If it is encrypted, its passphrase is asked for, or read from {PASSPHRASE}.",
)
def sign(path: Path, key_file: Path) -> None:
    """Sign the artifact at PATH: hash all of it, and write model.sig beside its manifest.

    A server whose artifact policy is `signed` loads only what was signed with a key that it trusts. The digest stays as
    it is, and `push` carries the signature along, also for a version that is on the volume already. A key pair:

    \b
        openssl ecparam -name prime256v1 -genkey -noout -out key.pem
        openssl ec -in key.pem -pubout -out key.pub
    """  # noqa: D301 - click keeps the lines of a paragraph that begins with the character \b itself
    try:
        key = signing.read_key(key_file.read_bytes(), _passphrase)
    except (KeyInvalid, OSError) as error:
        raise click.ClickException(f"{key_file}: {error}") from error
    try:
        fingerprint = signing.sign(path, key)
    except ModelrollError as error:
        raise click.ClickException(f"{path}: {error.message}") from error
    click.echo(f"{path / signature.NAME}: signed with the key {fingerprint}")


def _passphrase() -> str:
    given = os.environ.get(PASSPHRASE)
    return str(click.prompt("Passphrase of the key", hide_input=True)) if given is None else given
