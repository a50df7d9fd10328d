"""Artifacts that must not answer anybody: of each kind of fault one, made from a good one.

Owns what is wrong with each, and the reason and the words by which a person is to learn it. Knows neither servers nor
clusters: those who serve them bring their own.
"""

import dataclasses
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from sklearn.linear_model import LogisticRegression

from harness import spoiling
from harness.spoiling import GOOD, MANIFEST, Spec, digest_of

OF_NOTHING = f"sha256:{'0' * 64}"

Harm = Literal["none", "time", "memory", "process"]


@dataclasses.dataclass(frozen=True)
class Case:
    """One kind.

    Attributes:
        name: What is wrong.
        spoil: Makes a good artifact of that kind; it lies in the directory of its version.
        reason: That the pod gives.
        says: Part of its message, such as a person needs.
        harms: What it takes from a process that loads it beside others: nothing, its time, all memory, or its life.
    """

    name: str
    spoil: Callable[[Path], Spec | None]
    reason: str
    says: str
    harms: Harm = "none"


def make(case: Case, root: Path, version: str) -> Spec:
    """Put a case under `root`, as `churn/<version>`; where it lies and what it should hash to."""
    place = root / "churn" / version
    shutil.copytree(GOOD, place)
    spoiling.edit(place, version=version)
    spec = case.spoil(place) or Spec()
    manifest = place / MANIFEST
    digest = spec.digest
    if digest is None and spec.has_digest:
        digest = digest_of(manifest) if manifest.is_file() else OF_NOTHING
    return dataclasses.replace(spec, path=spec.path or f"churn/{version}", digest=digest)


LEAK = """
    kept = []
    while True:
        kept.append(b"x" * 2**24)
"""
RECURSION = """
    def again():
        return again()
    again()
"""
THREAD = """
    import threading, time
    threading.Thread(target=time.sleep, args=(3600,)).start()
"""
CHILD = """
    import os, time
    if os.fork() == 0:
        time.sleep(3600)
"""
FLOOD = """
    import sys
    for _ in range(64):
        sys.stderr.write("x" * 2**16 + chr(10))
        sys.stdout.write('{"reason":null}' * 2**12)
"""

