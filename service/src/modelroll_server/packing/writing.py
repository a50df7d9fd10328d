"""Writing an artifact so that it is either there whole or not at all."""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from modelroll_server.artifact import manifest as manifests
from modelroll_server.errors import PackFailed


def free(out: Path, model: str, version: str) -> Path:
    """OUT/<model>/<version>, where nothing is yet.

    Raises:
        PackFailed: That version is there already.
    """
    place = out / model / version
    if place.exists():
        raise PackFailed(f"{place} is there already, and a version never changes: give the new one another number")
    return place


def write(out: Path, manifest: manifests.Manifest, files: Mapping[str, bytes], *, replace: bool = False) -> Path:
    """Write OUT/<model>/<version>/: the files, then the manifest, under another name until all of it is there.

    Raises:
        PackFailed: That version is there already, or the disk does not take it. Nothing is left behind.
    """
    place = out / manifest.model / manifest.version if replace else free(out, manifest.model, manifest.version)
    made = [directory for directory in (out, place.parent) if not directory.exists()]
    unfinished: Path | None = None
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=f".{manifest.version}-", dir=place.parent))
        unfinished.chmod(0o755)
        for name, data in files.items():
            write_file(unfinished / name, data)
        write_file(unfinished / manifests.NAME, manifests.encode(manifest))
        if place.exists():
            shutil.rmtree(place)
        unfinished.rename(place)
    except OSError as error:
        raise PackFailed(f"{place} cannot be written: {error.strerror}") from error
    finally:
        if unfinished is not None and unfinished.exists():
            shutil.rmtree(unfinished)
        for directory in reversed(made):
            if directory.is_dir() and not any(directory.iterdir()):
                directory.rmdir()
    return place


def write_file(path: Path, data: bytes) -> None:
    """Write under a temporary name, make it durable, rename."""
    unfinished = path.with_name(f".{path.name}.part")
    with unfinished.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
