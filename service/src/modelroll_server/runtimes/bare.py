"""A manifest for a model file that has none: what the estimator tells about itself, and nothing more."""

import math
import warnings
from typing import Literal

import numpy as np

from modelroll_server.artifact.manifest import File, Manifest
from modelroll_server.artifact.manifest import SklearnRuntime as SklearnEntry
from modelroll_server.errors import LoadFailed
from modelroll_server.runtimes import estimators, files
from modelroll_server.runtimes.scikit import Call, SklearnRuntime
from modelroll_server.schema import Input
from modelroll_server.tensors import Datatype, Table


def describe(
    estimator: object, *, model: str, version: str, created: str, file: str
) -> tuple[Manifest, SklearnRuntime]:
    """The manifest that stands for a bare file, and the runtime that goes with it.

    Fitted on a DataFrame: columns by name, values as JSON types them. Fitted on an array: numbers x0…x(n-1). Where it
    answers a row of zeros, null is nan if it answers that too, and refused if not; else it gets null as None.

    Raises:
        LoadFailed: The estimator does not tell how many columns it takes.
    """
    names = estimators.feature_names(estimator)
    count = estimators.feature_count(estimator)
    call: Call = "array" if names is None else "frame"
    if names is None:
        if count is None:
            raise LoadFailed("the estimator tells neither names nor number of its inputs: pack it with samples")
        names = [f"x{index}" for index in range(count)]
    datatype = Datatype.FP64 if call == "array" else Datatype.ANY
    runtime = SklearnRuntime(estimator, call=call, label="predict", as_typed=True)
    missing = _missing(runtime, names, datatype)
    inputs = [Input(name=name, datatype=datatype, missing=missing) for name in names]
    manifest = Manifest(
        schema=1,
        model=model,
        version=version,
        created=created,
        task=estimators.task(estimator),
        files={file: File("0" * 64, 0)},
        runtimes=[SklearnEntry(format=files.format_of(file), file=file, requires={})],
        call=call,
        label="predict",
        inputs=inputs,
        outputs=[],
        classes=estimators.classes(estimator),
    )
    return manifest, runtime


def _missing(runtime: SklearnRuntime, names: list[str], datatype: Datatype) -> Literal["refuse", "nan", "none"]:
    if not _answers(runtime, names, datatype, 0.0):
        return "none"  # it wants texts, and there is no sample to ask it with
    return "nan" if _answers(runtime, names, datatype, math.nan) else "refuse"


def _answers(runtime: SklearnRuntime, names: list[str], datatype: Datatype, value: float) -> bool:
    columns = tuple(np.array([value], datatype.dtype) for _ in names)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            runtime.predict(Table(tuple(names), columns, 1))
        except Exception:  # noqa: BLE001 - that it raises is the answer
            return False
    return True
