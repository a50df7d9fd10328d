"""`modelroll predict`: rows to a running server, for people."""

import csv
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import click
import rich
from rich.table import Table

AT_A_TIME = 1_000  # rows of one request


@click.command()
@click.argument("url")
@click.argument("rows", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a row, for programs.")
@click.option("--timeout", default=30.0, show_default=True, metavar="SECONDS", help="For each request.")
def predict(url: str, rows: str | None, *, as_json: bool, timeout: float) -> None:
    """Ask the server at URL, such as http://localhost:8000, what it predicts for ROWS.

    ROWS is JSON ({"name": value} or a list of them), a file of JSON, of lines of JSON or of CSV with names in its first
    line, or - for the standard input. Without ROWS the server's own example is asked.
    """
    base = url if "://" in url else f"http://{url}"
    base = base.rstrip("/")
    asked = _example(base, timeout) if rows is None else _read(rows)
    answers: list[dict[str, Any]] = []
    for start in range(0, len(asked), AT_A_TIME):
        found = _ask(f"{base}/batch_predict", asked[start : start + AT_A_TIME], timeout)
        probabilities = found["probabilities"] or [None] * len(found["predictions"])
        for prediction, probability in zip(found["predictions"], probabilities, strict=True):
            version = found["model_version"]
            answers.append({"prediction": prediction, "probability": probability, "model_version": version})
    if as_json:
        for answer in answers:
            click.echo(json.dumps(answer))
    else:
        _show(asked, answers)


def _read(rows: str) -> list[Any]:
    """The rows that a person named."""
    path = Path(rows)
    if rows == "-":
        return _parse(sys.stdin.read(), "the standard input")
    if rows.lstrip()[:1] in {"{", "["}:
        return _parse(rows, "ROWS")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{rows} is neither JSON nor a file that can be read: {error}") from error
    return _from_csv(text) if path.suffix.lower() == ".csv" else _parse(text, rows)


def _parse(text: str, name: str) -> list[Any]:
    """JSON, or lines of JSON, or else CSV."""
    try:
        found = json.loads(text)
    except ValueError:
        try:
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        except ValueError as error:
            if text.lstrip()[:1] not in {"{", "["} and "," in text:
                return _from_csv(text)
            raise click.ClickException(f"{name} is not JSON: {error}") from error
    if isinstance(found, dict):
        instances = found.get("instances")
        return instances if isinstance(instances, list) else [found]
    if not isinstance(found, list):
        raise click.ClickException(f"{name} is not an object of named values, nor a list of them")
    # [1, 2, 3] is one row by position, [[1, 2, 3]] a list of one.
    return found if any(isinstance(one, dict | list) for one in found) else [found]


def _from_csv(text: str) -> list[Any]:
    """One row a line; what is a number becomes one, and what is empty is missing."""
    return [{name: _value(value) for name, value in row.items()} for row in csv.DictReader(text.splitlines())]


def _value(text: str | None) -> Any:
    if not text:
        return None
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False}.get(text.lower(), text)


def _example(base: str, timeout: float) -> list[Any]:
    """The row that the server's own documentation shows."""
    document = _ask(f"{base}/openapi.json", None, timeout)
    row = document["components"]["schemas"]["Row"]["properties"]
    return [{name: column.get("example") for name, column in row.items()}]


def _ask(url: str, body: Any, timeout: float) -> Any:
    data = None if body is None else json.dumps(body).encode()
    if not url.startswith(("http://", "https://")):
        raise click.ClickException(f"{url} is not an address of HTTP")
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310 - checked above
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310 - as above
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise click.ClickException(_refusal(error.code, error.read())) from error
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{url}: {getattr(error, 'reason', error)}") from error


def _refusal(status: int, body: bytes) -> str:
    """What the server says, or what is known when it is another server that says it."""
    try:
        problem = json.loads(body)
        field = f" (at {problem['field']})" if "field" in problem else ""
        return f"{problem['message']}{field}"
    except (ValueError, KeyError, TypeError):
        return f"the server answered {status}"


def _show(asked: list[Any], answers: list[dict[str, Any]]) -> None:
    version = answers[-1]["model_version"] if answers else ""
    table = Table(title=f"{len(answers)} predicted by {version}", title_justify="left")
    table.add_column("row", justify="right", style="dim")
    table.add_column("asked", overflow="ellipsis", no_wrap=True, max_width=60)
    table.add_column("prediction", style="bold")
    table.add_column("probability")
    for number, (row, answer) in enumerate(zip(asked, answers, strict=True)):
        values = ", ".join(f"{name}={value}" for name, value in row.items()) if isinstance(row, dict) else str(row)
        table.add_row(str(number), values, str(answer["prediction"]), _shares(answer["probability"]))
    rich.print(table)


def _shares(probability: Any) -> str:
    if not isinstance(probability, list):
        return "" if probability is None else str(probability)
    return "  ".join(f"{share:.3f}" if isinstance(share, float) else str(share) for share in probability)
