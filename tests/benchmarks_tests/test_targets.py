"""What was asked, beside what a run says."""

import benchmarks_tests.runs as a
from benchmarks import results, tables, targets

PEER = "KServe V1"


def verdict(run: results.Run, what: str) -> targets.Verdict:
    """The one about that."""
    return next(one for one in targets.verdicts(run) if what in one.what)


def test_a_share_of_the_bare_server_is_held_from_its_bound_on() -> None:
    at_bound = a.run(a.sample(0, targets.BARE, 100), a.sample(0, targets.COMPILED, 80))
    below = a.run(a.sample(0, targets.BARE, 100), a.sample(0, targets.COMPILED, 79))
    assert verdict(at_bound, "logistic, compiled, 64 connections, against bare").held is True
    found = verdict(below, "logistic, compiled, 64 connections, against bare")
    assert (found.held, found.measured) == (False, "79%, 79% to 79% in 1 rounds")


def test_nothing_measured_is_neither_held_nor_not() -> None:
    assert {one.held for one in targets.verdicts(a.run())} == {None}
    assert {one.measured for one in targets.verdicts(a.run())} == {None}


def test_the_best_peer_without_errors_is_one_that_failed_nothing() -> None:
    run = a.run(a.sample(0, targets.COMPILED, 1_000), a.sample(0, PEER, 50, refused=1))
    assert verdict(run, "logistic, compiled, 64 connections, against the best peer without").measured is None
    run.samples[1] = a.sample(0, PEER, 50)
    found = verdict(run, "logistic, compiled, 64 connections, against the best peer without")
    assert (found.held, found.measured) == (True, f"20.0× ({PEER}), 20.0× to 20.0× in 1 rounds")


def test_a_run_with_no_peer_but_the_tutorial_says_nothing_of_the_best() -> None:
    run = a.run(a.sample(0, targets.COMPILED, 1_000), a.sample(0, "tutorial FastAPI", 1))
    assert verdict(run, "logistic, compiled, 64 connections, against the best peer without").measured is None


def test_reloads_that_failed_a_request_are_not_held_however_fast() -> None:
    calm = results.Latency(1, 2, 10, 20)
    run = a.run()
    run.reloads = [results.Reloads("churn", 500, 1, calm, calm, [100.0], [130.0] * 400 + [101.0] * 100, 60.0, 0.5)]
    assert verdict(run, "p99 during").held is False
    assert verdict(run, "growth").held is True
    assert verdict(run, "one after the other: growth").held is None
    assert "130.0" in tables.reloads(run)


def test_a_run_reads_as_tables() -> None:
    run = a.run(a.sample(0, targets.BARE, 1000), a.sample(0, targets.COMPILED, 500))
    run.absent = [results.Absent("a peer", "logistic", "it does not install:\nfor a long reason")]
    text = tables.throughput(run, "logistic")
    assert "| modelroll compiled | 500" in text
    assert "50.0%" in text
    assert "a peer is not measured: it does not install:\n" in text
