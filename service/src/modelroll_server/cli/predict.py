"""`modelroll predict`: rows to a running server, for people."""

import functools
import json
from collections.abc import Callable
from typing import Any

import click
import rich
from rich.table import Table
from rich.text import Text

from modelroll_server.cli import rows as row_files
from modelroll_server.cli.running import RunningServer

AT_A_TIME = 1_000  # rows of one request

_ROOM = 40  # characters of 80 for a column a class; a model with more classes shows the predicted one's
_LISTS = "probability"  # of several outputs, or of classes that nobody names

Answer = dict[str, Any]


@click.command()
@click.argument("url")
@click.argument("rows", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a row, for programs.")
@click.option("--timeout", default=30.0, show_default=True, metavar="SECONDS", help="For each request.")
@click.option("--cacert", type=click.Path(exists=True), help="PEM file of who signed the server's certificate.")
@click.option("--token", envvar="MODELROLL_TOKEN", help="What the server knows its callers by.  [env: MODELROLL_TOKEN]")
def predict(
    url: str, rows: str | None, *, as_json: bool, timeout: float, cacert: str | None, token: str | None
) -> None:
    """Ask the server at URL, such as http://localhost:8000, what it predicts for ROWS.

    ROWS is JSON ({"name": value} or a list of them), a file of JSON, of lines of JSON or of CSV with names in its first
    line, or - for the standard input. Without ROWS the server's own example is asked.

    A value of CSV is what the server says that its column holds; where it says nothing, a number or true or false as
    JSON writes them, else a text. What pandas and `modelroll pack` read as missing is missing: an empty value, NA, N/A,
    NaN, nan, None, null and their like; only a column of texts that takes no missing value keeps them as texts.

    With --json the probabilities are in the order of the model's classes, which the table has in its heading, and
    /openapi.json of the server in the description of probability.
    """
    server = RunningServer(url, timeout, authority=cacert, token=token)
    asked = [server.example()] if rows is None else row_files.read(rows, server.columns)
    answers: list[Answer] = []
    for start in range(0, len(asked), AT_A_TIME):
        found = server.predictions(asked[start : start + AT_A_TIME], start)
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
        _show(asked, answers, server.classes())


def _show(asked: list[Any], answers: list[Answer], classes: list[Any]) -> None:
    table = Table(title=f"{len(answers)} predicted by {answers[-1]['model_version']}", title_justify="left")
    table.add_column("row", justify="right", style="dim", no_wrap=True)
    # What may wrap is what rich shrinks in a narrow terminal: this column, whose texts are cut instead, and lists.
    table.add_column("asked", max_width=60)
    table.add_column("prediction", style="bold", no_wrap=True)
    shown = _shown(answers, classes)
    for heading in shown:
        table.add_column(Text(heading), no_wrap=heading != _LISTS)
    for number, (row, answer) in enumerate(zip(asked, answers, strict=True)):
        values = ", ".join(f"{name}={value}" for name, value in row.items()) if isinstance(row, dict) else str(row)
        # As texts: rich would take what stands in brackets for its own.
        cells = [str(answer["prediction"]), *(of(answer) for of in shown.values())]
        table.add_row(str(number), Text(values, no_wrap=True, overflow="ellipsis"), *map(Text, cells))
    rich.print(table)


def _shown(answers: list[Answer], classes: list[Any]) -> dict[str, Callable[[Answer], str]]:
    """What is shown of an answer beside its prediction, by heading."""
    if any("score" in answer for answer in answers):
        return {"score": lambda answer: _joined(answer["score"], ".6g")}
    if all(answer["probability"] is None for answer in answers):
        return {}
    if not all(_is_of(answer, classes) for answer in answers):
        return {_LISTS: lambda answer: _joined(answer["probability"], ".3f")}
    headings = [f"P({label})" for label in classes]
    if sum(len(heading) + 3 for heading in headings) > _ROOM:
        return {"its probability": lambda answer: _of_class(answer, classes.index(answer["prediction"]))}
    return {heading: functools.partial(_of_class, index=index) for index, heading in enumerate(headings)}


def _is_of(answer: Answer, classes: list[Any]) -> bool:
    """Whether an answer has one probability for each of the classes: a model of several outputs has lists of them."""
    probability = answer["probability"]
    return isinstance(probability, list) and len(probability) == len(classes) and answer["prediction"] in classes


def _of_class(answer: Answer, index: int) -> str:
    return _joined(answer["probability"][index], ".3f")


def _joined(value: Any, form: str) -> str:
    if isinstance(value, list):
        return "  ".join(_joined(one, form) for one in value)
    return format(value, form) if isinstance(value, float) else "" if value is None else str(value)
