"""Where a pod reads what it is to serve: the three projected files, or a model's directory.

Owns the consistency of a reading. Decides nothing: `target` does.
"""

import asyncio
import dataclasses
import os
from pathlib import Path
from typing import Protocol

from modelroll_server import errors
from modelroll_server.artifact import catalog, opening
from modelroll_server.artifact.policy import Policy
from modelroll_server.registry import target as targets
from modelroll_server.registry.target import Content, Snapshot, Source, Target

_MAX_BYTES = 1 << 20  # an annotation cannot be larger either


class TargetSource(Protocol):
    """Something that says, at any time, what to serve."""

    async def read(self) -> Snapshot:
        """One consistent reading."""


class Files:
    """The files `target`, `settled` and `move` of a projected volume, and MODEL_PATH.

    The kubelet writes a volume's files into a new directory and swaps the link `..data` to it: the link is resolved
    once a reading, so that the three files are of one moment.
    """

    def __init__(self, directory: Path | None, env: Content | None, root: Path = Path("/")) -> None:
        self._directory = directory
        self._env = None if env is None else Target("env", 0, env)
        self._root = root
        self._pinned = env is not None and env.digest is not None

    async def read(self) -> Snapshot:
        """The three files as they are now. They are small and in memory: no thread is worth it."""
        return self.snapshot()

    async def look_again(self) -> Target | None:
        """MODEL_PATH under a new revision, with the digest of what lies there now, unless one was given with it.

        None if files say what is served here, too.

        Raises:
            errors.LoadError: nothing that can be read lies there.
        """
        if self._directory is not None or self._env is None:
            return None
        content = self._env.content
        if not self._pinned and content.path is not None:
            found = await asyncio.to_thread(_digest, self._root / content.path)
            content = dataclasses.replace(content, digest=found)
        self._env = Target("env", self._env.revision + 1, content)
        return self._env

    def snapshot(self) -> Snapshot:
        """The same, at once."""
        if self._directory is None:
            return Snapshot(env=self._env)
        data = self._directory / "..data"
        try:
            directory = data.resolve(strict=True)
        except OSError:
            directory = self._directory
        found: dict[Source, Target | None] = {}
        invalid = []
        names: tuple[Source, ...] = ("target", "settled", "move")
        for name in names:
            try:
                found[name] = targets.parse(name, _read(directory / name))
            except errors.TargetInvalid as error:
                found[name] = None
                invalid.append(error.message)
        return targets.resolve(
            Snapshot(found["target"], found["settled"], found["move"], self._env, tuple(invalid)),
        )


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_BYTES)
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise errors.TargetInvalid(f"{path.name}: {os.strerror(error.errno or 0)}") from error


class Directory:
    """A model's directory: its highest complete version, under a revision that grows when that changes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._current = Target("env", 0, Content(path=str(directory), env=True))

    async def read(self) -> Snapshot:
        """The highest complete version, looked for in a thread: a directory may be on a network."""
        content = await asyncio.to_thread(self._highest)
        if content is not None and content != self._current.content:
            self._current = Target("env", self._current.revision + 1, content)
        return Snapshot(env=self._current)

    async def look_again(self) -> Target | None:
        """The highest complete version now."""
        return (await self.read()).env

    def _highest(self) -> Content | None:
        try:
            entry = catalog.to_serve(catalog.complete_versions(self._directory))
        except OSError:
            return None
        return None if entry is None else Content(entry.version.text, str(entry.path), entry.digest, env=True)


def _digest(path: Path) -> str:
    with opening.open_artifact(str(path), root=None, policy=Policy.ANY, digest=None) as opened:
        return opened.digest


def is_model_directory(path: Path) -> bool:
    """Whether `path` holds the versions of a model rather than being one."""
    return path.is_dir() and not catalog.is_artifact(path)


def named(model_path: str, root: Path, digest: str | None, target_dir: Path | None) -> "Files | Directory":
    """What says what to serve, for a MODEL_PATH (or none), the mount, MODEL_DIGEST and the directory of targets."""
    if not model_path:
        return Files(target_dir, None)
    path = Path(model_path)
    place = path if path.is_absolute() else root / path
    if target_dir is None and is_model_directory(place):
        return Directory(place)
    # Relative where it can be, so that a target that names the same place is seen to be the same.
    name = str(place.relative_to(root)) if place.is_relative_to(root) else str(place)
    return Files(target_dir, Content(path=name, digest=digest, env=True), root)
