"""Fitted estimators of scikit-learn as ONNX graphs, a family a module.

Owns what each family computes. May import the graph; must not know manifests, files or the runtime that will answer.
"""

from modelroll_server.packing.converters import (
    bayes,
    boosting,
    centroids,
    composing,
    distances,
    encoding,
    ensembles,
    kernels,
    linear,
    multiclass,
    networks,
    outliers,
    propagation,
    scaling,
    text,
    trees,
)

__all__ = [
    "bayes",
    "boosting",
    "centroids",
    "composing",
    "distances",
    "encoding",
    "ensembles",
    "kernels",
    "linear",
    "multiclass",
    "networks",
    "outliers",
    "propagation",
    "scaling",
    "text",
    "trees",
]
