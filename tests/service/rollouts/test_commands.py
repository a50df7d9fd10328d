"""`modelroll rollout` as it is typed, against a kubectl that gets and patches ModelVersions in a file."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from modelroll_server.cli.rollout import rollout

# Merge patches as an API server applies them, of objects that hold no null.
PROGRAM = """#!{python}
import json, pathlib, sys
path = pathlib.Path({path!r})
items = json.loads(path.read_text())
verb, kind, *rest = sys.argv[1:]
assert kind == "modelversions.modelroll.dev"
name = next((one for one in rest if not one.startswith("-")), None)
if name is None:
    print(json.dumps({{"items": list(items.values())}}))
    sys.exit()
if name not in items:
    sys.exit(f'modelversions.modelroll.dev "{{name}}" not found')
if verb == "patch":
    def merge(into, change):
        for key, value in change.items():
            if isinstance(value, dict):
                merge(into.setdefault(key, {{}}), value)
            else:
                into[key] = value
    before = json.dumps(items[name]["spec"], sort_keys=True)
    merge(items[name], json.loads(next(one for one in rest if one.startswith("--patch="))[8:]))
    items[name]["metadata"]["generation"] += before != json.dumps(items[name]["spec"], sort_keys=True)
    path.write_text(json.dumps(items))
