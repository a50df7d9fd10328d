"""Jobs of the chart: what they are told, how they end, and that `modelroll batch --job` makes the same."""

import json
import os
import re
import zoneinfo
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner

from chart.rendering import CHART, Object, environment, pod_of, render, template
from modelroll_server import errors
from modelroll_server.cli import main
from modelroll_server.cli.batch_job import OPTIONS
from modelroll_server.offline.formats import SUFFIXES

pytestmark = pytest.mark.needs("helm")

JOB = {"in": "rows", "out": "scored.parquet", "claim": "data"}
BUCKET = {"in": "s3://bucket/rows", "out": "s3://bucket/scored.parquet", "claim": ""}


def jobs(**changes: Any) -> str:
    return f"batch.jobs={json.dumps({'all': JOB | changes})}"


def rendered(*settings: str, **changes: Any) -> Object:
    found = [one for (kind, _), one in render(*settings, jobs(**changes)).items() if kind in {"Job", "CronJob"}]
    assert len(found) == 1
    return found[0]


def test_by_default_there_is_none() -> None:
    assert not [kind for kind, _ in render() if kind in {"Job", "CronJob"}]


def test_a_job_shares_the_work_and_tries_again_what_may_succeed() -> None:
    job = rendered(indexes=8, parallelism=3, options=["--per-class", "--keep=id"])
    spec = job["spec"]
    assert (job["kind"], spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Job", "Indexed", 8, 3)
    assert (spec["backoffLimitPerIndex"], spec["maxFailedIndexes"]) == (3, 0)
    ignored, in_vain = spec["podFailurePolicy"]["rules"]
    assert (ignored["action"], ignored["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")
    assert (in_vain["action"], in_vain["onExitCodes"]["values"]) == (
        "FailIndex",
        [click.UsageError.exit_code, errors.IN_VAIN],
    )
    (container,) = pod_of(job)["containers"]
    flags = ["batch", "--indexes=8", "--run=$(JOB_UID)", "--per-class", "--keep=id"]
    assert container["args"] == [*flags, "--", "rows", "scored.parquet"]
    assert container["workingDir"] == "/data"


def test_its_pods_are_as_restricted_as_the_servers() -> None:
    server = pod_of(render()["Deployment", "churn"])
    pod = pod_of(rendered())
    assert pod["securityContext"] == server["securityContext"]
    assert pod["containers"][0]["securityContext"] == server["containers"][0]["securityContext"]
    assert (pod["automountServiceAccountToken"], pod["restartPolicy"]) == (False, "Never")
    assert pod["serviceAccountName"] == server["serviceAccountName"]


def test_no_service_and_no_budget_takes_its_pods_for_servers() -> None:
    labels = rendered()["spec"]["template"]["metadata"]["labels"]
    for (kind, _), one in render().items():
        selector = one.get("spec", {}).get("selector")
        if kind in {"Service", "PodDisruptionBudget", "Deployment"} and selector:
            wanted = selector.get("matchLabels", selector)
            assert not wanted.items() <= labels.items(), kind


@pytest.mark.parametrize(("claim", "data"), [("m", "models"), ("rows", "data"), ("", None)])
def test_models_are_written_to_only_where_a_job_names_their_claim(claim: str, data: str | None) -> None:
    pod = pod_of(rendered("persistence.existingClaim=m", **BUCKET | {"claim": claim}))
    (container,) = pod["containers"]
    mounts = {each["mountPath"]: (each["name"], each.get("readOnly")) for each in container["volumeMounts"]}
    assert mounts["/models"] == ("models", True)
    assert mounts.get("/data") == ((data, None) if data else None)
    assert container.get("workingDir") == ("/data" if data else None)
    volumes = {
        each["name"]: each["persistentVolumeClaim"] for each in pod["volumes"] if "persistentVolumeClaim" in each
    }
    assert volumes == {"models": {"claimName": "m"}} | ({"data": {"claimName": claim}} if data == "data" else {})


def test_the_model_is_what_is_live_or_one_of_its_own() -> None:
    digest = "sha256:" + "0" * 64
    live = rendered("model.digest=" + digest, "signing.publicKeySecret.name=k", "artifactPolicy=signed")
    assert environment(live)["TARGET_DIR"] == "/run/modelroll/target"
    assert environment(live)["SIGNING_PUBLIC_KEY"]["secretKeyRef"]["name"] == "k"
    target = next(each for each in pod_of(live)["volumes"] if each["name"] == "target")
    assert target["configMap"] == {
        "name": "churn-target",
        "optional": True,
        "items": [{"key": "settled", "path": "settled"}],
    }
    own = rendered("model.digest=" + digest, model={"path": "churn/2.0.0"})
    assert environment(own)["MODEL_PATH"] == "churn/2.0.0"
    assert not {"TARGET_DIR", "MODEL_DIGEST", "WORKERS", "POD_UID"} & environment(own).keys()
    assert not [each for each in pod_of(own)["volumes"] if each["name"] == "target"]


def test_a_schedule_makes_it_a_cron_job() -> None:
    job = rendered(schedule="30 2 * * *", timeZone="Europe/Berlin", options=["--overwrite"], suspend=True)
    assert (job["kind"], job["metadata"]["name"]) == ("CronJob", "churn-all")
    spec = job["spec"]
    assert (spec["schedule"], spec["timeZone"], spec["suspend"]) == ("30 2 * * *", "Europe/Berlin", True)
    assert spec["concurrencyPolicy"] == "Forbid"
    assert "--restart" in pod_of(job)["containers"][0]["args"], "what a failed run left must not stop the next"


def test_a_job_that_is_changed_is_another() -> None:
    name = rendered()["metadata"]["name"]
    assert rendered()["metadata"]["name"] == name
    assert rendered(indexes=2)["metadata"]["name"] != name
    assert rendered("image.tag=a")["metadata"]["name"] != name


def test_what_a_job_says_goes_before_the_defaults() -> None:
    defaults = ("batch.defaults.indexes=5", "batch.defaults.suspend=true", "batch.defaults.resources.limits.cpu=2")
    job = rendered(*defaults, suspend=False, resources={"limits": {"memory": "3Gi"}})
    assert (job["spec"]["completions"], job["spec"]["suspend"]) == (5, False)
    resources = pod_of(job)["containers"][0]["resources"]
    assert resources == {"limits": {"cpu": "2", "memory": "3Gi"}, "requests": {"cpu": "500m", "memory": "1Gi"}}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"indexes": 2, "parallelism": 3}, "batch.jobs.all.parallelism (3) is more than its indexes (2)"),
        ({"options": ["--indexes=3"]}, "batch.jobs.all.options has --indexes, which the chart says itself"),
        ({"options": ["--job"]}, "batch.jobs.all.options has --job"),
        ({"in": "/rows.parquet"}, "names /rows.parquet, and its claim is mounted at /data"),
        ({"claim": ""}, "batch.jobs.all has rows, which is no URL, and names no claim that it lies on"),
        (
            BUCKET | {"out": "scored.csv"},
            "has scored.csv, which is no URL, and names no claim that it lies on: set its",
        ),
        (BUCKET | {"in": "rows"}, "It may be churn-models, that of the models: then the job's pods can write to"),
        ({"schedule": "@daily"}, "add --overwrite to its options, or $(JOB_NAME) to its out"),
        *(
            ({"schedule": schedule, "options": ["--overwrite"]}, f'batch.jobs.all.schedule "{schedule}" is none')
            for schedule in ("hello", "0 0 * *", "0 0 * * * *", "60 * * * *", "* * * * 7", "*/0 * * * *", "@often")
        ),
        *(
            ({"schedule": schedule, "options": ["--overwrite"]}, "has a range that ends before it begins")
            for schedule in ("0 22-5 * * *", "0 0 * nov-Feb *")
        ),
        *(
            ({"schedule": schedule, "options": ["--overwrite"]}, "never comes: none of its months has such a day")
            for schedule in ("0 0 30 feb *", "0 0 31 4,11 ?")
        ),
        *(
            ({"schedule": "@daily", "options": ["--overwrite"], "timeZone": zone}, f'timeZone "{zone}" is none')
            for zone in ("Local", "Berlin", "europe/berlin", "UTC+2")
        ),
        ({"out": "scored"}, "writes scored, whose name does not say in which format: let it end with .parquet"),
        ({"out": "$(JOB_NAME)"}, "writes $(JOB_NAME), whose name does not say in which format"),
        ({"out": "rows/scored.csv"}, "writes rows/scored.csv, which lies in what it reads (rows)"),
        ({"in": "/data/", "out": "scored.csv"}, "writes scored.csv, which lies in what it reads (/data/)"),
        ({"in": "rows/*.csv", "out": "rows/$(JOB_NAME).csv"}, "which lies in what it reads (rows/*.csv)"),
        (BUCKET | {"out": "s3://bucket/rows/a.csv"}, "which lies in what it reads (s3://bucket/rows)"),
        ({"out": "../scored.csv"}, "names ../scored.csv, which may have no '..' segment"),
        ({"in": "data.csv", "out": "data.csv"}, "batch.jobs.all reads and writes data.csv"),
        ({"in": "/data/./data.csv", "out": "data.csv"}, "batch.jobs.all reads and writes data.csv"),
        ({"in": "s3://b/rows/", "out": "s3://b/rows"}, "batch.jobs.all reads and writes s3://b/rows"),
        ({"timeZone": "Europe/Berlin"}, "batch.jobs.all.timeZone is set, and there is no schedule"),
        ({"model": {"digest": "sha256:" + "0" * 64}}, "model.digest is set, and no model.path"),
        ({"model": {"path": "a/../../b"}}, "it may have no '..' segment"),
    ],
)
def test_contradictions(changes: dict[str, Any], sentence: str) -> None:
    result = template(jobs(**changes))
    assert result.returncode != 0
    assert sentence in result.stderr


