"""`modelroll pack`: from a file that scikit-learn wrote to an artifact that a server can check.

Owns the order of things: load, describe from the samples, ask what is refused, compare with the estimator, compile and
compare again, write.
"""

import hashlib
import io
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from modelroll_server.artifact import digest as digests
from modelroll_server.artifact import manifest as manifests
from modelroll_server.artifact.version import is_version
from modelroll_server.errors import LoadError, PackFailed
from modelroll_server.packing import footprint, golden, inputs, modules, proving, refusals, samples, writing
from modelroll_server.packing.proving import Compiled, NotCompiled
from modelroll_server.runtimes import estimators, files, gates, requirements, scikit
from modelroll_server.schema import Input, Schema
from modelroll_server.schema.json import JsonDecoder
from modelroll_server.tensors import Outputs, Table

if TYPE_CHECKING:
    import pandas as pd

_MAX_SHUFFLED = 2000
# Their predict is not the argmax of their predict_proba, whatever the samples show.
_NEVER_ARGMAX = {"SVC", "NuSVC", "FixedThresholdClassifier", "TunedThresholdClassifierCV"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to pack.

    Attributes:
        files: One model file; or two, a preprocessor and a model, which become one pipeline.
        model: Its name.
        version: SemVer.
        samples: Rows as the model gets them; further columns are ignored.
        golden: Rows that become golden rows, all of them.
        metrics: Of the training run.
        created: When; now when None.
        compile: Whether to try.
        require_compiled: Whether to write nothing where that fails.
        check_seconds: How long the compiled model may be compared with scikit-learn, about.
    """

    files: Sequence[Path]
    model: str
    version: str
    samples: "pd.DataFrame"
    golden: "pd.DataFrame | None" = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    created: datetime | None = None
    compile: bool = True
    require_compiled: bool = False
    check_seconds: float = 120.0


@dataclass(frozen=True, slots=True)
class Packed:
    """What was written, and where.

    Attributes:
        path: The artifact.
        digest: Of its content.
        manifest: Of it.
        compiled: What became of compiling; None when nobody asked for it.
    """

    path: Path
    digest: str
    manifest: manifests.Manifest
    compiled: Compiled | NotCompiled | None = None


class NotCompilable(PackFailed):
    """A compiled model was required, and cannot be had; nothing was written.

    Attributes:
        why: What stands against it.
    """

    def __init__(self, why: NotCompiled) -> None:
        super().__init__(f"not compiled: {why.reason}")
        self.why = why


def pack(request: Request, out: Path, *, replace: bool = False) -> Packed:
    """Write OUT/<model>/<version>/.

    Raises:
        PackFailed: Something about the model or the samples does not allow it; nothing was written.
        NotCompilable: A compiled model was required, and cannot be had.
    """
    _check_names(request)
    if not replace:
        writing.free(out, request.model, request.version)  # now, and not after minutes of work
    loaded = _load(request.files)
    manifest, table = describe(request, loaded)
    files = {loaded.name: loaded.data}
    compiled: Compiled | NotCompiled | None = None
    if request.compile:
        compiled = proving.attempt(loaded.estimator, manifest, table, seconds=request.check_seconds)
    if isinstance(compiled, NotCompiled) and request.require_compiled:
        raise NotCompilable(compiled)
    if isinstance(compiled, Compiled):
        manifest = proving.added(manifest, _file(compiled.data), compiled)
        files = {proving.FILE: compiled.data, **files}
    manifest = msgspec.structs.replace(manifest, load_peak_bytes=footprint.load_peak(manifest, files))
    place = writing.write(out, manifest, files, replace=replace)
    return Packed(place, digests.of_bytes(manifests.encode(manifest)), manifest, compiled)


@dataclass(frozen=True, slots=True)
class Loaded:
    """An estimator, and the file that holds it.

    Attributes:
        estimator: As it was loaded.
        file_format: How the file is written.
        data: Its bytes.
        skops_types: Types in it that skops does not know to be harmless.
    """

    estimator: Any
    file_format: files.Format
    data: bytes
    skops_types: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What the file is called in the artifact."""
        return f"model{files.SUFFIXES[self.file_format]}"


def describe(request: Request, loaded: Loaded) -> tuple[manifests.Manifest, Table]:
    """The manifest of an estimator that scikit-learn runs, and the samples as it is given them."""
    estimator = loaded.estimator
    call, frame = inputs.select(estimator, request.samples)
    described = inputs.describe(frame)
    table = samples.table(frame, described)
    runtime = scikit.SklearnRuntime(estimator, call=call, label="predict")
    answers = _answers(runtime, table)
    _compare(estimator, call, frame, answers)
    label = _label(estimator, runtime, table, answers)
    described = refusals.refine(described, table, runtime, estimators.known_categories(estimator))
    served = scikit.SklearnRuntime(estimator, call=call, label=label)
    tables = [table, *_user_rows(request, estimator, described)]
    manifest = manifests.Manifest(
        schema=1,
        model=request.model,
        version=request.version,
        created=(request.created or datetime.now(UTC)).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        task=estimators.task(estimator),
        files={loaded.name: _file(loaded.data)},
        runtimes=[
            manifests.SklearnRuntime(
                format=loaded.file_format,
                file=loaded.name,
                requires=requirements.installed(
                    modules.distributions(estimator)
                    | modules.of_pickle(loaded.data)
                    | ({"skops"} if loaded.file_format == "skops" else set())
                ),
                skops_types=loaded.skops_types,
            )
        ],
        call=call,
        label=label,
        inputs=described,
        outputs=estimators.outputs(answers.prediction, answers.probability, answers.score),
        classes=_classes(estimator, answers),
        golden=golden.make(Schema(described), served, tables, answers),
        metrics=dict(request.metrics),
    )
    return _checked(manifest, served), table


def _file(data: bytes) -> manifests.File:
    return manifests.File(hashlib.sha256(data).hexdigest(), len(data))


def _check_names(request: Request) -> None:
    if not manifests.is_model_name(request.model):
        raise PackFailed(
            f"{request.model!r} is not a model's name: letters, digits, and - _ . between them, at most 63"
        )
    if not is_version(request.version):
        raise PackFailed(
            f"{request.version!r} is not a version: three numbers and an optional pre-release, as in 2.0.0"
        )


def _load(paths: Sequence[Path]) -> Loaded:
    """One file as it is, two composed."""
    try:
        contents = [path.read_bytes() for path in paths]
        return _single(paths[0], contents[0]) if len(paths) == 1 else _compose(paths, contents)
    except OSError as error:
        raise PackFailed(f"{error.filename} cannot be read: {error.strerror}") from error
    except LoadError as error:
        raise PackFailed(error.message) from error


def _single(path: Path, data: bytes) -> Loaded:
    file_format = files.format_of(path.name)
    skops_types = _skops_types(data, file_format)
    estimator = files.load_estimator(io.BytesIO(data), file_format, skops_types)
    return Loaded(estimator, file_format, data, skops_types)


def _compose(paths: Sequence[Path], contents: Sequence[bytes]) -> Loaded:
    import joblib
    from sklearn.pipeline import Pipeline

    first_format = files.format_of(paths[0].name)
    first = files.load_object(io.BytesIO(contents[0]), first_format, _skops_types(contents[0], first_format))
    if not hasattr(first, "transform"):
        raise PackFailed(
            f"{paths[0]} holds a {type(first).__name__}, which has no transform: the preprocessor comes first"
        )
    last = _single(paths[1], contents[1])
    pipeline = Pipeline([("preprocessor", first), ("model", last.estimator)])
    written = io.BytesIO()
    joblib.dump(pipeline, written)
    return Loaded(pipeline, "joblib", written.getvalue())


def _skops_types(data: bytes, file_format: files.Format) -> list[str]:
    return files.types_beyond_skops(io.BytesIO(data)) if file_format == "skops" else []


def _answers(runtime: scikit.SklearnRuntime, table: Table) -> Outputs:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return runtime.predict(table)
        except Exception as error:  # a model raises what it likes
            raise PackFailed(f"the model raises on the samples: {type(error).__name__}: {error}") from error


def _compare(estimator: Any, call: str, frame: "pd.DataFrame", answers: Outputs) -> None:
    """Refuse a model that answers the server's own columns otherwise than the samples as they are."""
    argument = {"array": frame.to_numpy(), "list": frame.iloc[:, 0].tolist()}.get(call, frame)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = np.asarray(estimator.predict(argument))
        except Exception as error:  # a model raises what it likes
            raise PackFailed(f"the model raises on the samples: {type(error).__name__}: {error}") from error
    found = answers.prediction
    if expected.dtype.kind == "f":
        differ = ~np.isclose(expected, found, rtol=golden.RTOL, atol=golden.ATOL, equal_nan=True)
    else:
        differ = expected != found
    if differ.any():
        row = int(np.argwhere(differ)[0][0])
        raise PackFailed(
            f"the model answers {differ.sum()} of {len(frame)} samples otherwise when its columns hold plain numbers"
            f" and texts (row {row}: {expected[row]} as sampled, {found[row]} as served): has it to do with a dtype?"
        )


def _classes(estimator: Any, answers: Outputs) -> list[manifests.Label | list[manifests.Label]] | None:
    """Its classes; the components of a mixture, which it numbers, are the classes of its probabilities."""
    if not hasattr(estimator, "classes_") and isinstance(answers.probability, np.ndarray):
        return list(range(answers.probability.shape[1]))
    return estimators.classes(estimator)


def _label(estimator: Any, runtime: scikit.SklearnRuntime, table: Table, answers: Outputs) -> scikit.LabelFrom:
    """Whether one call of predict_proba can answer both: on the samples, and on rows shuffled from their columns."""
    # A chain has one array of probabilities and a list of classes for each of its outputs; a mixture has no classes.
    if not isinstance(answers.probability, np.ndarray) or not isinstance(
        getattr(estimator, "classes_", None), np.ndarray
    ):
        return "predict"
    if any(type(part).__name__ in _NEVER_ARGMAX for part in estimators.parts(estimator)):
        return "predict"
    rng = np.random.default_rng(0)
    rows = table.slice(0, _MAX_SHUFFLED)
    shuffled = Table(rows.names, tuple(rng.permutation(column) for column in rows.columns), rows.rows)
    try:
        others = _answers(runtime, shuffled)
    except PackFailed:
        return "predict"
    for outputs in (answers, others):
        assert isinstance(outputs.probability, np.ndarray)
        if (estimator.classes_[outputs.probability.argmax(axis=1)] != outputs.prediction).any():
            return "predict"
    return "argmax"


def _user_rows(request: Request, estimator: Any, described: Sequence[Input]) -> list[Table]:
    if request.golden is None:
        return []
    _, frame = inputs.select(estimator, request.golden)
    try:
        return [samples.table(frame, described)]
    except (TypeError, ValueError) as error:
        raise PackFailed(f"the golden rows have other types than the samples: {error}") from error


def _checked(manifest: manifests.Manifest, runtime: scikit.SklearnRuntime) -> manifests.Manifest:
    """The manifest as a server will read it, its gates passed once."""
    try:
        read = manifests.decode(manifests.encode(manifest))
        gates.check_golden(read, JsonDecoder(Schema(read.inputs)), runtime)
    except LoadError as error:
        raise PackFailed(error.message) from error
    return read
