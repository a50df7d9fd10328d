"""What the ConfigMap says about which versions may answer."""

import json

from checker.legal import legal

SETTLED = json.dumps({"revision": 7, "version": "1.2.0", "path": "churn/1.2.0"})
ROLLOUT = {"to": {"version": "2.0.0", "path": "churn/2.0.0"}, "previous": {"version": "1.2.0"}, "phase": "applied"}


def test_without_a_config_map_the_version_of_model_path_is_legal() -> None:
    assert legal(None, "1.0.0") == {"1.0.0"}


def test_with_no_rollout_only_what_is_settled_is_legal() -> None:
    assert legal({"settled": SETTLED, "operator": '{"counter":7}'}, "1.0.0") == {"1.2.0"}


def test_during_a_rollout_both_ends_are_legal() -> None:
    operator = json.dumps({"counter": 8, "rollout": ROLLOUT})
    assert legal({"settled": SETTLED, "operator": operator}, "1.0.0") == {"1.2.0", "2.0.0"}


def test_after_settling_what_was_settled_before_is_still_legal() -> None:
    settled = json.dumps({"revision": 8, "version": "2.0.0"})
    operator = json.dumps({"counter": 8, "rollout": {**ROLLOUT, "phase": "settled"}})
    assert legal({"settled": settled, "operator": operator}, "1.0.0") == {"1.2.0", "2.0.0"}


def test_content_from_the_environment_is_the_version_of_model_path() -> None:
    operator = json.dumps({"counter": 1, "rollout": {**ROLLOUT, "previous": {"env": True}}})
    assert legal({"operator": operator}, "1.0.0") == {"1.0.0", "2.0.0"}
