"""Rows as requests of the Open Inference Protocol, as its clients send them."""

import struct
from typing import Any

import msgspec

from benchmarks import models


def one_tensor(_model: models.Model, row: models.Row) -> dict[str, Any]:
    """All columns as one tensor of doubles."""
    data = list(row.values())
    return {"inputs": [{"name": "input", "shape": [1, len(data)], "datatype": "FP64", "data": data}]}


def tensor_a_column(model: models.Model, row: models.Row) -> dict[str, Any]:
    """A tensor a column, by name, to become a DataFrame."""
    whole = {name for name in row if all(isinstance(one[name], int) for one in model.rows)}

    def datatype(name: str) -> str:
        if name in model.texts:
            return "BYTES"
        return "INT64" if name in whole else "FP64"

    columns = [{"name": name, "shape": [1], "datatype": datatype(name), "data": [row[name]]} for name in row]
    return {"parameters": {"content_type": "pd"}, "inputs": columns}


def body(model: models.Model, row: models.Row) -> bytes:
    """One tensor where all columns are numbers, else one a column."""
    return msgspec.json.encode(tensor_a_column(model, row) if model.texts else one_tensor(model, row))


def binary(row: models.Row) -> tuple[bytes, int]:
    """One tensor of doubles as raw bytes behind the JSON, and how long the JSON is."""
    data = struct.pack(f"<{len(row)}d", *row.values())
    tensor = {
        "name": "input",
        "shape": [1, len(row)],
        "datatype": "FP64",
        "parameters": {"binary_data_size": len(data)},
    }
    head = msgspec.json.encode({"inputs": [tensor]})
    return head + data, len(head)


def label(answer: Any) -> Any:
    """The first value of the first output."""
    return answer["outputs"][0]["data"][0]
