"""`modelroll pack` and `modelroll verify` as a person calls them: what is printed, and the exit codes."""

import shutil
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from sklearn.linear_model import LogisticRegression

from modelroll_server.artifact import catalog
from modelroll_server.cli import main
from modelroll_server.errors import PackFailed
from modelroll_server.packing import samples
from modelroll_server.schema import missing

ROOT = Path(__file__).parents[3]


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A fitted model, and beside it its samples as rows.csv and rows.parquet."""
    frame = pd.DataFrame({"size": [1.0, 2.0, 3.0, 4.0] * 5, "sold": ["no", "no", "yes", "yes"] * 5})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    frame.to_parquet(tmp_path / "rows.parquet")
    joblib.dump(LogisticRegression().fit(frame[["size"]], frame["sold"]), tmp_path / "model.joblib")
    return tmp_path / "model.joblib"


@pytest.mark.parametrize("samples", ["rows.csv", "rows.parquet"])
def test_pack_writes_the_version_and_prints_what_comes_next(model: Path, samples: str) -> None:
    home = model.parent
    asked = ["--model", "shop", "--version", "2.0.0-rc.1", "--metric", "auc=0.75"]
    result = run("pack", model, *asked, "--samples", home / samples, "--out", home / "models")
    assert result.exit_code == 0, result.output
    entry = catalog.read(home / "models/shop/2.0.0-rc.1")
    assert entry.manifest.metrics == {"auc": 0.75}
    assert f"--set model.path=shop/2.0.0-rc.1 --set model.digest={entry.digest}" in result.output
    assert f'digest: "{entry.digest}"' in result.output
    assert run("verify", home / "models/shop", "--digest", entry.digest).exit_code == 0


def test_a_pack_that_fails_says_why_and_leaves_nothing(model: Path) -> None:
    (model.parent / "other.csv").write_text("width\n1\n")
    asked = ["--model", "shop", "--version", "1.0.0", "--samples", model.parent / "other.csv"]
    result = run("pack", model, *asked, "--out", model.parent / "models")
    assert (result.exit_code, result.output) == (1, "Error: the samples lack size, on which the model was fitted\n")
    assert not (model.parent / "models").exists()


@pytest.mark.parametrize("metric", ["auc", "auc=high", "=1"])
def test_a_metric_that_is_none_is_a_usage_error(model: Path, metric: str) -> None:
    asked = ["--model", "shop", "--version", "1.0.0", "--samples", model.parent / "rows.csv", "--metric", metric]
    assert run("pack", model, *asked).exit_code == 2


def test_samples_of_another_kind_are_refused(model: Path) -> None:
    (model.parent / "rows.xml").write_text("<a/>")
    asked = ["--model", "shop", "--version", "1.0.0", "--samples", model.parent / "rows.xml"]
    assert "neither .parquet nor .csv" in run("pack", model, *asked).output


def test_names_that_are_not_those_of_the_samples_are_listed(model: Path) -> None:
    numbers = [[1.0, 2.0], [2.0, 1.0], [3.0, 5.0], [4.0, 0.0]] * 5
    joblib.dump(LogisticRegression().fit(numbers, ["no", "no", "yes", "yes"] * 5), model)
    pd.DataFrame(numbers, columns=["size", "age"]).to_csv(model.parent / "rows.csv", index=False)
    asked = ["--model", "shop", "--version", "1.0.0", "--samples", model.parent / "rows.csv", "--no-compile"]
    result = run("pack", model, *asked, "--out", model.parent / "models")
    assert result.exit_code == 0, result.output
    assert "without names; its inputs are, with the samples' names in brackets: x0 (size), x1 (age)" in result.output


def test_names_that_are_those_of_the_samples_are_not_listed(model: Path) -> None:
    asked = ["--model", "shop", "--version", "1.0.0", "--samples", model.parent / "rows.csv", "--no-compile"]
    assert "without names" not in run("pack", model, *asked, "--out", model.parent / "models").output


@pytest.mark.parametrize("first", ["5.1,3.5", "5.1,5.1", "1,2", "5.1,nan"])
def test_samples_that_begin_with_a_row_are_refused(tmp_path: Path, first: str) -> None:
    (tmp_path / "rows.csv").write_text(f"{first}\n4.9,3.0\n")
    with pytest.raises(
        PackFailed, match=f"read as the names of the columns, and {first.replace(',', ', ')} are numbers"
    ):
        samples.read(tmp_path / "rows.csv")


@pytest.mark.parametrize("names", ["0,1", "size,2024", ",0"])
def test_names_of_samples_may_hold_numbers(tmp_path: Path, names: str) -> None:
    (tmp_path / "rows.csv").write_text(f"{names}\n4.9,3.0\n")
    assert len(samples.read(tmp_path / "rows.csv")) == 1


@pytest.mark.parametrize("name", ["rows.CSV", "rows.Parquet"])
def test_the_ending_of_samples_may_be_written_in_capitals(tmp_path: Path, name: str) -> None:
    rows = pd.DataFrame({"size": [1.5]})
    (rows.to_csv if name.endswith("CSV") else rows.to_parquet)(tmp_path / name, index=False)
    assert samples.read(tmp_path / name)["size"].tolist() == [1.5]


def test_samples_without_a_line_are_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("")
    with pytest.raises(PackFailed, match="cannot be read"):
        samples.read(tmp_path / "rows.csv")


def test_what_a_version_of_pandas_reads_as_missing_changes_no_sample(tmp_path: Path) -> None:
    values = [*sorted(missing.SPELLINGS - {""}), "x"]
    (tmp_path / "rows.csv").write_text("code\n" + "".join(f"{value}\n" for value in values))
    assert samples.read(tmp_path / "rows.csv")["code"].isna().tolist() == [True] * (len(values) - 1) + [False]


def test_verify_of_a_model_takes_every_version() -> None:
    result = run("verify", ROOT / "models/churn")
    assert result.exit_code == 0
    assert result.output.count("20 reproduced") == 2


def test_verify_of_the_broken_version_names_the_reason() -> None:
    result = run("verify", ROOT / "tests/artifacts/churn/2.1.0")
    assert result.exit_code == 1
    assert "GoldenRowsDiffer" in result.output


def test_verify_finds_a_changed_byte(tmp_path: Path) -> None:
    place = shutil.copytree(ROOT / "models/churn/1.2.0", tmp_path / "1.2.0")
    content = bytearray((place / "model.joblib").read_bytes())
    content[-1] ^= 1
    (place / "model.joblib").write_bytes(content)
    result = run("verify", place)
    assert result.exit_code == 1
    assert "DigestMismatch" in result.output


def test_verify_of_a_bare_file_loads_it(model: Path) -> None:
    result = run("verify", model)
    assert result.exit_code == 0, result.output
    assert "none to reproduce" in result.output


def test_verify_of_an_empty_directory_is_an_error(tmp_path: Path) -> None:
    assert "holds neither a manifest nor versions" in run("verify", tmp_path).output
