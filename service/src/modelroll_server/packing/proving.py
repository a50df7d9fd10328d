"""A model compiled and found equal, or why it has to be served by scikit-learn.

Owns that a compiled model is shipped only after both its checks: `equality`, and the golden rows of its manifest.
"""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from modelroll_server.artifact import manifest as manifests
from modelroll_server.errors import LoadError
from modelroll_server.packing import equality
from modelroll_server.runtimes import gates, scikit
from modelroll_server.runtimes.onnx import OnnxRuntime
from modelroll_server.schema import Schema
from modelroll_server.schema.json import JsonDecoder
from modelroll_server.tensors import Table

FILE = "model.onnx"


@dataclass(frozen=True, slots=True)
class Compiled:
    """A compiled model that may answer.

    Attributes:
        data: The file's bytes.
        passed: The check.
        seconds: That it was given.
    """

    data: bytes
    passed: equality.Equal
    seconds: float

    @property
    def entry(self) -> manifests.OnnxRuntime:
        """What the manifest says of it."""
        checked = manifests.Checked(self.passed.rows, self.passed.seed, self.seconds)
        return manifests.OnnxRuntime(FILE, checked)


@dataclass(frozen=True, slots=True)
class NotCompiled:
    """Why there is none.

    Attributes:
        reason: One sentence.
        counts: Rows that it would have answered otherwise, by kind.
        rows: Up to three of them.
    """

    reason: str
    counts: dict[str, int] = field(default_factory=dict)
    rows: Sequence[equality.Difference] = ()


def attempt(estimator: Any, manifest: manifests.Manifest, samples: Table, *, seconds: float) -> Compiled | NotCompiled:
    """Compile, and compare with scikit-learn.

    Args:
        estimator: Fitted; as `manifest` describes it.
        manifest: Of the artifact as it would be without a compiled model.
        samples: Rows as the runtime is given them.
        seconds: How long the comparison may take, about.
    """
    if importlib.util.find_spec("onnx") is None:
        return NotCompiled('onnx is not installed here: pip install "modelroll-server[pack]"')
    from modelroll_server.packing import compiling
    from modelroll_server.packing.converters.registry import CannotCompile

    try:
        data = compiling.compile_model(estimator, manifest.inputs)
        runtime = OnnxRuntime.of(manifest, data)
    except (CannotCompile, LoadError) as error:
        return NotCompiled(str(error))
    found = check(estimator, manifest, runtime, samples, seconds=seconds)
    if isinstance(found, equality.Differs):
        return NotCompiled(found.reason, found.counts, found.rows)
    compiled = Compiled(data, found, seconds)
    try:
        gates.check_golden(manifest, JsonDecoder(Schema(manifest.inputs)), runtime)
    except LoadError as error:
        return NotCompiled(f"{error.message}: expected {error.expected}, found {error.found}")
    return compiled


def check(
    estimator: Any, manifest: manifests.Manifest, runtime: OnnxRuntime, samples: Table, *, seconds: float
) -> equality.Equal | equality.Differs:
    """Compare a compiled model with what it was compiled from. Arguments as for `attempt`."""
    subject = equality.Subject(
        estimator=estimator,
        inputs=manifest.inputs,
        schema=Schema(manifest.inputs),
        call=manifest.call,
        task=manifest.task,
        classes=manifest.classes,
        reference=scikit.SklearnRuntime(estimator, call=manifest.call, label="predict"),
        compiled=runtime,
        samples=samples,
    )
    return equality.check(subject, seconds=seconds)


def added(manifest: manifests.Manifest, file: manifests.File, compiled: Compiled) -> manifests.Manifest:
    """The manifest of the artifact with the compiled model in it, which is preferred."""
    files = {**manifest.files, FILE: file}
    return msgspec.structs.replace(manifest, files=files, runtimes=[compiled.entry, *manifest.runtimes])
