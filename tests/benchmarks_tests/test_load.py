"""The load: requests as they go over the wire, and what wrk says about the answers."""

import contextlib
from pathlib import Path

import pytest

import benchmarks_tests.runs as a
from benchmarks import ghz, models, process, results, rounds, subjects, wrk
from benchmarks.subjects import base, tutorial

PRINTED = """Running 2s test @ http://127.0.0.1:8000
  1 threads and 64 connections
Requests/sec:  11684.00

{"answers":23368,"seconds":2.000000,"errors":{"status":3,"connect":0,"read":1,"write":0,"timeout":2},"latency_ms":{"p50":4.0600,"p90":9.0000,"p99":42.5000,"max":51.0000}}
"""


def test_the_result_is_read_from_among_what_wrk_prints() -> None:
    found = wrk.parse(PRINTED)
    assert (found.answers, found.errors.total, found.latency_ms.p99) == (23368, 6, 42.5)
    assert found.rate == (23368 - 3) / 2


def test_a_run_without_a_result_is_said_with_what_was_printed() -> None:
    with pytest.raises(wrk.Unreadable, match="unable to connect"):
        wrk.parse("unable to connect to 127.0.0.1:1 Connection refused\n")


def test_results_come_back_from_their_file_as_they_were(tmp_path: Path) -> None:
    run = a.run(a.sample(0, "bare uvicorn", 100))
    results.write(run, tmp_path / "run.json")
    assert results.read(tmp_path / "run.json") == run


def model_of(rows: list[models.Row], place: Path) -> models.Model:
    """A model that nothing computes: for the bare server."""
    return models.Model(
        name="logistic",
        named=True,
        file=place,
        rows=rows,
        expected=[1] * len(rows),
        texts=frozenset(),
        uncompiled=place,
        compiled=None,
    )


@pytest.mark.needs("wrk")
def test_every_row_reaches_a_server_and_its_answers_are_counted(tmp_path: Path) -> None:
    model = model_of([{"carat": 0.1 * number} for number in range(10)], tmp_path)
    bare = subjects.ALL[0]
    with contextlib.ExitStack() as up:
        server, port = rounds.started(bare, model, tmp_path, up)
        server.wait_until_ready()
        rounds.verify(bare, port, model)
        load = bare.load(port, model, 4, 1, tmp_path)
        assert load.answers > 100
        assert load.errors.total == 0
        assert 0 < load.latency_ms.p50 <= load.latency_ms.p99 <= load.latency_ms.max
        assert server.resident_mib() > 5
        assert server.cpu_seconds() > 0


def test_a_server_that_ends_at_once_is_reported_with_its_log(tmp_path: Path) -> None:
    command = process.Command(["sh", "-c", "echo no such model; exit 3"], 1, "/", {"PATH": "/usr/bin:/bin"})
    server = process.ServerProcess(command, tmp_path / "log")
    with pytest.raises(process.DidNotStart, match="no such model"):
        server.wait_until_ready()
    server.end()


def test_a_wrong_label_is_not_timed(tmp_path: Path) -> None:
    model = model_of([{"carat": 0.2}], tmp_path)

    class Wrong(tutorial.Tutorial):
        def ask(self, _port: int, _model: models.Model, _number: int) -> int:
            return 0

    with pytest.raises(base.WrongAnswer, match="0 where scikit-learn says 1"):
        rounds.verify(Wrong(), 0, model)


REPORT = """{"count": 1000, "total": 2000000000, "average": 9, "fastest": 1, "slowest": 90000000, "rps": 500.0,
"errorDistribution": {"rpc error": 30}, "statusCodeDistribution": {"OK": 970, "DeadlineExceeded": 10, "Internal": 20},
"latencyDistribution": [{"percentage": 50, "latency": 2000000}, {"percentage": 90, "latency": 5000000},
{"percentage": 99, "latency": 40000000}]}"""


def test_calls_that_failed_are_no_answers_and_late_ones_are_counted_apart() -> None:
    found = ghz.parse(REPORT)
    assert (found.rate, found.errors) == (485, results.Errors(status=20, timeout=10))
    assert found.latency_ms == results.Latency(2.0, 5.0, 40.0, 90.0)
    with pytest.raises(wrk.Unreadable, match="no report"):
        ghz.parse("panic: no such method")


@pytest.mark.parametrize("name", ["bare grpc.aio", "bare grpc.aio, stream"])
def test_the_bare_grpc_server_answers(tmp_path: Path, name: str) -> None:
    model = model_of([{"carat": 0.2}], tmp_path)
    bare = next(one for one in subjects.ALL if one.name == name)
    ports = process.free_ports()
    with contextlib.ExitStack() as up:
        server = process.ServerProcess(bare.command(model, ports, tmp_path), tmp_path / "log")
        up.callback(server.end)
        server.wait_until_ready()
        rounds.verify(bare, ports.grpc, model)
        assert bare.ask(ports.grpc, model, 0) == 1
