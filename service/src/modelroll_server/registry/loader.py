"""From content to a version that may answer: open, load, and every gate, in the order that costs least.

Runs in a thread of its own. Knows neither revisions nor what is live.
"""

import gc
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from modelroll_server import errors
from modelroll_server.artifact import opening
from modelroll_server.artifact.manifest import Manifest
from modelroll_server.registry import compatibility
from modelroll_server.registry.target import Content
from modelroll_server.registry.terms import Terms
from modelroll_server.registry.version import Version
from modelroll_server.runtimes import gates, loading
from modelroll_server.runtimes.base import Loaded
from modelroll_server.schema import Schema
from modelroll_server.schema.json import JsonDecoder
from modelroll_server.telemetry import memory

_log = structlog.get_logger(__name__)


class Loader:
    """Loads versions on the same terms."""

    def __init__(self, terms: Terms, *, model: Callable[[], str | None] = lambda: None) -> None:
        """A loader.

        Args:
            terms: Which versions, and from where.
            model: The model that is served, of which all versions are to be; a bare file has its name. None: any.
        """
        self._terms = terms
        self._model = model

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
            decoder = JsonDecoder(Schema(loaded.manifest.inputs, extra_fields=self._terms.extra_fields))
            gates.warm_up(loaded.manifest, decoder, loaded.runtime)
            gates.check_golden(loaded.manifest, decoder, loaded.runtime)
        except errors.LoadError:
            raise
        except MemoryError as error:
            raise errors.NotEnoughMemory("loading it takes more memory than there is") from error
        except BaseException as error:  # unpickling runs foreign code: whatever it raises is its failure
            raise errors.LoadFailed(f"{type(error).__name__}: {error}") from error
        found = Content(loaded.manifest.version, content.path, loaded.digest, content.env)
        seconds = time.monotonic() - began
        return Version(found, loaded.manifest, decoder, loaded.runtime, loaded.digest, seconds)

    def _open(self, content: Content, baseline: Content | None) -> Loaded:
        with self._opened(content, content.digest) as opened:
            if opened.manifest is not None:
                self._check_names(opened.manifest, content)
                self.check_baseline(opened.manifest, baseline)
                _require_memory(opened.manifest)
            loaded = loading.load(opened, model=self._model(), version=content.version)
            if opened.manifest is None:  # a bare file tells what it takes once it is loaded
                self.check_baseline(loaded.manifest, baseline)
            return loaded

    def _opened(self, content: Content, digest: str | None) -> opening.OpenArtifact:
        if content.path is None:
            raise errors.ArtifactMissing("MODEL_PATH is not set, and the target says to serve it")
        root, terms = self._root_of(content.path), self._terms
        return opening.open_artifact(content.path, root=root, policy=terms.policy, digest=digest, keys=terms.keys)

    def _check_names(self, manifest: Manifest, content: Content) -> None:
        model = self._model()
        if model is not None and manifest.model != model:
            sentence = f"the manifest is of the model {manifest.model}, served here is {model}"
            raise errors.ModelMismatch(sentence, expected=model, found=manifest.model)
        if content.version is not None and manifest.version != content.version:
            sentence = f"the manifest is of version {manifest.version}, wanted is {content.version}"
            raise errors.VersionMismatch(sentence, expected=content.version, found=manifest.version)

    def check_baseline(self, manifest: Manifest, baseline: Content | None) -> None:
        """Compare a manifest with the one of the content whose callers it is to serve; blocks.

        Raises:
            errors.SchemaChanged: they could not go on calling.
        """
        if baseline is None or baseline.path is None:
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
        return None if Path(path).is_absolute() else self._terms.root


def _require_memory(manifest: Manifest) -> None:
    room = memory.left()
    if room is None or manifest.load_peak_bytes is None or manifest.load_peak_bytes + memory.MARGIN <= room:
        return
    needs, there = (f"{count / 2**20:,.0f} MiB" for count in (manifest.load_peak_bytes + memory.MARGIN, room))
    sentence = f"loading it takes up to {needs}, and the container has {there} left: raise its limit of memory"
    raise errors.NotEnoughMemory(sentence, expected=manifest.load_peak_bytes + memory.MARGIN, found=room)


def exempt_from_collection() -> None:
    """Tell Python's garbage collector to leave alone what is there: a start leaves much that stays for ever.

    It would be looked through again and again, while requests wait.
    """
    gc.freeze()
