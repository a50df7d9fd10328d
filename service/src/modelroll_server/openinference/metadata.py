"""What a server and a model say about themselves."""

from dataclasses import dataclass
from importlib.metadata import version as installed
from typing import Any

from modelroll_server import errors
from modelroll_server.artifact.manifest import Manifest
from modelroll_server.registry.version import Version
from modelroll_server.tensors import Datatype

SERVER = "modelroll"
SERVER_VERSION = installed("modelroll-server")
EXTENSIONS = ("binary_tensor_data",)
_PLATFORMS = {"onnx": "onnxruntime_onnx", "sklearn": "sklearn_sklearn"}
_TASKS = {"classifier": "INT64", "regressor": "FP64", "cluster": "INT64", "outlier": "INT64"}


@dataclass(frozen=True, slots=True)
class Described:
    """One tensor as metadata describes it; -1 stands for the rows."""

    name: str
    datatype: str
    shape: list[int]


def model(version: Version) -> dict[str, Any]:
    """The metadata of a model: name, the one live version, platform, inputs, outputs."""
    return {
        "name": version.model,
        "versions": [version.number],
        "platform": platform(version.runtime.kind),
        "inputs": inputs(version.manifest),
        "outputs": outputs(version.manifest),
    }


def inputs(manifest: Manifest) -> list[Described]:
    """One tensor with all columns where they are numbers without names of their own, else one a column.

    A bare file's columns have no known datatype; they are said to be FP64.
    """
    columns = manifest.inputs
    if manifest.call == "array" and all(column.datatype is Datatype.FP64 for column in columns):
        return [Described("input", "FP64", [-1, len(columns)])]
    return [
        Described(column.name, "FP64" if column.datatype is Datatype.ANY else str(column.datatype), [-1, 1])
        for column in columns
    ]


def outputs(manifest: Manifest) -> list[Described]:
    """The tensors of an answer; of a bare file only the one that is sure to be there."""
    if manifest.outputs:
        return [Described(output.name, str(output.datatype), list(output.shape)) for output in manifest.outputs]
    classes = manifest.classes or []
    if any(isinstance(label, str | list) for label in classes):
        return [Described("prediction", "BYTES", [-1])]
    return [Described("prediction", _TASKS[manifest.task], [-1])]


def platform(kind: str) -> str:
    """The name of a runtime as the protocol writes it: project and format."""
    return _PLATFORMS.get(kind, f"{kind}_{kind}")


def check_names(version: Version, model: str, number: str | None) -> None:
    """Refuse a request for another model or version than the live one.

    Raises:
        errors.NotFound: it is.
    """
    if model != version.model:
        raise errors.NotFound(f"the model {model[:100]} is not served here; {version.model} is")
    if number is not None and number != version.number:
        raise errors.NotFound(f"version {number[:100]} of {model} is not live; {version.number} is")
