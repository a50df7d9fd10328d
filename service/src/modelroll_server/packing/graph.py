"""An ONNX graph under construction, written as one writes numpy: `graph.argmax(x @ weights + intercept)`.

Owns nodes, constants and the dtypes of tensors. Knows nothing of scikit-learn.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx
import onnx.checker
import onnx.shape_inference
from onnx import helper, numpy_helper

from modelroll_server.tensors import Array

ML = "ai.onnx.ml"
CONTRIB = "com.microsoft"  # operators that ONNX Runtime adds
# Old enough that every ONNX Runtime of the last years reads it, new enough for all that is used here.
_OPSETS = {"": 18, ML: 5, CONTRIB: 1}
_IR_VERSION = 9
_MAX_SHARED = 10_000  # a node with an attribute longer than this is not looked up among those that are there already

Operand: TypeAlias = "Value | Array | float"


class Value:
    """A tensor of the graph; arithmetic makes new ones. Constants take the dtype of the tensor that they meet.

    Attributes:
        graph: Where it is.
        name: Of the tensor, in the graph.
        dtype: Of its elements; texts are objects.
    """

    __slots__ = ("dtype", "graph", "name")

    def __init__(self, graph: "Graph", name: str, dtype: np.dtype[Any]) -> None:
        self.graph = graph
        self.name = name
        self.dtype = dtype

    def __add__(self, other: Operand) -> "Value":
        return self.graph.op("Add", self, other)

    def __sub__(self, other: Operand) -> "Value":
        return self.graph.op("Sub", self, other)

    def __mul__(self, other: Operand) -> "Value":
        return self.graph.op("Mul", self, other)

    def __truediv__(self, other: Operand) -> "Value":
        return self.graph.op("Div", self, other)

    def __matmul__(self, other: Operand) -> "Value":
        return self.graph.op("MatMul", self, other)

    def __neg__(self) -> "Value":
        return self.graph.op("Neg", self)

    def above(self, other: Operand) -> "Value":
        """Where this is greater, as booleans."""
        return self.graph.op("Greater", self, other, dtype=np.bool_)

    def at_least(self, other: Operand) -> "Value":
        """Where this is greater or equal, as booleans."""
        return self.graph.op("GreaterOrEqual", self, other, dtype=np.bool_)

    def at_most(self, other: Operand) -> "Value":
        """Where this is less or equal, as booleans."""
        return self.graph.op("LessOrEqual", self, other, dtype=np.bool_)

    def equals(self, other: Operand) -> "Value":
        """Where two tensors are equal, as booleans."""
        return self.graph.op("Equal", self, other, dtype=np.bool_)

    def cast(self, dtype: Any) -> "Value":
        """The same in another dtype."""
        wanted = np.dtype(dtype)
        if wanted == self.dtype:
            return self
        return self.graph.op("Cast", self, dtype=wanted, to=helper.np_dtype_to_tensor_dtype(wanted))

    def take(self, indexes: Sequence[int] | Array, axis: int = 1) -> "Value":
        """The elements at `indexes` along an axis, which stays."""
        return self.graph.op("Gather", self, np.asarray(indexes, np.int64), axis=axis)

    def column(self, index: int) -> "Value":
        """One column of [rows, columns], as [rows]."""
        return self.graph.op("Gather", self, np.array(index, np.int64), axis=1)

    def reshape(self, *shape: int) -> "Value":
        """The same elements in another shape; 0 keeps a dimension, -1 takes what is left."""
        return self.graph.op("Reshape", self, np.array(shape, np.int64))


class Graph:
    """Nodes, in the order in which they were made."""

    def __init__(self) -> None:
        self._counter = itertools.count()
        self._nodes: list[onnx.NodeProto] = []
        self._known: dict[Any, tuple[Value, ...]] = {}
        self._constants: dict[Any, Value] = {}
        self._initializers: dict[str, onnx.TensorProto] = {}
        self._inputs: dict[str, onnx.ValueInfoProto] = {}
        self._declared: list[onnx.ValueInfoProto] = []

    def input(self, name: str, dtype: Any, width: int | None) -> Value:
        """A tensor that callers give: [rows, width], or [rows] where width is None."""
        shape: list[str | int] = ["rows"] if width is None else ["rows", width]
        self._inputs[name] = helper.make_tensor_value_info(name, _element_type(np.dtype(dtype)), shape)
        return Value(self, name, np.dtype(dtype))

    def declare(self, value: Value, shape: Sequence[str | int]) -> Value:
        """Say what shape a tensor has, where the standard knows no operator by which to infer it."""
        self._declared.append(helper.make_tensor_value_info(value.name, _element_type(value.dtype), shape))
        return value

    def is_input(self, value: Value) -> bool:
        """Whether it is what callers give."""
        return value.name in self._inputs

    def constant(self, array: Any, dtype: Any = None) -> Value:
        """A tensor that never changes; the same twice is one."""
        values = np.ascontiguousarray(array, dtype)
        values = values.reshape(np.shape(array))  # which ascontiguousarray forgets of a scalar
        key = (values.dtype.str, values.shape, values.tobytes())
        if key not in self._constants:
            name = f"constant_{next(self._counter)}"
            self._initializers[name] = numpy_helper.from_array(values, name)
            self._constants[key] = Value(self, name, values.dtype)
        return self._constants[key]

    def op(self, kind: str, *operands: Operand, dtype: Any = None, domain: str = "", **attributes: Any) -> Value:
        """One node with one result.

        Args:
            kind: Its operator.
            *operands: Tensors, or what becomes constants: numbers take the first tensor's dtype, integer arrays
                stay what they are (they are indexes, axes, shapes).
            dtype: Of the result; the first operand's when None.
            domain: Of the operator.
            **attributes: As ONNX names them.
        """
        return self.ops(kind, *operands, dtypes=(dtype,), domain=domain, **attributes)[0]

    def ops(
        self, kind: str, *operands: Operand, dtypes: Sequence[Any], domain: str = "", **attributes: Any
    ) -> tuple[Value, ...]:
        """One node with a result for each of `dtypes`."""
        first = next(operand.dtype for operand in operands if isinstance(operand, Value))
        values = [self._operand(operand, first) for operand in operands]
        given = repr(sorted(attributes.items())) if all(map(_is_short, attributes.values())) else None
        key = (kind, domain, tuple(value.name for value in values), given, len(dtypes))
        if given is not None and key in self._known:
            return self._known[key]
        names = [f"{kind.lower()}_{next(self._counter)}" for _ in dtypes]
        node = helper.make_node(kind, [value.name for value in values], names, domain=domain, **attributes)
        self._nodes.append(node)
        found = [np.dtype(values[0].dtype if dtype is None else dtype) for dtype in dtypes]
        results = tuple(Value(self, name, one) for name, one in zip(names, found, strict=True))
        self._known[key] = results
        return results

    def concat(self, values: Sequence[Value], axis: int = 1) -> Value:
        """Tensors of one dtype, side by side."""
        return values[0] if len(values) == 1 else self.op("Concat", *values, axis=axis)

    def where(self, condition: Value, one: Operand, other: Operand, dtype: Any = np.float64) -> Value:
        """`one` where the condition holds, else `other`."""
        chosen = [value if isinstance(value, Value) else self.constant(value, dtype) for value in (one, other)]
        return self.op("Where", condition, *chosen, dtype=chosen[0].dtype)

    def reduce(self, kind: str, value: Value, axis: int = 1, *, keep: bool = True) -> Value:
        """`Sum`, `Max`, `Min`, `Mean`, `Prod` … of a tensor along an axis."""
        return self.op(f"Reduce{kind}", value, np.array([axis], np.int64), keepdims=int(keep))

    def sum(self, value: Value, axis: int = 1, *, keep: bool = True) -> Value:
        """The sum along an axis."""
        return self.reduce("Sum", value, axis, keep=keep)

    def argmax(self, value: Value) -> Value:
        """The index of the first largest of each row: [rows, columns] to [rows]."""
        return self.op("ArgMax", value, dtype=np.int64, axis=1, keepdims=0)

    def argmin(self, value: Value) -> Value:
        """The index of the first smallest of each row: [rows, columns] to [rows]."""
        return self.op("ArgMin", value, dtype=np.int64, axis=1, keepdims=0)

    def softmax(self, value: Value) -> Value:
        """exp, each row divided by its sum."""
        return self.op("Softmax", value, axis=1)

    def complement(self, second: Value) -> Value:
        """From P(second class) [rows, 1] to [rows, 2]."""
        return self.concat([self.constant(1.0) - second, second])

    def model(self, outputs: Mapping[str, Value]) -> bytes:
        """The graph as a file, without what no output needs.

        Raises:
            onnx.checker.ValidationError, onnx.shape_inference.InferenceError: It is not a valid graph.
        """
        nodes, needed = [], {value.name for value in outputs.values()}
        for node in reversed(self._nodes):
            if needed.intersection(node.output):
                needed.update(node.input)
                nodes.append(node)
        graph = helper.make_graph(
            _with_names(list(reversed(nodes)), outputs),
            "modelroll",
            [info for name, info in self._inputs.items() if name in needed],
            [helper.make_tensor_value_info(name, _element_type(value.dtype), None) for name, value in outputs.items()],
            [tensor for name, tensor in self._initializers.items() if name in needed],
            value_info=[info for info in self._declared if info.name in needed],
        )
        domains = {"", *(node.domain for node in nodes)}
        opsets = [helper.make_opsetid(domain, version) for domain, version in _OPSETS.items() if domain in domains]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="modelroll")
        inferred = onnx.shape_inference.infer_shapes(model, check_type=True)
        del model.graph.output[:]
        model.graph.output.extend(inferred.graph.output)  # now with shapes, which a valid file has
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))

    def _operand(self, operand: Operand, dtype: np.dtype[Any]) -> Value:
        if isinstance(operand, Value):
            return operand
        if isinstance(operand, np.ndarray) and operand.dtype == np.int64:
            return self.constant(operand)
        return self.constant(operand, dtype)


def _with_names(nodes: list[onnx.NodeProto], outputs: Mapping[str, Value]) -> list[onnx.NodeProto]:
    """The nodes, their results named as outputs are; what is an output already, or no node's result, is copied."""
    results = {name for node in nodes for name in node.output}
    names: dict[str, str] = {}
    copies = []
    for name, value in outputs.items():
        if value.name in results and value.name not in names:
            names[value.name] = name
        else:
            copies.append(helper.make_node("Identity", [names.get(value.name, value.name)], [name]))
    for node in nodes:
        for tensors in (node.input, node.output):
            tensors[:] = [names.get(tensor, tensor) for tensor in tensors]
    return [*nodes, *copies]


def _element_type(dtype: np.dtype[Any]) -> int:
    return onnx.TensorProto.STRING if dtype.kind == "O" else int(helper.np_dtype_to_tensor_dtype(dtype))


def _is_short(attribute: Any) -> bool:
    return not isinstance(attribute, onnx.TensorProto) and not (
        isinstance(attribute, Sequence) and len(attribute) > _MAX_SHARED
    )
