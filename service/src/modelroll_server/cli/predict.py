"""`modelroll predict`: rows to a running server, for people."""

import csv
import io
import json
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click
import rich
from rich.table import Table

AT_A_TIME = 1_000  # rows of one request

_JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_INSTANCE = re.compile(r"\binstances\[(\d+)\]")

Types = Mapping[str, frozenset[str]]
"""Of each column the JSON types that the server takes; a column that is not there takes any."""


@click.command()
@click.argument("url")
@click.argument("rows", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a row, for programs.")
@click.option("--timeout", default=30.0, show_default=True, metavar="SECONDS", help="For each request.")
def predict(url: str, rows: str | None, *, as_json: bool, timeout: float) -> None:
    """Ask the server at URL, such as http://localhost:8000, what it predicts for ROWS.

    ROWS is JSON ({"name": value} or a list of them), a file of JSON, of lines of JSON or of CSV with names in its first
    line, or - for the standard input. Without ROWS the server's own example is asked. A value of CSV is what the server
    says that its column holds; where it says nothing, a number or true or false as JSON writes them, else a text.
    """
    base = url if "://" in url else f"http://{url}"
    base = base.rstrip("/")
    asked = _example(base, timeout) if rows is None else _read(rows, lambda: _types(base, timeout))
    answers: list[dict[str, Any]] = []
    for start in range(0, len(asked), AT_A_TIME):
        found = _ask(f"{base}/batch_predict", asked[start : start + AT_A_TIME], timeout, start)
        nothing = [None] * len(found["predictions"])
        probabilities, scores = found["probabilities"] or nothing, found.get("scores") or nothing
        for prediction, probability, score in zip(found["predictions"], probabilities, scores, strict=True):
            answer = {"prediction": prediction, "probability": probability}
            if score is not None:
                answer["score"] = score
            answers.append({**answer, "model_version": found["model_version"]})
    if as_json:
        for answer in answers:
            click.echo(json.dumps(answer))
    else:
        _show(asked, answers)


def _read(rows: str, types: Callable[[], Types]) -> list[Any]:
    """The rows that a person named."""
    if rows.lstrip()[:1] in {"{", "["}:
        return _parse(rows, "ROWS", types)
    path = Path(rows)
    name = "the standard input" if rows == "-" else rows
    try:
        # As bytes: to read a file as text would change the ends of lines within values.
        data = sys.stdin.buffer.read() if rows == "-" else path.read_bytes()
        text = data.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{name} is neither JSON nor a file that can be read: {error}") from error
    return _from_csv(text, name, types()) if path.suffix.lower() == ".csv" else _parse(text, name, types)


def _parse(text: str, name: str, types: Callable[[], Types]) -> list[Any]:
    """JSON, or lines of JSON, or else CSV."""
    try:
        found = json.loads(text)
    except ValueError:
        try:
            return [json.loads(line) for line in text.split("\n") if line.strip()]
        except ValueError as error:
            if text.lstrip()[:1] not in {"{", "["} and "," in text:
                return _from_csv(text, name, types())
            raise click.ClickException(f"{name} is not JSON: {error}") from error
    if isinstance(found, dict):
        instances = found.get("instances")
        return instances if isinstance(instances, list) else [found]
    if not isinstance(found, list):
        raise click.ClickException(f"{name} is not an object of named values, nor a list of them")
    # [1, 2, 3] is one row by position, [[1, 2, 3]] a list of one.
    return found if any(isinstance(one, dict | list) for one in found) else [found]


def _from_csv(text: str, name: str, types: Types) -> list[Any]:
    """One row a line, or more lines where a value is quoted; what is empty is missing."""
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows = []
    try:
        names = next(lines, [])
        for values in filter(None, lines):
            if len(values) != len(names):
                sentence = f"line {lines.line_num} has {len(values)} values, and the first has {len(names)} names"
                raise click.ClickException(f"{name}: {sentence}")
            pairs = zip(names, values, strict=True)
            rows.append({column: _value(value, types.get(column)) for column, value in pairs})
    except csv.Error as error:
        raise click.ClickException(f"{name} is not CSV: line {lines.line_num}: {error}") from error
    return rows


def _value(text: str, types: frozenset[str] | None) -> Any:
    """What a text of CSV stands for, in a column that takes these types; what it takes not, the server refuses."""
    if types is None:
        if _JSON_NUMBER.fullmatch(text) or text in {"true", "false"}:
            return json.loads(text)
        return text or None
    if not text:
        return "" if types == {"string"} else None
    if "string" in types:
        return text
    if "boolean" in types:
        return {"true": True, "false": False}.get(text.lower(), text)
    if not _NUMBER.fullmatch(text.strip()):
        return text
    return int(text) if text.strip().lstrip("+-").isdigit() else float(text)


def _types(base: str, timeout: float) -> Types:
    """What the server's own documentation says of its columns; nothing where there is none."""
    try:
        columns = _columns(base, timeout)
        kinds = {name: column.get("type") for name, column in columns.items()}
    except (click.ClickException, LookupError, TypeError, AttributeError):
        return {}
    return {name: frozenset([kind] if isinstance(kind, str) else kind) for name, kind in kinds.items() if kind}


def _columns(base: str, timeout: float) -> dict[str, Any]:
    found: dict[str, Any] = _ask(f"{base}/openapi.json", None, timeout)["components"]["schemas"]["Row"]["properties"]
    return found


def _example(base: str, timeout: float) -> list[Any]:
    """The row that the server's own documentation shows."""
    return [{name: column.get("example") for name, column in _columns(base, timeout).items()}]


def _ask(url: str, body: Any, timeout: float, start: int = 0) -> Any:
    """The answer to a request whose first row has the number `start`."""
    data = None if body is None else json.dumps(body).encode()
    if not url.startswith(("http://", "https://")):
        raise click.ClickException(f"{url} is not an address of HTTP")
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310 - checked above
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310 - as above
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise click.ClickException(_refusal(error.code, error.read(), start)) from error
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{url}: {getattr(error, 'reason', error)}") from error


def _refusal(status: int, body: bytes, start: int) -> str:
    """What the server says, or what is known when it is another server that says it."""
    try:
        problem = json.loads(body)
        field = f" (at {problem['field']})" if "field" in problem else ""
        return _INSTANCE.sub(lambda at: f"instances[{int(at[1]) + start}]", f"{problem['message']}{field}")
    except (ValueError, KeyError, TypeError):
        return f"the server answered {status}"


def _show(asked: list[Any], answers: list[dict[str, Any]]) -> None:
    version = answers[-1]["model_version"] if answers else ""
    table = Table(title=f"{len(answers)} predicted by {version}", title_justify="left")
    table.add_column("row", justify="right", style="dim")
    table.add_column("asked", overflow="ellipsis", no_wrap=True, max_width=60)
    table.add_column("prediction", style="bold")
    scored = any("score" in answer for answer in answers)
    table.add_column("score" if scored else "probability")
    for number, (row, answer) in enumerate(zip(asked, answers, strict=True)):
        values = ", ".join(f"{name}={value}" for name, value in row.items()) if isinstance(row, dict) else str(row)
        table.add_row(
            str(number), values, str(answer["prediction"]), _shares(answer["score" if scored else "probability"])
        )
    rich.print(table)


def _shares(probability: Any) -> str:
    if not isinstance(probability, list):
        return "" if probability is None else str(probability)
    return "  ".join(f"{share:.3f}" if isinstance(share, float) else str(share) for share in probability)
