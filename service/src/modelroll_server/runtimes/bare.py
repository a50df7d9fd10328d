"""A manifest for a model file that has none: what the estimator tells about itself, and nothing more."""

from modelroll_server.artifact.manifest import File, Manifest
from modelroll_server.artifact.manifest import SklearnRuntime as SklearnEntry
from modelroll_server.errors import LoadFailed
from modelroll_server.runtimes import estimators
from modelroll_server.runtimes.scikit import Call, SklearnRuntime
from modelroll_server.schema import Input
from modelroll_server.tensors import Datatype

_JOBLIB = "joblib"


def format_of(name: str) -> str:
    """How a file of that name was probably written; joblib reads plain pickles too."""
    return "pickle" if name.endswith((".pkl", ".pickle")) else _JOBLIB


def describe(
    estimator: object, *, model: str, version: str, created: str, file: str
) -> tuple[Manifest, SklearnRuntime]:
    """The manifest that stands for a bare file, and the runtime that goes with it.

    Fitted on a DataFrame: columns by name, values as JSON types them. Fitted on an array: numbers x0…x(n-1), and null
    is nan, which the estimator itself may refuse.

    Raises:
        LoadFailed: The estimator does not tell how many columns it takes.
    """
    names = estimators.feature_names(estimator)
    count = estimators.feature_count(estimator)
    call: Call = "array" if names is None else "frame"
    if names is None:
        if count is None:
            raise LoadFailed("the estimator tells neither names nor number of its inputs: pack it with samples")
        inputs = [Input(name=f"x{index}", datatype=Datatype.FP64, missing="nan") for index in range(count)]
    else:
        inputs = [Input(name=name, datatype=Datatype.ANY, missing="none") for name in names]
    manifest = Manifest(
        schema=1,
        model=model,
        version=version,
        created=created,
        task=estimators.task(estimator),
        files={file: File("0" * 64, 0)},
        runtimes=[SklearnEntry(format="joblib", file=file, requires={})],
        call=call,
        label="predict",
        inputs=inputs,
        outputs=[],
        classes=estimators.classes(estimator),
    )
    return manifest, SklearnRuntime(estimator, call=call, label="predict", as_typed=True)
