"""Where the time of a request goes, read from what py-spy and the server say."""

import pytest

from benchmarks import profile

STACKS = [
    "main (bare.py:40);run (uvicorn/server.py:60);data_received (/x/site-packages/uvicorn/protocols/http/h.py:10) 60",
    "main (bare.py:40);run (uvicorn/server.py:60);data_received (/x/site-packages/uvicorn/protocols/http/h.py:20) 15",
    "main (bare.py:40);run (uvicorn/server.py:60);predict (/r/service/src/modelroll_server/inference.py:7) 25",
    "process 12:server 3",
]


def test_time_is_counted_where_the_innermost_frame_stands() -> None:
    files, functions = profile.shares(STACKS)
    assert files == {"uvicorn/protocols/http/h.py": 0.75, "modelroll_server/inference.py": 0.25}
    assert functions["modelroll_server/inference.py: predict"] == 0.25
    assert next(iter(functions)) == "uvicorn/protocols/http/h.py: data_received"


def test_no_samples_are_no_shares() -> None:
    assert profile.shares([]) == ({}, {})


def test_the_phases_of_a_request_are_the_means_between_two_looks() -> None:
    text = (
        'prediction_phase_seconds_bucket{{le="0.001",phase="decode"}} 3.0\n'
        'prediction_phase_seconds_count{{phase="decode"}} {count}\n'
        'prediction_phase_seconds_sum{{phase="decode"}} {total}\n'
    )
    before = profile.phases(text.format(count="10.0", total="0.5"))
    after = profile.phases(text.format(count="1.001e+03", total="0.50991"))
    assert before == {"decode": (0.5, 10.0)}
    assert profile.per_request(before, after, "decode") == pytest.approx(10.0)


def test_a_server_without_phases_has_none() -> None:
    assert profile.phases('{"prediction":1}') == {}
