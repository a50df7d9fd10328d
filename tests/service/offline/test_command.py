"""`modelroll batch` as people run it: what it says, how it ends, and what stands in its way."""

import contextlib
import json
import os
import pty
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from sklearn.ensemble import RandomForestClassifier
from sklearn.svm import LinearSVC

from modelroll_server.cli import main
from offline_jobs import names

CHURN = Path(__file__).parents[3] / "models" / "churn"


@pytest.fixture(scope="module")
def customers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """500 customers, some with missing charges, and what scikit-learn says of them."""
    command = [sys.executable, str(CHURN / "rows.py"), "--count", "500", "--version", "2.0.0"]
    lines = [json.loads(line) for line in subprocess.check_output(command, text=True).splitlines()]
    place = tmp_path_factory.mktemp("customers")
    found = [{**line["row"], "said": line["expected"]["2.0.0"]["prediction"]} for line in lines]
    found[7]["total_charges"] = found[8]["monthly_charges"] = None
    pq.write_table(pa.Table.from_pylist(found), place / "customers.parquet")
    pd.DataFrame(found).to_csv(place / "customers.csv", index=False)
    return place


def batch(*arguments: str | Path, artifact: Path | None = CHURN / "2.0.0") -> Result:
    flags = [] if artifact is None else ["--artifact", str(artifact)]
    return CliRunner().invoke(main, ["batch", *map(str, arguments), *flags])


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_a_file_is_predicted(customers: Path, tmp_path: Path, suffix: str) -> None:
    result = batch(customers / f"customers.{suffix}", tmp_path / "out.parquet", "--per-class")
    assert result.exit_code == 0, result.output
    assert "500 rows predicted: " in result.output
    found = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [row["prediction"] for at, row in enumerate(found) if at not in {7, 8}] == [
        row["said"] for at, row in enumerate(found) if at not in {7, 8}
    ]
    first = found[0]
    assert first["probability"] == first["probability_Yes"] == pytest.approx(1 - first["probability_No"])
    assert (first["model"], first["version"]) == ("churn", "2.0.0")
    assert first["digest"].startswith("sha256:")


def test_a_models_directory_is_its_highest_version(customers: Path, tmp_path: Path) -> None:
    assert batch(customers / "customers.parquet", tmp_path / "out.parquet", artifact=CHURN).exit_code == 0
    assert set(pq.read_table(tmp_path / "out.parquet")["version"].to_pylist()) == {"2.0.0"}


def test_what_is_served_by_the_environment_is_asked(
    customers: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_PATH", str(CHURN / "1.2.0"))
    monkeypatch.setenv("MODEL_DIGEST", "sha256:" + "0" * 64)
    result = batch(customers / "customers.parquet", tmp_path / "out.parquet", artifact=None)
    assert result.exit_code == 65
    assert "modelroll: " in result.output
    monkeypatch.delenv("MODEL_DIGEST")
    result = batch(customers / "customers.parquet", tmp_path / "out.parquet", artifact=None)
    assert result.exit_code == 0, result.output
    assert set(pq.read_table(tmp_path / "out.parquet")["version"].to_pylist()) == {"1.2.0"}


def test_without_a_model_it_says_how_to_name_one(customers: Path, tmp_path: Path) -> None:
    result = batch(customers / "customers.parquet", tmp_path / "out.parquet", artifact=None)
    assert result.exit_code == 2
    assert "--artifact" in result.output


def test_rejects_are_counted(customers: Path, tmp_path: Path) -> None:
    frame = pd.read_parquet(customers / "customers.parquet")
    frame.loc[[3, 9], "contract"] = "Weekly"
    frame.to_csv(tmp_path / "rows.csv", index=False, sep="\t")
    result = batch(tmp_path / "rows.csv", tmp_path / "out.csv", "--delimiter", "\\t", "--keep", "said,contract")
    assert result.exit_code == 0, result.output
    assert "498 rows predicted" in result.output
    assert f"2 rows rejected: {tmp_path}/out.rejects.csv" in result.output
    assert pd.read_csv(tmp_path / "out.csv", sep="\t").columns[:3].tolist() == ["contract", "said", "prediction"]
    rejected = pd.read_csv(tmp_path / "out.rejects.csv", sep="\t")
    assert rejected["reject_row"].tolist() == [3, 9]
    assert rejected["reject_reason"].str.contains("contract must be one of").all()
    result = batch(tmp_path / "rows.csv", tmp_path / "other.csv", "--delimiter", "\\t", "--bad-rows", "fail")
    assert result.exit_code == 65
    assert "modelroll: row 3 of rows.csv: contract must be one of" in result.output


def test_a_bare_file_that_cannot_take_texts_is_to_be_packed(tmp_path: Path) -> None:
    import joblib
    from sklearn.linear_model import LogisticRegression

    samples = pd.DataFrame({"member": [True, False] * 5})
    joblib.dump(LogisticRegression().fit(samples, [0, 1] * 5), tmp_path / "model.joblib")
    samples.to_csv(tmp_path / "rows.csv", index=False)
    result = batch(tmp_path / "rows.csv", tmp_path / "out.csv", artifact=tmp_path / "model.joblib")
    assert result.exit_code == 65, result.output
    assert "could not convert string to float: 'True'; a bare file does not say" in result.output
    assert "`modelroll pack` it" in result.output


@pytest.mark.parametrize("named", [True, False])
def test_a_bare_file_tells_what_it_answers_when_it_is_asked(tmp_path: Path, named: bool) -> None:
    import joblib

    frame = pd.DataFrame({f"x{at}": [float(at * row % 7) for row in range(60)] for at in range(3)})
    labels = ["a", "b", "c"] * 20
    model = RandomForestClassifier(5, random_state=0).fit(frame if named else frame.to_numpy(), labels)
    joblib.dump(model, tmp_path / "model.joblib")
    frame.to_parquet(tmp_path / "rows.parquet")
    result = batch(tmp_path / "rows.parquet", tmp_path / "out.parquet", artifact=tmp_path / "model.joblib")
    assert result.exit_code == 0, result.output
    found = pq.read_table(tmp_path / "out.parquet").to_pandas()
    asked = frame if named else frame.to_numpy()
    assert found["prediction"].tolist() == model.predict(asked).tolist()
    assert found["probability"].tolist() == pytest.approx(model.predict_proba(asked).max(axis=1))


def test_a_model_without_probabilities_has_scores(tmp_path: Path) -> None:
    import joblib

    frame = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0] * 5, "b": [1.0, 0.0] * 10})
    model = LinearSVC(random_state=0).fit(frame, [False, False, True, True] * 5)
    joblib.dump(model, tmp_path / "model.joblib")
    frame.to_parquet(tmp_path / "rows.parquet")
    result = batch(tmp_path / "rows.parquet", tmp_path / "out.parquet", artifact=tmp_path / "model.joblib")
    assert result.exit_code == 0, result.output
    found = pq.read_table(tmp_path / "out.parquet").to_pandas()
    assert found["prediction"].tolist() == model.predict(frame).tolist()
    assert found["score"].tolist() == pytest.approx(model.decision_function(frame).tolist())


