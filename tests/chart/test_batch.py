"""Jobs of the chart: what they are told, how they end, and that `modelroll batch --job` makes the same."""

import json
from typing import Any

import pytest

from chart.rendering import Object, environment, pod_of, render, template
from modelroll_server.cli.batch_job import SERVED
from modelroll_server.jobs import manifest

pytestmark = pytest.mark.needs("helm")

JOB = {"in": "rows", "out": "scored.parquet"}


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
    assert (in_vain["action"], in_vain["onExitCodes"]["values"]) == ("FailIndex", [2, 65])
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


@pytest.mark.parametrize(("claim", "data"), [("", "models"), ("rows", "data")])
def test_data_lie_on_the_models_claim_or_on_another(claim: str, data: str) -> None:
    pod = pod_of(rendered("persistence.existingClaim=m", claim=claim))
    mounts = {each["mountPath"]: each for each in pod["containers"][0]["volumeMounts"]}
    assert (mounts["/models"]["name"], mounts["/models"]["readOnly"]) == ("models", True)
    assert (mounts["/data"]["name"], mounts["/data"].get("readOnly")) == (data, None)
    claims = {
        each["name"]: each["persistentVolumeClaim"]["claimName"]
        for each in pod["volumes"]
        if len(each["name"]) > 3 and "persistentVolumeClaim" in each
    }
    assert claims == {"models": "m"} | ({"data": claim} if claim else {})


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
    assert resources == {"limits": {"cpu": "2", "memory": "3Gi"}, "requests": {"cpu": "500m", "memory": "512Mi"}}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"indexes": 2, "parallelism": 3}, "batch.jobs.all.parallelism (3) is more than its indexes (2)"),
        ({"options": ["--indexes=3"]}, "batch.jobs.all.options has --indexes, which the chart says itself"),
        ({"options": ["--job"]}, "batch.jobs.all.options has --job"),
        ({"in": "/rows.parquet"}, "names /rows.parquet, and its claim is mounted at /data"),
        ({"schedule": "@daily"}, "add --overwrite to its options, or $(JOB_NAME) to its out"),
        ({"timeZone": "Europe/Berlin"}, "batch.jobs.all.timeZone is set, and there is no schedule"),
        ({"model": {"digest": "sha256:" + "0" * 64}}, "model.digest is set, and no model.path"),
        ({"model": {"path": "a/../../b"}}, "it may have no '..' segment"),
    ],
)
def test_contradictions(changes: dict[str, Any], sentence: str) -> None:
    result = template(jobs(**changes))
    assert result.returncode != 0
    assert sentence in result.stderr


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


@pytest.mark.parametrize("claim", ["", "data"])
def test_the_command_makes_the_same_job(claim: str) -> None:
    """Of the release's Deployment, where the chart makes it of the values that made that."""
    settings = ("persistence.existingClaim=m", "nodeSelector.disk=ssd", 'env=[{"name":"AWS_REGION","value":"eu"}]')
    of_chart = rendered(*settings, indexes=3, claim=claim, secret="keys", options=["--overwrite"])
    deployment = render(*settings)["Deployment", "churn"]
    wanted = manifest.Wanted(
        name="a",
        arguments=["--overwrite", "--", "rows", "scored.parquet"],
        indexes=3,
        parallelism=3,
        retries=3,
        claim=claim or "m",
        cpu="500m",
        memory="1Gi",
        keep=60,
        secret="keys",
    )
    for model in ("", "churn/2.0.0"):
        made = manifest.of_deployment(deployment, SERVED)
        if model:
            made = manifest.with_model(made, model, None)
            of_chart = rendered(
                *settings, indexes=3, claim=claim, secret="keys", options=["--overwrite"], model={"path": model}
            )
        of_command = manifest.job(wanted, made)
        assert of_command["spec"].pop("ttlSecondsAfterFinished") == 60
        del (
            of_chart["spec"]["suspend"],
            of_chart["spec"]["template"]["metadata"],
            of_command["spec"]["template"]["metadata"],
        )
        of_chart["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["memory"] = "1Gi"
        assert of_command["spec"] == of_chart["spec"]
