"""Both runtimes of one model: asked the same rows, or one of them taken away."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from modelroll_server.packing import compiling, inputs, samples
from modelroll_server.runtimes import estimators
from modelroll_server.runtimes.onnx import OnnxRuntime
from modelroll_server.runtimes.scikit import SklearnRuntime
from modelroll_server.tensors import Outputs, Table


@dataclass(frozen=True)
class Both:
    """What scikit-learn answers, and the same model compiled."""

    trained: SklearnRuntime
    compiled: OnnxRuntime
    table: Table


def both(estimator: Any, frame: pd.DataFrame) -> Both:
    """Raises CannotCompile where it cannot be compiled."""
    call, selected = inputs.select(estimator, frame)
    described = inputs.describe(selected)
    model = compiling.compile_model(estimator, described)
    compiled = OnnxRuntime(model, described, estimators.classes(estimator))
    return Both(SklearnRuntime(estimator, call=call, label="predict"), compiled, samples.table(selected, described))


def named(estimator: Any) -> str:
    """What a test's parameter is called by."""
    return " ".join(repr(estimator).split())


def uncompiled(artifact: Path, place: Path) -> Path:
    """A copy of an artifact as scikit-learn runs it alone."""
    shutil.copytree(artifact, place)
    (place / "model.onnx").unlink()
    document = json.loads((place / "modelroll.json").read_bytes())
    del document["files"]["model.onnx"]
    document["runtimes"] = [runtime for runtime in document["runtimes"] if runtime["kind"] == "sklearn"]
    (place / "modelroll.json").write_text(json.dumps(document))
    return place


def shuffled(table: Table, seed: int = 0) -> Table:
    """Rows that nobody saw, of values that somebody did."""
    rng = np.random.default_rng(seed)
    return Table(table.names, tuple(rng.permutation(column) for column in table.columns), table.rows)


def assert_equal(pair: Both, table: Table, *, tolerance: float = 1e-9) -> None:
    """The same labels, and numbers within `tolerance`, whether asked at once, by 32 or singly."""
    expected = pair.trained.predict(table)
    for size in (table.rows, 32, 1):
        rows = min(table.rows, 20 if size == 1 else table.rows)
        parts = [pair.compiled.predict(table.slice(start, min(start + size, rows))) for start in range(0, rows, size)]
        _assert_same(expected.slice(0, rows), Outputs.concat(parts), tolerance)


def _assert_same(expected: Outputs, found: Outputs, tolerance: float) -> None:
    if expected.prediction.dtype.kind == "f":
        np.testing.assert_allclose(found.prediction, expected.prediction, rtol=tolerance, atol=tolerance)
    else:
        assert found.prediction.tolist() == expected.prediction.tolist()
    for name in ("probability", "score"):
        one, other = getattr(expected, name), getattr(found, name)
        assert type(one) is type(other)
        pairs = zip(one, other, strict=True) if isinstance(one, list) else [(one, other)] if one is not None else []
        for wanted, got in pairs:
            np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)
