"""Rows at the edges of a column: its limits, zeros, what is missing, categories and texts that are nearly one."""

import math
import unicodedata
from collections.abc import Iterator
from typing import Any

import numpy as np

from modelroll_server.packing import refusals
from modelroll_server.packing.equality import rows
from modelroll_server.packing.equality.pool import Pool
from modelroll_server.runtimes import estimators
from modelroll_server.schema import Input
from modelroll_server.tensors import Array, Datatype, Table

_BASES = 4
_FEW = 50  # distinct numbers: then each is a code, and asked
_TEXTS = 200
_TEMPTING = ("", " ", "nan", "NaN", "None", "none", "null", "True", "0", "1.0", refusals.UNKNOWN_TEXT)
_FOREIGN = (
    "é",
    "e\N{COMBINING ACUTE ACCENT}",
    "straße STRASSE ẞ",
    "İstanbul ıI",
    "naïve café, ÀÉÎÕÜ",
    "ﬁne Ａｂｃ ½",
    "ΣΊΣΥΦΟΣ ςσ",
    "日本語 テキスト",
    "Привет, мир",
    "smile 😀 \N{ZERO WIDTH JOINER}",
    "no\N{NO-BREAK SPACE}break",
    "tab\tnew\nline\r\n",
    "don't stop-me_now 3.14 e-mail@x.org",
    "a\0b",
)


def make(pool: Pool) -> Iterator[tuple[Table, int]]:
    """Rows of the pool with one value replaced, and how many more are to come; the most telling values first."""
    asked = [
        (index, value) for index, column in enumerate(pool.subject.inputs) for value in _values(pool, index, column)
    ]
    pool.random.shuffle(asked)
    bases = _bases(pool)
    total = len(asked) * len(bases)
    start = 0
    while start < total:
        chosen = range(start, min(total, start + pool.pace.rows))
        start = chosen.stop
        base = rows.take(pool.table, np.array([bases[one // len(asked)] for one in chosen]))
        columns = np.array([asked[one % len(asked)][0] for one in chosen], np.int64)
        yield rows.replace(base, columns, [asked[one % len(asked)][1] for one in chosen]), total - start


def _bases(pool: Pool) -> list[int]:
    """A row of each label as far as there is room, else any."""
    labels = np.asarray(pool.answers.prediction)
    order = pool.random.permutation(pool.table.rows)
    _, first = np.unique(labels[order].reshape(len(order), -1)[:, 0].astype(str), return_index=True)
    chosen = dict.fromkeys([*order[first][:_BASES].tolist(), *order[:_BASES].tolist()])
    return list(chosen)[:_BASES]


def _values(pool: Pool, index: int, column: Input) -> list[Any]:
    missing: list[Any] = [] if column.missing == "refuse" else [None if column.missing == "none" else math.nan]
    values = pool.table.columns[index]
    if column.datatype is Datatype.BOOL:
        return [*missing, True, False]
    if column.datatype is Datatype.BYTES:
        return [*missing, *_texts(pool, column, values)]
    return [*missing, *_numbers(column, rows.finite(values))]


def _numbers(column: Input, present: Array) -> list[Any]:
    found: list[Any] = [0, 1, -1, *column.categories] if column.categories else [0, 1, -1]
    distinct = np.unique(present)
    if len(distinct):
        found += [distinct[0].item(), distinct[-1].item(), distinct[len(distinct) // 2].item()]
    if 0 < len(distinct) <= _FEW:
        found += [value for one in distinct.tolist() for value in (one, one + 1, one - 1)]
    beyond: list[Any] = [2**53 + 1, -(2**53) - 1, *((column.max_abs, -column.max_abs) if column.max_abs else ())]
    if column.datatype is Datatype.INT64:
        return list(dict.fromkeys(int(value) for value in (*found, *beyond) if abs(value) < 2**63))
    halves = [value + 0.5 for value in found] if len(distinct) <= _FEW else []
    beyond += [1e39, -1e39] if column.datatype is Datatype.FP64 else [3e38, -3e38]
    beyond += [math.inf, -math.inf] if column.infinite else []
    return [*dict.fromkeys(float(value) for value in (*found, *halves, *beyond)), -0.0]


def _texts(pool: Pool, column: Input, values: Array) -> list[str]:
    known = [value for value in column.categories or () if isinstance(value, str)]
    sampled = sorted({value for value in values.tolist() if isinstance(value, str)})
    if len(sampled) > _TEXTS:
        sampled = [sampled[one] for one in pool.random.choice(len(sampled), _TEXTS, replace=False)]
    encoded = sorted(value for value in estimators.known_categories(pool.subject.estimator) if isinstance(value, str))
    found = [variant for text in dict.fromkeys([*known, *encoded[:_TEXTS], *sampled]) for variant in _variants(text)]
    return list(dict.fromkeys([*_TEMPTING, *_FOREIGN, *found]))


def _variants(text: str) -> list[str]:
    accented = unicodedata.normalize("NFC", text[:1] + "\N{COMBINING ACUTE ACCENT}" + text[1:])
    spaced = [f" {text}", f"{text} "]
    return [text, text.lower(), text.upper(), text.title(), text.swapcase(), *spaced, f"{text}é", accented]
