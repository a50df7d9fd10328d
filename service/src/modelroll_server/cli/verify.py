"""`modelroll verify`."""

from pathlib import Path

import click

from modelroll_server.artifact import catalog
from modelroll_server.artifact.signature import PublicKeys
from modelroll_server.errors import KeyInvalid
from modelroll_server.packing.verify import Check
from modelroll_server.packing.verify import verify as check_artifact


@click.command("verify")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--digest", help="sha256:… that the content must have (of one artifact or file).")
@click.option(
    "--public-key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="PEM file of the key that must have signed it.",
)
@click.option("--check-seconds", default=120.0, show_default=True, help="For comparing a compiled model, about.")
def verify(path: Path, digest: str | None, public_key: Path | None, check_seconds: float) -> None:
    """Hash everything in PATH, load the model, repeat its golden rows and a compiled model's comparison.

    PATH is an artifact, a bare model file, or a model's directory, of which every version is verified. Loading runs the
    code in the model's file; with --public-key only after the signature was found to hold. Exit code 0: all holds;
    1: something does not.
    """
    keys = _keys(public_key) if public_key else None
    failed = False
    for place in _places(path):
        checks = check_artifact(place, digest, keys=keys, check_seconds=check_seconds)
        failed |= any(check.reason for check in checks)
        _show(place, checks)
    if failed:
        raise SystemExit(1)


def _keys(file: Path) -> PublicKeys:
    try:
        return PublicKeys(file.read_text(encoding="utf-8"))
    except (KeyInvalid, OSError, ValueError) as error:
        raise click.ClickException(f"{file}: {error}") from error


def _places(path: Path) -> list[Path]:
    if path.is_file() or catalog.is_artifact(path):
        return [path]
    places = catalog.version_directories(path)
    if not places:
        raise click.ClickException(f"{path} holds neither a manifest nor versions")
    return places


def _show(place: Path, checks: list[Check]) -> None:
    click.echo(click.style(str(place), bold=True))
    for check in checks:
        mark = click.style(f"{check.reason or 'holds':<20}", fg="red" if check.reason else "green")
        click.echo(f"  {mark} {check.name:<12} {check.detail}")
