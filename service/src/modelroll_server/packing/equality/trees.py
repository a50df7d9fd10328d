"""The trees anywhere within an estimator: their thresholds, and the features that reach them.

Knows how scikit-learn stores a tree, and nothing of what stands before it: it listens to what arrives.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelroll_server.runtimes import estimators
from modelroll_server.runtimes.base import Runtime
from modelroll_server.tensors import Array, Table

_METHODS = ("predict", "predict_proba", "decision_function", "apply", "decision_path")


@dataclass(frozen=True, slots=True)
class Nodes:
    """The nodes of one tree.

    Attributes:
        feature: What each compares, [nodes].
        threshold: With what, as float64: a row goes left if its feature is not greater.
        left: The node to the left, -1 for a leaf.
        right: The node to the right.
        missing_left: Whether a missing value goes left.
        ordered: Whether it compares numbers at all: some nodes look into a set of categories.
    """

    feature: Array
    threshold: Array
    left: Array
    right: Array
    missing_left: Array
    ordered: Array


@dataclass(frozen=True, slots=True)
class View:
    """Trees that look at the same features.

    Attributes:
        trees: Each of them.
        listener: The part of the estimator that is called with the features.
        single: Whether the trees compare in float32, as all but those of HistGradientBoosting do.
    """

    trees: Sequence[Nodes]
    listener: Any
    single: bool

    def features(self, runtime: Runtime, table: Table) -> Array:
        """The features of these rows, [rows, features], as the trees compare them; those in float32 are exact in it."""
        heard = next(iter(hear(runtime, table, [self.listener], stop=True).values()))
        with np.errstate(over="ignore"):
            return heard.astype(np.float32).astype(np.float64) if self.single else heard


class _Heard(Exception):
    """What was wanted has arrived: the rest need not be computed."""


def views(estimator: Any, runtime: Runtime, probe: Table) -> list[View]:
    """The trees within, those together that are given the same features of the probing rows."""
    holders = list(_holders(estimator))
    heard = hear(runtime, probe, [listener for listener, _, _ in holders])
    found: dict[tuple[bytes, bool], View] = {}
    for listener, trees, single in holders:
        features = heard.get(id(listener))
        if features is None:
            continue  # a tree that no answer asks
        key = (features.tobytes(), single)
        seen = found.get(key)
        found[key] = View([*(seen.trees if seen else ()), *trees], seen.listener if seen else listener, single)
    return list(found.values())


def has_trees(estimator: Any) -> bool:
    """Whether there is any tree within."""
    return next(_holders(estimator), None) is not None


def reached(tree: Nodes, features: Array, order: Array) -> Array:
    """Of each node, the index of a row that comes to it, -1 where none does; of many, the last in `order`."""
    found = np.full(len(tree.left), -1, np.int64)
    rows, at = order, np.zeros(len(order), np.int64)
    while len(rows):
        found[at] = rows
        inner = (tree.left[at] >= 0) & tree.ordered[at]
        rows, at = rows[inner], at[inner]
        values = features[rows, tree.feature[at]]
        goes_left = np.where(np.isnan(values), tree.missing_left[at], values <= tree.threshold[at])
        at = np.where(goes_left, tree.left[at], tree.right[at])
    return found


def hear(runtime: Runtime, table: Table, listeners: Sequence[Any], *, stop: bool = False) -> dict[int, Array]:
    """What each listener is given when the runtime answers the table, by its id.

    Args:
        runtime: Calls the estimator that the listeners are parts of.
        table: The rows.
        listeners: Parts of the estimator. They are changed while it answers, and as before afterwards.
        stop: End when the first is called.
    """
    heard: dict[int, Array] = {}

    def hears(listener: Any) -> Callable[[Any], None]:
        def note(given: Any) -> None:
            if id(listener) not in heard:
                features = _dense(given)
                if len(features) == table.rows:
                    heard[id(listener)] = features
                    if stop:
                        raise _Heard

        return note

    with suppress(_Heard), _attached([(listener, hears(listener)) for listener in listeners]):
        runtime.predict(table)
    return heard


@contextmanager
def _attached(listeners: Sequence[tuple[Any, Callable[[Any], None]]]) -> Iterator[None]:
    attached: list[tuple[Any, str]] = []
    try:
        for listener, note in listeners:
            for name in _METHODS:
                if name not in vars(listener) and callable(method := getattr(listener, name, None)):
                    setattr(listener, name, _noting(method, note))
                    attached.append((listener, name))
        yield
    finally:
        for listener, name in attached:
            delattr(listener, name)


def _noting(method: Callable[..., Any], note: Callable[[Any], None]) -> Callable[..., Any]:
    def call(given: Any, *arguments: Any, **named: Any) -> Any:
        note(given)
        return method(given, *arguments, **named)

    return call


def _dense(given: Any) -> Array:
    """Features as a float64 array, [rows, features], whatever held them."""
    plain = given.toarray() if hasattr(given, "toarray") else given
    return np.asarray(plain, np.float64)


def _holders(estimator: Any) -> Iterator[tuple[Any, list[Nodes], bool]]:
    """What is called with features, its trees, and whether these compare in float32."""
    within: set[int] = set()  # trees that are read by what holds them, and never called
    trees: list[Any] = []
    for part in estimators.parts(estimator):
        attributes = vars(part)
        if "_predictors" in attributes:
            predictors = [one for stage in part._predictors for one in stage]  # noqa: SLF001 - stored nowhere else
            if predictors:
                yield predictors[0], [_of_histogram(one.nodes) for one in predictors], False
        elif isinstance(attributes.get("estimators_"), np.ndarray) and hasattr(part, "learning_rate"):
            members = [one for one in part.estimators_.ravel() if hasattr(one, "tree_")]
            within.update(id(one) for one in members)
            yield part, [_of_tree(one.tree_) for one in members], True
        elif "tree_" in attributes and hasattr(part.tree_, "children_left"):
            trees.append(part)
    for tree in trees:
        if id(tree) not in within:
            yield tree, [_of_tree(tree.tree_)], True


def _of_tree(tree: Any) -> Nodes:
    left = np.asarray(tree.children_left, np.int64)
    missing = getattr(tree, "missing_go_to_left", None)
    return Nodes(
        feature=np.asarray(tree.feature, np.int64),
        threshold=np.asarray(tree.threshold, np.float64),
        left=left,
        right=np.asarray(tree.children_right, np.int64),
        missing_left=np.zeros(len(left), bool) if missing is None else np.asarray(missing, bool),
        ordered=np.ones(len(left), bool),
    )


def _of_histogram(nodes: Array) -> Nodes:
    leaf = nodes["is_leaf"].astype(bool)
    return Nodes(
        feature=nodes["feature_idx"].astype(np.int64),
        threshold=nodes["num_threshold"].astype(np.float64),
        left=np.where(leaf, -1, nodes["left"].astype(np.int64)),
        right=nodes["right"].astype(np.int64),
        missing_left=nodes["missing_go_to_left"].astype(bool),
        ordered=~nodes["is_categorical"].astype(bool),
    )