CASES: tuple[Case, ...] = (
    # What lies there
    Case("nothing at the path", spoiling.gone, "ArtifactMissing", "nothing is at churn/"),
    Case("no manifest", spoiling.removed(MANIFEST), "ArtifactIncomplete", "no modelroll.json yet"),
    Case(
        "a directory of versions in place of one", spoiling.other_model, "ArtifactIncomplete", "no modelroll.json yet"
    ),
    Case("a listed file missing", spoiling.removed("model.onnx"), "ArtifactIncomplete", "model.onnx is not there"),
    Case("a file truncated", spoiling.truncated("model.onnx", 1000), "ArtifactIncomplete", "has 1000 bytes of"),
    Case("a file empty", spoiling.truncated("model.joblib", 0), "ArtifactIncomplete", "has 0 bytes of"),
    Case("two files exchanged", spoiling.exchanged, "ArtifactIncomplete", "bytes of"),
    Case("a file nobody may read", spoiling.unreadable, "ArtifactUnreadable", "Permission denied"),
    Case("a link to another file", spoiling.linked, "PathRefused", "not a regular file"),
    Case("a directory that leads out of the volume", spoiling.outside, "PathRefused", "leaves"),
    Case("a link to itself", spoiling.cyclic, "PathRefused", "leads nowhere"),
    Case("a directory for a file", spoiling.directory, "PathRefused", "not a regular file"),
    # What it says of itself
    Case("a manifest truncated", spoiling.manifest_bytes(lambda data: data[:5000]), "ManifestInvalid", "truncated"),
    Case("an empty manifest", spoiling.manifest_bytes(lambda _: b""), "ManifestInvalid", "truncated"),
    Case(
        "a manifest in another encoding",
        spoiling.manifest_bytes(lambda data: data + b"\xe9"),
        "ManifestInvalid",
        "utf-8",
    ),
    Case(
        "a manifest that is no JSON",
        spoiling.manifest_bytes(lambda _: b"model: churn\n"),
        "ManifestInvalid",
        "malformed",
    ),
    Case("a manifest with an unknown key", spoiling.edited(comment="hello"), "ManifestInvalid", "comment"),
    Case("a manifest too large", spoiling.manifest_bytes(lambda data: data + b" " * 2**23), "ManifestInvalid", "8 MiB"),
    Case(
        "a manifest nested without end",
        spoiling.manifest_bytes(lambda _: b"[" * 10**6),
        "ManifestInvalid",
        "modelroll.json",
    ),
    Case("a manifest of another schema", spoiling.edited(schema=2), "ManifestInvalid", "schema"),
    Case(
        "a manifest that names a file elsewhere",
        spoiling.rewritten(lambda found: found["files"].update({"../1.2.0/model.onnx": found["files"]["model.onnx"]})),
        "ManifestInvalid",
        "not a plain file name",
    ),
    Case("another model", spoiling.edited(model="fraud"), "ModelMismatch", "fraud"),
    Case("another version's directory", spoiling.another_version, "VersionMismatch", "1.2.0"),
    # What it should be
    Case("the digest of another version", spoiling.of_another_version, "DigestMismatch", "is not the content"),
    Case("bytes of another version's file", spoiling.swapped_bytes, "DigestMismatch", "not the file that was packed"),
    Case("a file that runs code, without a digest", spoiling.without_digest, "PolicyRefused", "digest: sha256:"),
    # Whether callers can go on
    Case("an input removed", spoiling.rewritten(spoiling.without_first_input), "SchemaChanged", "is gone"),
    Case("an input added", spoiling.rewritten(spoiling.with_one_more_input), "SchemaChanged", "loyalty is new"),
    Case(
        "an input retyped",
        spoiling.rewritten(lambda found: spoiling.named(found, "tenure").update(datatype="FP64")),
        "SchemaChanged",
        "tenure was INT64 and is FP64",
    ),
    Case(
        "no null any more",
        spoiling.rewritten(lambda found: spoiling.named(found, "monthly_charges").pop("missing")),
        "SchemaChanged",
        "monthly_charges may not be null any more",
    ),
    Case(
        "fewer categories",
        spoiling.rewritten(lambda found: spoiling.named(found, "contract")["categories"].remove("Two year")),
        "SchemaChanged",
        "contract does not take 'Two year' any more",
    ),
    Case(
        "another output shape",
        spoiling.rewritten(lambda found: found["outputs"][0].update(shape=[-1, 2])),
        "SchemaChanged",
        "the output prediction was BYTES [-1] and is BYTES [-1, 2]",
    ),
    Case(
        "labels of another datatype",
        spoiling.rewritten(lambda found: found["outputs"][0].update(datatype="INT64")),
        "SchemaChanged",
        "the output prediction was BYTES [-1] and is INT64 [-1]",
    ),
    Case("another task", spoiling.edited(task="outlier"), "SchemaChanged", "the task was classifier"),
    Case("other classes", spoiling.edited(classes=["stays", "leaves"]), "SchemaChanged", "classes"),
    Case("a bare file with other columns", spoiling.bare(spoiling.other_columns), "SchemaChanged", "renamed is new"),
    # What it needs
    Case(
        "trained with another scikit-learn",
        spoiling.rewritten(
            lambda found: (
                found["runtimes"].reverse() or found["runtimes"][0]["requires"].update({"scikit-learn": "1.2.2"})
            )
        ),
        "TrainedWithOther",
        "Use an image with scikit-learn 1.2",
    ),
    Case(
        "a bare file of another scikit-learn", spoiling.bare(spoiling.old_bare), "TrainedWithOther", "scikit-learn 1.2"
    ),
    Case(
        "a library that is not installed",
        spoiling.rewritten(
            lambda found: found["runtimes"].reverse() or found["runtimes"][0]["requires"].update(xgboost="2.0.3")
        ),
        "ModuleMissing",
        "pip install xgboost==2.0.3",
    ),
    Case(
        "a module of the author's own",
        spoiling.trained(spoiling.of_module("churn_features", "Ratio")),
        "ModuleMissing",
        "churn_features",
    ),
    Case(
        "a module that the library had once",
        spoiling.trained(spoiling.of_module("sklearn.ensemble.forest", "RandomForestClassifier")),
        "ModuleMissing",
        "sklearn.ensemble.forest, which the scikit-learn",
    ),
    Case(
        "a class of the training script",
        spoiling.trained(spoiling.of_module("__main__", "Ratio")),
        "LoadFailed",
        "script that trained it",
    ),
    # What scikit-learn is given
    Case(
        "no pickle at all",
        spoiling.trained(b"<!DOCTYPE html><html>404</html>"),
        "LoadFailed",
        "cannot be loaded as joblib",
    ),
    Case("an empty pickle", spoiling.trained(b""), "LoadFailed", "cannot be loaded as joblib"),
    Case(
        "a pickle cut short",
        spoiling.trained(lambda: (GOOD / "model.joblib").read_bytes()[:20000]),
        "LoadFailed",
        "joblib",
    ),
    Case(
        "a dictionary",
        spoiling.trained(pickle.dumps({"model": None, "columns": []})),
        "LoadFailed",
        "a dict, which has no predict",
    ),
    Case(
        "the class in place of an estimator",
        spoiling.trained(pickle.dumps(LogisticRegression)),
        "WarmUpFailed",
        "raised",
    ),
    Case(
        "an estimator that was not fitted",
        spoiling.trained(lambda: pickle.dumps(LogisticRegression())),
        "WarmUpFailed",
        "raised",
    ),
    Case(
        "an estimator of other columns",
        spoiling.trained(lambda: pickle.dumps(spoiling.small())),
        "WarmUpFailed",
        "raised",
    ),
    # What ONNX Runtime is given
    Case(
        "a compiled file corrupted",
        lambda place: spoiling.put(place, "model.onnx", b"\0" * 5000),
        "LoadFailed",
        "ONNX Runtime",
    ),
    Case("the trained file as the compiled one", spoiling.other_kind, "LoadFailed", "ONNX Runtime"),
    Case("an unknown operator", spoiling.compiled(spoiling.unknown_operator), "LoadFailed", "Divine"),
    Case("operators of a newer standard", spoiling.compiled(spoiling.newer_operators), "LoadFailed", "999"),
    Case("another input", spoiling.compiled(spoiling.other_input), "LoadFailed", "float_input that no column fills"),
    Case("another output", spoiling.compiled(spoiling.other_output), "LoadFailed", "has no output prediction"),
    Case("weights in a file elsewhere", spoiling.compiled(spoiling.external), "LoadFailed", "ONNX Runtime"),
    # What it answers
    Case(
        "golden rows answered otherwise", spoiling.rewritten(spoiling.other_golden), "GoldenRowsDiffer", "golden row 0"
    ),
    Case("weights of another training", spoiling.wrong_weights, "GoldenRowsDiffer", "golden row 0"),
    Case(
        "a golden row that its schema refuses",
        spoiling.rewritten(spoiling.unanswerable),
        "GoldenRowsDiffer",
        "golden row 0",
    ),
    Case("nothing but NaN", spoiling.not_a_number, "WarmUpFailed", "NaN"),
    # What it does when it is loaded
    Case("SystemExit", spoiling.running("raise SystemExit(3)"), "LoadFailed", "SystemExit"),
    Case("KeyboardInterrupt", spoiling.running("raise KeyboardInterrupt"), "LoadFailed", "KeyboardInterrupt"),
    Case(
        "a cancellation",
        spoiling.running("import asyncio; raise asyncio.CancelledError"),
        "LoadFailed",
        "CancelledError",
    ),
    Case("a recursion without end", spoiling.running(RECURSION), "LoadFailed", "RecursionError"),
    Case("megabytes printed", spoiling.running(FLOOD), "LoadFailed", "no predict"),
    Case("a thread that lives on", spoiling.running(THREAD), "LoadFailed", "no predict"),
    Case("a process that lives on", spoiling.running(CHILD), "LoadFailed", "no predict", "process"),
    Case("slower than it may be", spoiling.running("import time; time.sleep(3600)"), "LoadTimedOut", "after", "time"),
    Case(
        "no end, and nobody else gets a turn", spoiling.running("sum(range(10**14))"), "LoadTimedOut", "after", "time"
    ),
    Case("memory without end", spoiling.running(LEAK), "NotEnoughMemory", "memory", "memory"),
    Case("a small file that inflates", spoiling.trained(spoiling.bomb), "NotEnoughMemory", "memory", "memory"),
    Case(
        "an end with exit code 0",
        spoiling.running("import os; os._exit(0)"),
        "CrashedWhileLoading",
        "exit code 0",
        "process",
    ),
    Case(
        "a segmentation fault",
        spoiling.running("import ctypes; ctypes.string_at(0)"),
        "CrashedWhileLoading",
        "SIGSEGV",
        "process",
    ),
    Case("an abort", spoiling.running("import os; os.abort()"), "CrashedWhileLoading", "SIGABRT", "process"),
    Case(
        "killed, as the kernel does for want of memory",
        spoiling.running("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"),
        "CrashedWhileLoading",
        "SIGKILL",
        "process",
    ),
)
