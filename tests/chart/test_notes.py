"""What `helm install` says at its end: the next steps with the release's own names, and the warnings that apply."""

import subprocess

import pytest

from chart.rendering import CHART

pytestmark = pytest.mark.needs("helm")

DIGEST = "model.digest=sha256:" + "0" * 64
FIXED = ("autoscaling.enabled=false", "replicas=1", DIGEST)


def notes(*settings: str) -> str:
    command = ["helm", "install", "churn", str(CHART), "--namespace", "models", "--dry-run=client"]
    for setting in ("model.path=churn/1.2.0", *settings):
        command += ["--set", setting]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.partition("NOTES:")[2]


def test_the_next_steps_name_this_release() -> None:
    said = notes("fullnameOverride=other", "model.name=telco", "service.port=80")
    assert "modelroll push models/telco --claim other-models --namespace models" in said
    assert "port-forward service/other 8000:80" in said
    assert 'model: "telco"' in said
    assert "is installed with the model telco from churn/1.2.0" in said, "what is live is not known here"
    assert "`kubectl --namespace models get modelversions` says what is live" in said


def test_a_plain_installation_has_no_warning() -> None:
    said = notes(*FIXED)
    assert "WARNING" not in said
    assert "NOTE" not in said


@pytest.mark.parametrize(
    ("settings", "warning"),
    [
        (("model.digest=",), "artifactPolicy is digest and model.digest is not set"),
        (("artifactPolicy=any",), "whoever can write to the claim churn-models can run code"),
        (("replicas=2",), "is ReadWriteOnce and there may be 2 pods"),
        (("autoscaling.enabled=true", "replicas=null"), "is ReadWriteOnce and there may be 10 pods"),
        (("autoscaling.enabled=true", "replicas=null"), "without the hand-over the Deployment falls to one pod"),
        (("load=lazy",), "pods are Ready before their model was loaded"),
        (("operator.enabled=false",), "The operator is off"),
        (("auth.tokensSecret.name=callers",), "tokens cross the network in clear"),
        (("tls.secretName=churn-tls",), "curl -sk https://localhost:8000/health"),
        (("auth.tokensSecret.name=callers",), '-H "Authorization: Bearer $TOKEN" http://localhost:8000/predict'),
    ],
)
def test_a_warning_is_given_where_it_applies(settings: tuple[str, ...], warning: str) -> None:
    assert warning in notes(*FIXED, *settings)


@pytest.mark.parametrize("setting", ["persistence.accessMode=ReadWriteMany", "persistence.existingClaim=models"])
def test_a_claim_that_many_pods_can_mount_needs_no_warning(setting: str) -> None:
    assert "ReadWriteOnce" not in notes(*FIXED, "replicas=2", setting)


def test_what_uninstalling_leaves_is_said() -> None:
    assert "leaves the claim churn-models, the CRD" in notes()
    assert "leaves the CRD" in notes("persistence.existingClaim=models")
