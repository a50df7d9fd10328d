"""The command line: what it prints, and what it does not import."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from modelroll_server.cli import main

HEAVY = ("sklearn", "scipy", "pandas", "pyarrow", "fastapi", "pydantic", "joblib")


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=60)


def test_help_lists_every_command() -> None:
    done = run("-m", "modelroll_server", "--help")
    assert done.returncode == 0
    for command in ("serve", "stream", "pack", "sign", "verify", "push"):
        assert f"  {command} " in done.stdout


def test_the_version_is_the_distributions() -> None:
    assert run("-m", "modelroll_server", "--version").stdout.startswith("modelroll, version ")


@pytest.mark.parametrize("module", ["modelroll_server.app", "modelroll_server.cli.serve"])
def test_a_server_starts_without_what_only_some_models_need(module: str) -> None:
    done = run("-c", f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])")
    assert done.stdout.strip() == "[]", done.stderr


def test_the_command_line_caps_threads_before_numpy_is_there() -> None:
    done = run("-c", "import sys, modelroll_server.cli.serve; print('numpy' in sys.modules)")
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["stream", "."], "STREAM_URL (--url) is not set"),
        (["stream", ".", "--url", "redis://redis"], "STREAM_INPUT (--input) is not set"),
        (["serve", ".", "--port", "http"], "PORT (--port) is 'http'"),
    ],
)
def test_a_wrong_setting_is_named_with_its_flag(arguments: list[str], said: str) -> None:
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, said in result.output) == (2, True), result.output
