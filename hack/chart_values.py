"""Reads a chart's values.yaml with its comments, and makes a JSON Schema and tables of it.

A value's comment stands directly above its key. `# -- text` is the description of a leaf and is required; a comment
without the dashes describes a section. `# @schema {…}`, JSON on one line, adds to the type that the default shows, or
has a `$ref` to a shape. A map with `# --` is a leaf. No value may be null but a leaf whose type says so. Knows nothing
of this chart's own keys.
"""

import json
from dataclasses import dataclass
from typing import Any

import yaml

TYPES: dict[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string"}


@dataclass(frozen=True)
class Value:
    """One key of values.yaml: a leaf with a default, or a section with further values."""

    name: str
    path: str
    text: str
    default: Any
    schema: dict[str, Any]
    values: tuple["Value", ...]


class CommentMissing(ValueError):
    """A value whose comment lacks what it must say, or says it twice."""


def read_values(source: str) -> tuple[Value, ...]:
    """The values of a values.yaml in their order.

    Raises:
        CommentMissing: a leaf has no description, two `@schema`, or a type that cannot be seen from its default.
    """
    root = yaml.compose(source, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise CommentMissing("values.yaml is not a map")
    return _read_map(root, source.splitlines(), "")


def _read_map(node: yaml.MappingNode, lines: list[str], prefix: str) -> tuple[Value, ...]:
    values = []
    for key, value in node.value:
        path = f"{prefix}{key.value}"
        text, schema, leaf = _read_comment(lines, key.start_mark.line, path)
        default = yaml.safe_load(yaml.serialize(value))
        if isinstance(value, yaml.MappingNode) and not leaf:
            inner = _read_map(value, lines, f"{path}.")
            if not inner:
                raise CommentMissing(f"{path}: an empty map needs `# --` and `# @schema`")
            values.append(Value(key.value, path, text, default, {}, inner))
            continue
        if not leaf:
            raise CommentMissing(f"{path} has no description (`# -- …` above it)")
        values.append(Value(key.value, path, text, default, _leaf_schema(path, default, schema), ()))
    return tuple(values)


def _read_comment(lines: list[str], key_line: int, path: str) -> tuple[str, dict[str, Any], bool]:
    """Description, schema and whether it is a leaf's, from the comment directly above a key."""
    first = key_line
    while first > 0 and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    words: list[str] = []
    schemas: list[dict[str, Any]] = []
    leaf = False
    for line in lines[first:key_line]:
        content = line.strip().removeprefix("#").strip()
        if content.startswith("@schema "):
            schemas.append(json.loads(content.removeprefix("@schema ")))
        else:
            leaf = leaf or content.startswith("-- ")
            words.append(content.removeprefix("-- "))
    if leaf and not any(words):
        raise CommentMissing(f"{path} has an empty description")
    if len(schemas) > 1:
        raise CommentMissing(f"{path} has {len(schemas)} lines of `# @schema` above it: make them one")
    return " ".join(words), schemas[0] if schemas else {}, leaf


def _leaf_schema(path: str, default: Any, schema: dict[str, Any]) -> dict[str, Any]:
    if schema.keys() & {"type", "$ref"}:
        return schema
    kind = TYPES.get(type(default))
    if kind is None:
        raise CommentMissing(f"{path}: its default does not show its type, add `# @schema` with one")
    return {"type": kind} | schema


def values_schema(values: tuple[Value, ...], shapes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """JSON Schema of the values: closed, but for `global`, which Helm gives to a chart within another.

    Args:
        values: As read.
        shapes: Schemas that `$ref` of a value names, or of another shape, as `#/$defs/` and the key here.
    """
    section = _section_schema(values, shapes)
    section["properties"]["global"] = {"type": "object"}
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Values"} | section
    return schema | ({"$defs": shapes} if shapes else {})


def _section_schema(values: tuple[Value, ...], shapes: dict[str, dict[str, Any]]) -> dict[str, Any]:
    properties = {}
    for value in values:
        own = _section_schema(value.values, shapes) if value.values else value.schema
        properties[value.name] = {"description": value.text} | own if value.text else own
    closed = {"type": "object", "additionalProperties": False, "properties": properties}
    # Helm takes out what a user sets to null before it looks here, and templates take what values.yaml has to be there.
    required = [value.name for value in values if value.values or not _may_be_null(value.schema, shapes)]
    return closed | ({"required": required} if required else {})


def _may_be_null(schema: dict[str, Any], shapes: dict[str, dict[str, Any]]) -> bool:
    if "$ref" in schema:
        return _may_be_null(shapes[schema["$ref"].removeprefix("#/$defs/")], shapes)
    return "null" in schema["type"]


def table(values: tuple[Value, ...]) -> str:
    """The leaves as a Markdown table: value, default, what it does."""
    lines = ["| value | default | |", "| --- | --- | --- |"]
    lines += [_row(leaf) for value in values for leaf in _leaves(value)]
    return "\n".join(lines) + "\n"


def _leaves(value: Value) -> list[Value]:
    if not value.values:
        return [value]
    return [leaf for inner in value.values for leaf in _leaves(inner)]


def _row(value: Value) -> str:
    default = json.dumps(value.default) if value.default != "" else ""
    if isinstance(value.default, dict | list) and len(default) > 40:
        default = "see values.yaml"
    elif default:
        default = f"`{default}`"
    text = value.text.replace("|", "\\|")
    return f"| `{value.path}` | {default} | {text} |"
