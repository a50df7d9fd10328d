"""A version that is broken ends Stalled with its reason, and costs nobody an answer and no ready pod."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from harness.cluster import ROOT
from harness.release import CHURN, Release, digest_of
from harness.traffic import under_load
from harness.volume import truncate

pytestmark = pytest.mark.needs("cluster", "helm", "kubectl")

WRONG_GOLDEN_ROWS = ROOT / "tests" / "artifacts" / "churn" / "2.1.0"
OF_NOTHING = f"sha256:{'0' * 64}"


def test_golden_rows_that_differ(release: Release) -> None:
    release.push(WRONG_GOLDEN_ROWS)
    assert stall(release, "2.1.0", digest=digest_of(WRONG_GOLDEN_ROWS)) == "GoldenRowsDiffer"


def test_a_refused_version_is_left_alone_and_a_good_one_goes_past_it(release: Release) -> None:
    """Runs after the one above: 2.1.0 stays refused, and 2.0.0 is the highest that is not."""
    with under_load(release.namespace) as traffic:
        release.apply_version("2.0.0")
        release.wait_live("2.0.0")
        release.wait_ready(3)
    traffic.assert_flawless()
    assert release.condition("2.1.0", "Stalled")["reason"] == "GoldenRowsDiffer"
    assert traffic.verdict.by_version.keys() == {"1.2.0", "2.0.0"}


def test_an_artifact_that_is_not_there(release: Release) -> None:
    assert stall(release, "2.2.0", digest=OF_NOTHING) == "ArtifactMissing"


def test_a_truncated_file(release: Release, tmp_path: Path) -> None:
    copy = copied(tmp_path, "2.3.0")
    release.push(copy)
    truncate(release.namespace, "churn/2.3.0/model.joblib", 1000)
    assert stall(release, "2.3.0", digest=digest_of(copy)) == "ArtifactIncomplete"


def test_another_digest(release: Release) -> None:
    assert stall(release, "2.4.0", path="churn/2.0.0", digest=OF_NOTHING) == "DigestMismatch"


def test_a_load_that_takes_the_process_down(release: Release, tmp_path: Path) -> None:
    copy = copied(tmp_path, "2.5.0")
    replace_model(
        copy, b"cos\n_exit\n(I137\ntR."
    )  # unpickling it ends the process, as the kernel does when memory is out
    release.push(copy)
    assert stall(release, "2.5.0", digest=digest_of(copy)) == "CrashedWhileLoading"


def stall(release: Release, version: str, **spec: str) -> str:
    """Apply a version under load and wait until it is given up; the reason."""
    before = release.settled()["version"]
    with under_load(release.namespace) as traffic:
        release.apply_version(version, **spec)
        reason = release.wait_stalled(version, 120)
        release.wait_ready(3)
    assert release.settled()["version"] == before
    assert version not in traffic.readiness.targets.values(), "a pod became Ready on it"
    assert traffic.verdict.by_version.keys() == {before}
    traffic.assert_flawless()
    assert reason in {one["reason"] for one in release.events(version) if one["type"] == "Warning"}
    assert release.condition(version, "Ready")["reason"] == reason
    return reason


def copied(directory: Path, version: str) -> Path:
    """2.0.0 under another number."""
    copy = directory / version
    shutil.copytree(CHURN / "2.0.0", copy)
    manifest = copy / "modelroll.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"version": version}))
    return copy


def replace_model(artifact: Path, data: bytes) -> None:
    """Put other bytes in the place of the model, which is not compiled then, under a manifest that says so."""
    (artifact / "model.joblib").write_bytes(data)
    (artifact / "model.onnx").unlink()
    manifest = json.loads((artifact / "modelroll.json").read_text())
    del manifest["files"]["model.onnx"]
    manifest["runtimes"] = [runtime for runtime in manifest["runtimes"] if runtime["kind"] == "sklearn"]
    manifest["files"]["model.joblib"] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (artifact / "modelroll.json").write_text(json.dumps(manifest))