def test_flags_that_say_what_a_job_is_like_are_none_of_its_options() -> None:
    said = (CHART / "templates" / "_contradictions.tpl").read_text()
    refused = set(re.findall(r'"(--?[a-z-]+)"', said))
    assert {flag for option in OPTIONS for flag in option.opts} <= refused
    for flag in ("--release=churn", "-n", "--dry-run"):
        result = template(jobs(options=[flag]))
        assert f"options has {flag.partition('=')[0]}, which the chart says itself" in result.stderr


@pytest.mark.parametrize("name", ["JOB_NAME", "JOB_UID"])
def test_what_a_pod_knows_of_its_job_cannot_be_said_by_others(name: str) -> None:
    result = template(jobs(), f'env=[{{"name":"{name}","value":"a"}}]')
    assert f"env has {name}, which the chart sets itself in the pods of batch.jobs.all" in result.stderr


def test_two_jobs_that_write_to_one_place_are_refused() -> None:
    other = {**JOB, "out": f"/data/{JOB['out']}"}
    refused = template(f"batch.jobs={json.dumps({'all': JOB, 'some': other})}")
    assert f"batch.jobs.all and batch.jobs.some both write /data/{JOB['out']}" in refused.stderr
    elsewhere = {**other, "claim": "elsewhere"}
    each_run = {**JOB, "out": "$(JOB_NAME).parquet", "schedule": "@daily"}
    taken = {"all": JOB, "some": elsewhere, "nightly": each_run, "weekly": {**each_run, "schedule": "@weekly"}}
    assert render(f"batch.jobs={json.dumps(taken)}")


