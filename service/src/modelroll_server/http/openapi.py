"""A manifest as an OpenAPI document: one named property an input, with its example, categories and range."""

from typing import Any

from modelroll_server.artifact.manifest import Manifest
from modelroll_server.openinference import metadata
from modelroll_server.schema import Input, Schema
from modelroll_server.tensors import Datatype

_TYPES: dict[Datatype, str | None] = {
    Datatype.FP64: "number",
    Datatype.FP32: "number",
    Datatype.INT64: "integer",
    Datatype.BOOL: "boolean",
    Datatype.BYTES: "string",
    Datatype.ANY: None,
}


def document(manifest: Manifest, schema: Schema) -> dict[str, Any]:
    """The whole document for one version: its manifest, and the inputs as this server checks them."""
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
            "/predict": {"post": _operation("Predict one row", "One", "Prediction")},
            "/batch_predict": {"post": _operation("Predict many rows", "Rows", "Predictions")},
            "/predict/stream": {"post": _stream()},
            "/health": {
                "get": {
                    "summary": "Whether a model is loaded",
                    "responses": {"200": _answer("Health"), "503": _answer("Health", "None is")},
                }
            },
            f"/v1/models/{manifest.model}:predict": {"post": _operation("KServe V1", "Rows", "Labels")},
            f"/v2/models/{manifest.model}": {
                "get": {
                    "summary": "The model's metadata (Open Inference Protocol)",
                    "responses": {"200": _answer("Any"), "503": _answer("Problem", "No model")},
                }
            },
            f"/v2/models/{manifest.model}/infer": {"post": _operation("Open Inference Protocol", "Infer", "Inferred")},
        },
        "components": {"schemas": _schemas(manifest, schema)},
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
        "415": "Not read here",
        "429": "Overloaded",
        "500": "The model failed",
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


def _rows(schema: Schema) -> dict[str, Any]:
    """What a row may come as, alone and with others."""
    row, listed = {"$ref": "#/components/schemas/Row"}, {"$ref": "#/components/schemas/Listed"}
    columns = {column.name: _property(column) for column in schema.inputs}
    either = {"anyOf": [row, listed]}
    many = {"type": "array", "items": either}
    return {
        "Row": {
            **_object(**columns),
            "required": list(columns),
            "additionalProperties": not schema.refuses_extra_fields,
        },
        "Listed": {
            "type": "array",
            "description": f"The values of {', '.join(columns)}, in this order",
            "prefixItems": list(columns.values()),
            "items": False,
            "minItems": len(columns),
        },
        "One": row if "features" in columns else {"anyOf": [row, _wrapped(features=either)]},
        "Rows": {"anyOf": [_wrapped(instances=many), many]},
    }


def _wrapped(**field: Any) -> dict[str, Any]:
    return {**_object(**field), "required": list(field), "additionalProperties": False}


def _schemas(manifest: Manifest, schema: Schema) -> dict[str, Any]:
    label: dict[str, Any] = {"description": "The label or number"}
    if manifest.classes is not None and not any(isinstance(one, list) for one in manifest.classes):
        label["enum"] = list(manifest.classes)
    classes = "" if manifest.classes is None else f" of each of {manifest.classes}, in this order"
    probability = {"description": f"Probability{classes}; null if the model has none"}
    score = {"description": "decision_function; there only for a model that has it and no probability"}
    version = {"type": "string", "example": manifest.version}
    return {
        **_rows(schema),
        "Prediction": _object(prediction=label, probability=probability, score=score, model_version=version),
        "Predictions": _object(
            predictions={"type": "array", "items": label},
            probabilities={"type": ["array", "null"], "items": probability},
            scores={"type": "array", "items": score},
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
