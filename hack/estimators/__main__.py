"""`make estimators`: packs every estimator of scikit-learn that predicts, and says what became of it.

Each is compiled and compared with scikit-learn as `modelroll pack` does it, and then answers as a server would have it
answer. Fails when one is served otherwise than scikit-learn answers, or when fewer are packed or compiled than were
before. Writes docs/estimators.md.

    uv run python -m hack.estimators [NAME ...] [--check-seconds 3]
"""

import argparse
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import sklearn

from hack.estimators.cases import Case, cases
from modelroll_server.artifact.opening import open_artifact
from modelroll_server.artifact.policy import Policy
from modelroll_server.packing import pack, samples
from modelroll_server.packing.equality import asking, rows, tolerance
from modelroll_server.packing.proving import Compiled
from modelroll_server.runtimes.loading import load
from modelroll_server.runtimes.scikit import SklearnRuntime
from modelroll_server.schema import Schema
from modelroll_server.tensors import Outputs, Table

# Never fewer than these. Raise them when more are.
MIN_PACKED = 117
MIN_COMPILED = 112
PAGE = Path(__file__).resolve().parents[2] / "docs/estimators.md"
_SHUFFLED = 200
_HEADING = """\
# Which estimators are compiled

Made by `make estimators`: every estimator of scikit-learn that has `predict`, with its defaults on a small table,
packed as `modelroll pack` does it. What is not compiled is served by scikit-learn itself: slower, and with the same
answers. Other parameters than the defaults, and other rows, may be compiled or not where these are not.
"""


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one estimator.

    Attributes:
        name: Of its class.
        runtime: What serves it: onnx or sklearn; None when it was not packed.
        reason: Why it was not packed, or not compiled.
        checked: How many rows the compiled model was compared on.
        equal: Whether the server's answers are scikit-learn's.
        seconds: It took.
    """

    name: str
    runtime: str | None
    reason: str
    checked: int
    equal: bool
    seconds: float


def examine(case: Case, seconds: float) -> Result:
    """Fit, pack, compile, serve."""
    began = time.monotonic()
    runtime, reason, checked, equal = None, "", 0, False
    with tempfile.TemporaryDirectory() as directory, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            estimator = case.fit()
            file = Path(directory, "model.joblib")
            joblib.dump(estimator, file)
            request = pack.Request(
                files=[file], model=case.name, version="1.0.0", samples=case.frame, check_seconds=seconds
            )
            packed = pack.pack(request, Path(directory))
        except Exception as error:  # noqa: BLE001 - fitting raises what it likes; what packing raises is a finding
            reason = f"not packed, {type(error).__name__}: {error}"
        else:
            if isinstance(packed.compiled, Compiled):
                checked = sum(packed.compiled.passed.rows.values())
            elif packed.compiled is not None:
                reason = packed.compiled.reason
            runtime, equal = served(packed.path, case)
    return Result(case.name, runtime, " ".join(reason.split()), checked, equal, time.monotonic() - began)


def served(path: Path, case: Case) -> tuple[str, bool]:
    """Which runtime a server loads, and whether it answers rows as JSON brings them as scikit-learn answers them."""
    with open_artifact(path, policy=Policy.ANY, digest=None) as opened:
        loaded = load(opened)
    manifest = loaded.manifest
    schema, reference = Schema(manifest.inputs), SklearnRuntime(case.fit(), call=manifest.call, label="predict")
    table = samples.table(case.frame, manifest.inputs)
    shuffled = _shuffled(table)
    if isinstance(asking.reference(reference, shuffled), Outputs):  # one of few neighbours raises where there is none
        table = Table.concat([table, shuffled])
    decoded, taken = rows.decode(schema, table)
    table = rows.take(table, taken)
    expected, found = reference.predict(table), loaded.runtime.predict(schema.table(decoded))
    near = tolerance.Tolerance.of(manifest.task, expected)
    if near.form(expected, found) is not None:
        return loaded.runtime.kind, False
    differ = near.labels_differ(expected, found) | near.numbers_differ(expected, found)
    return loaded.runtime.kind, not differ.any() and table.rows >= len(case.frame) / 2


def _shuffled(table: Table) -> Table:
    random = np.random.default_rng(1)
    order = [random.permutation(table.rows)[:_SHUFFLED] for _ in table.names]
    columns = tuple(column[chosen] for column, chosen in zip(table.columns, order, strict=True))
    return Table(table.names, columns, len(order[0]))


def page(results: list[Result]) -> str:
    """The table for docs/."""
    compiled = sum(result.runtime == "onnx" for result in results)
    packed = sum(result.runtime is not None for result in results)
    equal = sum(result.equal for result in results)
    lines = [_HEADING]
    lines += [f"scikit-learn {sklearn.__version__}: of {len(results)} estimators, {packed} are packed,"]
    lines += [f"{compiled} compiled and found equal, {equal} served as scikit-learn answers.", ""]
    lines += ["| estimator | runtime | why not compiled |", "| --- | --- | --- |"]
    lines += [f"| {one.name} | {one.runtime or 'not packed'} | {one.reason.replace('|', '/')} |" for one in results]
    return "\n".join(lines) + "\n"


def failures(results: list[Result]) -> list[str]:
    """What is worse than it may be."""
    packed = sum(result.runtime is not None for result in results)
    compiled = sum(result.runtime == "onnx" for result in results)
    found = [f"{result.name} is served otherwise than scikit-learn answers" for result in results if _is_wrong(result)]
    found += [f"{packed} are packed, and {MIN_PACKED} must be"] if packed < MIN_PACKED else []
    found += [f"{compiled} are compiled, and {MIN_COMPILED} must be"] if compiled < MIN_COMPILED else []
    return found


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="only these; no page is written then")
    parser.add_argument("--check-seconds", type=float, default=15.0, help="for comparing each")
    options = parser.parse_args()
    results = []
    for case in cases():
        if options.names and case.name not in options.names:
            continue
        result = examine(case, options.check_seconds)
        results.append(result)
        shown = "  SERVED OTHERWISE" if _is_wrong(result) else ""
        print(f"{result.name:32} {result.runtime or 'not packed':10} {result.seconds:5.1f} s  {_said(result)}{shown}")
    packed, compiled = (sum(bool(test(one)) for one in results) for test in (_is_packed, _is_compiled))
    equal = sum(result.equal for result in results)
    print(f"\n{len(results)} estimators: {packed} packed, {compiled} compiled and equal, {equal} served as they answer")
    if options.names:
        return int(any(map(_is_wrong, results)))
    PAGE.write_text(page(results))
    for failure in failures(results):
        print(failure, file=sys.stderr)
    return int(bool(failures(results)))


def _said(result: Result) -> str:
    return f"{result.checked:,} rows" if _is_compiled(result) else result.reason[:160]


def _is_wrong(result: Result) -> bool:
    return result.runtime is not None and not result.equal


def _is_packed(result: Result) -> Any:
    return result.runtime is not None


def _is_compiled(result: Result) -> Any:
    return result.runtime == "onnx"


if __name__ == "__main__":
    sys.exit(main())
