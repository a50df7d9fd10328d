"""What the root README says to type for a signed model works: up to the cluster in full, and helm by rendering."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness import readme
from harness.cluster import ROOT

COMMANDS = readme.commands("Only what somebody vouched for")


def run(command: str) -> "subprocess.CompletedProcess[str]":
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euc", command], check=False, capture_output=True, text=True, env={**os.environ, "PATH": path}
    )


@pytest.mark.needs("helm", "openssl")
def test_a_model_is_signed_verified_and_asked_for_as_the_readme_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "models/churn/1.2.0", "models/churn/1.2.0")
    *typed, push, upgrade = COMMANDS
    assert push == "modelroll push models/churn --claim models"  # its two ends: tests/service/signing
    done = [run(command) for command in typed]
    assert [one.returncode for one in done] == [0] * len(typed), done
    assert "signature    by the key" in done[-1].stdout
    assert upgrade.startswith("helm upgrade churn charts/modelroll --reset-then-reuse-values ")
    rendered = run(
        upgrade.replace("helm upgrade", "helm template")
        .replace("charts/modelroll", str(ROOT / "charts/modelroll"))
        .replace("--reset-then-reuse-values", "--set model.path=churn/1.2.0")
    )
    assert rendered.returncode == 0, rendered.stderr
    assert "-----BEGIN PUBLIC KEY-----" in rendered.stdout
