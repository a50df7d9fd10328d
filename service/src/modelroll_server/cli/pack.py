"""`modelroll pack`."""

import os
from datetime import UTC, datetime
from pathlib import Path

import click

from modelroll_server.errors import PackFailed
from modelroll_server.packing import advice, mlflow, samples
from modelroll_server.packing import pack as packing

_EXISTING = click.Path(exists=True, dir_okay=False, path_type=Path)
_EXISTING_MODEL = click.Path(exists=True, path_type=Path)


def _metric(text: str) -> tuple[str, float]:
    name, separator, value = text.partition("=")
    try:
        if separator and name:
            return name, float(value)
    except ValueError:
        pass
    raise click.BadParameter(f"{text!r} is not NAME=NUMBER", param_hint="--metric")


def _created() -> datetime | None:
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    return datetime.fromtimestamp(int(epoch), UTC) if epoch else None


@click.command("pack")
@click.argument("files", nargs=-1, required=True, type=_EXISTING_MODEL, metavar="[PREPROCESSOR] MODEL")
@click.option("--model", required=True, help="Name that clients call.")
@click.option("--version", required=True, help="SemVer, such as 2.0.0 or 2.1.0-rc.1.")
@click.option("--samples", "sampled", type=_EXISTING, help="Rows that it gets: Parquet or CSV.")
@click.option("--golden", type=_EXISTING, help="Rows of your own to become golden rows, all of them.")
@click.option("--metric", "metrics", multiple=True, help="NAME=NUMBER of the training run; may be repeated.")
@click.option("--out", default="models", show_default=True, type=click.Path(file_okay=False, path_type=Path))
def pack(
    files: tuple[Path, ...],
    model: str,
    version: str,
    sampled: Path | None,
    golden: Path | None,
    metrics: tuple[str, ...],
    out: Path,
) -> None:
    """Make an artifact: OUT/<model>/<version>/.

    MODEL is what joblib, pickle or skops wrote; with a PREPROCESSOR before it, the two become one pipeline. Or it is
    a model directory of MLflow, whose input example stands for the samples where none are given. The schema
    comes from the samples, and from what the estimator refuses when asked.
    """
    if len(files) > 2:
        raise click.UsageError("one model file, or a preprocessor and a model")
    try:
        source = mlflow.source(files)
        rows = samples.read(sampled) if sampled else source.example
        if rows is None:
            raise click.UsageError("--samples is missing, and no rows were saved with the model")
        request = packing.Request(
            files=source.files,
            model=model,
            version=version,
            samples=rows,
            golden=samples.read(golden) if golden else None,
            metrics=dict(_metric(text) for text in metrics),
            created=_created(),
        )
        packed = packing.pack(request, out)
    except PackFailed as error:
        raise click.ClickException(error.message) from error
    golden_rows = len(packed.manifest.golden.rows) if packed.manifest.golden else 0
    click.echo(f"{packed.path}: {len(packed.manifest.inputs)} inputs, {golden_rows} golden rows")
    if types := packed.manifest.runtimes[0].skops_types:
        click.echo(
            f"Types that skops does not know to be harmless; who gives the digest trusts them: {', '.join(types)}"
        )
    click.echo(f"digest  {packed.digest}\n")
    click.echo(f"Try it:     modelroll serve {packed.path}")
    click.echo(f"Push it:    modelroll push {packed.path} --claim CLAIM")
    click.echo(f"Install it: {advice.helm_flags(packed.manifest, packed.digest)}\n")
    click.echo("Roll it out, with kubectl apply -f:\n")
    click.echo(advice.model_version(packed.manifest, packed.digest), nl=False)
