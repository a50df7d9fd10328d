"""Artifacts that must not answer anybody: of each kind of fault one, made from a good one.

Owns what is wrong with each, and the reason and the words by which a person is to learn it. Knows neither servers nor
clusters: those who serve them bring their own.
"""

import dataclasses
import gzip
import hashlib
import json
import os
import pickle
import shutil
import struct
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import joblib
import numpy as np
import onnx
from sklearn.linear_model import LogisticRegression

CHURN = Path(__file__).parents[2] / "models" / "churn"
GOOD = CHURN / "2.0.0"
OTHER = CHURN / "1.2.0"
MANIFEST = "modelroll.json"
BOMB = 2**31  # bytes
OF_NOTHING = f"sha256:{'0' * 64}"

Harm = Literal["none", "time", "memory", "process"]


@dataclasses.dataclass(frozen=True)
class Spec:
    """What a ModelVersion says of where it lies; what is None is as it lies there."""

    path: str | None = None
    digest: str | None = None
    has_digest: bool = True


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
    _edit(place, version=version)
    spec = case.spoil(place) or Spec()
    manifest = place / MANIFEST
    digest = spec.digest
    if digest is None and spec.has_digest:
        digest = digest_of(manifest) if manifest.is_file() else OF_NOTHING
    return dataclasses.replace(spec, path=spec.path or f"churn/{version}", digest=digest)


def digest_of(path: Path) -> str:
    """The digest of a file's bytes."""
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


# --- How they are made ------------------------------------------------------------------------------------------------


def _read(place: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place / MANIFEST).read_bytes())
    return found


def _edit(place: Path, **changes: Any) -> None:
    (place / MANIFEST).write_text(json.dumps({**_read(place), **changes}))


def _edited(**changes: Any) -> Callable[[Path], None]:
    return lambda place: _edit(place, **changes)


