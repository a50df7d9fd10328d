"""The gates that a loaded version passes before it answers anybody: it runs, and it reproduces its golden rows.

Rows are read from JSON, as callers' are: a version that could not read those would be live and answer nobody.
Used where a version is loaded and where one is packed or verified. Knows nothing of revisions or requests.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from modelroll_server.artifact.manifest import Manifest
from modelroll_server.errors import GoldenRowsDiffer, RequestError, WarmUpFailed
from modelroll_server.runtimes.base import Runtime
from modelroll_server.schema import Row, Scalar
from modelroll_server.schema.json import JsonDecoder
from modelroll_server.tensors import Table

WARM_UP_ROWS = 32


def warm_up(manifest: Manifest, decoder: JsonDecoder, runtime: Runtime) -> None:
    """Answer one row and a batch, so that the first caller does not pay for what is done once.

    Raises:
        WarmUpFailed: The model raised, or answered with another number of rows, or with nothing but NaN.
        GoldenRowsDiffer: The first golden row is none.
    """
    rows = manifest.golden.rows if manifest.golden else _example(manifest)
    if not rows:
        return
    try:
        one = decoder.schema.table([_read(decoder, rows[0])])
    except RequestError as error:
        if manifest.golden:
            raise _refused(error, 0) from error
        raise WarmUpFailed(f"the schema refuses {error.field} of its own example: {error.message}") from error
    try:
        batch = Table.concat([one] * WARM_UP_ROWS)
        outputs = [runtime.predict(table) for table in (one, batch)]
    except MemoryError:
        raise
    except Exception as error:  # a model raises what it likes
        raise WarmUpFailed(f"the model raised on its own rows: {type(error).__name__}: {error}") from error
    answered = [one.rows for one in outputs]
    if answered != [1, WARM_UP_ROWS]:
        raise WarmUpFailed("the model answers with another number of rows", expected=[1, WARM_UP_ROWS], found=answered)
    if not manifest.golden:
        _check_finite(outputs[0].as_lists()[0])


def check_golden(manifest: Manifest, decoder: JsonDecoder, runtime: Runtime) -> None:
    """Answer the golden rows, in one batch, and compare.

    Raises:
        GoldenRowsDiffer: A row is answered otherwise, or not at all; expected and found are the first such row's.
        WarmUpFailed: They are answered as recorded, with nothing but NaN.
    """
    golden = manifest.golden
    if golden is None or not golden.rows:
        return
    asked = []
    for index, row in enumerate(golden.rows):
        try:
            asked.append(_read(decoder, row))
        except RequestError as error:
            raise _refused(error, index) from error
    try:
        outputs = runtime.predict(decoder.schema.table(asked))
    except MemoryError:
        raise
    except Exception as error:  # a model raises what it likes
        raise GoldenRowsDiffer(f"the model raised on the golden rows: {type(error).__name__}: {error}") from error
    expected = {"prediction": golden.prediction, "probability": golden.probability, "score": golden.score}
    found, _ = outputs.as_lists()
    numeric = manifest.task == "regressor"
    for index in range(len(golden.rows)):
        for name, rows in expected.items():
            if rows is None:
                continue
            answers = found[name]
            answer = None if answers is None else answers[index]
            exact = name == "prediction" and not numeric
            if answer != rows[index] and (exact or not _close(rows[index], answer, golden.rtol, golden.atol)):
                sentence = f"golden row {index} has another {name}"
                raise GoldenRowsDiffer(sentence, expected=rows[index], found=answer)
    _check_finite(found)


def _refused(error: RequestError, index: int) -> GoldenRowsDiffer:
    return GoldenRowsDiffer(f"the schema refuses {error.field} of golden row {index}: {error.message}")


def _check_finite(answers: dict[str, list[Any] | None]) -> None:
    """A model whose weights are lost answers every row, and says nothing."""
    for name, rows in answers.items():
        if rows and all(map(_is_lost, rows)):
            raise WarmUpFailed(f"the {name} of each of its own rows is NaN or infinite")


def _is_lost(answer: Any) -> bool:
    return all(map(_is_lost, answer)) if isinstance(answer, list) else answer is None


def _read(decoder: JsonDecoder, row: Sequence[Scalar | None]) -> Row:
    return decoder.row(msgspec.json.encode(dict(zip(decoder.schema.names, row, strict=True))))


def _close(expected: Any, found: Any, rtol: float, atol: float) -> bool:
    try:
        wanted, got = np.asarray(expected, np.float64), np.asarray(found, np.float64)
    except (TypeError, ValueError):  # texts, or lists of uneven lengths (multi-output probabilities)
        if isinstance(expected, Sequence) and isinstance(found, Sequence) and len(expected) == len(found):
            return not isinstance(expected, str) and all(
                _close(one, other, rtol, atol) for one, other in zip(expected, found, strict=True)
            )
        return False
    return wanted.shape == got.shape and bool(np.allclose(got, wanted, rtol=rtol, atol=atol, equal_nan=True))


def _example(manifest: Manifest) -> list[list[Any]]:
    row = [column.example for column in manifest.inputs]
    return [] if any(value is None for value in row) else [row]
