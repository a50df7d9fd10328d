"""Opening: digests, completeness, links, roots, and bytes that cannot change after they were hashed."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelroll_server.artifact import catalog
from modelroll_server.artifact.opening import open_artifact
from modelroll_server.artifact.policy import Policy
from modelroll_server.errors import (
    ArtifactIncomplete,
    ArtifactMissing,
    ArtifactUnreadable,
    DigestMismatch,
    LoadError,
    ManifestInvalid,
    PathRefused,
    PolicyRefused,
)

Rewrite = Callable[[Callable[[dict[str, Any]], object]], str]


def sha256(path: Path) -> str:
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_digest_is_that_of_the_manifest_as_stored(artifact: Path) -> None:
    with open_artifact(artifact) as opened:
        assert opened.digest == sha256(artifact / "modelroll.json")


def test_a_space_more_in_the_manifest_is_another_digest(artifact: Path) -> None:
    before = sha256(artifact / "modelroll.json")
    with (artifact / "modelroll.json").open("ab") as file:
        file.write(b" ")
    with pytest.raises(DigestMismatch) as caught:
        open_artifact(artifact, digest=before)
    assert (caught.value.expected, caught.value.found) == (before, sha256(artifact / "modelroll.json"))


def test_the_digest_of_a_bare_file_is_that_of_its_bytes(artifact: Path) -> None:
    file = artifact / "model.joblib"
    with open_artifact(file, digest=sha256(file)) as opened, opened.reading(file.name) as read:
        assert (opened.digest, opened.manifest) == (sha256(file), None)
        assert read.read() == file.read_bytes()
    with pytest.raises(DigestMismatch):
        open_artifact(file, digest="sha256:" + "0" * 64)


def test_what_was_hashed_cannot_be_changed_any_more(artifact: Path) -> None:
    content = (artifact / "model.joblib").read_bytes()
    with open_artifact(artifact) as opened, opened.reading("model.joblib") as file:
        (artifact / "model.joblib").write_bytes(b"other")
        with pytest.raises(PermissionError):
            os.write(file.fileno(), b"other")
        assert file.read() == content


def test_nothing_at_the_path_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissing):
        open_artifact(tmp_path / "churn/9.9.9")


def test_a_directory_without_a_manifest_is_incomplete(artifact: Path) -> None:
    (artifact / "modelroll.json").unlink()
    with pytest.raises(ArtifactIncomplete, match="written last"):
        open_artifact(artifact)


@pytest.mark.parametrize("damage", [b"", b"short"], ids=["empty", "short"])
def test_a_file_of_another_size_is_incomplete(artifact: Path, damage: bytes) -> None:
    size = (artifact / "model.joblib").stat().st_size
    (artifact / "model.joblib").write_bytes(damage)
    with pytest.raises(ArtifactIncomplete) as caught:
        open_artifact(artifact)
    assert (caught.value.expected, caught.value.found) == (size, len(damage))


def test_a_listed_file_that_is_not_there_is_incomplete(artifact: Path) -> None:
    (artifact / "model.joblib").unlink()
    with pytest.raises(ArtifactIncomplete, match=r"model\.joblib is not there"):
        open_artifact(artifact)


def test_a_file_of_the_same_size_with_other_bytes_is_refused_when_read(artifact: Path) -> None:
    content = bytearray((artifact / "model.joblib").read_bytes())
    content[100] ^= 1
    (artifact / "model.joblib").write_bytes(content)
    with open_artifact(artifact) as opened:
        with pytest.raises(DigestMismatch), opened.reading("model.joblib"):
            pass
        with pytest.raises(DigestMismatch):
            opened.check("model.joblib")


def test_a_manifest_of_nine_mebibytes_is_not_read_to_its_end(artifact: Path) -> None:
    (artifact / "modelroll.json").write_bytes(b" " * 9 * 2**20)
    with pytest.raises(ManifestInvalid, match="8 MiB"):
        open_artifact(artifact)


def replace_by_link(file: Path) -> None:
    real = file.rename(file.parent.parent / f"real-{file.name}")
    file.symlink_to(real)


def replace_by_fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def replace_by_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("replace", [replace_by_link, replace_by_fifo, replace_by_directory])
@pytest.mark.parametrize("name", ["modelroll.json", "model.joblib"])
def test_links_pipes_and_directories_are_no_files(artifact: Path, name: str, replace: Callable[[Path], None]) -> None:
    replace(artifact / name)
    with pytest.raises(PathRefused):
        open_artifact(artifact)


def test_a_path_may_lead_over_links_as_long_as_it_stays_under_the_root(artifact: Path) -> None:
    root = artifact.parents[1]
    (root / "current").symlink_to("churn/1.2.0")
    with open_artifact("current", root=root) as opened:
        assert opened.path == artifact.resolve()


@pytest.mark.parametrize("path", ["../outside", "churn/../../outside", "link"])
def test_a_path_that_leaves_the_root_is_refused(artifact: Path, path: str) -> None:
    root = artifact.parents[1]
    (root.parent / "outside").mkdir()
    (root / "link").symlink_to(root.parent / "outside")
    with pytest.raises(PathRefused):
        open_artifact(path, root=root)


def test_an_absolute_path_outside_the_root_is_refused(artifact: Path) -> None:
    with pytest.raises(PathRefused):
        open_artifact("/etc/hostname", root=artifact.parents[1])


def test_a_link_that_leads_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(PathRefused):
        open_artifact(tmp_path / "loop")


def test_a_path_with_a_null_byte_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PathRefused):
        open_artifact("a\0b", root=tmp_path)


def test_a_device_is_no_model() -> None:
    with pytest.raises(PathRefused):
        open_artifact("/dev/zero")


def test_policy_digest_refuses_a_pickle_without_digest_and_prints_the_flags(artifact: Path) -> None:
    digest = sha256(artifact / "modelroll.json")
    with open_artifact(artifact, policy=Policy.DIGEST) as opened, pytest.raises(PolicyRefused) as caught:
        opened.require_trust("joblib")
    assert f"--digest {digest}" in caught.value.message
    assert f"--set model.digest={digest}" in caught.value.message


def test_policy_digest_takes_a_pickle_under_its_digest(artifact: Path) -> None:
    with open_artifact(artifact, policy=Policy.DIGEST, digest=sha256(artifact / "modelroll.json")) as opened:
        opened.require_trust("joblib")


def test_policy_any_asks_for_nothing(artifact: Path) -> None:
    with open_artifact(artifact, policy=Policy.ANY) as opened:
        opened.require_trust("joblib")


def test_opening_many_times_leaves_no_file_open(artifact: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        with open_artifact(artifact) as opened, opened.reading("model.joblib"):
            pass
        with pytest.raises(DigestMismatch):
            open_artifact(artifact, digest="sha256:" + "0" * 64)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_only_complete_versions_of_a_model_are_listed(artifact: Path, rewrite: Rewrite) -> None:
    model = artifact.parent
    (model / "1.3.0").mkdir()
    (model / "notes").mkdir()
    assert [entry.version.text for entry in catalog.complete_versions(model)] == ["1.2.0"]
    rewrite(lambda document: document.update(version="1.2.1"))
    assert catalog.complete_versions(model) == []


def test_a_bare_file_is_no_version(artifact: Path) -> None:
    with pytest.raises(LoadError, match="pack"):
        catalog.read(artifact / "model.joblib")


def test_every_failure_has_its_own_word() -> None:
    kinds = LoadError.__subclasses__()
    assert [kind.reason for kind in kinds] == [kind.__name__ for kind in kinds]
    assert ArtifactUnreadable in kinds
