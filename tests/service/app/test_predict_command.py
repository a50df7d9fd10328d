"""`modelroll predict URL`: rows in every form, a table for people, JSON for programs, and what is refused."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import stand_in
import stand_in_server
from modelroll_server.cli import main

ROW = stand_in.ROW


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with stand_in_server.in_a_thread() as port:
        yield f"127.0.0.1:{port}"


def run(*arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(main, ["predict", *arguments], input=text)


def predictions(result: Result) -> list[Any]:
    assert result.exit_code == 0, result.output
    return [json.loads(line)["prediction"] for line in result.output.splitlines()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (json.dumps(ROW), [3]),
        (json.dumps([ROW, {**ROW, "tenure": 7}]), [3, 7]),
        (json.dumps({"instances": [ROW]}), [3]),
        ('[5, 1.5, "year"]', [5]),
        ('[[5, 1.5, "year"], [6, null, "month"]]', [5, 6]),
        (f"{json.dumps(ROW)}\n{json.dumps({**ROW, 'tenure': 9})}\n", [3, 9]),
        ("tenure,charges,contract\n4,29.85,month\n5,,year\n", [4, 5]),
    ],
)
def test_rows_come_in_every_form(address: str, tmp_path: Path, text: str, expected: list[int]) -> None:
    file = tmp_path / ("rows.csv" if text.startswith("tenure") else "rows.json")
    file.write_text(text)
    assert predictions(run(address, str(file), "--json")) == expected
    assert predictions(run(f"http://{address}/", "-", "--json", text=text)) == expected
    if text[0] in "[{" and "\n" not in text:
        assert predictions(run(address, text, "--json")) == expected


def test_without_rows_the_example_of_the_server_is_asked(address: str) -> None:
    assert predictions(run(address, "--json")) == [3]


def test_many_rows_are_asked_in_turns(address: str) -> None:
    rows = [{**ROW, "tenure": tenure} for tenure in range(1_050)]
    assert predictions(run(address, "-", "--json", text=json.dumps(rows))) == list(range(1_050))


def test_a_table_is_for_people(address: str) -> None:
    result = run(address, json.dumps({**ROW, "charges": 0.25}))
    assert result.exit_code == 0
    assert "predicted by 1.0.0" in result.output
    assert "0.750" in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{}"], "tenure is missing"),
        ([json.dumps({**ROW, "tenure": "x"})], "instances"),
        (["nothing.json"], "neither JSON nor a file"),
        (["{"], "is not JSON"),
        (["[]x"], "is not JSON"),
    ],
)
def test_what_is_wrong_is_said(address: str, arguments: list[str], said: str) -> None:
    result = run(address, *arguments)
    assert result.exit_code == 1
    assert said in result.output or "[0].tenure" in result.output


def test_a_server_that_is_not_there_is_said() -> None:
    result = run("127.0.0.1:1", "{}")
    assert result.exit_code == 1
    assert "refused" in result.output