def _rewritten(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def spoil(place: Path) -> None:
        document = _read(place)
        change(document)
        (place / MANIFEST).write_text(json.dumps(document))

    return spoil


def _manifest_of(data: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def spoil(place: Path) -> None:
        (place / MANIFEST).write_bytes(data((place / MANIFEST).read_bytes()))

    return spoil


def _put(place: Path, name: str, data: bytes) -> None:
    """A file's bytes, and the manifest as if it had been packed with them."""
    (place / name).write_bytes(data)
    files = _read(place)["files"]
    _edit(place, files={**files, name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}})


def _uncompiled(place: Path) -> None:
    (place / "model.onnx").unlink()
    document = _read(place)
    del document["files"]["model.onnx"]
    runtimes = [one for one in document["runtimes"] if one["kind"] == "sklearn"]
    _edit(place, files=document["files"], runtimes=runtimes)


def _trained(data: bytes | Callable[[], bytes]) -> Callable[[Path], None]:
    """These bytes as what scikit-learn trained, not compiled."""

    def spoil(place: Path) -> None:
        _uncompiled(place)
        _put(place, "model.joblib", data if isinstance(data, bytes) else data())

    return spoil


class _Runs:
    """Unpickled, it runs a program, and is nothing then."""

    def __init__(self, program: str) -> None:
        self.program = textwrap.dedent(program)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return exec, (self.program, {})


def running(program: str) -> Callable[[Path], None]:
    """A program that runs when the artifact is loaded."""
    return _trained(pickle.dumps(_Runs(program)))


def _compiled(change: Callable[[onnx.ModelProto], object]) -> Callable[[Path], None]:
    def spoil(place: Path) -> None:
        model = onnx.load(place / "model.onnx")
        change(model)
        _put(place, "model.onnx", model.SerializeToString())

    return spoil


def _truncated(name: str, size: int) -> Callable[[Path], None]:
    return lambda place: os.truncate(place / name, size)


def _swapped_bytes(place: Path) -> None:
    data = bytearray((place / "model.onnx").read_bytes())
    other = (OTHER / "model.onnx").read_bytes()[:1000]
    data[: len(other)] = other
    (place / "model.onnx").write_bytes(data)


def _exchanged(place: Path) -> None:
    (place / "model.onnx").rename(place / "kept")
    (place / "model.joblib").rename(place / "model.onnx")
    (place / "kept").rename(place / "model.joblib")


def _other_kind(place: Path) -> None:
    _put(place, "model.onnx", (place / "model.joblib").read_bytes())


def _linked(place: Path) -> None:
    (place / "model.onnx").rename(place.parent / f"{place.name}.onnx")
    (place / "model.onnx").symlink_to(f"../{place.name}.onnx")


def _outside(place: Path) -> Spec:
    digest = digest_of(place / MANIFEST)
    shutil.rmtree(place)
    place.symlink_to("/etc")
    return Spec(digest=digest)


def _cyclic(place: Path) -> Spec:
    shutil.rmtree(place)
    place.symlink_to(place.name)
    return Spec()


def _directory(place: Path) -> None:
    (place / "model.onnx").unlink()
    (place / "model.onnx").mkdir()


def _unreadable(place: Path) -> None:
    (place / "model.onnx").chmod(0)


def _removed(name: str) -> Callable[[Path], None]:
    return lambda place: (place / name).unlink()


def _gone(place: Path) -> None:
    shutil.rmtree(place)


def _other_model(place: Path) -> Spec:
    """The directory of all versions in place of one."""
    return Spec(path="churn", digest=digest_of(place / MANIFEST))


def _of_another_version(_: Path) -> Spec:
    return Spec(digest=digest_of(OTHER / MANIFEST))


def _another_version(_: Path) -> Spec:
    return Spec(path="churn/1.2.0", digest=digest_of(OTHER / MANIFEST))


def _without_digest(place: Path) -> Spec:
    _uncompiled(place)
    return Spec(has_digest=False)


def _bare(data: Callable[[], bytes], name: str = "model.joblib") -> Callable[[Path], Spec]:
    """These bytes as a bare file."""

    def spoil(place: Path) -> Spec:
        shutil.rmtree(place)
        place.mkdir()
        (place / name).write_bytes(data())
        return Spec(f"churn/{place.name}/{name}", digest_of(place / name))

    return spoil


def _small(columns: int = 2) -> LogisticRegression:
    rows = np.arange(8.0 * columns).reshape(8, columns)
    return LogisticRegression().fit(rows, [0, 1] * 4)


def _old_bare() -> bytes:
    """A model as an older scikit-learn wrote it: it says in its state which."""
    estimator = _small()
    state = {**estimator.__getstate__(), "_sklearn_version": "1.2.2"}
    return pickle.dumps(_As(type(estimator), state))


class _As:
    """Unpickled, an object of a class with that state."""

    def __init__(self, kind: type, state: dict[str, Any]) -> None:
        self.kind, self.state = kind, state

    def __reduce__(self) -> tuple[Any, ...]:
        return object.__new__, (self.kind,), self.state


def _other_columns() -> bytes:
    estimator = joblib.load(GOOD / "model.joblib")
    estimator.feature_names_in_[0] = "renamed"
    estimator[0].feature_names_in_[0] = "renamed"
    return pickle.dumps(estimator)


def _not_a_number(place: Path) -> None:
    """A logistic regression whose weights are lost, and that was packed so."""
    estimator = joblib.load(OTHER / "model.joblib")
    estimator[-1].coef_[:] = np.nan
    _trained(pickle.dumps(estimator))(place)
    golden = _read(place)["golden"]
    rows = len(golden["rows"])
    _edit(place, golden={**golden, "prediction": ["No"] * rows, "probability": [[None, None]] * rows})


def _wrong_weights(place: Path) -> None:
    estimator = joblib.load(OTHER / "model.joblib")
    _trained(pickle.dumps(estimator))(place)


def _bomb() -> bytes:
    """A compressed file of two megabytes that holds two gigabytes."""
    part = gzip.compress(bytes(2**26), 1)
    head = b"\x80\x04\x8e" + struct.pack("<Q", BOMB)  # protocol 4, and bytes of that length
    return gzip.compress(head) + part * (BOMB // 2**26) + gzip.compress(b".")


def _of_module(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n.".encode()


def _named(document: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in document["inputs"] if one["name"] == name)
    return found


def _without_first_input(document: dict[str, Any]) -> None:
    del document["inputs"][0]
    for row in document["golden"]["rows"]:
        del row[0]


def _with_one_more_input(document: dict[str, Any]) -> None:
    document["inputs"].append({**document["inputs"][0], "name": "loyalty"})
    for row in document["golden"]["rows"]:
        row.append(row[0])


def _unanswerable(document: dict[str, Any]) -> None:
    position = [one["name"] for one in document["inputs"]].index("tenure")
    document["golden"]["rows"][0][position] = "long"


def _other_golden(document: dict[str, Any]) -> None:
    document["golden"]["prediction"][0] = "No" if document["golden"]["prediction"][0] == "Yes" else "Yes"


def _unknown_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "Divine"


def _other_input(model: onnx.ModelProto) -> None:
    name = model.graph.input[0].name
    model.graph.input[0].name = "float_input"
    for node in model.graph.node:
        for index, given in enumerate(node.input):
            if given == name:
                node.input[index] = "float_input"


def _other_output(model: onnx.ModelProto) -> None:
    name = "output_label"
    for node in model.graph.node:
        for index, given in enumerate(node.output):
            if given == "prediction":
                node.output[index] = name
    model.graph.output[0].name = name


def _newer_operators(model: onnx.ModelProto) -> None:
    for one in model.opset_import:
        one.version = 999


def _external(model: onnx.ModelProto) -> None:
    tensor = max(model.graph.initializer, key=lambda one: len(one.raw_data))
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "model.joblib"


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
    Case("nothing at the path", _gone, "ArtifactMissing", "nothing is at churn/"),
    Case("no manifest", _removed(MANIFEST), "ArtifactIncomplete", "no modelroll.json yet"),
    Case("a directory of versions in place of one", _other_model, "ArtifactIncomplete", "no modelroll.json yet"),
    Case("a listed file missing", _removed("model.onnx"), "ArtifactIncomplete", "model.onnx is not there"),
    Case("a file truncated", _truncated("model.onnx", 1000), "ArtifactIncomplete", "has 1000 bytes of"),
    Case("a file empty", _truncated("model.joblib", 0), "ArtifactIncomplete", "has 0 bytes of"),
    Case("two files exchanged", _exchanged, "ArtifactIncomplete", "bytes of"),
    Case("a file nobody may read", _unreadable, "ArtifactUnreadable", "Permission denied"),
    Case("a link to another file", _linked, "PathRefused", "not a regular file"),
    Case("a directory that leads out of the volume", _outside, "PathRefused", "leaves"),
    Case("a link to itself", _cyclic, "PathRefused", "leads nowhere"),
    Case("a directory for a file", _directory, "PathRefused", "not a regular file"),
    # What it says of itself
    Case("a manifest truncated", _manifest_of(lambda data: data[:5000]), "ManifestInvalid", "truncated"),
    Case("an empty manifest", _manifest_of(lambda _: b""), "ManifestInvalid", "truncated"),
    Case("a manifest in another encoding", _manifest_of(lambda data: data + b"\xe9"), "ManifestInvalid", "utf-8"),
    Case("a manifest that is no JSON", _manifest_of(lambda _: b"model: churn\n"), "ManifestInvalid", "malformed"),
    Case("a manifest with an unknown key", _edited(comment="hello"), "ManifestInvalid", "comment"),
    Case("a manifest too large", _manifest_of(lambda data: data + b" " * 2**23), "ManifestInvalid", "8 MiB"),
    Case("a manifest nested without end", _manifest_of(lambda _: b"[" * 10**6), "ManifestInvalid", "modelroll.json"),
    Case("a manifest of another schema", _edited(schema=2), "ManifestInvalid", "schema"),
    Case(
        "a manifest that names a file elsewhere",
        _rewritten(lambda found: found["files"].update({"../1.2.0/model.onnx": found["files"]["model.onnx"]})),
        "ManifestInvalid",
        "not a plain file name",
    ),
    Case("another model", _edited(model="fraud"), "ModelMismatch", "fraud"),
    Case("another version's directory", _another_version, "VersionMismatch", "1.2.0"),
    # What it should be
    Case("the digest of another version", _of_another_version, "DigestMismatch", "is not the content"),
    Case("bytes of another version's file", _swapped_bytes, "DigestMismatch", "not the file that was packed"),
    Case("a file that runs code, without a digest", _without_digest, "PolicyRefused", "digest: sha256:"),
    # Whether callers can go on
    Case("an input removed", _rewritten(_without_first_input), "SchemaChanged", "is gone"),
    Case("an input added", _rewritten(_with_one_more_input), "SchemaChanged", "loyalty is new"),
    Case(
        "an input retyped",
        _rewritten(lambda found: _named(found, "tenure").update(datatype="FP64")),
        "SchemaChanged",
        "tenure was INT64 and is FP64",
    ),
    Case(
        "no null any more",
        _rewritten(lambda found: _named(found, "monthly_charges").pop("missing")),
        "SchemaChanged",
        "monthly_charges may not be null any more",
    ),
    Case(
        "fewer categories",
        _rewritten(lambda found: _named(found, "contract")["categories"].remove("Two year")),
        "SchemaChanged",
        "contract does not take 'Two year' any more",
    ),
    Case(
        "another output shape",
        _rewritten(lambda found: found["outputs"][0].update(shape=[-1, 2])),
        "SchemaChanged",
        "the output prediction was BYTES [-1] and is BYTES [-1, 2]",
    ),
    Case(
        "labels of another datatype",
        _rewritten(lambda found: found["outputs"][0].update(datatype="INT64")),
        "SchemaChanged",
        "the output prediction was BYTES [-1] and is INT64 [-1]",
    ),
    Case("another task", _edited(task="outlier"), "SchemaChanged", "the task was classifier"),
    Case("other classes", _edited(classes=["stays", "leaves"]), "SchemaChanged", "classes"),
    Case("a bare file with other columns", _bare(_other_columns), "SchemaChanged", "renamed is new"),
    # What it needs
    Case(
        "trained with another scikit-learn",
        _rewritten(
            lambda found: (
                found["runtimes"].reverse() or found["runtimes"][0]["requires"].update({"scikit-learn": "1.2.2"})
            )
        ),
        "TrainedWithOther",
        "Use an image with scikit-learn 1.2",
    ),
    Case("a bare file of another scikit-learn", _bare(_old_bare), "TrainedWithOther", "scikit-learn 1.2"),
    Case(
        "a library that is not installed",
        _rewritten(
            lambda found: found["runtimes"].reverse() or found["runtimes"][0]["requires"].update(xgboost="2.0.3")
        ),
        "ModuleMissing",
        "pip install xgboost==2.0.3",
    ),
    Case(
        "a module of the author's own",
        _trained(_of_module("churn_features", "Ratio")),
        "ModuleMissing",
        "churn_features",
    ),
    Case(
        "a module that the library had once",
        _trained(_of_module("sklearn.ensemble.forest", "RandomForestClassifier")),
        "ModuleMissing",
        "sklearn.ensemble.forest, which the scikit-learn",
    ),
    Case(
        "a class of the training script",
        _trained(_of_module("__main__", "Ratio")),
        "LoadFailed",
        "script that trained it",
    ),
    # What scikit-learn is given
    Case("no pickle at all", _trained(b"<!DOCTYPE html><html>404</html>"), "LoadFailed", "cannot be loaded as joblib"),
    Case("an empty pickle", _trained(b""), "LoadFailed", "cannot be loaded as joblib"),
    Case("a pickle cut short", _trained(lambda: (GOOD / "model.joblib").read_bytes()[:20000]), "LoadFailed", "joblib"),
    Case(
        "a dictionary",
        _trained(pickle.dumps({"model": None, "columns": []})),
        "LoadFailed",
        "a dict, which has no predict",
    ),
    Case("the class in place of an estimator", _trained(pickle.dumps(LogisticRegression)), "WarmUpFailed", "raised"),
    Case(
        "an estimator that was not fitted",
        _trained(lambda: pickle.dumps(LogisticRegression())),
        "WarmUpFailed",
        "raised",
    ),
    Case("an estimator of other columns", _trained(lambda: pickle.dumps(_small())), "WarmUpFailed", "raised"),
    # What ONNX Runtime is given
    Case(
        "a compiled file corrupted", lambda place: _put(place, "model.onnx", b"\0" * 5000), "LoadFailed", "ONNX Runtime"
    ),
    Case("the trained file as the compiled one", _other_kind, "LoadFailed", "ONNX Runtime"),
    Case("an unknown operator", _compiled(_unknown_operator), "LoadFailed", "Divine"),
    Case("operators of a newer standard", _compiled(_newer_operators), "LoadFailed", "999"),
    Case("another input", _compiled(_other_input), "LoadFailed", "float_input that no column fills"),
    Case("another output", _compiled(_other_output), "LoadFailed", "has no output prediction"),
    Case("weights in a file elsewhere", _compiled(_external), "LoadFailed", "ONNX Runtime"),
    # What it answers
    Case("golden rows answered otherwise", _rewritten(_other_golden), "GoldenRowsDiffer", "golden row 0"),
    Case("weights of another training", _wrong_weights, "GoldenRowsDiffer", "golden row 0"),
    Case("a golden row that its schema refuses", _rewritten(_unanswerable), "GoldenRowsDiffer", "golden row 0"),
    Case("nothing but NaN", _not_a_number, "WarmUpFailed", "NaN"),
    # What it does when it is loaded
    Case("SystemExit", running("raise SystemExit(3)"), "LoadFailed", "SystemExit"),
    Case("KeyboardInterrupt", running("raise KeyboardInterrupt"), "LoadFailed", "KeyboardInterrupt"),
    Case("a cancellation", running("import asyncio; raise asyncio.CancelledError"), "LoadFailed", "CancelledError"),
    Case("a recursion without end", running(RECURSION), "LoadFailed", "RecursionError"),
    Case("megabytes printed", running(FLOOD), "LoadFailed", "no predict"),
    Case("a thread that lives on", running(THREAD), "LoadFailed", "no predict"),
    Case("a process that lives on", running(CHILD), "LoadFailed", "no predict", "process"),
    Case("slower than it may be", running("import time; time.sleep(3600)"), "LoadTimedOut", "after", "time"),
    Case("no end, and nobody else gets a turn", running("sum(range(10**14))"), "LoadTimedOut", "after", "time"),
    Case("memory without end", running(LEAK), "NotEnoughMemory", "memory", "memory"),
    Case("a small file that inflates", _trained(_bomb), "NotEnoughMemory", "memory", "memory"),
    Case("an end with exit code 0", running("import os; os._exit(0)"), "CrashedWhileLoading", "exit code 0", "process"),
    Case(
        "a segmentation fault",
        running("import ctypes; ctypes.string_at(0)"),
        "CrashedWhileLoading",
        "SIGSEGV",
        "process",
    ),
    Case("an abort", running("import os; os.abort()"), "CrashedWhileLoading", "SIGABRT", "process"),
    Case(
        "killed, as the kernel does for want of memory",
        running("import os, signal; os.kill(os.getpid(), signal.SIGKILL)"),
        "CrashedWhileLoading",
        "SIGKILL",
        "process",
    ),
)
