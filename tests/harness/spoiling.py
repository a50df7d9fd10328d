"""How a good artifact is spoilt: each function makes one fault of one, or gives what makes it.

Owns how the files are changed, and how the manifest is made to agree with them where the fault is not that it does not.
Knows nothing of what is to come of it.
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
from typing import Any

import joblib
import numpy as np
import onnx
from sklearn.linear_model import LogisticRegression

CHURN = Path(__file__).parents[2] / "models" / "churn"
GOOD = CHURN / "2.0.0"
OTHER = CHURN / "1.2.0"
MANIFEST = "modelroll.json"
BOMB = 2**31  # bytes


@dataclasses.dataclass(frozen=True)
class Spec:
    """What a ModelVersion says of where it lies; what is None is as it lies there."""

    path: str | None = None
    digest: str | None = None
    has_digest: bool = True


def digest_of(path: Path) -> str:
    """The digest of a file's bytes."""
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def manifest_of(place: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place / MANIFEST).read_bytes())
    return found


def edit(place: Path, **changes: Any) -> None:
    (place / MANIFEST).write_text(json.dumps({**manifest_of(place), **changes}))


def edited(**changes: Any) -> Callable[[Path], None]:
    return lambda place: edit(place, **changes)


def rewritten(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def spoil(place: Path) -> None:
        document = manifest_of(place)
        change(document)
        (place / MANIFEST).write_text(json.dumps(document))

    return spoil


def manifest_bytes(data: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def spoil(place: Path) -> None:
        (place / MANIFEST).write_bytes(data((place / MANIFEST).read_bytes()))

    return spoil


def put(place: Path, name: str, data: bytes) -> None:
    """A file's bytes, and the manifest as if it had been packed with them."""
    (place / name).write_bytes(data)
    files = manifest_of(place)["files"]
    edit(place, files={**files, name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}})


def uncompiled(place: Path) -> None:
    (place / "model.onnx").unlink()
    document = manifest_of(place)
    del document["files"]["model.onnx"]
    runtimes = [one for one in document["runtimes"] if one["kind"] == "sklearn"]
    edit(place, files=document["files"], runtimes=runtimes)


def trained(data: bytes | Callable[[], bytes]) -> Callable[[Path], None]:
    """These bytes as what scikit-learn trained, not compiled."""

    def spoil(place: Path) -> None:
        uncompiled(place)
        put(place, "model.joblib", data if isinstance(data, bytes) else data())

    return spoil


class _Runs:
    """Unpickled, it runs a program, and is nothing then."""

    def __init__(self, program: str) -> None:
        self.program = textwrap.dedent(program)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return exec, (self.program, {})


def running(program: str) -> Callable[[Path], None]:
    """A program that runs when the artifact is loaded."""
    return trained(pickle.dumps(_Runs(program)))


def compiled(change: Callable[[onnx.ModelProto], object]) -> Callable[[Path], None]:
    def spoil(place: Path) -> None:
        model = onnx.load(place / "model.onnx")
        change(model)
        put(place, "model.onnx", model.SerializeToString())

    return spoil


def truncated(name: str, size: int) -> Callable[[Path], None]:
    return lambda place: os.truncate(place / name, size)


def swapped_bytes(place: Path) -> None:
    data = bytearray((place / "model.onnx").read_bytes())
    other = (OTHER / "model.onnx").read_bytes()[:1000]
    data[: len(other)] = other
    (place / "model.onnx").write_bytes(data)


def exchanged(place: Path) -> None:
    (place / "model.onnx").rename(place / "kept")
    (place / "model.joblib").rename(place / "model.onnx")
    (place / "kept").rename(place / "model.joblib")


def other_kind(place: Path) -> None:
    put(place, "model.onnx", (place / "model.joblib").read_bytes())


def linked(place: Path) -> None:
    (place / "model.onnx").rename(place.parent / f"{place.name}.onnx")
    (place / "model.onnx").symlink_to(f"../{place.name}.onnx")


def outside(place: Path) -> Spec:
    digest = digest_of(place / MANIFEST)
    shutil.rmtree(place)
    place.symlink_to("/etc")
    return Spec(digest=digest)


def cyclic(place: Path) -> Spec:
    shutil.rmtree(place)
    place.symlink_to(place.name)
    return Spec()


def directory(place: Path) -> None:
    (place / "model.onnx").unlink()
    (place / "model.onnx").mkdir()


def unreadable(place: Path) -> None:
    (place / "model.onnx").chmod(0)


def removed(name: str) -> Callable[[Path], None]:
    return lambda place: (place / name).unlink()


def gone(place: Path) -> None:
    shutil.rmtree(place)


def other_model(place: Path) -> Spec:
    """The directory of all versions in place of one."""
    return Spec(path="churn", digest=digest_of(place / MANIFEST))


def of_another_version(_: Path) -> Spec:
    return Spec(digest=digest_of(OTHER / MANIFEST))


def another_version(_: Path) -> Spec:
    return Spec(path="churn/1.2.0", digest=digest_of(OTHER / MANIFEST))


def without_digest(place: Path) -> Spec:
    uncompiled(place)
    return Spec(has_digest=False)


def bare(data: Callable[[], bytes], name: str = "model.joblib") -> Callable[[Path], Spec]:
    """These bytes as a bare file."""

    def spoil(place: Path) -> Spec:
        shutil.rmtree(place)
        place.mkdir()
        (place / name).write_bytes(data())
        return Spec(f"churn/{place.name}/{name}", digest_of(place / name))

    return spoil


def small(columns: int = 2) -> LogisticRegression:
    rows = np.arange(8.0 * columns).reshape(8, columns)
    return LogisticRegression().fit(rows, [0, 1] * 4)


def old_bare() -> bytes:
    """A model as an older scikit-learn wrote it: it says in its state which."""
    estimator = small()
    state = {**estimator.__getstate__(), "_sklearn_version": "1.2.2"}
    return pickle.dumps(_As(type(estimator), state))


class _As:
    """Unpickled, an object of a class with that state."""

    def __init__(self, kind: type, state: dict[str, Any]) -> None:
        self.kind, self.state = kind, state

    def __reduce__(self) -> tuple[Any, ...]:
        return object.__new__, (self.kind,), self.state


def other_columns() -> bytes:
    estimator = joblib.load(GOOD / "model.joblib")
    estimator.feature_names_in_[0] = "renamed"
    estimator[0].feature_names_in_[0] = "renamed"
    return pickle.dumps(estimator)


def not_a_number(place: Path) -> None:
    """A logistic regression whose weights are lost, and that was packed so."""
    estimator = joblib.load(OTHER / "model.joblib")
    estimator[-1].coef_[:] = np.nan
    trained(pickle.dumps(estimator))(place)
    golden = manifest_of(place)["golden"]
    rows = len(golden["rows"])
    edit(place, golden={**golden, "prediction": ["No"] * rows, "probability": [[None, None]] * rows})


def wrong_weights(place: Path) -> None:
    estimator = joblib.load(OTHER / "model.joblib")
    trained(pickle.dumps(estimator))(place)


def bomb() -> bytes:
    """A compressed file of two megabytes that holds two gigabytes."""
    part = gzip.compress(bytes(2**26), 1)
    head = b"\x80\x04\x8e" + struct.pack("<Q", BOMB)  # protocol 4, and bytes of that length
    return gzip.compress(head) + part * (BOMB // 2**26) + gzip.compress(b".")


def of_module(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n.".encode()


def named(document: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in document["inputs"] if one["name"] == name)
    return found


def without_first_input(document: dict[str, Any]) -> None:
    del document["inputs"][0]
    for row in document["golden"]["rows"]:
        del row[0]


def with_one_more_input(document: dict[str, Any]) -> None:
    document["inputs"].append({**document["inputs"][0], "name": "loyalty"})
    for row in document["golden"]["rows"]:
        row.append(row[0])


def unanswerable(document: dict[str, Any]) -> None:
    position = [one["name"] for one in document["inputs"]].index("tenure")
    document["golden"]["rows"][0][position] = "long"


def other_golden(document: dict[str, Any]) -> None:
    document["golden"]["prediction"][0] = "No" if document["golden"]["prediction"][0] == "Yes" else "Yes"


def unknown_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].op_type = "Divine"


def other_input(model: onnx.ModelProto) -> None:
    name = model.graph.input[0].name
    model.graph.input[0].name = "float_input"
    for node in model.graph.node:
        for index, given in enumerate(node.input):
            if given == name:
                node.input[index] = "float_input"


def other_output(model: onnx.ModelProto) -> None:
    name = "output_label"
    for node in model.graph.node:
        for index, given in enumerate(node.output):
            if given == "prediction":
                node.output[index] = name
    model.graph.output[0].name = name


def newer_operators(model: onnx.ModelProto) -> None:
    for one in model.opset_import:
        one.version = 999


def external(model: onnx.ModelProto) -> None:
    tensor = max(model.graph.initializer, key=lambda one: len(one.raw_data))
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "model.joblib"
