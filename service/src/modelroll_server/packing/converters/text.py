"""Texts into counts of words.

Lower case is made before the graph, by Python, as scikit-learn makes it: ONNX Runtime would ask the locale. Words are
found by the pattern that scikit-learn has by default, in the classes of RE2; the two know the same letters and digits
but for those that Unicode took in after the Python at hand.
"""

from typing import Any

import numpy as np

from modelroll_server.packing.converters.frame import Frame
from modelroll_server.packing.converters.registry import CannotCompile, transformer
from modelroll_server.packing.graph import CONTRIB, Graph, Value

_PATTERN = r"(?u)\b\w\w+\b"
_WORDS = r"[\p{L}\p{N}_]{2,}"


@transformer("CountVectorizer")
def count_vectorizer(graph: Graph, estimator: Any, frame: Frame) -> Frame:
    """How often each word, or run of words, is in the text."""
    return Frame.of(_counts(graph, estimator, frame), len(estimator.vocabulary_))


@transformer("TfidfTransformer")
def tfidf_transformer(graph: Graph, estimator: Any, frame: Frame) -> Frame:
    """Counts weighted by how rare a word is."""
    return Frame.of(_weighted(graph, estimator, frame.numbers()), frame.width)


@transformer("TfidfVectorizer")
def tfidf_vectorizer(graph: Graph, estimator: Any, frame: Frame) -> Frame:
    """Both."""
    counts = _counts(graph, estimator, frame)
    return Frame.of(_weighted(graph, estimator._tfidf, counts), len(estimator.vocabulary_))  # noqa: SLF001 - its half


def _counts(graph: Graph, estimator: Any, frame: Frame) -> Value:
    _check(estimator)
    texts = frame.lower_case() if estimator.lowercase else frame.texts()
    if frame.width != 1:
        raise CannotCompile("it reads more than one column")
    words = graph.op(
        "Tokenizer", texts.reshape(-1), domain=CONTRIB, mark=0, mincharnum=1, pad_value="", tokenexp=_WORDS
    )
    graph.declare(words, ["rows", "words"])
    runs = sorted(estimator.vocabulary_, key=lambda run: (run.count(" "), run))
    lengths = [run.count(" ") + 1 for run in runs]
    longest = max(lengths)
    pool = [word for run in runs for word in run.split(" ")]
    starts = [sum(length for length in lengths if length < wanted) for wanted in range(1, longest + 1)]
    counts = graph.op(
        "TfIdfVectorizer",
        words,
        dtype=np.float32,
        mode="TF",
        min_gram_length=min(lengths),
        max_gram_length=longest,
        max_skip_count=0,
        ngram_counts=starts,
        ngram_indexes=[int(estimator.vocabulary_[run]) for run in runs],
        pool_strings=pool,
    ).cast(np.float64)
    return counts.above(0.0).cast(np.float64) if estimator.binary else counts


def _check(estimator: Any) -> None:
    plain = estimator.analyzer == "word" and estimator.tokenizer is None and estimator.preprocessor is None
    if not plain or estimator.token_pattern != _PATTERN:
        raise CannotCompile("it finds words in a way of its own")
    if estimator.strip_accents is not None:
        raise CannotCompile("it strips accents")
    if estimator.stop_words is not None and estimator.ngram_range[1] > 1:
        raise CannotCompile("it makes runs of words over the stop words between them")


def _weighted(graph: Graph, estimator: Any, counts: Value) -> Value:
    values = counts
    if estimator.sublinear_tf:
        some = counts.above(0.0)
        values = graph.where(some, graph.op("Log", graph.where(some, counts, 1.0)) + 1.0, 0.0)
    if estimator.use_idf:
        values = values * np.asarray(estimator.idf_, np.float64)
    if estimator.norm is None:
        return values
    norm = graph.sum(values * values) if estimator.norm == "l2" else graph.sum(graph.op("Abs", values))
    norm = graph.op("Sqrt", norm) if estimator.norm == "l2" else norm
    return values / graph.where(norm.equals(0.0), 1.0, norm)
