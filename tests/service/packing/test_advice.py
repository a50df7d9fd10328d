"""What pack and push print is what the chart takes."""

import re
from pathlib import Path

import msgspec
import pytest

from modelroll_server.artifact import catalog
from modelroll_server.packing import advice

CHURN = Path(__file__).parents[3] / "models/churn"


@pytest.mark.parametrize(
    ("model", "release", "named"),
    [
        ("churn", "churn", False),
        ("credit_risk", "credit-risk", True),
        ("Churn.v2", "churn-v2", True),
        ("3d", "model-3d", True),
        ("a" * 63, "a" * 53, True),
    ],
)
def test_the_release_has_a_name_that_helm_takes_and_the_model_keeps_its_own(
    model: str, release: str, named: bool
) -> None:
    manifest = msgspec.structs.replace(catalog.read(CHURN / "1.2.0").manifest, model=model)
    flags = advice.helm_flags(manifest, "sha256:0")
    assert flags.startswith(f"helm install {release} charts/modelroll ")
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,51}[a-z0-9])?", release)
    assert (f"--set model.name={model}" in flags) == named
    assert "image" not in flags


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("host:5000/a/server:1.2", ["image.repository=host:5000/a/server", "image.tag=1.2"]),
        ("host:5000/a/server", ["image.repository=host:5000/a/server"]),
        ("a/server:1@sha256:0f", ["image.repository=a/server", "image.digest=sha256:0f"]),
        (
            "host/modelroll-server:1",
            [
                "image.repository=host/modelroll-server",
                "image.tag=1",
                "operator.image.repository=host/modelroll-operator",
                "operator.image.tag=1",
            ],
        ),
    ],
)
def test_the_image_is_what_the_chart_is_told(image: str, expected: list[str]) -> None:
    flags = advice.helm_flags(catalog.read(CHURN / "1.2.0").manifest, "sha256:0", image=image)
    assert re.findall(r"--set ((?:operator\.)?image\S+)", flags) == expected
