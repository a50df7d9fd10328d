"""A version in the words of the page: what the model is, what it takes, what it answers.

Owns the words. Marks nothing up and escapes nothing: the template does, whatever stands in a manifest.
"""

import dataclasses
import itertools
from typing import Any

import msgspec

from modelroll_server.artifact.manifest import Manifest
from modelroll_server.registry.version import Version
from modelroll_server.schema import Input
from modelroll_server.tensors import Datatype

MOST_SUGGESTIONS = 200  # values of an open list; a closed one is there in full

_TASKS = {"classifier": "Classifier", "regressor": "Regressor", "cluster": "Clustering", "outlier": "Outlier detector"}
_RUNTIMES = {"onnx": "ONNX Runtime", "sklearn": "scikit-learn"}
_TYPES = {
    Datatype.FP64: "number",
    Datatype.FP32: "number",
    Datatype.INT64: "integer",
    Datatype.BOOL: "true or false",
    Datatype.BYTES: "text",
    Datatype.ANY: "any value",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """One value of a closed list: as JSON, and as people read it."""

    json: str
    words: str


@dataclasses.dataclass(frozen=True, slots=True)
class Control:
    """One input, as the form has it.

    Attributes:
        id: Of its element; the name may hold anything.
        name: Of the input.
        kind: How the text of its control becomes JSON: choice, number, text or any.
        type: What it takes, in a word or two.
        range: Of the samples, in words; empty where it has none.
        may_be_missing: Whether null is taken.
        choices: What can be chosen; of a closed list alone.
        suggestions: Values seen in training, where others are taken, too.
        filled: What it is filled with: for a choice the JSON of it.
    """

    id: str
    name: str
    kind: str
    type: str
    range: str
    may_be_missing: bool
    choices: list[Choice]
    suggestions: list[str]
    filled: str


@dataclasses.dataclass(frozen=True, slots=True)
class Card:
    """Everything that the page says of one version.

    Attributes:
        gives: What it answers, in a sentence.
        facts: Further names and values.
        metrics: Of the training run, rounded.
        classes: As JSON, `null` where it has none.
        row: The filled form as JSON: what `/predict` takes.
    """

    model: str
    version: str
    digest: str
    task: str
    runtime: str
    gives: str
    facts: list[tuple[str, str]]
    metrics: list[tuple[str, str]]
    controls: list[Control]
    classes: str
    row: str


def of(version: Version) -> Card:
    """The card of a version."""
    manifest = version.manifest
    values = [_example(column) for column in manifest.inputs]
    row = {column.name: value for column, value in zip(manifest.inputs, values, strict=True)}
    return Card(
        model=version.model,
        version=version.number,
        digest=version.digest,
        task=_TASKS[manifest.task],
        runtime=_RUNTIMES.get(version.runtime.kind, version.runtime.kind),
        gives=_gives(manifest),
        facts=list(_facts(manifest)),
        metrics=[(name.replace("_", " "), f"{value:.4g}") for name, value in manifest.metrics.items()],
        controls=[
            _control(f"input-{index}", column, value)
            for index, (column, value) in enumerate(zip(manifest.inputs, values, strict=True))
        ],
        classes=_json(manifest.classes),
        row=_json(row),
    )


def _example(column: Input) -> Any:
    """A usual value. No golden row: that is somebody's."""
    if column.example is not None or column.missing != "refuse":
        return column.example
    if column.categories:
        return column.categories[0]
    return {Datatype.BOOL: False, Datatype.BYTES: ""}.get(column.datatype, 0)


def _gives(manifest: Manifest) -> str:
    classes = manifest.classes
    named = {output.name for output in manifest.outputs}
    more = " with the probability of each" if "probability" in named else " and a score" if "score" in named else ""
    if classes is None or manifest.task == "regressor":
        return {"cluster": "the number of a cluster", "outlier": "1 for an inlier, \u22121 for an outlier"}.get(
            manifest.task, "a number" if _answers_one(manifest) else "several numbers"
        ) + ("" if "probability" in named else more)
    if any(isinstance(one, list) for one in classes):
        return f"{len(classes)} labels{more}"
    if len(classes) > 4:
        return f"one of {len(classes)} classes{more}"
    words = [_words(one) for one in classes]
    return f"{', '.join(words[:-1])} or {words[-1]}{more}" if len(words) > 1 else words[0]


def _answers_one(manifest: Manifest) -> bool:
    return all(len(output.shape) == 1 for output in manifest.outputs if output.name == "prediction")


def _facts(manifest: Manifest) -> "itertools.chain[tuple[str, str]]":
    found = [("Created", manifest.created.replace("T", " ").removesuffix("Z") + " UTC")]
    if manifest.onnx is not None:
        rows = sum(manifest.onnx.checked.rows.values())
        found.append(("Compiled", f"answered {rows:,} rows as scikit-learn does"))
    if manifest.golden is not None:
        found.append(("Golden rows", f"{len(manifest.golden.rows)} reproduced before it answered anybody"))
    requires = {} if manifest.sklearn is None else manifest.sklearn.requires
    return itertools.chain(
        found,
        [("Trained with", ", ".join(f"{name} {number}" for name, number in requires.items()))] if requires else (),
    )


def _control(element: str, column: Input, value: Any) -> Control:
    closed = column.unknown == "refuse" and column.categories is not None
    may_be_missing = column.missing != "refuse"
    listed: list[Any] = list(column.categories or ())
    if column.datatype is Datatype.BOOL:
        closed, listed = True, listed or [False, True]
    choices = [Choice(_json(one), _words(one)) for one in listed] if closed else []
    if choices and may_be_missing:
        choices.append(Choice("null", "missing"))
    return Control(
        id=element,
        name=column.name,
        kind="choice" if closed else _kind(column.datatype),
        type="one of" if closed and column.datatype is not Datatype.BOOL else _TYPES[column.datatype],
        range="" if column.range is None else f"{_number(column.range[0])} to {_number(column.range[1])}",
        may_be_missing=may_be_missing,
        choices=choices,
        suggestions=[] if closed else [_words(one) for one in listed[:MOST_SUGGESTIONS]],
        filled=_json(value) if closed else "" if value is None else _filled(value),
    )


def _kind(datatype: Datatype) -> str:
    if datatype is Datatype.ANY:
        return "any"
    return "text" if datatype is Datatype.BYTES else "number"


def _number(value: float) -> str:
    return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:.4g}"


def _filled(value: Any) -> str:
    return value if isinstance(value, str) else _json(value)


def _words(value: Any) -> str:
    return value if isinstance(value, str) else _json(value)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
