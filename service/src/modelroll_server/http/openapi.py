"""A manifest as an OpenAPI document: one named property an input, with its example, categories and range."""

from typing import Any

from modelroll_server.artifact.manifest import Manifest
from modelroll_server.openinference import metadata
from modelroll_server.schema import Input
from modelroll_server.tensors import Datatype

_TYPES: dict[Datatype, str | None] = {
    Datatype.FP64: "number",
    Datatype.FP32: "number",
    Datatype.INT64: "integer",
    Datatype.BOOL: "boolean",
    Datatype.BYTES: "string",
    Datatype.ANY: None,
}


def document(manifest: Manifest) -> dict[str, Any]:
    """The whole document for one version."""
    from fastapi.openapi.utils import get_openapi

    skeleton: dict[str, Any] = get_openapi(
        title=manifest.model,
        version=manifest.version,
        description=_description(manifest),
        routes=[],
    )
    return {
        **skeleton,
        "paths": {
            "/predict": {"post": _operation("Predict one row", "Row", "Prediction")},
            "/batch_predict": {"post": _operation("Predict many rows", "Rows", "Predictions")},
            "/predict/stream": {"post": _stream()},
            "/health": {"get": {"summary": "Whether a model is loaded", "responses": {"200": _answer("Health")}}},
            f"/v1/models/{manifest.model}:predict": {"post": _operation("KServe V1", "Rows", "Labels")},
            f"/v2/models/{manifest.model}": {
                "get": {
                    "summary": "The model's metadata (Open Inference Protocol)",
                    "responses": {"200": _answer("Any")},
                }
            },
            f"/v2/models/{manifest.model}/infer": {"post": _operation("Open Inference Protocol", "Infer", "Inferred")},
        },
        "components": {"schemas": _schemas(manifest)},
    }


def _description(manifest: Manifest) -> str:
    lines = [f"{manifest.task.capitalize()}, trained {manifest.created}."]
    lines += [f"{name}: {value:g}" for name, value in manifest.metrics.items()]
    return "\n\n".join(lines)


def _operation(summary: str, takes: str, gives: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{takes}"}}}
    refusals = {
        "400": "A field is wrong",
        "413": "Too large",
        "429": "Overloaded",
        "503": "No model",
        "504": "Too late",
    }
    return {
        "summary": summary,
        "requestBody": {"required": True, "content": content},
        "responses": {"200": _answer(gives), **{code: _answer("Problem", text) for code, text in refusals.items()}},
    }


def _stream() -> dict[str, Any]:
    lines = {"application/x-ndjson": {"schema": {"type": "string"}}}
    return {
        "summary": "Predict a stream of rows: a line of JSON each, answered by a line each",
        "requestBody": {"required": True, "content": lines},
        "responses": {
            "200": {"description": "A line a line, in order", "content": lines},
            "415": _answer("Problem", "Not read here"),
            "503": _answer("Problem", "No model"),
        },
    }


def _answer(schema: str, description: str = "The answer") -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"description": description, "content": content}


def _schemas(manifest: Manifest) -> dict[str, Any]:
    row = {
        "type": "object",
        "properties": {column.name: _property(column) for column in manifest.inputs},
        "required": [column.name for column in manifest.inputs],
        "additionalProperties": False,
    }
    label: dict[str, Any] = {"description": "The label or number"}
    if manifest.classes is not None and not any(isinstance(one, list) for one in manifest.classes):
        label["enum"] = list(manifest.classes)
    classes = "" if manifest.classes is None else f" of each of {manifest.classes}, in this order"
    probability = {"description": f"Probability{classes}; null if the model has none"}
    version = {"type": "string", "example": manifest.version}
    return {
        "Row": row,
        "Rows": {
            "type": "object",
            "properties": {"instances": {"type": "array", "items": {"$ref": "#/components/schemas/Row"}}},
            "required": ["instances"],
        },
        "Prediction": _object(prediction=label, probability=probability, model_version=version),
        "Predictions": _object(
            predictions={"type": "array", "items": label},
            probabilities={"type": ["array", "null"], "items": probability},
            model_version=version,
        ),
        "Labels": _object(predictions={"type": "array", "items": label}),
        "Any": {"type": "object"},
        "Infer": _infer(manifest),
        "Inferred": _object(
            model_name={"type": "string"},
            model_version=version,
            id={"type": "string"},
            outputs={"type": "array", "items": {"$ref": "#/components/schemas/Tensor"}},
        ),
        "Tensor": _object(
            name={"type": "string"},
            datatype={"type": "string"},
            shape={"type": "array", "items": {"type": "integer"}},
            data={"type": "array"},
        ),
        "Health": _object(
            status={"type": "string"},
            model_loaded={"type": "boolean"},
            model_version={"type": ["string", "null"]},
        ),
        "Problem": _object(
            error={"type": "string"},
            code={"type": "string"},
            message={"type": "string"},
            field={"type": "string"},
            errors={"type": "array", "items": {"type": "object"}},
            request_id={"type": "string"},
        ),
    }


def _infer(manifest: Manifest) -> dict[str, Any]:
    """A request of the Open Inference Protocol, with an example that this model answers."""
    tensors: list[dict[str, Any]] = []
    values = [column.example for column in manifest.inputs]
    for one in metadata.inputs(manifest):
        data = values if one.shape[1] > 1 else values[len(tensors) : len(tensors) + 1]
        tensors.append({"name": one.name, "datatype": one.datatype, "shape": [1, one.shape[1]], "data": data})
    return {
        **_object(
            id={"type": "string"},
            inputs={"type": "array", "items": {"$ref": "#/components/schemas/Tensor"}},
        ),
        "required": ["inputs"],
        "example": {"inputs": tensors},
    }


def _object(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _property(column: Input) -> dict[str, Any]:
    found: dict[str, Any] = {}
    kind = _TYPES[column.datatype]
    nullable = column.missing != "refuse"
    if kind is not None:
        found["type"] = [kind, "null"] if nullable else kind
    if column.categories is not None and column.unknown == "refuse":
        found["enum"] = [*column.categories, *([None] if nullable else [])]
    hints = []
    if column.categories is not None and column.unknown == "accept":
        hints.append(f"seen in training: {', '.join(map(str, column.categories))}")
    if column.range is not None:
        hints.append(f"in training from {column.range[0]:g} to {column.range[1]:g}")
    if nullable:
        hints.append("may be null")
    if hints:
        found["description"] = "; ".join(hints)
    if column.example is not None:
        found["example"] = column.example
    return found
