"""The runtime `onnx`: a compiled model, run by ONNX Runtime.

Owns how a table becomes the graph's input tensors and how its output tensors become answers. Imports neither
scikit-learn nor pandas, nor does loading or answering.

The graph takes one tensor a datatype, [rows, columns of that datatype in manifest order]: a model of nineteen columns
has two or three tensors, not nineteen. Where texts may be missing, a tensor of booleans beside them says which are;
where they are wanted in lower case, they come as Python makes it. A classifier answers indexes; the labels come from
the manifest.
"""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

# From 1.29 on its makers' builds tell them of each model that is loaded, and leave an identifier in the user's home,
# unless this is set before they are imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

from modelroll_server.artifact.manifest import Label, Manifest
from modelroll_server.errors import LoadFailed
from modelroll_server.schema import Input
from modelroll_server.tensors import Array, Datatype, Outputs, Table

TENSORS: dict[Datatype, str] = {
    Datatype.FP64: "doubles",
    Datatype.FP32: "singles",
    Datatype.INT64: "integers",
    Datatype.BOOL: "booleans",
    Datatype.BYTES: "texts",
}
MISSING_TEXTS = "missing_texts"
LOWER_CASE_TEXTS = "lower_case_texts"
PREDICTION, PROBABILITY, SCORE = "prediction", "probability", "score"
_NOWHERE = "/dev/null"
_NONE = np.array(None, object)


class OnnxRuntime:
    """A compiled model that answers tables. Threads may share it.

    Attributes:
        kind: `onnx`.
    """

    kind = "onnx"

    def __init__(
        self, model: bytes, inputs: Sequence[Input], classes: Sequence[Label | list[Label]] | None = None
    ) -> None:
        """Read a compiled model.

        Args:
            model: The file's bytes.
            inputs: Columns of the tables that will come.
            classes: Of a classifier, as in the manifest.

        Raises:
            LoadFailed: ONNX Runtime cannot run it here, or it is no model that `pack` compiled for these inputs.
        """
        try:
            self._session = onnxruntime.InferenceSession(model, _options(), providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has a class for each code, with no base of its own
            raise LoadFailed(f"ONNX Runtime {onnxruntime.__version__} cannot load the model: {error}") from error
        self._feeds = _feeds([tensor.name for tensor in self._session.get_inputs()], inputs)
        names = [tensor.name for tensor in self._session.get_outputs()]
        if PREDICTION not in names:
            raise LoadFailed(f"the model has no output {PREDICTION}: modelroll did not compile it", found=names)
        self._probabilities = [name for name in names if name.startswith(PROBABILITY)]
        self._has_score = SCORE in names
        self._outputs = [PREDICTION, *self._probabilities, *([SCORE] if self._has_score else [])]
        self._label = _labels(classes)

    @classmethod
    def of(cls, manifest: Manifest, model: bytes) -> "OnnxRuntime":
        """The runtime of an artifact. Raises as the constructor does."""
        return cls(model, manifest.inputs, manifest.classes)

    def predict(self, table: Table) -> Outputs:
        """The answers to the rows of `table`. Raises what ONNX Runtime raises."""
        prediction, *others = self._session.run(self._outputs, {name: feed(table) for name, feed in self._feeds})
        prediction = self._label(prediction)
        if not others:
            return Outputs(prediction)
        if self._has_score:
            return Outputs(prediction, None, others[0])
        if self._probabilities[0] == PROBABILITY:
            return Outputs(prediction, others[0])
        return Outputs(prediction, others)


def _options() -> Any:
    options = onnxruntime.SessionOptions()
    # One thread: requests run in parallel, and the caller decides on which threads.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # Tensors are small and batches of all sizes: what an arena and its patterns keep, a reload does not give back.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    # Fusions beyond the basic ones keep the scale of a product as a float32: what was computed in doubles no longer is.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    # A model is the bytes that were hashed: whatever else it names lies in a directory that is none.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", _NOWHERE)
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.log_severity_level = 4
    return options


def _feeds(wanted: Sequence[str], inputs: Sequence[Input]) -> list[tuple[str, Callable[[Table], Array]]]:
    by_name = {
        name: tuple(index for index, column in enumerate(inputs) if column.datatype is datatype)
        for datatype, name in TENSORS.items()
    }
    by_name[MISSING_TEXTS] = by_name[LOWER_CASE_TEXTS] = by_name[TENSORS[Datatype.BYTES]]
    feeds = []
    for name in wanted:
        indexes = by_name.get(name, ())
        if not indexes:
            raise LoadFailed(f"the model has an input {name} that no column fills: modelroll did not compile it")
        feeds.append((name, _feed(name, indexes, whole=len(indexes) == len(inputs))))
    return feeds


def _feed(name: str, indexes: Sequence[int], *, whole: bool) -> Callable[[Table], Array]:
    def part(table: Table) -> Array:
        columns = table.columns
        # Concatenating and turning costs a third of stacking column by column.
        return np.concatenate([columns[index] for index in indexes]).reshape(len(indexes), -1).T

    def missing(table: Table) -> Array:
        texts = gather(table)
        return np.asarray((texts == _NONE) | (texts != texts))  # noqa: PLR0124 - nan

    def block(table: Table) -> Array:
        return table.block

    def lower_case(table: Table) -> Array:
        texts = gather(table)
        made = np.empty(texts.size, object)
        made[:] = [text.lower() if type(text) is str else text for text in texts.ravel().tolist()]
        return made.reshape(texts.shape)

    gather = block if whole else part
    return {MISSING_TEXTS: missing, LOWER_CASE_TEXTS: lower_case}.get(name, gather)


def _labels(classes: Sequence[Label | list[Label]] | None) -> Callable[[Array], Array]:
    """From indexes to labels, in the dtype that scikit-learn has (texts as objects: they are shared, not copied)."""
    if classes is None:
        return lambda prediction: prediction
    if isinstance(classes[0], list):
        of_outputs = [_array(one) for one in classes if isinstance(one, list)]
        return lambda prediction: np.stack(
            [labels[indexes] for labels, indexes in zip(of_outputs, prediction.T, strict=True)], axis=1
        )
    labels = _array(classes)
    return lambda prediction: labels[prediction]


def _array(labels: Sequence[Any]) -> Array:
    return np.array(labels, object if isinstance(labels[0], str) else None)
