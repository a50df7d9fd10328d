"""Batch jobs over a real object store: what comes out is what comes out on a disk, whatever happens meanwhile."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq
import pytest

import s3
from offline_jobs import names, predicted

pytestmark = pytest.mark.needs("versitygw")

CHURN = Path(__file__).parents[3] / "models" / "churn"
PROGRAM = Path(__file__).with_name("runs_on_s3.py")
FLAGS = ("--artifact", str(CHURN / "1.2.0"), "--shard-rows", "100", "--chunk", "50", "--threads", "1")
BAD = (150, 320)
EVERY = 1 if os.environ.get("KILLS") == "all" else 5  # changes between two kills
CHANGES = ("Put", "Create", "Upload", "Complete", "Copy", "Delete", "Abort")


@dataclass(frozen=True)
class Ended:
    """How a run ended: its exit code, negative for a signal, and what it said."""

    code: int
    said: str


class Runs:
    """Runs of `modelroll batch`, one after the other."""

    def __init__(self, directory: Path, variables: dict[str, str]) -> None:
        self._said = directory / "said"
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", **variables},
        )

    def begin(
        self,
        *arguments: object,
        survive: int | None = None,
        operations: Sequence[str] = CHANGES,
        **variables: str | None,
    ) -> int:
        """Begin one: its process.

        Args:
            arguments: Of the command.
            survive: It is killed before it asks for one more of the operations than so many.
            operations: Of S3, by how their names begin.
            variables: Of its environment; those that are None are not there.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        kill = None if survive is None else [survive, list(operations)]
        asked = {"arguments": [str(one) for one in arguments], "variables": variables, "kill": kill}
        self._process.stdin.write(json.dumps({**asked, "said": str(self._said)}) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def end(self) -> Ended:
        """Wait for its end."""
        assert self._process.stdout is not None
        code = int(self._process.stdout.readline())
        return Ended(code, self._said.read_text())

    def do(self, *arguments: object) -> None:
        """What is no run of it: `put` a file at a URL, or give a bucket a `policy`."""
        self.begin(*arguments)
        assert self.end() == Ended(0, "")

    def uploads(self, bucket: str) -> list[str]:
        """The names of what was begun there in pieces and is neither ended nor given up."""
        self.begin("uploads", bucket)
        ended = self.end()
        assert ended.code == 0, ended.said
        return ended.said.splitlines()

    def __call__(self, source: object, out: object, *flags: str, **options: Any) -> Ended:
        """One run, to its end."""
        self.begin("batch", str(source), str(out), *FLAGS, *flags, **options)
        return self.end()

    def well(self, source: object, out: object, *flags: str, **options: Any) -> str:
        """One run, that has to end well: what it said."""
        ended = self(source, out, *flags, **options)
        assert ended.code == 0, ended.said
        return ended.said

    def close(self) -> None:
        """End the program."""
        self._process.communicate()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3.S3]:
    """An S3 server."""
    server = s3.S3(tmp_path_factory.mktemp("s3"))
    yield server
    server.kill()


