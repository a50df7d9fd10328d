"""The manifest `modelroll.json`: what the files of an artifact are, what goes in, what comes out.

Owns the document and what makes one valid. Reads no file: `opening` does, and `packing` writes.
"""

import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec

from modelroll_server.artifact import signature
from modelroll_server.artifact import version as versions
from modelroll_server.errors import ManifestInvalid
from modelroll_server.schema import Input, Scalar
from modelroll_server.tensors import Datatype

NAME = "modelroll.json"
MAX_BYTES = 8 * 1024 * 1024

MODEL_PATTERN = r"^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"  # a model is a label's value on a Deployment
_MODEL = re.compile(MODEL_PATTERN.replace("$", r"\Z"))
_CREATED = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z\Z", re.ASCII)
_PLAIN_NAME = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,254}\Z")

Label = Scalar
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of the artifact."""

    sha256: Sha256
    bytes: Annotated[int, msgspec.Meta(ge=0)]


class SklearnRuntime(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="kind", tag="sklearn"
):
    """What scikit-learn trained, run by scikit-learn.

    Attributes:
        format: How the file was written.
        file: Its name; listed in `files`.
        requires: Versions that it was trained with, by distribution, and `python`.
        skops_types: Types that a skops file holds besides those that skops knows to be harmless.
    """

    format: Literal["joblib", "pickle", "skops"]
    file: str
    requires: dict[str, str]
    skops_types: list[str] = []


class Checked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The comparison that a compiled model passed when it was packed.

    Attributes:
        rows: How many rows of each kind were answered by both runtimes.
        seed: Of the random rows.
        seconds: That it was given.
    """

    rows: dict[str, Annotated[int, msgspec.Meta(ge=0)]]
    seed: int
    seconds: Annotated[float, msgspec.Meta(ge=0)]


class OnnxRuntime(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="onnx"):
    """The model compiled, run by ONNX Runtime. It is in an artifact only after it answered as scikit-learn does.

    Attributes:
        file: Its name; listed in `files`.
        checked: The comparison.
    """

    file: str
    checked: Checked


Runtime = OnnxRuntime | SklearnRuntime


