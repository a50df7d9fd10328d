"""What every runtime is, and what loading one yields."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from modelroll_server.artifact.manifest import Manifest
from modelroll_server.tensors import Outputs, Table


class Runtime(Protocol):
    """Something that answers tables. Threads may share it."""

    @property
    def kind(self) -> str:
        """Its name in manifests and in `/status`."""

    def predict(self, table: Table) -> Outputs:
        """The answers to the rows of `table`, one a row, in order. Raises whatever the model raises."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """One version, loaded.

    Attributes:
        manifest: Its own; for a bare file, one made from the estimator.
        runtime: What answers.
        digest: Of its content.
        path: Where it was read.
    """

    manifest: Manifest
    runtime: Runtime
    digest: str
    path: Path
