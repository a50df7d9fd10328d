"""MLflow model directories: which file in one holds the estimator, and the rows that were saved with it.

Reads the directory as MLflow documents it (https://mlflow.org/docs/latest/ml/model), written by its versions 1 to 3.
MLflow itself is not needed and not imported.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelroll_server.errors import PackFailed

if TYPE_CHECKING:
    import pandas as pd

NAME = "MLmodel"
_EXAMPLE, _SERVING_EXAMPLE = "input_example.json", "serving_input_example.json"
_FORMATS = {"pickle", "cloudpickle", "skops"}
# Of a signature's columns. What else there is stays as JSON has it, and `samples` says what it is.
_DTYPES = {
    "double": "float64",
    "float": "float32",
    "long": "int64",
    "integer": "int64",
    "boolean": "bool",
    "string": "object",
}


@dataclass(frozen=True, slots=True)
class Source:
    """What is packed.

    Attributes:
        files: The model file, or a preprocessor and a model.
        example: Rows that were saved with it, None when there are none.
    """

    files: Sequence[Path]
    example: "pd.DataFrame | None" = None


def source(paths: Sequence[Path]) -> Source:
    """The files to pack: those named, or the one in the MLflow model directory that is.

    Raises:
        PackFailed: The directory is none, or holds something else than a scikit-learn model.
    """
    directory = next((path for path in paths if path.is_dir()), None)
    if directory is None:
        return Source(paths)
    if len(paths) > 1:
        raise PackFailed(f"{directory} is a directory, and is packed alone")
    described = _described(directory)
    flavor = _flavor(directory, described)
    return Source([_within(directory, flavor.get("pickled_model"))], _example(directory, described))


def _described(directory: Path) -> Mapping[str, Any]:
    try:
        import yaml
    except ModuleNotFoundError as error:
        raise PackFailed('MLflow models need PyYAML: pip install "modelroll-server[pack]"') from error
    path = directory / NAME
    try:
        described = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PackFailed(f"{directory} is a directory without a file {NAME}: name the model's file") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise PackFailed(f"{path} cannot be read: {error}") from error
    if not isinstance(described, dict) or not isinstance(described.get("flavors"), dict):
        raise PackFailed(f"{path} names no flavors: is it one that MLflow wrote?")
    return described


def _flavor(directory: Path, described: Mapping[str, Any]) -> Mapping[str, Any]:
    flavors = described["flavors"]
    flavor = flavors.get("sklearn")
    if not isinstance(flavor, dict):
        found = ", ".join(sorted(flavors)) or "none"
        raise PackFailed(f"{directory} has no scikit-learn model: its flavors are {found}, and only sklearn is served")
    written = flavor.get("serialization_format", "pickle")
    if written not in _FORMATS:
        raise PackFailed(f"{directory} was written as {written}, which is none of {', '.join(sorted(_FORMATS))}")
    return flavor


def _within(directory: Path, name: Any) -> Path:
    """A file that the directory names: in it, and nowhere else."""
    if isinstance(name, str):
        path = (directory / name).resolve()
        if path.is_file() and path.is_relative_to(directory.resolve()):
            return path
    raise PackFailed(f"{directory / NAME} names the file {name!r}, which is not in the directory")


def _example(directory: Path, described: Mapping[str, Any]) -> "pd.DataFrame | None":
    """The input example, with the signature's datatypes."""
    info = described.get("saved_input_example_info") or {}
    names = (info.get("artifact_path"), _EXAMPLE, _SERVING_EXAMPLE)
    path = next((directory / name for name in names if name and (directory / name).is_file()), None)
    if path is None:
        return None
    _within(directory, path.name)
    try:
        frame = _frame(json.loads(path.read_bytes()))
        return None if frame is None or frame.empty else _typed(frame, described.get("signature"))
    except (OSError, ValueError, TypeError) as error:
        raise PackFailed(f"{path} cannot be read: {error}; --samples takes rows from elsewhere") from error


def _frame(content: Any) -> "pd.DataFrame | None":
    """The rows of an example: {columns, data}, a list of rows, or the body of a request with either in it."""
    import pandas as pd

    if isinstance(content, dict):
        content = content.get("dataframe_split", content.get("inputs", content))
    if isinstance(content, dict) and "data" in content:
        return pd.DataFrame(content["data"], columns=content.get("columns"))
    return pd.DataFrame(content) if isinstance(content, list) and content else None


def _typed(frame: "pd.DataFrame", signature: Any) -> "pd.DataFrame":
    columns = json.loads(signature["inputs"]) if isinstance(signature, dict) and signature.get("inputs") else []
    for column in columns:
        name, dtype = column.get("name"), _DTYPES.get(column.get("type"))
        if (
            name in frame.columns
            and dtype is not None
            and not (dtype in {"int64", "bool"} and frame[name].isna().any())
        ):
            frame[name] = frame[name].astype(dtype)
    return frame