class Output(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One output tensor; -1 in the shape stands for the rows."""

    name: Literal["prediction", "probability", "score"]
    datatype: Datatype
    shape: list[int]


class Golden(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Rows that the model must answer as it did when it was packed.

    Attributes:
        rows: Values in the order of `inputs`.
        prediction: The label or number of each row (a list of them when multi-output).
        probability: Of each row, in the order of `classes`.
        score: decision_function of each row.
        rtol: Relative tolerance of numbers; labels must be equal.
        atol: Absolute tolerance of numbers.
    """

    rows: list[list[Scalar | None]]
    prediction: list[Any]
    probability: list[Any] | None = None
    score: list[Any] | None = None
    rtol: float
    atol: float


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One version of one model, described. Of its runtimes the first serves.

    Attributes:
        load_peak_bytes: By which a server grows at most while it loads and checks it, roughly; None: nobody measured.
    """

    schema: Literal[1]
    model: str
    version: str
    created: str
    task: Literal["classifier", "regressor", "cluster", "outlier"]
    files: dict[str, File]
    runtimes: Annotated[list[Runtime], msgspec.Meta(min_length=1)]
    call: Literal["frame", "array", "list"]
    label: Literal["predict", "argmax"]
    inputs: Annotated[list[Input], msgspec.Meta(min_length=1)]
    outputs: Annotated[list[Output], msgspec.Meta(min_length=1)]
    classes: list[Label | list[Label]] | None = None
    golden: Golden | None = None
    metrics: dict[str, float] = {}
    load_peak_bytes: Annotated[int, msgspec.Meta(ge=0)] | None = None

    @property
    def sklearn(self) -> SklearnRuntime | None:
        """How scikit-learn runs it; None when it is there in compiled form alone."""
        return next((runtime for runtime in self.runtimes if isinstance(runtime, SklearnRuntime)), None)

    @property
    def onnx(self) -> OnnxRuntime | None:
        """How ONNX Runtime runs it; None when it was not compiled."""
        return next((runtime for runtime in self.runtimes if isinstance(runtime, OnnxRuntime)), None)


def is_model_name(text: str) -> bool:
    """Whether `text` may name a model."""
    return _MODEL.match(text) is not None


def is_file_name(text: str) -> bool:
    """Whether `text` may name a file of an artifact: plain, in no directory, not hidden."""
    return _PLAIN_NAME.match(text) is not None


def encode(manifest: Manifest) -> bytes:
    """The manifest as it is stored: indented for people, a final newline."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n"


def decode(data: bytes) -> Manifest:
    """The manifest that `data` holds.

    Raises:
        ManifestInvalid: It is not one; the message names the key.
    """
    if len(data) > MAX_BYTES:
        raise ManifestInvalid(f"{NAME} has more than {MAX_BYTES // 2**20} MiB", expected=MAX_BYTES, found=len(data))
    try:
        data.decode("utf-8", "strict")
        manifest = _DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise ManifestInvalid(f"{NAME}: {error}") from error
    for wrong in (*_wrong_names(manifest), *_wrong_files(manifest), *_wrong_inputs(manifest), *_wrong_rows(manifest)):
        raise ManifestInvalid(f"{NAME}: {wrong}")
    return manifest


_DECODER = msgspec.json.Decoder(Manifest)


def _wrong_names(manifest: Manifest) -> Iterator[str]:
    if not is_model_name(manifest.model):
        yield f"model {manifest.model!r} is not a name: letters, digits, and - _ . between them, at most 63"
    if not versions.is_version(manifest.version):
        yield f"version {manifest.version!r} is not three numbers and an optional pre-release, such as 2.0.0"
    if not _CREATED.match(manifest.created):
        yield f"created {manifest.created!r} is not a time in UTC, such as 2026-01-31T12:00:00Z"


def _wrong_files(manifest: Manifest) -> Iterator[str]:
    for name in manifest.files:
        if not is_file_name(name) or name in {NAME, signature.NAME}:
            yield f"files: {name!r} is not a plain file name"
    for runtime in manifest.runtimes:
        if runtime.file not in manifest.files:
            yield f"runtimes: {runtime.file!r} is not listed in files"
    kinds = [type(runtime) for runtime in manifest.runtimes]
    if len(set(kinds)) < len(kinds):
        yield "runtimes: two are of one kind"


def _wrong_inputs(manifest: Manifest) -> Iterator[str]:
    seen: set[str] = set()
    for column in manifest.inputs:
        if not column.name or column.name in seen:
            yield f"inputs: the name {column.name!r} is empty or there twice"
        seen.add(column.name)
        if column.unknown == "refuse" and not column.categories:
            yield f"inputs: {column.name} refuses unknown values and lists no categories"
        allowed = _MISSING[column.datatype]
        if column.missing not in allowed:
            yield f"inputs: {column.name} is {column.datatype} and cannot have missing: {column.missing}"
        if (wrong := _wrong_histogram(column)) is not None:
            yield f"inputs: the histogram of {column.name} {wrong}"
    if manifest.call == "list" and (len(manifest.inputs) != 1 or manifest.inputs[0].datatype is not Datatype.BYTES):
        yield "call: list needs exactly one input, of texts"


def _wrong_histogram(column: Input) -> str | None:
    histogram = column.histogram
    if histogram is None:
        return None
    counts = len(histogram.counts)
    if sum(histogram.counts) + histogram.other + (histogram.missing or 0) >= _MOST_ROWS:
        return f"counts {_MOST_ROWS} rows or more"
    if column.datatype is Datatype.BYTES:
        values = histogram.values if histogram.values is not None else column.categories or []
        return None if counts == len(values) else f"has {counts} counts for {len(values)} values"
    if column.datatype is Datatype.BOOL:
        return None if counts == 2 else f"has {counts} counts for false and true"
    edges = histogram.edges or []
    if counts == 0 or len(edges) != counts + 1:
        return f"has {counts} counts and {len(edges)} edges, which are one more than counts"
    return None if edges == sorted(edges) else "has edges that do not ascend"


def _wrong_rows(manifest: Manifest) -> Iterator[str]:
    if (golden := manifest.golden) is None:
        return
    for answers in (golden.prediction, golden.probability, golden.score):
        if answers is not None and len(answers) != len(golden.rows):
            yield f"golden: {len(golden.rows)} rows and {len(answers)} answers"
    for index, row in enumerate(golden.rows):
        if len(row) != len(manifest.inputs):
            yield f"golden: row {index} has {len(row)} values for {len(manifest.inputs)} inputs"
    if golden.probability is not None and manifest.classes is None:
        yield "golden: probability without classes"


_MOST_ROWS = 2**63  # of an int64
_MISSING: dict[Datatype, tuple[str, ...]] = {
    Datatype.FP64: ("refuse", "nan"),
    Datatype.FP32: ("refuse", "nan"),
    Datatype.INT64: ("refuse",),
    Datatype.BOOL: ("refuse",),
    Datatype.BYTES: ("refuse", "nan", "none"),
    Datatype.ANY: (),  # only a bare file's inputs are that vague
}
