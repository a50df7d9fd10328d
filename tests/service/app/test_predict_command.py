"""`modelroll predict URL`: rows in every form, a table for people, JSON for programs, and what is refused."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

import stand_in
import stand_in_server
from modelroll_server.cli import main
from modelroll_server.registry.version import Version
from modelroll_server.schema import Input, missing
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
    columns = [Input(name=name, datatype=Datatype.ANY, missing="none") for name in ("code", "other")]
    with stand_in_server.in_a_thread(stand_in.version("1.1.0", Text(scored=True), inputs=columns)) as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture(scope="module")
def missing_address() -> Iterator[str]:
    """A server whose one column holds texts, or none."""
    columns = [Input(name="code", datatype=Datatype.BYTES, missing="none", example="x")]
    with stand_in_server.in_a_thread(stand_in.version("1.1.0", Text(), inputs=columns)) as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture(scope="module")
def bare_address() -> Iterator[str]:
    """A server of a bare file that was fitted without names, and refuses what is missing."""
    columns = [Input(name=name, datatype=Datatype.ANY) for name in ("x0", "x1")]
    with stand_in_server.in_a_thread(stand_in.version("1.1.0", Text(), inputs=columns)) as port:
        yield f"127.0.0.1:{port}"


def run(*arguments: str, text: str | bytes | None = None) -> Result:
    return CliRunner(env={"COLUMNS": "80"}).invoke(main, ["predict", *arguments], input=text)


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


CODES = ["01234", "1_000", "nan", "NA", "null", "inf", "true", "1e5", "a\nb", "a\r\nb", "a\u2028b", " x ", ""]


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
        ("nan", None),
        ("NA", None),
        ("inf", "inf"),
        ("\u0661", "\u0661"),
    ],
)
def test_where_no_type_is_known_a_number_is_what_json_calls_one(any_address: str, text: str, expected: Any) -> None:
    (answer,) = predictions(run(any_address, "-", "--json", text=f"code,other\n{text},1\n"))
    assert json.loads(answer) == expected


@pytest.mark.parametrize("value", ["inf", "1_000", "x", pytest.param("9" * 5000, id="many-digits")])
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


class Classes:
    """Answers each row with the last of its classes."""

    kind = "stand-in"

    def __init__(self, count: int) -> None:
        self._count = count

    def predict(self, table: Table) -> Outputs:
        """The answers."""
        shares = np.tile(np.arange(self._count) / 100, (table.rows, 1))
        return Outputs(np.full(table.rows, self._count - 1), shares)


def of_classes(count: int) -> Version:
    made = stand_in.version("1.1.0", Classes(count))
    return dataclasses.replace(made, manifest=msgspec.structs.replace(made.manifest, classes=list(range(count))))


def test_in_a_narrow_terminal_only_what_was_asked_is_cut(address: str) -> None:
    (heading,), (line,) = (
        [line for line in run(address, json.dumps({**ROW, "tenure": 1})).output.splitlines() if sign in line]
        for sign in ("prediction", "29.85")
    )
    assert [cell.strip() for cell in heading.split("┃")[1:-1]] == ["row", "asked", "prediction", "P(0)", "P(1)"]
    row, asked, *answered = (cell.strip() for cell in line.split("│")[1:-1])
    assert (row, answered) == ("0", ["1", "-28.850", "29.850"])
    assert asked.endswith("…")


@pytest.mark.parametrize(("count", "shown"), [(3, ["P(0)", "P(1)", "P(2)"]), (30, ["its probability"])])
def test_of_many_classes_the_probability_of_the_predicted_one_is_shown(count: int, shown: list[str]) -> None:
    with stand_in_server.in_a_thread(of_classes(count)) as port:
        output = run(f"127.0.0.1:{port}", json.dumps([ROW])).output
    assert all(heading in output for heading in shown)
    assert f"0.{count - 1:02}0" in output


def test_texts_in_brackets_are_shown_as_they_are(any_address: str) -> None:
    assert '"[red]"' in run(any_address, json.dumps({"code": "[red]", "other": 1})).output


def test_the_spellings_of_missing_are_those_of_pandas(missing_address: str, tmp_path: Path) -> None:
    values = [*sorted(missing.SPELLINGS), "na", "Null", "x", " NA"]
    lines = "".join(f'"{value}"\n' for value in values)
    (tmp_path / "codes.csv").write_text(f"code\n{lines}")
    answers = [
        json.loads(answer) for answer in predictions(run(missing_address, str(tmp_path / "codes.csv"), "--json"))
    ]
    read = pd.read_csv(tmp_path / "codes.csv", skip_blank_lines=False)["code"]
    assert answers == [None if absent else value for value, absent in zip(values, read.isna(), strict=True)]
    assert answers.count(None) == len(missing.SPELLINGS)


@pytest.mark.parametrize("value", ["nan", "NA", ""])
def test_a_number_may_be_spelled_as_missing_where_the_model_takes_that(address: str, value: str) -> None:
    assert predictions(run(address, "-", "--json", text=f"tenure,charges,contract\n3,{value},month\n")) == [3]
    result = run(address, "-", text=f"tenure,charges,contract\n{value},1,month\n")
    assert "tenure must be an integer, got null" in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{}"], "instances[0].tenure"),
        ([json.dumps({**ROW, "tenure": "x"})], "tenure must be an integer"),
        (["nothing.json"], "neither JSON nor a file"),
        (["{"], "is not JSON"),
        (["[]x"], "is not JSON"),
        (["[]"], "no rows in ROWS"),
        (['{"instances": []}'], "no rows in ROWS"),
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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "no rows in the standard input"),
        ("", "no rows in the standard input"),
        ("tenure,charges,contract\n", "no rows in the standard input: line 1 is read as the names"),
        ("tenure;charges;contract\n3;1;month\n", "CSV has commas between its values, and names in line 1"),
        ("3,29.85,month\n4,1,year\n", "line 1 is read as the names, and none of 3, 29.85, month is an input"),
        (b"PAR1\xd6\x00", "is Parquet, which is not read here: CSV and JSON are; `modelroll batch`"),
    ],
)
def test_input_that_holds_no_rows_to_ask_says_what_is_read(address: str, text: str | bytes, said: str) -> None:
    result = run(address, "-", text=text)
    assert result.exit_code == 1
    assert said in result.output


def test_a_file_of_other_separators_is_no_csv_here(address: str, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("tenure;charges;contract\n3;1;month\n")
    result = run(address, str(tmp_path / "rows.csv"))
    assert result.exit_code == 1
    assert "CSV has commas between its values" in result.output


def test_other_names_than_those_of_a_model_without_names_are_explained(bare_address: str) -> None:
    result = run(bare_address, "-", text="a,b\n1,2\n")
    assert result.exit_code == 1
    assert "its inputs are x0, x1, in the order of the columns that it was fitted on without names" in result.output


def test_a_file_that_was_not_packed_has_no_example(bare_address: str) -> None:
    result = run(bare_address)
    assert result.exit_code == 1
    assert "no example, for its file was not packed" in result.output


def test_what_a_file_that_was_not_packed_refuses_is_said_once(bare_address: str) -> None:
    result = run(bare_address, "-", text="x0,x1\n" + ",1\n" * 20)
    assert result.exit_code == 1
    assert result.output.count("x0 must be a number, a string or a boolean, got null") == 1
    assert "`modelroll pack` with samples learns what may be missing" in result.output


def test_an_address_with_a_path_is_explained(address: str) -> None:
    result = run(f"http://{address}/predict", json.dumps(ROW))
    assert result.exit_code == 1
    assert "give the server's address only, without /predict" in result.output