def together(many: list[dict[str, Any]]) -> list[Object]:
    """Jobs that are rendered at once, each with an `out` of its own unless it says one."""
    asked = {f"j{number}": JOB | {"out": f"{number}.csv"} | job for number, job in enumerate(many)}
    objects = render(f"batch.jobs={json.dumps(asked)}")
    return [one for name in asked for (_, each), one in objects.items() if f"{each}-".startswith(f"churn-{name}-")]


def test_schedules_and_time_zones_as_kubernetes_takes_them_are_taken() -> None:
    schedules = ["30 2 * * *", "*/15 8-18 1,15 jan-Mar,12 MON-fri", "0 0 1 1 0", "@every 1h30m", "5/10 ? * * 6"]
    schedules += ["0 22-23,0-5 * * *", "0 0 29 2 *", "0 0 30 2 1", "0 0 31 1,2 *", "0 0 31 */3 *"]
    made = together([{"schedule": one, "options": ["--overwrite"]} for one in schedules])
    assert [one["spec"]["schedule"] for one in made] == schedules
    # Of each area one, and those that are in none.
    zones = {one.partition("/")[0]: one for one in zoneinfo.available_timezones() - {"localtime", "Factory"}}
    daily = {"schedule": "@daily", "options": ["--overwrite"]}
    asked = {f"j{at}": JOB | daily | {"out": f"{at}.csv", "timeZone": one} for at, one in enumerate(zones.values())}
    taken = template(f"batch.jobs={json.dumps(asked)}")
    assert taken.returncode == 0, taken.stderr


def test_what_the_command_would_write_is_taken() -> None:
    outs = [f"a{suffix}" for suffix in SUFFIXES] + [
        "B.CSV",
        "rows2/a.csv",
        "/data/c.csv",
        "d-$(JOB_NAME).csv",
        "$(OUT)",
    ]
    args = [pod_of(one)["containers"][0]["args"][-1] for one in together([{"out": out} for out in outs])]
    assert args == outs
    assert together([{"in": "rows/*.csv", "out": "rows/scored/a.csv"}])


def test_a_name_that_is_too_long() -> None:
    assert "Kubernetes takes 52 characters" in template(f"batch.jobs={json.dumps({'a' * 50: JOB})}").stderr


