"""The rows that a person names to `modelroll predict`: JSON, lines of JSON, or CSV.

It knows no server: what the columns hold is asked of who calls.
"""

import csv
import io
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from modelroll_server.schema import texts

_PARQUET = b"PAR1"  # https://parquet.apache.org/docs/file-format/
_CSV = "CSV has commas between its values, and names in line 1"

Columns = Mapping[str, frozenset[str] | None]
"""The server's inputs in order, with the JSON types that each takes; None takes any. Empty where none are known."""


def read(rows: str, columns: Callable[[], Columns]) -> list[Any]:
    """At least one row, as JSON values: by name or by position.

    Args:
        rows: JSON, or the name of a file, or - for the standard input.
        columns: Asked for CSV alone.

    Raises:
        click.ClickException: It cannot be read, or has no rows.
    """
    if rows.lstrip()[:1] in {"{", "["}:
        return _parse(rows, "ROWS", columns)
    path = Path(rows)
    name = "the standard input" if rows == "-" else rows
    try:
        # As bytes: to read a file as text would change the ends of lines within values.
        data = sys.stdin.buffer.read() if rows == "-" else path.read_bytes()
        if data.startswith(_PARQUET):
            raise click.ClickException(
                f"{name} is Parquet, which is not read here: CSV and JSON are; `modelroll batch` predicts files of it"
            )
        text = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{name} is neither JSON nor a file that can be read: {error}") from error
    return _from_csv(text, name, columns()) if path.suffix.lower() == ".csv" else _parse(text, name, columns)


def _parse(text: str, name: str, columns: Callable[[], Columns]) -> list[Any]:
    """JSON, or lines of JSON, or else CSV."""
    try:
        found = json.loads(text)
    except ValueError:
        try:
            found = [json.loads(line) for line in text.split("\n") if line.strip()]
        except ValueError as error:
            if text.lstrip()[:1] in {"{", "["}:
                raise click.ClickException(f"{name} is not JSON: {error}") from error
            if "," in text:
                return _from_csv(text, name, columns())
            raise click.ClickException(f"{name} is neither JSON nor CSV: {_CSV}") from error
        return _some(found, name)
    if isinstance(found, dict):
        instances = found.get("instances")
        return _some(instances, name) if isinstance(instances, list) else [found]
    if not isinstance(found, list):
        raise click.ClickException(f"{name} is not an object of named values, nor a list of them")
    # [1, 2, 3] is one row by position, [[1, 2, 3]] a list of one.
    return _some(found, name) if any(isinstance(one, dict | list) for one in found) or not found else [found]


def _some(found: list[Any], name: str, why: str = "") -> list[Any]:
    if not found:
        raise click.ClickException(f"no rows in {name}{why}")
    return found


def _from_csv(text: str, name: str, columns: Columns) -> list[Any]:
    """One row a line, or more lines where a value is quoted."""
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows = []
    try:
        names = next(lines, [])
        _check_names(names, name, columns)
        for values in filter(None, lines):
            if len(values) != len(names):
                sentence = f"line {lines.line_num} has {len(values)} values, and the first has {len(names)} names"
                raise click.ClickException(f"{name}: {sentence}")
            pairs = zip(names, values, strict=True)
            rows.append({column: texts.value(value, columns.get(column)) for column, value in pairs})
    except csv.Error as error:
        raise click.ClickException(f"{name} is not CSV: line {lines.line_num}: {error}") from error
    return _some(rows, name, ": line 1 is read as the names" if names else "")


def _check_names(names: list[str], name: str, columns: Columns) -> None:
    """Refuse a first line of which the server knows nothing: it is of another model, or no line of names."""
    if not names or not columns or not columns.keys().isdisjoint(names):
        return
    if len(names) == 1 and (";" in names[0] or "\t" in names[0]):
        raise click.ClickException(f"{name} has other separators in line 1: {_CSV}")
    sentence = f"line 1 is read as the names, and none of {', '.join(names)} is an input of this model"
    expected = f"its inputs are {', '.join(columns)}"
    if list(columns) == [f"x{index}" for index in range(len(columns))]:
        expected += ", in the order of the columns that it was fitted on without names"
    raise click.ClickException(f"{name}: {sentence}; {expected}")
