"""docs/modelversion.md names everything that a ModelVersion may hold or say."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelroll_operator import observed, report
from modelroll_server import errors

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "modelversion.md").read_text()
FIRST_COLUMN = set(re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE))


def _schema() -> dict[str, Any]:
    crd = yaml.safe_load((ROOT / "k8s" / "crd" / "modelversions.modelroll.dev.yaml").read_text())
    schema: dict[str, Any] = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    return schema


def _fields(schema: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, child in schema["properties"].items():
        if "properties" in child:
            yield from _fields(child, f"{prefix}{name}.")
        else:
            yield prefix + name


def _load_errors(base: type[errors.LoadError] = errors.LoadError) -> Iterator[str]:
    for one in base.__subclasses__():
        yield one.reason
        yield from _load_errors(one)


@pytest.mark.parametrize("field", list(_fields(_schema()["spec"])))
def test_every_field_of_the_spec_is_on_the_page(field: str) -> None:
    assert field in FIRST_COLUMN


@pytest.mark.parametrize("field", list(_schema()["status"]["properties"]))
def test_every_field_of_the_status_is_on_the_page(field: str) -> None:
    assert field in FIRST_COLUMN


@pytest.mark.parametrize("reason", sorted({*_load_errors(), *observed.FINAL_REASONS, *observed.PASSING_REASONS}))
def test_every_reason_of_a_pod_is_on_the_page(reason: str) -> None:
    assert reason in FIRST_COLUMN


def test_every_condition_and_reason_that_the_operator_gives_is_on_the_page() -> None:
    """Words in CamelCase between quotes are conditions and reasons; the rest of them are listed here."""
    words: set[str] = set()
    package = Path(report.__file__).parent
    for module in (package / "report.py", package / "canary.py", *package.glob("plan/*.py")):
        words |= set(re.findall(r'"([A-Z][a-z]+(?:[A-Z][a-z]+)*)"', module.read_text()))
    assert {"Progressing", "ProgressDeadlineExceeded", "CanaryErrors"} <= words
    assert words - {"True", "False", "Unknown", "Failed", "RollingUpdate", "InPlace"} <= FIRST_COLUMN


def test_the_operator_knows_what_to_make_of_every_reason_of_a_pod() -> None:
    """RevisionClash is left to the deadline: it may pass when another writer is stopped."""
    assert set(_load_errors()) - observed.FINAL_REASONS - observed.PASSING_REASONS == {"RevisionClash"}
