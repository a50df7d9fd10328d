"""From content to a version that may answer: open, load, and every gate, in the order that costs least.

Runs in a thread of its own. Knows neither revisions nor what is live.
"""

import contextlib
import ctypes
import datetime as dt
import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import structlog

from modelroll_server import errors
from modelroll_server.artifact import opening
from modelroll_server.artifact.manifest import Manifest
from modelroll_server.artifact.policy import Policy
from modelroll_server.registry import compatibility
from modelroll_server.registry.target import Content
from modelroll_server.registry.version import Version
from modelroll_server.runtimes import gates, loading
from modelroll_server.runtimes.base import Loaded
from modelroll_server.schema import Schema
from modelroll_server.schema.json import JsonDecoder

_log = structlog.get_logger(__name__)


class Loader:
    """Loads versions under one mount, by one policy."""

    def __init__(
        self,
        root: Path,
        policy: Policy,
        *,
        model: Callable[[], str | None] = lambda: None,
        extra_fields: Literal["refuse", "ignore"],
    ) -> None:
        """A loader.

        Args:
            root: What paths are relative to, and do not leave.
            policy: Which files may be loaded.
            model: The model that is served, of which all versions are to be; a bare file has its name. None: any.
            extra_fields: What becomes of fields that are no inputs.
        """
        self._root = root
        self._policy = policy
        self._model = model
        self._extra_fields = extra_fields

    def load(self, content: Content, baseline: Content | None = None) -> Version:
        """Load and check; blocks.

        Args:
            content: What to load.
            baseline: What the schema is compared with; its manifest alone is read.

        Raises:
            errors.LoadError: with the reason.
        """
        began = time.monotonic()
        try:
            loaded = self._open(content, baseline)
            decoder = JsonDecoder(Schema(loaded.manifest.inputs, extra_fields=self._extra_fields))
            gates.warm_up(loaded.manifest, decoder, loaded.runtime)
            gates.check_golden(loaded.manifest, decoder, loaded.runtime)
        except errors.LoadError:
            raise
        except (Exception, SystemExit) as error:  # unpickling runs foreign code: whatever it raises is its failure
            raise errors.LoadFailed(f"{type(error).__name__}: {error}") from error
        found = Content(loaded.manifest.version, content.path, loaded.digest, content.env)
        now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        seconds = time.monotonic() - began
        return Version(found, loaded.manifest, decoder, loaded.runtime, loaded.digest, now, seconds)

    def _open(self, content: Content, baseline: Content | None) -> Loaded:
        with self._opened(content, content.digest) as opened:
            if opened.manifest is not None:
                self._check_names(opened.manifest, content)
                if baseline is not None:
                    self._check_baseline(opened.manifest, baseline)
            return loading.load(opened, model=self._model(), version=content.version)

    def _opened(self, content: Content, digest: str | None) -> opening.OpenArtifact:
        if content.path is None:
            raise errors.ArtifactMissing("MODEL_PATH is not set, and the target says to serve it")
        root = self._root_of(content.path)
        return opening.open_artifact(content.path, root=root, policy=self._policy, digest=digest)

    def _check_names(self, manifest: Manifest, content: Content) -> None:
        model = self._model()
        if model is not None and manifest.model != model:
            sentence = f"the manifest is of the model {manifest.model}, served here is {model}"
            raise errors.ModelMismatch(sentence, expected=model, found=manifest.model)
        if content.version is not None and manifest.version != content.version:
            sentence = f"the manifest is of version {manifest.version}, wanted is {content.version}"
            raise errors.VersionMismatch(sentence, expected=content.version, found=manifest.version)

    def _check_baseline(self, manifest: Manifest, baseline: Content) -> None:
        if baseline.path is None:
            return
        try:
            before = opening.read_manifest(baseline.path, root=self._root_of(baseline.path))
        except errors.LoadError as error:
            # What is not there or broken cannot be kept to; it must not keep its own successor out.
            _log.warning("baseline unknown", path=baseline.path, reason=error.reason, message=error.message)
            return
        if before is not None:
            compatibility.check(manifest, before)

    def _root_of(self, path: str) -> Path | None:
        return None if Path(path).is_absolute() else self._root


def return_memory() -> None:
    """Give freed pages back to the system: the C library keeps them otherwise, and reloads would look like a leak."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def exempt_from_collection() -> None:
    """Tell Python's garbage collector to leave alone what is there: a start leaves much that stays for ever.

    It would be looked through again and again, while requests wait.
    """
    gc.freeze()
