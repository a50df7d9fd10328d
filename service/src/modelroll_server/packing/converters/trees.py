"""Trees and sums of trees, exactly: thresholds compared in float64, leaves added in scikit-learn's order.

scikit-learn casts what a tree reads to float32 and compares that with thresholds of float64; histogram gradient
boosting compares float64 with float64. ONNX Runtime's tree kernel for doubles does both, given the cast before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import numpy_helper

from modelroll_server.packing.converters.frame import Frame
from modelroll_server.packing.converters.registry import Answers, CannotCompile, predictor
from modelroll_server.packing.graph import ML, Graph, Value
from modelroll_server.tensors import Array

_MAX_LEAVES = 20_000_000  # leaf values, of all trees and targets together: beyond, the file would not fit a protobuf


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree, a row of each array a node, the root first.

    Attributes:
        feature: Which column a node asks about.
        threshold: Up to which values go left.
        left: Where they go; -1 at a leaf.
        right: Where the others go.
        missing_left: Whether NaN goes left.
        value: What a leaf adds, [nodes, targets].
    """

    feature: Array
    threshold: Array
    left: Array
    right: Array
    missing_left: Array
    value: Array


def ensemble(graph: Graph, values: Value, trees: Sequence[Tree]) -> Value:
    """The sum over the trees of the leaves that each row ends in: float64 [rows, columns] to [rows, targets].

    The sum runs from the first tree to the last, as scikit-learn's does: where two classes are equally probable, the
    last bit of it decides.
    """
    targets = trees[0].value.shape[1]
    leaves = np.concatenate([tree.value[tree.left < 0] for tree in trees]).astype(np.float64)
    if leaves.size > _MAX_LEAVES:
        raise CannotCompile(f"{leaves.shape[0]:,} leaves with {targets} values each are more than a file of ONNX holds")
    if ((leaves != 0).sum(axis=1) <= 1).all():
        # A leaf of a tree in ONNX adds to one target: here it need not add to more.
        target = (leaves != 0).argmax(axis=1)
        return _sum(graph, values, trees, targets, target, leaves[np.arange(len(leaves)), target])
    # Else a tree says which leaf it was, and the leaves' values are looked up and added.
    owner = np.repeat(np.arange(len(trees)), [int((tree.left < 0).sum()) for tree in trees])
    found = _sum(graph, values, trees, len(trees), owner, np.arange(len(leaves), dtype=np.float64))
    added = graph.op("Gather", graph.constant(leaves), found.cast(np.int64), axis=0)
    return graph.sum(added, keep=False)


def _sum(graph: Graph, values: Value, trees: Sequence[Tree], targets: int, target: Array, weight: Array) -> Value:
    """Trees as `TreeEnsemble` of ai.onnx.ml 5 has them: branches and leaves are counted each on their own."""
    parts, roots, branches, leaves = [], [], 0, 0
    for tree in trees:
        made = _branches(tree, branches, leaves)
        roots.append(branches)
        parts.append(made)
        branches += len(made[0])
        leaves += int((tree.left < 0).sum())
    feature, threshold, left, left_leaf, right, right_leaf, missing = (
        np.concatenate(arrays) for arrays in zip(*parts, strict=True)
    )
    return graph.op(
        "TreeEnsemble",
        values,
        domain=ML,
        dtype=np.float64,
        n_targets=targets,
        aggregate_function=1,
        tree_roots=roots,
        nodes_featureids=feature.astype(np.int64).tolist(),
        nodes_modes=numpy_helper.from_array(np.zeros(len(feature), np.uint8), "modes"),
        nodes_splits=numpy_helper.from_array(threshold.astype(np.float64), "thresholds"),
        nodes_truenodeids=left.tolist(),
        nodes_trueleafs=left_leaf.tolist(),
        nodes_falsenodeids=right.tolist(),
        nodes_falseleafs=right_leaf.tolist(),
        nodes_missing_value_tracks_true=missing.astype(np.int64).tolist(),
        leaf_targetids=target.tolist(),
        leaf_weights=numpy_helper.from_array(weight, "leaves"),
    )


def _branches(tree: Tree, first_branch: int, first_leaf: int) -> tuple[Array, ...]:
    leaf = tree.left < 0
    if leaf[0]:  # a tree of one leaf: a branch that leads there either way
        zero, leads = np.zeros(1, np.int64), np.array([first_leaf])
        return zero, zero, leads, zero + 1, leads, zero + 1, zero
    number = np.where(leaf, np.cumsum(leaf) - 1 + first_leaf, np.cumsum(~leaf) - 1 + first_branch)
    asks = np.flatnonzero(~leaf)
    left, right = tree.left[asks].astype(np.int64), tree.right[asks].astype(np.int64)
    is_leaf = leaf.astype(np.int64)
    arrays = (tree.feature[asks], tree.threshold[asks], number[left], is_leaf[left], number[right], is_leaf[right])
    return (*arrays, np.asarray(tree.missing_left)[asks])


