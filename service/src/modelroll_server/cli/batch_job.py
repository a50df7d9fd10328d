"""`modelroll batch --job`: its flags, and what is shown of the Job."""

import json
import secrets
import sys
from importlib.metadata import version
from typing import Any

import click
from click.core import ParameterSource
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from modelroll_server.errors import JobFailed, KubectlFailed
from modelroll_server.jobs import follow, manifest
from modelroll_server.kubectl import Kubectl

INDEXES = 4
_UNSEEN = 75  # exit code where nobody knows how a Job ends: EX_TEMPFAIL of sysexits.h
OPTIONS = (
    click.Option(["--job"], is_flag=True, help="Have the pods of a Job on a cluster do it, and follow it."),
    click.Option(["--release"], metavar="NAME", help="Job: the release whose image, model and claim it has."),
    click.Option(["--image"], envvar="MODELROLL_IMAGE", help="Job: image, without --release."),
    click.Option(["--claim"], metavar="NAME", help="Job: claim with the models, without --release."),
    click.Option(
        ["--data-claim"],
        metavar="NAME",
        help="Job: claim that IN and OUT lie on, unless both are URLs. The pods can write to it, "
        "and so to the models where it is the models' claim.",
    ),
    click.Option(
        ["--parallelism"], type=click.IntRange(1), help="Job: pods at once; all --indexes unless said otherwise."
    ),
    click.Option(["--retries"], default=3, show_default=True, type=click.IntRange(0), help="Job: of each index."),
    click.Option(["--cpu"], default="500m", show_default=True, help="Job: CPU that a pod requests."),
    click.Option(
        ["--memory"], default="1Gi", show_default=True, help="Job: memory that a pod requests, and its limit."
    ),
    click.Option(["--env-from"], metavar="SECRET", help="Job: Secret with variables, such as AWS_ACCESS_KEY_ID."),
    click.Option(
        ["--keep-for"], default=86_400, show_default=True, type=click.IntRange(0), help="Job: seconds it stays."
    ),
    click.Option(["--name"], metavar="NAME", help="Job: its name."),
    click.Option(["--namespace", "-n"], help="Job: its namespace; kubectl's own when not given."),
    click.Option(
        ["--context", "kube_context"], help="Job: context of your kubeconfig; the current one when not given."
    ),
    click.Option(["--dry-run"], is_flag=True, help="Job: write it to stdout as YAML, and do no more."),
    click.Option(["--detach"], is_flag=True, help="Job: do not follow it."),
)
_NAMES = [option.name or "" for option in OPTIONS]


def taken(flags: dict[str, Any]) -> dict[str, Any]:
    """The flags of a Job, taken out of all."""
    return {name: flags.pop(name) for name in _NAMES}


def refuse_without_job(context: click.Context) -> None:
    """See that no flag is given that means nothing here.

    Raises:
        click.UsageError: One is.
    """
    given = [f"--{name.replace('_', '-')}" for name in _NAMES if _is_given(context, name)]
    if given:
        raise click.UsageError(f"{', '.join(given)} says what a Job is like: say --job, too")


def run(context: click.Context, source: str, out: str, *, artifact: str | None, **flags: Any) -> None:
    """Make the Job, and follow it to its end."""
    try:
        kubectl = None
        if not flags["dry_run"] or flags["release"]:
            kubectl = Kubectl(context=flags["kube_context"], namespace=flags["namespace"])
        made = _made(context, source, out, artifact, flags, kubectl)
        if flags["dry_run"]:
            _show(made, flags["namespace"])
            return
        assert kubectl is not None
        claims = {
            each["persistentVolumeClaim"]["claimName"] for each in _volumes(made) if "persistentVolumeClaim" in each
        }
        for claim in sorted(claims):
            kubectl.check_claim(claim)
        kubectl.run("create", "--filename=-", given=json.dumps(made))
        name = made["metadata"]["name"]
        click.echo(f"job/{name} created", err=True)
        if flags["data_claim"]:
            click.echo(f"IN and OUT are looked for on the claim {flags['data_claim']}, from its root on", err=True)
        if not flags["detach"]:
            _follow(kubectl, name, made["spec"]["completions"])
    except (JobFailed, KubectlFailed) as error:
        raise click.ClickException(error.message) from error


