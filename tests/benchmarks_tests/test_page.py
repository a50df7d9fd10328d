"""Plots and the generated part of docs/performance.md."""

from pathlib import Path

import benchmarks_tests.runs as a
from benchmarks import page, peers, plots, ratios, results, subjects

OURS, BARE = "modelroll compiled", "bare uvicorn"


def two_subjects() -> results.Run:
    """Two subjects at two numbers of connections."""
    return a.run(
        *(a.sample(0, BARE, rate, connections=number) for number, rate in ((1, 3000), (64, 12_000))),
        *(a.sample(0, OURS, rate, connections=number) for number, rate in ((1, 2000), (64, 10_000))),
        *(a.sample(1, OURS, rate, connections=number) for number, rate in ((1, 2200), (64, 10_400))),
    )


def test_a_line_has_the_medians_by_connections_and_the_fastest_comes_first() -> None:
    lines = plots.lines(two_subjects(), ratios.rate, "logistic")
    assert lines == [(BARE, [1, 64], [3000, 12_000]), (OURS, [1, 64], [2100, 10_200])]


def test_what_was_never_measured_is_not_drawn() -> None:
    assert plots.lines(two_subjects(), ratios.rate, "forest") == []


def test_the_same_run_is_drawn_with_the_same_bytes(tmp_path: Path) -> None:
    plots.write(two_subjects(), "logistic", tmp_path / "one.svg")
    plots.write(two_subjects(), "logistic", tmp_path / "two.svg")
    drawn = (tmp_path / "one.svg").read_bytes()
    assert drawn == (tmp_path / "two.svg").read_bytes()
    assert drawn.startswith(b"<?xml")


def test_the_page_says_what_was_measured_on_what() -> None:
    text = page.text(two_subjects(), "benchmarks/results/run.json")
    for said in ("a processor, 2 cores", "benchmarks/results/run.json", "what bare uvicorn is", "python 3.11.7"):
        assert said in text


def test_the_page_in_the_tree_has_its_marks() -> None:
    text = page.PAGE.read_text()
    assert text.count(page.BEGIN) == text.count(page.END) == 1


def test_every_peer_has_its_pinned_environment() -> None:
    asked = peers.requirements()
    assert {one.peer for one in subjects.ALL if one.peer} == set(asked)
    for name, wanted in asked.items():
        assert any("==" in one for one in wanted if name in one), wanted