def as_trees_see_it(frame: Frame) -> Value:
    """The columns, rounded to float32 as scikit-learn's trees do, in float64."""
    return frame.numbers().cast(np.float32).cast(np.float64)


def structure(fitted: Any, value: Array) -> Tree:
    """A tree of `sklearn.tree` (its `tree_`) with these values of its nodes, [nodes, targets]."""
    left = np.asarray(fitted.children_left)
    missing = getattr(fitted, "missing_go_to_left", None)
    missing_left = np.zeros(len(left)) if missing is None else np.asarray(missing)
    arrays = (np.asarray(fitted.feature), np.asarray(fitted.threshold), left, np.asarray(fitted.children_right))
    return Tree(*arrays, missing_left, value)


def class_shares(fitted: Any) -> Array:
    """P(class) at each node of a classifier's `tree_`, [nodes, outputs, classes] (shares since 1.3, counts before)."""
    value = np.asarray(fitted.value, np.float64)
    total = value.sum(axis=2, keepdims=True)
    return value if np.allclose(total, 1.0) else value / np.where(total == 0.0, 1.0, total)


def _averaged(graph: Graph, estimator: Any) -> list[Any]:
    return list(estimator.estimators_) if hasattr(estimator, "estimators_") else [estimator]


@predictor("DecisionTreeRegressor", "ExtraTreeRegressor", "RandomForestRegressor", "ExtraTreesRegressor")
def regressor(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """One tree, or the mean of many."""
    grown = _averaged(graph, estimator)
    trees = [structure(one.tree_, np.asarray(one.tree_.value)[:, :, 0]) for one in grown]
    total = ensemble(graph, as_trees_see_it(frame), trees)
    mean = total if len(grown) == 1 else total / float(len(grown))
    return Answers(mean.reshape(-1) if estimator.n_outputs_ == 1 else mean)


@predictor("DecisionTreeClassifier", "ExtraTreeClassifier", "RandomForestClassifier", "ExtraTreesClassifier")
def classifier(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """One tree, or the mean of many; the label is the first of the most probable."""
    values, grown = as_trees_see_it(frame), _averaged(graph, estimator)
    counts = [estimator.n_classes_] if estimator.n_outputs_ == 1 else list(estimator.n_classes_)
    probabilities = []
    for output, count in enumerate(counts):
        trees = [structure(one.tree_, class_shares(one.tree_)[:, output, : int(count)]) for one in grown]
        total = ensemble(graph, values, trees)
        probabilities.append(total if len(grown) == 1 else total / float(len(grown)))
    indexes = [graph.argmax(probability) for probability in probabilities]
    if len(counts) == 1:
        return Answers(indexes[0], probabilities[0])
    return Answers(graph.concat([index.reshape(-1, 1) for index in indexes]), probabilities)


@predictor("IsolationForest")
def isolation_forest(graph: Graph, estimator: Any, frame: Frame) -> Answers:
    """How early a row is alone, on average: Liu, Ting and Zhou, Isolation Forest, 2008."""
    trees = []
    for one, features in zip(estimator.estimators_, estimator.estimators_features_, strict=True):
        fitted = one.tree_
        depth = np.zeros(fitted.node_count)
        for node in range(fitted.node_count):
            if fitted.children_left[node] >= 0:
                depth[[fitted.children_left[node], fitted.children_right[node]]] = depth[node] + 1
        length = depth + _path_length(np.asarray(fitted.n_node_samples))
        tree = structure(fitted, length[:, None])
        of_all = np.where(tree.left < 0, 0, np.asarray(features)[np.maximum(tree.feature, 0)])
        trees.append(Tree(of_all, tree.threshold, tree.left, tree.right, tree.missing_left, tree.value))
    depths = ensemble(graph, as_trees_see_it(frame), trees)
    longest = float(len(trees) * _path_length(np.array([estimator._max_samples]))[0])  # noqa: SLF001 - nowhere else
    exponent = -(depths / longest if longest else depths)
    score = -graph.op("Pow", graph.constant(2.0), exponent) - float(estimator.offset_)
    return outlier(graph, score)


def outlier(graph: Graph, score: Value) -> Answers:
    """Inlier 1 where the score is not negative, outlier -1 elsewhere."""
    flat = score.reshape(-1)
    return Answers(graph.where(flat.at_least(0.0), 1, -1, np.int64), score=flat)


def _path_length(samples: Array) -> Array:
    """The mean length of a path in a tree of so many samples, by Liu, Ting and Zhou, equation 1."""
    count = samples.astype(np.float64)
    many = 2.0 * (np.log(np.maximum(count, 2) - 1.0) + np.euler_gamma) - 2.0 * (count - 1.0) / np.maximum(count, 1)
    return np.asarray(np.where(count <= 1, 0.0, np.where(count == 2, 1.0, many)))
