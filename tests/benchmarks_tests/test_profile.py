"""Where the time of a request goes, read from what py-spy and the server say."""

import pytest

import benchmarks_tests.runs as a
from benchmarks import profile, tables

STACKS = [
    "main (bare.py:40);run (uvicorn/server.py:60);data_received (/x/site-packages/uvicorn/protocols/http/h.py:10) 60",
    "main (bare.py:40);run (uvicorn/server.py:60);data_received (/x/site-packages/uvicorn/protocols/http/h.py:20) 15",
    "main (bare.py:40);run (uvicorn/server.py:60);predict (/r/service/src/modelroll_server/inference.py:7) 25",
    "_bootstrap (threading.py:995);_worker (concurrent/futures/thread.py:81) 500",
    "process 12:server 3",
]


def test_time_is_counted_where_the_innermost_frame_stands() -> None:
    files, functions = profile.shares(STACKS)
    assert files == {"uvicorn/protocols/http/h.py": 0.75, "modelroll_server/inference.py": 0.25}
    assert functions["modelroll_server/inference.py: predict"] == 0.25
    assert next(iter(functions)) == "uvicorn/protocols/http/h.py: data_received"


def test_a_module_of_python_is_named_alike_whatever_the_version_of_python() -> None:
    files, _ = profile.shares(["decode (/usr/lib/python3.12/json/decoder.py:3) 1", "decode (json/decoder.py:3) 1"])
    assert files == {"json/decoder.py": 1.0}


def test_no_samples_are_no_shares() -> None:
    assert profile.shares([]) == ({}, {})


def test_phases_are_the_means_between_two_looks() -> None:
    text = (
        'prediction_phase_seconds_bucket{{le="0.001",phase="decode"}} 3.0\n'
        'prediction_phase_seconds_count{{phase="decode"}} {count}\n'
        'prediction_phase_seconds_sum{{phase="decode"}} {total}\n'
    )
    before = profile.phases(text.format(count="10.0", total="0.5"))
    after = profile.phases(text.format(count="1.001e+03", total="0.50991"))
    assert before == {"decode": (0.5, 10.0)}
    assert profile.mean(before["decode"], after["decode"]) * 1e6 == pytest.approx(10.0)


def test_the_rows_of_a_batch_are_counted_over_all_versions() -> None:
    text = (
        'prediction_batch_rows_bucket{le="1",model="churn",model_version="1.2.0"} 3.0\n'
        'prediction_batch_rows_count{model="churn",model_version="1.2.0"} 3.0\n'
        'prediction_batch_rows_sum{model="churn",model_version="1.2.0"} 60.0\n'
        'prediction_batch_rows_count{model="churn",model_version="2.0.0"} 1.0\n'
        'prediction_batch_rows_sum{model="churn",model_version="2.0.0"} 4.0\n'
    )
    assert profile.mean((0.0, 0.0), profile.batch_rows(text)) == 16.0
    assert profile.batch_rows("") == (0.0, 0.0)


def test_a_phase_is_shown_for_what_it_is_observed_once_of() -> None:
    found = profile.Profile(a.load(80), 60.0, {}, {}, {"decode": 5.0, "queue": 80.0, "infer": 160.0}, 16.0)
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in tables.profile("ours", found).splitlines()]
    assert [line for line in lines if line and line[0] in found.phases] == [
        ["decode", "request", "5.0"],
        ["queue", "batch", "80.0"],
        ["infer", "batch", "160.0"],
        ["infer", "row", "10.0"],
    ]


def test_a_server_without_phases_has_none() -> None:
    assert profile.phases('{"prediction":1}') == {}


def test_what_remains_is_the_cost_above_the_bare_server_by_file() -> None:
    bare = profile.Profile(a.load(100), 40.0, {"transport.py": 1.0}, {}, {}, 0.0)
    ours = profile.Profile(a.load(80), 60.0, {"transport.py": 0.7, "decode.py": 0.3}, {}, {}, 0.0)
    lines = [line.split("|") for line in tables.remains("ours", ours, bare).splitlines()[2:]]
    cells = [(line[1].strip(), line[2].strip()) for line in lines[2:]]
    assert cells == [("all", "+20.0"), ("decode.py", "+18.0"), ("transport.py", "+2.0")]
