"""Settings: defaults, flags over variables, and a sentence for every value that cannot be used."""

from pathlib import Path

import pytest

from modelroll_server import settings
from modelroll_server.settings import SettingsError


def test_defaults_are_those_of_the_seams_page() -> None:
    found = settings.from_environment({"MODEL_PATH": "churn/1.2.0"})
    assert found == settings.Settings("churn/1.2.0")
    assert (found.model_root, found.artifact_policy, found.load) == (Path("/models"), "digest", "preload")
    assert (found.port, found.management_port, found.drain_delay, found.shutdown_timeout) == (8000, 8081, 0, 30)


def test_a_flag_wins_over_its_variable() -> None:
    found = settings.from_environment({"MODEL_PATH": "a", "PORT": "1"}, {"port": "2", "host": None})
    assert found.port == 2


def test_an_empty_variable_counts_as_absent() -> None:
    assert settings.from_environment({"MODEL_PATH": "a", "MODEL_DIGEST": "", "TARGET_DIR": ""}).model_digest is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "65536"),
        ("MANAGEMENT_PORT", "-1"),
        ("WORKERS", "0"),
        ("WORKERS", "257"),
        ("WORKERS", "two"),
        ("WORKER_TIMEOUT", "long"),
        ("DRAIN_DELAY", "soon"),
        ("DRAIN_DELAY", "nan"),
        ("SHUTDOWN_TIMEOUT", "-1"),
        ("MODEL_DIGEST", "sha256:1234"),
        ("MODEL_DIGEST", "md5:" + "0" * 64),
        ("ARTIFACT_POLICY", "none"),
        ("LOAD", "never"),
        ("EXTRA_FIELDS", "maybe"),
        ("MAX_BATCH_SIZE", "0"),
        ("MAX_BATCH_SIZE", "1025"),
        ("MAX_BATCH_SIZE", "²"),
        ("MAX_BATCH_DELAY_MS", "nan"),
        ("MAX_BATCH_DELAY_MS", "-1"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
        ("LOG_REQUESTS", "perhaps"),
    ],
)
def test_a_bad_value_is_refused_with_the_name_of_its_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} is '{value}', and may be "):
        settings.from_environment({"MODEL_PATH": "a", name: value})


def test_nothing_to_serve_is_refused() -> None:
    with pytest.raises(SettingsError, match="MODEL_PATH is not set"):
        settings.from_environment({})


def test_a_worker_is_told_by_its_environment_what_its_parent_was_told() -> None:
    given = {"MODEL_PATH": "a", "WORKERS": "auto", "LOG_REQUESTS": "true", "DRAIN_DELAY": "0.5", "STATE_DIR": "/state"}
    found = settings.from_environment(given, {"port": "1"})
    assert found.workers == "auto"
    assert settings.from_environment(settings.to_environment(found)) == found
