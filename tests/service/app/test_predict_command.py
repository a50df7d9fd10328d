"""`modelroll predict URL`: rows in every form, a table for people, JSON for programs, and what is refused."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import stand_in
import stand_in_server
from modelroll_server.cli import main
from modelroll_server.schema import Input
from modelroll_server.tensors import Datatype, Outputs, Table

ROW = stand_in.ROW


class Text:
    """Answers a row with its first value, typed as it came: as JSON."""

    kind = "stand-in"

    def __init__(self, *, scored: bool = False) -> None:
        self._scored = scored

    def predict(self, table: Table) -> Outputs:
        """The answers."""
        values = [json.dumps(value) for value in table.columns[0].tolist()]
        return Outputs(np.array(values, dtype=object), None, np.full(len(values), 0.5) if self._scored else None)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with stand_in_server.in_a_thread() as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture(scope="module")
def text_address() -> Iterator[str]:
    """A server whose one column holds texts."""
    columns = [Input(name="code", datatype=Datatype.BYTES, example="x")]
    with stand_in_server.in_a_thread(stand_in.version("1.1.0", Text(), inputs=columns)) as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture(scope="module")
def any_address() -> Iterator[str]:
    """A server of a bare file, of whose column only the name is known; its answers have scores."""
    columns = [Input(name=name, datatype=Datatype.ANY, example="x") for name in ("code", "other")]
    with stand_in_server.in_a_thread(stand_in.version("1.1.0", Text(scored=True), inputs=columns)) as port:
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


CODES = ["01234", "1_000", "nan", "inf", "true", "1e5", "a\nb", "a\r\nb", "a\u2028b", " x ", ""]


def test_texts_of_csv_are_asked_as_they_are(text_address: str, tmp_path: Path) -> None:
    file = tmp_path / "codes.csv"
    lines = "".join(f'"{code}",1\r\n' for code in CODES).encode()
    file.write_bytes(b"\xef\xbb\xbfcode,unused\r\n" + lines)
    refused = run(text_address, str(file), "--json")
    assert "unused is not an input" in refused.output
    file.write_bytes(b"code\r\n" + lines.replace(b",1", b""))
    assert list(map(json.loads, predictions(run(text_address, str(file), "--json")))) == CODES


def test_lines_of_json_may_hold_other_ends_of_lines(text_address: str) -> None:
    lines = "".join(json.dumps({"code": code}, ensure_ascii=False) + "\r\n" for code in CODES)
    assert list(map(json.loads, predictions(run(text_address, "-", "--json", text=lines)))) == CODES


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12", 12),
        ("-1.5e3", -1500.0),
        ("true", True),
        ("01234", "01234"),
        ("1_000", "1_000"),
        ("nan", "nan"),
        ("inf", "inf"),
        ("\u0661", "\u0661"),
    ],
)
def test_where_no_type_is_known_a_number_is_what_json_calls_one(any_address: str, text: str, expected: Any) -> None:
    (answer,) = predictions(run(any_address, "-", "--json", text=f"code,other\n{text},1\n"))
    assert json.loads(answer) == expected


@pytest.mark.parametrize("value", ["nan", "inf", "1_000", "x"])
def test_what_is_no_number_is_refused_where_one_belongs(address: str, value: str) -> None:
    result = run(address, "-", text=f"tenure,charges,contract\n3,{value},month\n")
    assert result.exit_code == 1
    assert "charges must be a number" in result.output


@pytest.mark.parametrize("line", ["3,1", "3,1,month,4"])
def test_a_line_of_csv_has_a_value_for_each_name(address: str, line: str) -> None:
    result = run(address, "-", text=f"tenure,charges,contract\n3,1,month\n{line}\n")
    assert result.exit_code == 1
    assert "line 3 has" in result.output


def test_a_bad_row_is_named_by_its_place_among_all(address: str) -> None:
    rows = [ROW] * 1_003 + [{**ROW, "contract": "weekly"}]
    result = run(address, "-", text=json.dumps(rows))
    assert result.exit_code == 1
    assert "instances[1003].contract" in result.output


def test_scores_are_shown_where_there_are_no_probabilities(any_address: str) -> None:
    row = json.dumps({"code": 1, "other": 1})
    assert json.loads(run(any_address, row, "--json").output)["score"] == 0.5
    assert "score" in (table := run(any_address, row).output)
    assert "0.5" in table


def test_a_table_is_for_people(address: str) -> None:
    result = run(address, json.dumps({**ROW, "charges": 0.25}))
    assert result.exit_code == 0
    assert "predicted by 1.0.0" in result.output
    assert "0.750" in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{}"], "instances[0].tenure"),
        ([json.dumps({**ROW, "tenure": "x"})], "tenure must be an integer"),
        (["nothing.json"], "neither JSON nor a file"),
        (["{"], "is not JSON"),
        (["[]x"], "is not JSON"),
    ],
)
def test_what_is_wrong_is_said(address: str, arguments: list[str], said: str) -> None:
    result = run(address, *arguments)
    assert result.exit_code == 1
    assert said in result.output


def test_a_server_that_is_not_there_is_said() -> None:
    result = run("127.0.0.1:1", "{}")
    assert result.exit_code == 1
    assert "refused" in result.output