@pytest.fixture(scope="module")
def runs(server: s3.S3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Runs that know of the server."""
    path = os.pathsep.join([str(s3.packages()), *filter(None, [os.environ.get("PYTHONPATH")])])
    runs = Runs(tmp_path_factory.mktemp("runs"), {**server.variables, "PYTHONPATH": path})
    yield runs
    runs.close()


def customers(count: int) -> pa.Table:
    """So many customers, two of them of no contract that there is."""
    row = json.loads((CHURN / "row.json").read_text())
    rows = [{**row, "id": at, "tenure": at % 73, "monthly_charges": 20 + at * 37 % 100 / 4} for at in range(count)]
    for at in BAD:
        if at < count:
            rows[at]["contract"] = "Weekly"
    return pa.Table.from_pylist(rows)


@pytest.fixture(scope="module")
def local(runs: Runs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of 345 customers on this machine's disk, and of what they come to there."""
    place = tmp_path_factory.mktemp("local")
    pq.write_table(customers(345), place / "rows.parquet", row_group_size=100)
    runs.well(place / "rows.parquet", place / "out.parquet")
    return place


@pytest.fixture(scope="module")
def rows(local: Path, runs: Runs, server: s3.S3) -> str:
    """The URL of the same customers."""
    server.bucket("rows")
    runs.do("put", local / "rows.parquet", "s3://rows/rows.parquet")
    return "s3://rows/rows.parquet"


@pytest.fixture
def bucket(server: s3.S3) -> Iterator[Path]:
    """The directory of a bucket, s3://bucket, with nothing in it."""
    place = server.bucket("bucket")
    yield place
    shutil.rmtree(place)


def visible(bucket: Path) -> list[str]:
    """What a client sees there."""
    return [name for name in names(bucket) if name != ".sgwtmp"]


def check(bucket: Path, local: Path) -> None:
    """Fail unless the output and its rejects are there as they are on the disk, and nothing else is."""
    assert visible(bucket) == ["out.parquet", "out.rejects.parquet"]
    for name in visible(bucket):
        assert predicted(bucket / name) == predicted(local / name)


def test_it_comes_to_what_it_comes_to_on_a_disk(runs: Runs, rows: str, bucket: Path, local: Path) -> None:
    said = runs.well(rows, "s3://bucket/out.parquet")
    assert said == ("343 rows predicted: s3://bucket/out.parquet\n2 rows rejected: s3://bucket/out.rejects.parquet\n")
    check(bucket, local)
    before = (bucket / "out.parquet").read_bytes()
    there = runs(rows, "s3://bucket/out.parquet")
    assert there == Ended(65, "modelroll: s3://bucket/out.parquet is there: say --overwrite to replace it\n")
    assert (bucket / "out.parquet").read_bytes() == before
    runs.well(rows, "s3://bucket/out.parquet", "--overwrite", "--per-class")
    assert "probability_Yes" in pq.read_schema(bucket / "out.parquet").names
    assert visible(bucket) == ["out.parquet", "out.rejects.parquet"]


def test_directories_and_globs_and_csv(runs: Runs, bucket: Path, tmp_path: Path) -> None:
    every = customers(120)
    for day in range(3):
        (tmp_path / "in" / f"day={day}").mkdir(parents=True)
        arrow_csv.write_csv(every.slice(40 * day, 40), tmp_path / "in" / f"day={day}" / "rows.csv")
        runs.do("put", tmp_path / "in" / f"day={day}" / "rows.csv", f"s3://bucket/in/day={day}/rows.csv")
    (bucket / "in" / "_SUCCESS").touch()
    columns = ("--keep", "id,day,contract")
    runs.well(tmp_path / "in", tmp_path / "disk.csv", *columns)
    runs.well("s3://bucket/in/", "s3://bucket/out.csv", *columns)
    kept = [
        arrow_csv.read_csv(place).drop_columns("predicted_at") for place in (tmp_path / "disk.csv", bucket / "out.csv")
    ]
    assert kept[0].num_rows == 120
    assert kept[0].equals(kept[1])
    runs.well("s3://bucket/in/day=[12]/*.csv", tmp_path / "some.parquet", *columns)
    assert pq.read_table(tmp_path / "some.parquet")["id"].to_pylist() == [str(at) for at in range(40, 120)]
    assert visible(bucket) == ["in", "out.csv"]
    within = runs("s3://bucket/in", "s3://bucket/in/out.csv")
    assert within.code == 65
    assert "s3://bucket/in/out.csv lies in the input" in within.said


def test_a_name_is_no_glob(runs: Runs, rows: str, bucket: Path, local: Path) -> None:
    """Such as would match what is another job's."""
    runs.do("put", local / "rows.parquet", "s3://bucket/out1.parquet.parts/_journal.json")
    runs.well(rows, "s3://bucket/out[1].parquet")
    assert visible(bucket) == ["out1.parquet.parts", "out[1].parquet", "out[1].rejects.parquet"]
    assert predicted(bucket / "out[1].parquet") == predicted(local / "out.parquet")
    assert names(bucket / "out1.parquet.parts") == ["_journal.json"]


def test_two_indexes_share_a_job(runs: Runs, rows: str, bucket: Path, local: Path) -> None:
    def share(index: int, *flags: str) -> str:
        return runs.well(rows, "s3://bucket/out.parquet", "--indexes", "2", "--index", str(index), *flags)

    assert share(1, "--run", "a").endswith("2 shards are not finished yet\n")
    assert share(0, "--run", "a").startswith("343 rows predicted: s3://bucket/out.parquet\n")
    assert names(bucket / "out.parquet.parts") == ["_assembled.json"]
    assert "nothing was left to compute" in share(1, "--run", "a")  # its pod was evicted when it had ended
    shutil.rmtree(bucket / "out.parquet.parts")
    check(bucket, local)


def test_parts_are_tidy(runs: Runs, rows: str, bucket: Path, local: Path) -> None:
    """Of a job of before, with more shards, nothing is left among them."""
    restart = ("--indexes", "2", "--parts", "--restart")
    runs.well(rows, "s3://bucket/out.parquet", *restart, "--index", "0", "--run", "a", "--per-class")
    runs.do("put", local / "rows.parquet", "s3://bucket/out.parquet.parts/part-00009.parquet")
    for index in ("0", "1"):
        runs.well(rows, "s3://bucket/out.parquet", *restart, "--index", index, "--run", "b")
    assert visible(bucket) == ["out.parquet.parts"]
    parts = [name for name in names(bucket / "out.parquet.parts") if name.startswith("part-")]
    assert parts == [f"part-0000{at}.parquet" for at in range(4)]
    found = [row for name in parts for row in predicted(bucket / "out.parquet.parts" / name)]
    assert found == predicted(local / "out.parquet")


def test_killed_before_a_change_it_goes_on(runs: Runs, rows: str, bucket: Path, local: Path) -> None:
    """Before a request that would change something in the store; what goes on comes to the same end."""
    for survive in range(0, 1000, EVERY):
        ended = runs(rows, "s3://bucket/out.parquet", "--shard-rows", "200", survive=survive)
        if ended.code == 0:
            break
        assert ended.code == -signal.SIGKILL, ended.said
        again = runs(rows, "s3://bucket/out.parquet", "--shard-rows", "200")
        assert again.code == 0, again.said
        check(bucket, local)
        for left in visible(bucket):
            (bucket / left).unlink()
    assert survive > 15


def test_a_store_that_goes_away_half_way(runs: Runs, server: s3.S3, rows: str, bucket: Path, local: Path) -> None:
    small = ("--shard-rows", "10", "--chunk", "10")
    parts = bucket / "out.parquet.parts"
    runs.begin("batch", rows, "s3://bucket/out.parquet", *FLAGS, *small)
    end = time.monotonic() + 60
    while not (parts / "_shard-00003.json").exists():
        assert time.monotonic() < end
        time.sleep(0.002)
    server.kill()
    gone = runs.end()
    server.start()
    assert gone.code == 1
    assert "Could not connect to the endpoint URL" in gone.said
    assert "run the same command again to go on" in gone.said
    assert "Traceback" not in gone.said
    assert visible(bucket) == ["out.parquet.parts"]
    assert not [name for name in names(parts) if name.startswith("_tmp-")]
    assert "going on: " in runs.well(rows, "s3://bucket/out.parquet", *small)
    check(bucket, local)


REFUSED = "s3://bucket/out.parquet cannot be written: "


@pytest.mark.parametrize(
    ("source", "out", "variables", "code", "sentence"),
    [
        ("s3://none/rows.parquet", "s3://bucket/out.parquet", {}, 65, "nothing is at s3://none/rows.parquet\n"),
        (
            None,
            "s3://none/out.parquet",
            {},
            1,
            "s3://none/out.parquet cannot be written: The specified bucket does not exist. What is finished is kept",
        ),
        (None, None, {"AWS_SECRET_ACCESS_KEY": "wrong"}, 1, f"{REFUSED}The request signature we calculated does not"),
        (None, None, {"AWS_ACCESS_KEY_ID": "nobody"}, 1, f"{REFUSED}The AWS Access Key Id you provided does not"),
        (None, f"s3://bucket/{'x' * 1100}.parquet", {}, 1, "x.parquet cannot be written: Bad Request. What"),
        (None, None, {"AWS_ACCESS_KEY_ID": None}, 1, "Unable to locate credentials. What is finished is kept"),
    ],
    ids=["no-input", "no-output", "wrong-secret", "nobody", "long-name", "no-credentials"],
)
def test_what_cannot_be_reached_is_said(
    runs: Runs,
    rows: str,
    bucket: Path,
    source: str | None,
    out: str | None,
    variables: dict[str, str | None],
    code: int,
    sentence: str,
) -> None:
    ended = runs(source or rows, out or "s3://bucket/out.parquet", **variables)
    assert ended.code == code
    assert ended.said.startswith("modelroll: ")
    assert sentence in ended.said
    assert ended.said.count("\n") == 1
    assert visible(bucket) == []


def test_who_may_not_remove_is_told_what(runs: Runs, server: s3.S3, local: Path) -> None:
    """What is left over would stand in the way of the next job: it is not passed over."""
    bucket = server.bucket("guarded")
    actions = [f"s3:{name}" for name in ("GetObject", "PutObject", "ListBucket")]
    all_of_it = ["arn:aws:s3:::guarded", "arn:aws:s3:::guarded/*"]
    allowed = {"Effect": "Allow", "Principal": {"AWS": [s3.GUEST]}, "Action": actions, "Resource": all_of_it}
    runs.do("policy", "guarded", json.dumps({"Version": "2012-10-17", "Statement": [allowed]}))
    runs.do("put", local / "rows.parquet", "s3://guarded/rows.parquet")
    for _ in range(2):
        ended = runs("s3://guarded/rows.parquet", "s3://guarded/out.parquet", AWS_ACCESS_KEY_ID=s3.GUEST)
        assert ended.code == 1
        assert ".json cannot be removed: Access Denied\n" in ended.said
    assert predicted(bucket / "out.parquet") == predicted(local / "out.parquet")
    said = runs.well("s3://guarded/rows.parquet", "s3://guarded/out.parquet")
    assert said.startswith("343 rows predicted")
    assert visible(bucket) == ["out.parquet", "out.rejects.parquet", "rows.parquet"]


def test_an_input_that_may_not_be_read(runs: Runs, rows: str, tmp_path: Path) -> None:
    ended = runs(rows, tmp_path / "out.parquet", AWS_SECRET_ACCESS_KEY="wrong")
    assert ended.code == 1
    assert ended.said.startswith(f"modelroll: {rows} cannot be read: The request signature we calculated does not")
    assert names(tmp_path) == []


PIECES = {"FSSPEC_S3": json.dumps({"default_block_size": 5 * 2**20})}  # the smallest that there are


def test_an_output_that_is_uploaded_in_pieces(runs: Runs, bucket: Path, local: Path, tmp_path: Path) -> None:
    """Killed before one is whole, be it a part or the output, it is not there; what goes on comes to the same end."""
    noise = customers(345).append_column("noise", pa.array([os.urandom(10_000).hex() for _ in range(345)]))
    pq.write_table(noise, tmp_path / "rows.parquet")
    arguments = (tmp_path / "rows.parquet", "s3://bucket/out.parquet", "--shard-rows", "1000")
    for number in range(2):
        killed = runs(*arguments, survive=number, operations=["Complete"], **PIECES)
        assert killed.code == -signal.SIGKILL, killed.said
        assert [name for name in names(bucket / "out.parquet.parts") if "part-" in name] == ["part-00000.parquet"][
            :number
        ]
        assert "out.parquet" not in visible(bucket)
        assert runs.uploads("bucket")
    runs.well(*arguments, **PIECES)
    assert visible(bucket) == ["out.parquet", "out.rejects.parquet"]
    found = pq.read_table(bucket / "out.parquet").drop_columns("predicted_at")
    assert found.column("noise").equals(noise.take([at for at in range(345) if at not in BAD]).column("noise"))
    assert found.drop_columns("noise").to_pylist() == predicted(local / "out.parquet")


def test_a_shard_that_fails_half_way_leaves_nothing(runs: Runs, bucket: Path, tmp_path: Path) -> None:
    """Nor an upload that was begun: stores keep those, unseen, and are paid for it."""
    wide = [os.urandom(25_000).hex() + "x" * 400_000 for _ in range(160)]  # a row group before the first bad row
    pq.write_table(customers(160).append_column("noise", pa.array(wide)), tmp_path / "rows.parquet")
    flags = ("--shard-rows", "1000", "--bad-rows", "fail")
    failed = runs(tmp_path / "rows.parquet", "s3://bucket/out.parquet", *flags, **PIECES)
    assert failed.code == 65, failed.said
    assert names(bucket / "out.parquet.parts") == ["_journal.json"]
    assert runs.uploads("bucket") == []


def test_an_output_that_cannot_be_put_together_leaves_nothing(runs: Runs, server: s3.S3, tmp_path: Path) -> None:
    bucket = server.bucket("refused")
    noise = customers(345).append_column("noise", pa.array([os.urandom(20_000).hex() for _ in range(345)]))
    pq.write_table(noise, tmp_path / "rows.parquet", row_group_size=100)
    runs.well(tmp_path / "rows.parquet", "s3://refused/out.parquet", "--parts")
    whom = {"Principal": {"AWS": [s3.GUEST]}, "Action": ["s3:*"]}
    all_of_it = {**whom, "Effect": "Allow", "Resource": ["arn:aws:s3:::refused", "arn:aws:s3:::refused/*"]}
    last = {**whom, "Effect": "Deny", "Resource": ["arn:aws:s3:::refused/out.parquet.parts/part-00003.parquet"]}
    runs.do("policy", "refused", json.dumps({"Version": "2012-10-17", "Statement": [all_of_it, last]}))
    failed = runs(tmp_path / "rows.parquet", "s3://refused/out.parquet", AWS_ACCESS_KEY_ID=s3.GUEST, **PIECES)
    assert failed.code == 1
    assert "s3://refused/out.parquet cannot be written: Forbidden" in failed.said
    assert visible(bucket) == ["out.parquet.parts", "out.rejects.parquet"]
    assert runs.uploads("refused") == []