print(json.dumps(items[name]))
"""

Item = dict[str, Any]


class Versions:
    """The ModelVersions of a model, and what is typed about them."""

    def __init__(self, home: Path) -> None:
        self._path = home / "items.json"
        self._path.write_text("{}")
        program = home / "kubectl"
        program.write_text(PROGRAM.format(python=sys.executable, path=str(self._path)))
        program.chmod(0o755)

    def apply(self, version: str, /, *, ready: str = "Superseded", attempt: str | None = None, **spec: object) -> None:
        """A version, of which its status says this."""
        conditions = [{"type": "Ready", "status": "True", "reason": ready, "message": "why"}]
        if ready == "Live":
            conditions += [{"type": kind, "status": "True", "reason": ready} for kind in ("Live", "RolledOut")]
        if attempt == "Failed":
            conditions += [{"type": "Stalled", "status": "True", "reason": ready}]
        status: Item = {"observedGeneration": 1, "conditions": conditions, "pods": {"desired": 3, "updated": 3}}
        if attempt is not None:
            status["attempt"] = {"outcome": attempt, "reason": ready}
        found = self.items | {
            f"churn-{version}": {
                "metadata": {"name": f"churn-{version}", "generation": 1},
                "spec": {"model": "churn", "version": version, "strategy": {"type": "RollingUpdate"}} | spec,
                "status": status,
            }
        }
        self._path.write_text(json.dumps(found))

    @property
    def items(self) -> dict[str, Item]:
        found: dict[str, Item] = json.loads(self._path.read_text())
        return found

    def type(self, command: str, version: str, *options: str) -> Result:
        return CliRunner().invoke(rollout, [command, f"churn-{version}", *options])

    def said(self, command: str, version: str) -> list[str]:
        done = self.type(command, version)
        assert done.exit_code == 0, done.output
        return done.output.splitlines()


@pytest.fixture
def versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Versions:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = Versions(tmp_path)
    found.apply("2.0.0", ready="Live", attempt="Succeeded")
    return found


def test_an_undo_names_the_one_version_that_becomes_live_and_how(versions: Versions) -> None:
    versions.apply("1.9.0")
    versions.apply("1.10.0", strategy={"type": "InPlace"})
    versions.apply("3.0.0-rc.1")  # releases go before pre-releases
    versions.apply("1.11.0", ready="GoldenRowsDiffer", attempt="Failed")
    versions.apply("1.12.0", withdrawn=True)
    versions.apply("1.13.0", deployment="another")
    versions.apply("1.14.0", model="another")
    assert versions.said("undo", "2.0.0") == [
        "churn-2.0.0 is withdrawn",
        "churn-1.10.0 becomes live, in place; `modelroll rollout status churn-1.10.0` follows it",
    ]
    assert versions.items["churn-2.0.0"]["spec"]["withdrawn"] is True


def test_an_undo_goes_by_the_strategy_of_the_version_that_it_goes_to(versions: Versions) -> None:
    versions.apply("2.0.0", ready="Live", strategy={"type": "InPlace"})
    versions.apply("1.0.0")
    assert versions.said("undo", "2.0.0")[1].startswith("churn-1.0.0 becomes live, by new pods; ")


def test_an_undo_of_what_is_not_live_says_what_stays(versions: Versions) -> None:
    versions.apply("2.1.0", ready="Progressing")
    assert versions.said("undo", "2.1.0")[1].startswith("churn-2.0.0 is live, and stays so; ")


def test_an_undo_to_a_version_that_is_paused_says_how_it_begins(versions: Versions) -> None:
    versions.apply("1.0.0", paused=True)
    assert versions.said("undo", "2.0.0")[1] == (
        "churn-1.0.0 becomes live, by new pods, but is paused: `modelroll rollout resume churn-1.0.0` lets it begin"
    )


def test_an_undo_with_two_of_the_next_version_says_that_neither_becomes_live(versions: Versions) -> None:
    versions.apply("1.0.0")
    versions.apply("1.0.0-again", version="1.0.0")
    assert versions.said("undo", "2.0.0")[1].startswith("churn-1.0.0 and churn-1.0.0-again have the same version: ")


def test_an_undo_with_nothing_but_failures_left_says_that_what_is_served_stays(versions: Versions) -> None:
    versions.apply("1.0.0", ready="GoldenRowsDiffer", attempt="Failed")
    versions.apply("1.1.0", ready="LoadFailed", attempt="Failed")
    assert versions.said("undo", "2.0.0")[1].startswith(
        "all that are left have failed (churn-1.0.0, churn-1.1.0), so that what is served stays; "
    )


def test_an_undo_with_nothing_left_says_that_what_is_served_stays(versions: Versions) -> None:
    assert versions.said("undo", "2.0.0")[1] == (
        "no other ModelVersion of its model is left to go back to, so that what is served stays"
    )


def test_a_resume_says_whether_it_was_paused(versions: Versions) -> None:
    versions.apply("2.1.0", ready="Paused", paused=True)
    assert versions.said("resume", "2.1.0") == ["churn-2.1.0 goes on"]
    assert versions.items["churn-2.1.0"]["spec"]["paused"] is False
    assert versions.said("resume", "2.1.0") == ["churn-2.1.0 was not paused"]


def test_a_resume_of_what_is_withdrawn_says_how_to_bring_it_back(versions: Versions) -> None:
    versions.apply("2.1.0", ready="Withdrawn", withdrawn=True)
    (said,) = versions.said("resume", "2.1.0")
    back = """`kubectl patch modelversion churn-2.1.0 --type merge -p '{"spec":{"withdrawn":false}}'` brings it back"""
    assert said == f"churn-2.1.0 is withdrawn: {back}"


def test_a_pause_of_what_is_live_says_that_it_holds_nothing(versions: Versions) -> None:
    versions.apply("2.1.0", ready="Pending")
    assert versions.said("pause", "2.1.0") == ["churn-2.1.0 is paused"]
    assert versions.said("pause", "2.0.0") == ["churn-2.0.0 is paused, which holds nothing now: it is live"]


def test_a_retry_is_another_value_each_time_and_not_seen_yet(versions: Versions) -> None:
    versions.apply("2.1.0", ready="GoldenRowsDiffer", attempt="Failed")
    asked = []
    for _ in range(2):
        assert versions.said("retry", "2.1.0") == [
            "churn-2.1.0 may be tried again; `modelroll rollout status churn-2.1.0` follows it"
        ]
        asked.append(versions.items["churn-2.1.0"]["metadata"]["annotations"]["modelroll.dev/retry"])
    assert asked[0] < asked[1]
    seen = versions.type("status", "2.1.0", "--no-watch")
    assert (seen.exit_code, seen.output) == (0, "churn-2.1.0: the operator has not looked at what was changed yet\n")


def test_a_retry_of_what_has_not_failed_changes_nothing(versions: Versions) -> None:
    before = versions.items
    assert versions.said("retry", "2.0.0") == ["churn-2.0.0 has not failed, so that there is nothing to try again"]
    assert versions.items == before


def test_a_retry_of_what_is_withdrawn_is_refused(versions: Versions) -> None:
    versions.apply("2.1.0", ready="Withdrawn", attempt="Failed", withdrawn=True)
    done = versions.type("retry", "2.1.0")
    assert done.exit_code == 1
    assert "churn-2.1.0 is withdrawn" in done.stderr


def test_a_failure_is_said_once_and_last_how_to_try_again(versions: Versions) -> None:
    versions.apply("2.1.0", ready="GoldenRowsDiffer", attempt="Failed")
    done = versions.type("status", "2.1.0")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "Error: churn-2.1.0 is not live: GoldenRowsDiffer: why",
        "`modelroll rollout retry churn-2.1.0` tries it again once that is mended",
    ]


def test_what_is_superseded_is_not_to_be_tried_again(versions: Versions) -> None:
    versions.apply("1.0.0")
    done = versions.type("status", "1.0.0")
    assert done.exit_code == 1
    assert done.stderr.splitlines() == ["Error: churn-1.0.0 is not live: Superseded: why"]
