"""`modelroll pack`."""

import json
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import click

from modelroll_server.artifact.manifest import Manifest
from modelroll_server.errors import PackFailed
from modelroll_server.packing import advice, mlflow, samples
from modelroll_server.packing import pack as packing
from modelroll_server.packing.proving import Compiled, NotCompiled

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
@click.option("--samples", "sampled", type=_EXISTING, help="Rows that it gets: Parquet, or CSV with names in line 1.")
@click.option("--golden", type=_EXISTING, help="Rows of your own to become golden rows, all of them.")
@click.option("--metric", "metrics", multiple=True, help="NAME=NUMBER of the training run; may be repeated.")
@click.option("--compile/--no-compile", "compiled", default=True, help="Whether to compile; on unless said otherwise.")
@click.option("--require-compiled", is_flag=True, help="Write nothing, and exit with 1, where it cannot be compiled.")
@click.option("--check-seconds", default=120.0, show_default=True, help="For comparing the compiled model, about.")
@click.option("--out", default="models", show_default=True, type=click.Path(file_okay=False, path_type=Path))
def pack(  # noqa: PLR0913, PLR0917 - one parameter an option
    files: tuple[Path, ...],
    model: str,
    version: str,
    sampled: Path | None,
    golden: Path | None,
    metrics: tuple[str, ...],
    compiled: bool,
    require_compiled: bool,
    check_seconds: float,
    out: Path,
) -> None:
    """Make an artifact: OUT/<model>/<version>/.

    MODEL is what joblib, pickle or skops wrote; with a PREPROCESSOR before it, the two become one pipeline. Or it is
    a model directory of MLflow, whose input example stands for the samples where none are given. The schema
    comes from the samples, and from what the estimator refuses when asked. It is compiled as well; the
    compiled model goes into the artifact if it answers as scikit-learn does, on the samples and on rows made to find
    a difference.
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
            compile=compiled or require_compiled,
            require_compiled=require_compiled,
            check_seconds=check_seconds,
        )
        packed = packing.pack(request, out)
    except packing.NotCompilable as error:
        _show(error.why)
        raise SystemExit(1) from error
    except PackFailed as error:
        raise click.ClickException(error.message) from error
    golden_rows = len(packed.manifest.golden.rows) if packed.manifest.golden else 0
    click.echo(f"{packed.path}: {len(packed.manifest.inputs)} inputs, {golden_rows} golden rows")
    _show_names(packed.manifest, rows.columns)
    _show(packed.compiled)
    trained = packed.manifest.sklearn
    if trained is not None and trained.skops_types:
        types = ", ".join(trained.skops_types)
        click.echo(f"Types that skops does not know to be harmless; who gives the digest trusts them: {types}")
    click.echo(f"digest  {packed.digest}\n")
    click.echo(f"Try it:     modelroll serve {packed.path}")
    click.echo(f"Push it:    modelroll push {packed.path} --claim CLAIM")
    image = os.environ.get("MODELROLL_IMAGE") or None
    click.echo(f"Install it: {advice.helm_flags(packed.manifest, packed.digest, image=image)}\n")
    if image is None:
        click.echo(f"{advice.NO_IMAGE}\n")
    click.echo("Roll it out, with kubectl apply -f:\n")
    click.echo(advice.model_version(packed.manifest, packed.digest), nl=False)


def _show_names(manifest: Manifest, sampled: Iterable[object]) -> None:
    """What the inputs are called that the samples call otherwise."""
    names = [column.name for column in manifest.inputs]
    given = [str(name) for name in sampled]
    numbered = [str(index) for index in range(len(names))]  # what pandas calls columns without a name
    if manifest.call == "array" and given not in (names, numbered):
        pairs = ", ".join(f"{name} ({other})" for name, other in zip(names, given, strict=True))
        click.echo(f"The model was fitted without names; its inputs are, with the samples' names in brackets: {pairs}")


def _show(compiled: Compiled | NotCompiled | None) -> None:
    """What became of compiling, for people."""
    if isinstance(compiled, Compiled):
        rows = ", ".join(f"{count:,} {kind}" for kind, count in compiled.passed.rows.items())
        click.echo(f"compiled: answers as scikit-learn does, checked in {compiled.passed.seconds:.0f} s on {rows}")
        if unasked := compiled.passed.unasked:
            left = ", ".join(f"{count:,} {kind}" for kind, count in unasked.items())
            click.echo(f"  the time was over before these were asked: {left}; --check-seconds gives more")
    if not isinstance(compiled, NotCompiled):
        return
    click.echo(f"not compiled: {compiled.reason}")
    if compiled.counts:
        click.echo("  rows that differ: " + ", ".join(f"{count:,} {kind}" for kind, count in compiled.counts.items()))
    for row in compiled.rows:
        click.echo(f"  {row.kind}, asked {row.batch} at once: {json.dumps(row.row, ensure_ascii=False, default=str)}")
        click.echo(f"    scikit-learn: {json.dumps(row.expected, default=str)}")
        click.echo(f"    compiled:     {json.dumps(row.found, default=str)}")
