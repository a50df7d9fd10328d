"""`modelroll verify`: everything that can be known about an artifact without serving it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelroll_server.artifact.opening import OpenArtifact, open_artifact
from modelroll_server.artifact.policy import Policy
from modelroll_server.artifact.signature import PublicKeys
from modelroll_server.errors import LoadError
from modelroll_server.packing import equality, proving
from modelroll_server.runtimes import gates, loading
from modelroll_server.runtimes.base import Loaded
from modelroll_server.runtimes.onnx import OnnxRuntime
from modelroll_server.schema import Schema
from modelroll_server.schema.json import JsonDecoder


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What.
        reason: None when it holds, else the word of the failure (`modelroll_server.errors`).
        detail: What was found.
    """

    name: str
    reason: str | None
    detail: str


def verify(
    path: Path, digest: str | None = None, *, keys: PublicKeys | None = None, check_seconds: float = 120.0
) -> list[Check]:
    """Hash every file, load the model, repeat the golden rows and a compiled model's comparison with scikit-learn.

    Where there are keys, one of them must have signed it, which is looked at before anything else. The first that fails
    is the last returned. This runs the code in the artifact's pickle.
    """
    checks: list[Check] = []
    steps = _steps(path, digest, keys, check_seconds)
    while True:
        try:
            checks.append(next(steps))
        except StopIteration:
            return checks
        except LoadError as error:
            checks.append(Check("refused", error.reason, _sentence(error)))
            return checks
        except (Exception, SystemExit) as error:  # noqa: BLE001  unpickling runs foreign code: what it raises is its failure
            checks.append(Check("refused", LoadError.reason, f"{type(error).__name__}: {error}"))
            return checks


def _steps(path: Path, digest: str | None, keys: PublicKeys | None, check_seconds: float) -> Iterator[Check]:
    policy = Policy.ANY if keys is None else Policy.SIGNED
    with open_artifact(path, policy=policy, digest=digest, keys=keys) as opened:
        yield Check("digest", None, opened.digest)
        if opened.signed_by is not None:
            yield Check("signature", None, f"by the key {opened.signed_by}")
        yield from _files(opened)
        loaded = loading.load(opened)
        entry = loaded.manifest.sklearn
        trained = loading.load_sklearn(opened, loaded.manifest, entry).estimator if entry and opened.manifest else None
    manifest = loaded.manifest
    decoder = JsonDecoder(Schema(manifest.inputs))
    yield Check(
        "model", None, f"{manifest.model} {manifest.version}, a {manifest.task} of {len(manifest.inputs)} inputs"
    )
    gates.warm_up(manifest, decoder, loaded.runtime)
    yield Check("warm-up", None, f"answers 1 and {gates.WARM_UP_ROWS} rows")
    gates.check_golden(manifest, decoder, loaded.runtime)
    rows = len(manifest.golden.rows) if manifest.golden else 0
    yield Check("golden rows", None, f"{rows} reproduced" if rows else "none to reproduce")
    if isinstance(loaded.runtime, OnnxRuntime) and trained is not None:
        yield _equality(loaded, loaded.runtime, trained, decoder.schema, check_seconds)


def _equality(loaded: Loaded, runtime: OnnxRuntime, trained: object, schema: Schema, seconds: float) -> Check:
    """The comparison of `pack`, with the golden rows for samples: the others are not in the artifact."""
    golden = loaded.manifest.golden
    samples = schema.decode_rows(golden.rows if golden else [])
    found = proving.check(trained, loaded.manifest, runtime, samples, seconds=seconds)
    if isinstance(found, equality.Differs):
        return Check("compiled", "CompiledDiffers", found.reason)
    return Check("compiled", None, f"answers {sum(found.rows.values()):,} rows as scikit-learn does")


def _files(opened: OpenArtifact) -> Iterator[Check]:
    for name, entry in (opened.manifest.files if opened.manifest else {}).items():
        opened.check(name)
        yield Check("file", None, f"{name}, {entry.bytes:,} bytes, sha256 as packed")


def _sentence(error: LoadError) -> str:
    if error.expected is None and error.found is None:
        return error.message
    return f"{error.message} (expected {json.dumps(error.expected)}, found {json.dumps(error.found)})"