def _made(
    context: click.Context, source: str, out: str, artifact: str | None, flags: dict[str, Any], kubectl: Kubectl | None
) -> manifest.Object:
    if artifact is None and context.params["model_digest"] is not None:
        raise click.UsageError("--digest is that of --artifact: what is live has the one that it was released with")
    template = _template(flags, artifact, kubectl)
    if artifact is not None:
        template = manifest.with_model(template, artifact, context.params["model_digest"])
    indexes = context.params["indexes"] or INDEXES
    return manifest.job(
        manifest.Wanted(
            name=flags["name"] or f"{flags['release'] or 'modelroll'}-batch-{secrets.token_hex(4)}",
            arguments=[*_passed_on(context), "--", source, out],
            indexes=indexes,
            parallelism=min(flags["parallelism"] or indexes, indexes),
            retries=flags["retries"],
            claim=_claim(flags["data_claim"], template.models, source, out),
            cpu=flags["cpu"],
            memory=flags["memory"],
            keep=flags["keep_for"],
            secret=flags["env_from"] or "",
        ),
        template,
    )


def _template(flags: dict[str, Any], artifact: str | None, kubectl: Kubectl | None) -> manifest.Template:
    if flags["release"]:
        assert kubectl is not None
        if flags["claim"]:
            raise click.UsageError("--release and --claim both say where the models are: give the one or the other")
        return manifest.of_deployment(kubectl.get("deployment", flags["release"]))
    if artifact is None or flags["claim"] is None:
        raise click.UsageError("--job needs --release, or --claim and --artifact, the model's path on that claim")
    image = flags["image"] or f"modelroll-server:{version('modelroll-server')}"
    return manifest.Template(image=image, env=[{"name": "MODEL_ROOT", "value": manifest.MODELS}], models=flags["claim"])


def _claim(named: str | None, models: str, *paths: str) -> str:
    """The claim that IN and OUT lie on; empty where both are URLs."""
    path = next((path for path in paths if "://" not in path), None)
    if not named and path is not None:
        raise click.UsageError(
            f"{path} is no URL: say --data-claim, the claim that it lies on. "
            f"It may be {models}, that of the models: then the pods can write to the models"
        )
    return named or ""


def _passed_on(context: click.Context) -> list[str]:
    """The flags that a person gave and that are for the pods, as they were given."""
    own = {*_NAMES, "source", "out", "artifact", "model_digest", "indexes"}
    found = []
    for parameter in context.command.params:
        name = parameter.name or ""
        if name in own or not _is_given(context, name):
            continue
        if name in {"index", "run_id"}:
            raise click.UsageError(f"{parameter.opts[0]} is for the pods of a Job, which know by themselves")
        value = context.params[name]
        found.append(parameter.opts[0] if value is True else f"{parameter.opts[0]}={value}")
    return found


def _is_given(context: click.Context, name: str) -> bool:
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def _volumes(made: manifest.Object) -> list[manifest.Object]:
    found: list[manifest.Object] = made["spec"]["template"]["spec"]["volumes"]
    return found


def _show(made: manifest.Object, namespace: str | None) -> None:
    try:
        import yaml
    except ImportError as error:
        raise click.ClickException("PyYAML is not installed: install modelroll-server[batch]") from error
    if namespace:
        made["metadata"] = {"name": made["metadata"]["name"], "namespace": namespace, **made["metadata"]}
    click.echo(yaml.safe_dump(made, sort_keys=False, width=120), nl=False)


def _follow(kubectl: Kubectl, name: str, indexes: int) -> None:
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=console, disable=not console.is_terminal)
    seen: list[follow.Standing] = []

    def report(standing: follow.Standing) -> None:
        failed = f", failed: {standing.failed}" if standing.failed else ""
        text = f"{standing.succeeded} of {indexes} indexes finished, {standing.active} pods at work{failed}"
        bar.update(task, completed=standing.succeeded, description=f"{name}{failed}")
        if not console.is_terminal and seen[-1:] != [standing]:
            click.echo(text, err=True)
        seen.append(standing)

    try:
        with bar:
            task = bar.add_task(name, total=indexes)
            word = follow.follow(
                kubectl, name, report, lambda line: bar.console.print(line, markup=False, highlight=False)
            )
    except (KeyboardInterrupt, KubectlFailed) as stop:
        ways = f"`kubectl get job {name}` says how far it is, `kubectl delete job {name}` ends it"
        why = f"it is not followed any more: {stop.message}\n" if isinstance(stop, KubectlFailed) else ""
        click.echo(f"modelroll: {why}the Job goes on: {ways}", err=True)
        sys.exit(_UNSEEN if why else 130)
    click.echo(word or f"job/{name} has succeeded")
