"""Each alert fires when it should and not otherwise, as Prometheus' own promtool evaluates the chart's rules."""

import json
import subprocess
from pathlib import Path

import pytest

from chart import promql
from chart.alert_cases import CASES, LAZY_CASES, Case
from chart.rendering import Object

pytestmark = [pytest.mark.needs("helm"), pytest.mark.needs("prometheus")]


def promtool(place: Path, *arguments: str, **files: object) -> subprocess.CompletedProcess[str]:
    """Run promtool beside these files, of which JSON is YAML enough."""
    for name, document in files.items():
        (place / f"{name}.yaml").write_text(json.dumps(document))
    return subprocess.run(["promtool", *arguments], cwd=place, check=False, capture_output=True, text=True)


@pytest.fixture(scope="module")
def rules() -> list[Object]:
    return promql.rules()


@pytest.fixture(scope="module")
def lazy_rules() -> list[Object]:
    return promql.rules("load=lazy")


def group(rules: list[Object]) -> Object:
    """A file of rules, as Prometheus reads it."""
    return {"groups": [{"name": "modelroll", "rules": rules}]}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}: {case.what}")
def test_an_alert_fires_when_it_should(case: Case, rules: list[Object], tmp_path: Path) -> None:
    fires_when_it_should(case, rules, tmp_path)


@pytest.mark.parametrize("case", LAZY_CASES, ids=lambda case: f"{case.alert}: {case.what}")
def test_pods_that_load_when_they_are_asked_are_not_down_before(
    case: Case, lazy_rules: list[Object], tmp_path: Path
) -> None:
    fires_when_it_should(case, lazy_rules, tmp_path)


def fires_when_it_should(case: Case, rules: list[Object], tmp_path: Path) -> None:
    """Have promtool evaluate the rule of a case."""
    (rule,) = [one for one in rules if one["alert"] == case.alert]
    labels = {**json.loads(case.labels), "severity": rule["labels"]["severity"]}
    fires = [] if case.says is None else [{"exp_labels": labels, "exp_annotations": {"summary": case.says}}]
    test = {
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
        "alert_rule_test": [{"eval_time": f"{case.minutes}m", "alertname": case.alert, "exp_alerts": fires}],
    }
    tests = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": [test]}
    result = promtool(tmp_path, "test", "rules", "tests.yaml", rules=group(rules), tests=tests)
    assert result.returncode == 0, result.stdout + result.stderr


def test_each_alert_has_a_case_of_either_kind(rules: list[Object]) -> None:
    names = {one["alert"] for one in rules}
    assert {case.alert for case in CASES if case.says is not None} == names
    assert {case.alert for case in CASES if case.says is None} == names


def test_promtool_has_nothing_to_say_of_rules_and_panels(rules: list[Object], tmp_path: Path) -> None:
    records = [{"record": f"panel:{number}", "expr": query} for number, (_, query) in enumerate(promql.queries())]
    panels = {"groups": [{"name": "panels", "rules": records}]}
    result = promtool(tmp_path, "check", "rules", "rules.yaml", "panels.yaml", rules=group(rules), panels=panels)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{len(records)} rules found" in result.stdout
