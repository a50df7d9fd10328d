"""The versions of one model in its directory: which are complete, and which to serve."""

from dataclasses import dataclass
from pathlib import Path

from modelroll_server.artifact import manifest as manifests
from modelroll_server.artifact.opening import open_artifact
from modelroll_server.artifact.policy import Policy
from modelroll_server.artifact.version import Version, highest, is_version
from modelroll_server.errors import LoadError


@dataclass(frozen=True, slots=True)
class Entry:
    """One complete version.

    Attributes:
        version: As its manifest says, which is also its directory's name.
        path: Its directory.
        digest: Of its manifest.
        manifest: What it says.
    """

    version: Version
    path: Path
    digest: str
    manifest: manifests.Manifest


def is_artifact(path: Path) -> bool:
    """Whether `path` is the directory of one version (rather than of a model with many)."""
    return (path / manifests.NAME).is_file()


def read(path: Path) -> Entry:
    """One version, complete, its model not loaded.

    Raises:
        LoadError: It is not complete, or not an artifact.
    """
    with open_artifact(path, policy=Policy.ANY) as opened:
        if opened.manifest is None:
            raise LoadError(f"{path} is a file, not an artifact; `modelroll pack` makes one of it")
        version = Version.parse(opened.manifest.version)
        return Entry(version, opened.path, opened.digest, opened.manifest)


def version_directories(directory: Path) -> list[Path]:
    """The directories within that are named as versions are, complete or not, lowest first."""
    named = [child for child in directory.iterdir() if is_version(child.name) and child.is_dir()]
    return sorted(named, key=lambda child: Version.parse(child.name))


def complete_versions(directory: Path) -> list[Entry]:
    """The complete versions in a model's directory, lowest first; what is not complete yet is left out."""
    entries = []
    for child in version_directories(directory):
        try:
            entry = read(child)
        except LoadError:
            continue
        if entry.version.text == child.name:
            entries.append(entry)
    return sorted(entries, key=lambda entry: entry.version)


def to_serve(entries: list[Entry]) -> Entry | None:
    """The one to serve: the highest release, else the highest pre-release."""
    version = highest(entry.version for entry in entries)
    return next((entry for entry in entries if entry.version == version), None)