@pytest.mark.parametrize("delimiter", ["ab", "", '"', "é"])
def test_a_delimiter_that_is_none(customers: Path, tmp_path: Path, delimiter: str) -> None:
    result = batch(customers / "customers.csv", tmp_path / "out.csv", "--delimiter", delimiter)
    assert result.exit_code == 2
    assert "is not one ASCII character" in result.output


def run(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "modelroll_server", "batch", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_a_disk_that_is_full_loses_nothing(customers: Path, tmp_path: Path) -> None:
    """As much as a file may have; the kernel refuses the rest as it does on a full disk."""
    table = pa.concat_tables([pq.read_table(customers / "customers.parquet")] * 40)
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=2_000)
    arguments = [tmp_path / "rows.parquet", tmp_path / "out.csv", "--artifact", CHURN / "2.0.0", "--shard-rows", "2000"]

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))

    said = run(*arguments, preexec_fn=limited)
    assert said.returncode == 1
    assert said.stderr.startswith("modelroll: ")
    assert "cannot be written: " in said.stderr
    assert "run the same command again to go on" in said.stderr
    assert "Traceback" not in said.stderr
    assert not (tmp_path / "out.csv").exists()
    parts = names(tmp_path / "out.csv.parts")
    assert not [name for name in parts if name.startswith("_tmp-")]
    assert [name for name in parts if name.startswith("_shard-")] == [f"_shard-{at:05d}.json" for at in range(10)]
    said = run(*arguments)
    assert said.returncode == 0, said.stderr
    assert "going on: 20,000 of 20,000 rows are finished" in said.stderr
    assert len(pd.read_csv(tmp_path / "out.csv")) == 20_000


@pytest.fixture
def large(customers: Path, tmp_path: Path) -> list[object]:
    """A job of eighty shards."""
    table = pa.concat_tables([pq.read_table(customers / "customers.parquet")] * 40)
    pq.write_table(table, tmp_path / "large.parquet", row_group_size=250)
    flags = ["--artifact", CHURN / "2.0.0", "--shard-rows", "250", "--chunk", "250"]
    return [tmp_path / "large.parquet", tmp_path / "out.parquet", *flags]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_can_be_stopped_and_go_on(large: list[object], tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "modelroll_server", "batch", *map(str, large)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "out.parquet.parts" / "_shard-00001.json").exists():
            assert process.poll() is None  # it has much to do yet
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.005)
        process.send_signal(number)
        _, said = process.communicate()
    assert process.returncode == 128 + number
    assert said == "modelroll: stopped; what is finished is kept: run the same command again to go on\n"
    assert not [name for name in names(tmp_path / "out.parquet.parts") if name.startswith("_tmp-")]
    again = run(*large)
    assert again.returncode == 0, again.stderr
    assert "going on: " in again.stderr
    assert "20,000 rows predicted" in again.stdout


def test_people_see_how_far_it_is(large: list[object]) -> None:
    screen, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    command = [sys.executable, "-m", "modelroll_server", "batch", *map(str, large)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=terminal, env=environment) as process:
        os.close(terminal)
        seen = b""
        while True:
            try:
                block = os.read(screen, 4096)
            except OSError:  # the other end is closed
                break
            if not block:
                break
            seen += block
    os.close(screen)
    assert process.returncode == 0, seen
    assert b"predicting" in seen
    assert b"20000/20000" in seen
    assert b"rows/s" in seen
