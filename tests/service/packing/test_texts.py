"""Compiled models of texts see the words that scikit-learn sees."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from both_runtimes import Both, assert_equal, both, named
from modelroll_server.packing.converters.registry import CannotCompile
from modelroll_server.tensors import Table

SAID = [
    "Great product, would buy again",
    "terrible product; would NOT buy again",
    "Élan très bien",
    "naïve café CAFÉ 2024 x_1",
    "bad bad bad",
    "",
    "STRASSE straße İstanbul",
    "великий ВЕЛИКИЙ 日本語 的",
]
LIKED = np.array([1, 0, 1, 1, 0, 0, 1, 1])
VECTORIZERS = [
    CountVectorizer(),
    CountVectorizer(ngram_range=(1, 3), binary=True),
    CountVectorizer(ngram_range=(2, 2), lowercase=False),
    TfidfVectorizer(),
    TfidfVectorizer(sublinear_tf=True, norm="l1", stop_words=["would", "bad"]),
    TfidfVectorizer(use_idf=False, norm=None, max_features=5),
]


def asked(pair: Both, texts: list[str]) -> None:
    column = np.array(texts, object)
    assert_equal(pair, Table(pair.table.names, (column,), len(texts)))


@pytest.mark.parametrize("vectorizer", VECTORIZERS, ids=named)
def test_compiled_words_are_counted_and_weighted_alike(vectorizer: Any) -> None:
    frame = pd.DataFrame({"text": SAID})
    pair = both(make_pipeline(vectorizer, LogisticRegression()).fit(SAID, LIKED), frame)
    asked(pair, SAID)
    asked(pair, [f"{one}\0{other}" for one, other in zip(SAID, reversed(SAID), strict=True)])
    asked(pair, ["", "...", "a", "product" * 2000, "product " * 2000, "ca\u0301fe", "buy_again", "I\u0307stanbul"])


PAIR = both(make_pipeline(TfidfVectorizer(), SGDClassifier(random_state=0)).fit(SAID, LIKED), pd.DataFrame({"t": SAID}))
KNOWN = st.sampled_from(" ".join(SAID).split())
# Letters that Unicode took in of late are known to one side and not to the other.
ANY = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs", "Cn"]), max_size=5)


@settings(max_examples=60)
@given(st.lists(st.lists(st.one_of(KNOWN, KNOWN.map(str.upper), ANY), max_size=8).map("".join), min_size=1, max_size=8))
def test_words_end_where_scikit_learn_ends_them(texts: list[str]) -> None:
    asked(PAIR, texts)


def test_texts_and_numbers_go_together_into_a_compiled_model() -> None:
    frame = pd.DataFrame({"stars": [5.0, 1.0, 4.0, 4.0, 1.0, 2.0, 5.0, 3.0], "text": SAID})
    steps = ColumnTransformer([("text", TfidfVectorizer(), "text"), ("stars", StandardScaler(), ["stars"])])
    pair = both(make_pipeline(steps, LogisticRegression()).fit(frame, LIKED), frame)
    assert_equal(pair, pair.table)


def test_naive_bayes_of_words_is_compiled() -> None:
    pair = both(make_pipeline(CountVectorizer(), MultinomialNB()).fit(SAID, LIKED), pd.DataFrame({"t": SAID}))
    asked(pair, SAID[::-1])


@pytest.mark.parametrize(
    ("vectorizer", "reason"),
    [
        (CountVectorizer(analyzer="char"), "it finds words in a way of its own"),
        (TfidfVectorizer(token_pattern=r"\S+"), "it finds words in a way of its own"),
        (TfidfVectorizer(strip_accents="unicode"), "it strips accents"),
        (CountVectorizer(ngram_range=(1, 2), stop_words="english"), "it makes runs of words over the stop words"),
    ],
    ids=named,
)
def test_what_the_words_cannot_be_compiled_of_is_said(vectorizer: Any, reason: str) -> None:
    model = make_pipeline(vectorizer, LogisticRegression()).fit(SAID, LIKED)
    with pytest.raises(CannotCompile, match=reason):
        both(model, pd.DataFrame({"t": SAID}))
