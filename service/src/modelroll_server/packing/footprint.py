"""How much memory a server needs to load an artifact, measured where it is packed.

Owns the measuring, and how roughly its outcome is said.
"""

import io
from collections.abc import Mapping

from modelroll_server.artifact import manifest as manifests
from modelroll_server.runtimes import files, gates, scikit
from modelroll_server.runtimes.base import Runtime
from modelroll_server.schema import Schema
from modelroll_server.schema.json import JsonDecoder
from modelroll_server.telemetry import memory

LEAST = 16 * 2**20


def load_peak(manifest: manifests.Manifest, contents: Mapping[str, bytes]) -> int | None:
    """Bytes that loading and checking takes at most, as a server does both; said as `roughly` does.

    None where this system does not say: it is then for the server to find out.

    Args:
        manifest: What is packed.
        contents: Its files.
    """
    data = contents[manifest.runtimes[0].file]
    grown = memory.peak_of(lambda: _load(manifest, data))
    # A server has the bytes in memory while it hashes and loads them, in pages that are no process's own.
    return None if grown is None else roughly(grown + len(data))


def roughly(count: int) -> int:
    """The next of 16, 24, 32, 48, 64, 96 … MiB: two measurements of one model seldom differ by more."""
    bound = LEAST
    while bound < count:
        is_power = bound & (bound - 1) == 0
        bound += bound // 2 if is_power else bound // 3
    return bound


def _load(manifest: manifests.Manifest, data: bytes) -> None:
    runtime = _runtime(manifest, data)
    decoder = JsonDecoder(Schema(manifest.inputs))
    gates.warm_up(manifest, decoder, runtime)
    gates.check_golden(manifest, decoder, runtime)


def _runtime(manifest: manifests.Manifest, data: bytes) -> Runtime:
    entry = manifest.runtimes[0]
    if isinstance(entry, manifests.SklearnRuntime):
        estimator = files.load_estimator(io.BytesIO(data), entry.format, entry.skops_types)
        return scikit.SklearnRuntime(estimator, call=manifest.call, label=manifest.label)
    from modelroll_server.runtimes.onnx import OnnxRuntime

    return OnnxRuntime.of(manifest, bytes(memoryview(data)))  # a copy, as what is read from a file