@pytest.mark.parametrize(
    "setting",
    [
        'batch.jobs={"a":{"in":"rows"}}',
        'batch.jobs={"a":{"in":"rows","out":"o","outt":"p"}}',
        'batch.jobs={"A":{"in":"rows","out":"o"}}',
        'batch.jobs={"a":{"in":"rows","out":"o","indexes":0}}',
        'batch.jobs={"a":{"in":"rows","out":"o","options":["overwrite"]}}',
    ],
)
def test_the_schema_refuses(setting: str) -> None:
    result = template(setting)
    assert result.returncode != 0
    assert "schema" in result.stderr


TRACED = (
    "tracing.endpoint=http://otel-collector:4318",
    "tracing.headersSecret.name=collector",
    'tracing.resourceAttributes={"k8s.cluster.name":"a","k8s.io":"b","team":"data"}',
)


@pytest.mark.parametrize(
    "settings",
    [
        (),
        ("fullnameOverride=serving", "tmpSizeLimit=128Mi", "nodeSelector.disk=ssd"),
        ("valkey.enabled=true",),
        TRACED,
        ('env=[{"name":"OTEL_SERVICE_NAME","value":"mine"},{"name":"WORKER_TIMEOUT","value":"9"}]',),
        ("cache.urlSecret.name=cache", "cache.keySecret.name=key"),
        ("tls.secretName=tls", "tls.clientCASecret.name=ca"),
        ("auth.tokensSecret.name=tokens",),
        ("artifactPolicy=signed", "signing.publicKeySecret.name=keys"),
        ("stream.enabled=true", "stream.url=redis://redis:6379", "stream.input=rows"),
    ],
    ids=["nothing", "names", "valkey", "tracing", "env", "cache", "tls", "auth", "signing", "stream"],
)
def test_the_command_makes_the_same_job(
    settings: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the release's Deployment, where the chart makes it of the values that made that."""
    common = {"indexes": 3, "options": ["--overwrite"]}
    digest = "sha256:" + "0" * 64
    asked = {
        "live": JOB | common | {"secret": "keys"},
        "own": JOB | common | {"claim": "m", "model": {"path": "churn/2.0.0", "digest": digest}},
        "bucket": BUCKET | common,
    }
    flags = {
        "live": ["--data-claim=data", "--env-from=keys"],
        "own": ["--data-claim=m", "--artifact=churn/2.0.0", f"--digest={digest}"],
        "bucket": [],
    }
    objects = render("persistence.existingClaim=m", f"batch.jobs={json.dumps(asked)}", *settings)
    name = "serving" if "fullnameOverride=serving" in settings else "churn"
    of_chart = {each.split("-")[1]: one for (kind, each), one in objects.items() if kind == "Job"}
    (tmp_path / "deployment.json").write_text(json.dumps(objects["Deployment", name]))
    (tmp_path / "kubectl").write_text(f"#!/bin/sh\ncat {tmp_path}/deployment.json\n")
    (tmp_path / "kubectl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for job, own in flags.items():
        paths = (str(asked[job]["in"]), str(asked[job]["out"]))
        command = ["batch", *paths, "--job", f"--release={name}", "--indexes=3", "--overwrite", "--dry-run", *own]
        said = CliRunner().invoke(main, command)
        assert said.exit_code == 0, said.output
        of_command = yaml.safe_load(said.stdout)
        assert of_command["spec"].pop("ttlSecondsAfterFinished") == 86_400
        assert of_chart[job]["spec"].pop("suspend") is False
        assert of_command["spec"] == of_chart[job]["spec"]


def test_a_job_is_told_what_it_needs_and_no_secret_of_the_servers() -> None:
    settings = ("valkey.enabled=true", "tls.secretName=tls", "auth.tokensSecret.name=tokens", *TRACED)
    told = environment(rendered(*settings))
    assert list(told)[:2] == ["JOB_NAME", "JOB_UID"], "others refer to them"
    model = {"MODEL_NAME", "MODEL_PATH", "MODEL_ROOT", "TARGET_DIR", "ARTIFACT_POLICY"}
    assert {name for name in told if not name.startswith("OTEL_")} == {"JOB_NAME", "JOB_UID", "POD_NAME", *model}
    assert told["OTEL_SERVICE_NAME"] == "churn-batch"
    attributes = dict(pair.split("=") for pair in told["OTEL_RESOURCE_ATTRIBUTES"].split(","))
    assert (attributes["k8s.job.name"], attributes["k8s.pod.name"]) == ("$(JOB_NAME)", "$(POD_NAME)")
    assert attributes["k8s.cluster.name"] == "a"
    assert "k8s.deployment.name" not in attributes
    assert "OTEL_EXPORTER_OTLP_HEADERS" in told
    assert "OTEL_TRACES_SAMPLER" not in told
