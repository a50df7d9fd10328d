"""Numbers into numbers: scaled, imputed, selected, combined. All of it in float64, as scikit-learn computes."""

from typing import Any

import numpy as np

from modelroll_server.packing.converters.frame import Frame
from modelroll_server.packing.converters.registry import CannotCompile, transformer
from modelroll_server.packing.graph import Graph, Value
from modelroll_server.tensors import Array

_FUNCTIONS = {"log": "Log", "sqrt": "Sqrt", "exp": "Exp", "absolute": "Abs", "abs": "Abs", "negative": "Neg"}


@transformer("StandardScaler")
def standard_scaler(graph: Graph, estimator: Any, frame: Frame) -> Frame:
    """Less the mean, divided by the deviation."""
    values = frame.numbers()
    if estimator.with_mean:
        values = values - np.asarray(estimator.mean_)
    return Frame.of(values / np.asarray(estimator.scale_) if estimator.with_std else values, frame.width)


@transformer("MinMaxScaler")
def min_max_scaler(graph: Graph, estimator: Any, frame: Frame) -> Frame:
    """Onto a range."""
    values = frame.numbers() * np.asarray(estimator.scale_) + np.asarray(estimator.min_)
    if estimator.clip:
        low, high = estimator.feature_range
        values = _clip(graph, values, low, high)
    return Frame.of(values, frame.width)


@transformer("MaxAbsScaler")
def max_abs_scaler(graph: Graph, estimator: Any, frame: Frame) -> Frame:
    """Divided by the largest magnitude."""
    if getattr(estimator, "clip", False):
        return Frame.of(_clip(graph, frame.numbers() / np.asarray(estimator.scale_), -1.0, 1.0), frame.width)
    return Frame.of(frame.numbers() / np.asarray(estimator.scale_), frame.width)


@transformer("RobustScaler")
def robust_scaler(graph: Graph, estimator: Any, frame: Frame) -> Frame:
    """Less the median, divided by a range of quantiles."""
    values = frame.numbers()
    if estimator.with_centering:
        values = values - np.asarray(estimator.center_)
    return Frame.of(values / np.asarray(estimator.scale_) if estimator.with_scaling else values, frame.width)


@transformer("Normalizer")
def normalizer(graph: Graph, estimator: Any, frame: Frame) -> Frame:
    """Each row divided by its norm; a row of zeros stays."""
    values = frame.numbers()
    if estimator.norm == "l2":
        norm = graph.op("Sqrt", graph.sum(values * values))
    else:
        magnitude = graph.op("Abs", values)
        norm = graph.sum(magnitude) if estimator.norm == "l1" else graph.reduce("Max", magnitude)
    return Frame.of(values / graph.where(norm.equals(0.0), 1.0, norm), frame.width)


@transformer("Binarizer")
def binarizer(graph: Graph, estimator: Any, frame: Frame) -> Frame:
    """1 above a threshold."""
    return Frame.of(frame.numbers().above(float(estimator.threshold)).cast(np.float64), frame.width)


@transformer("SimpleImputer")
def simple_imputer(graph: Graph, estimator: Any, frame: Frame) -> Frame:
    """What is missing is replaced; with an indicator, columns follow that say where."""
    if any(column.is_text for column in frame.columns):
        return _impute_texts(graph, estimator, frame)
    values = frame.numbers()
    absent = _absent(graph, values, estimator.missing_values)
    statistics = np.asarray(estimator.statistics_, np.float64)
    kept = np.flatnonzero(~np.isnan(statistics)) if not _keeps_empty(estimator) else np.arange(frame.width)
    filled = graph.where(absent, np.nan_to_num(statistics), values)
    made = Frame.of(filled, frame.width).select(kept.tolist())
    if not estimator.add_indicator:
        return made
    indicated = absent.cast(np.float64).take(np.asarray(estimator.indicator_.features_))
    return Frame(graph, [*made.columns, *Frame.of(indicated, len(estimator.indicator_.features_)).columns])


@transformer("MissingIndicator")
def missing_indicator(graph: Graph, estimator: Any, frame: Frame) -> Frame:
    """1 where a value is missing."""
    absent = _absent(graph, frame.numbers(), estimator.missing_values).cast(np.float64)
    return Frame.of(absent.take(np.asarray(estimator.features_)), len(estimator.features_))


@transformer("KBinsDiscretizer")
def bins(graph: Graph, estimator: Any, frame: Frame) -> Frame:
    """Which bin: how many of the inner edges are not above the value."""
    values = frame.numbers()
    codes = []
    for index, edges in enumerate(estimator.bin_edges_):
        inner = np.asarray(edges, np.float64)[1:-1]
        column = values.take([index])
        codes.append(graph.sum(column.at_least(inner).cast(np.float64)) if len(inner) else column * 0.0)
    together = graph.concat(codes)
    if estimator.encode == "ordinal":
        return Frame.of(together, frame.width)
    counts = [int(count) for count in estimator.n_bins_]
    wanted = np.concatenate([np.arange(count) for count in counts]).astype(np.float64)
    hot = together.take(np.repeat(np.arange(len(counts)), counts)).equals(wanted)
    return Frame.of(hot.cast(np.float64), len(wanted))


@transformer("PolynomialFeatures")
def polynomial(graph: Graph, estimator: Any, frame: Frame) -> Frame:
    """Products of powers: each is one of lower degree times a column."""
    values = frame.numbers()
    powers = np.asarray(estimator.powers_)
    columns = []
    for row in powers:
        product: Value | None = None
        for index in np.repeat(np.arange(frame.width), row):
            factor = values.take([int(index)])
            product = factor if product is None else product * factor
        columns.append(values.take([0]) * 0.0 + 1.0 if product is None else product)
    return Frame.of(graph.concat(columns), len(powers))


@transformer("PowerTransformer")
def power_transformer(graph: Graph, estimator: Any, frame: Frame) -> Frame:
    """Yeo and Johnson's power, or Box and Cox's."""
    values, exponent = frame.numbers(), np.asarray(estimator.lambdas_, np.float64)
    if estimator.method == "yeo-johnson":
        above, below = exponent, 2.0 - exponent
        positive = _power_of(graph, graph.op("Max", values, 0.0) + 1.0, above)
        negative = -_power_of(graph, graph.op("Max", -values, 0.0) + 1.0, below)
        made = graph.where(values.at_least(0.0), positive, negative)
    else:
        made = _power_of(graph, values, exponent)
    if estimator.standardize:
        scaler = estimator._scaler  # noqa: SLF001 - nowhere else
        made = (made - np.asarray(scaler.mean_)) / np.asarray(scaler.scale_)
    return Frame.of(made, frame.width)


@transformer("FunctionTransformer")
def function_transformer(graph: Graph, estimator: Any, frame: Frame) -> Frame:
    """The functions of numpy that ONNX has; any other is Python."""
    function = estimator.func
    if function is None:
        return frame
    name = getattr(function, "__name__", "")
    if not isinstance(function, np.ufunc) or estimator.kw_args:
        raise CannotCompile(f"it calls {name or 'a function'}")
    if name == "log1p":
        return Frame.of(graph.op("Log", frame.numbers() + 1.0), frame.width)
    if name == "square":
        return Frame.of(frame.numbers() * frame.numbers(), frame.width)
    if name not in _FUNCTIONS:
        raise CannotCompile(f"it calls numpy.{name}")
    return Frame.of(graph.op(_FUNCTIONS[name], frame.numbers()), frame.width)


@transformer(
    "GenericUnivariateSelect",
    "RFE",
    "RFECV",
    "SelectFdr",
    "SelectFpr",
    "SelectFromModel",
    "SelectFwe",
    "SelectKBest",
    "SelectPercentile",
    "SequentialFeatureSelector",
    "VarianceThreshold",
)
def selector(graph: Graph, estimator: Any, frame: Frame) -> Frame:
    """Some of the columns."""
    return frame.select(estimator.get_support(indices=True).tolist())


@transformer("PCA", "IncrementalPCA", "TruncatedSVD", "FastICA")
def projection(graph: Graph, estimator: Any, frame: Frame) -> Frame:
    """Less the mean, times the components."""
    values = frame.numbers()
    mean = getattr(estimator, "mean_", None)
    components = np.asarray(estimator.components_, np.float64)
    if mean is not None:
        values = values - np.asarray(mean)
    made = values @ np.ascontiguousarray(components.T)
    if type(estimator).__name__ != "FastICA" and getattr(estimator, "whiten", False):
        scale = np.sqrt(np.asarray(estimator.explained_variance_))
        made = made / np.maximum(scale, np.finfo(scale.dtype).eps)
    return Frame.of(made, len(components))


def inverse(graph: Graph, estimator: Any, values: Value) -> Value:
    """The way back of a transformer of one column."""
    name = type(estimator).__name__
    if name == "FunctionTransformer":
        way = getattr(estimator.inverse_func, "__name__", "")
        if estimator.inverse_func is None:
            return values
        if not isinstance(estimator.inverse_func, np.ufunc) or way not in {*_FUNCTIONS, "expm1"}:
            raise CannotCompile(f"it calls {way or 'a function'}")
        return graph.op("Exp", values) - 1.0 if way == "expm1" else graph.op(_FUNCTIONS[way], values)
    if name == "StandardScaler":
        scaled = values * np.asarray(estimator.scale_) if estimator.with_std else values
        return scaled + np.asarray(estimator.mean_) if estimator.with_mean else scaled
    if name == "MinMaxScaler":
        return (values - np.asarray(estimator.min_)) / np.asarray(estimator.scale_)
    raise CannotCompile(f"there is no converter for the way back of a {name}")


def _impute_texts(graph: Graph, estimator: Any, frame: Frame) -> Frame:
    if not all(column.is_text for column in frame.columns) or estimator.add_indicator:
        raise CannotCompile("texts and numbers, or an indicator of missing texts")
    sought = estimator.missing_values
    is_nan = isinstance(sought, float) and np.isnan(sought)
    if not is_nan and sought is not None:
        raise CannotCompile(f"it takes the text {sought!r} as missing")
    absent = frame.missing()
    if absent is None:
        return frame
    markers = {column.marker for column in frame.columns if column.missing is not None}
    if markers != {"nan" if is_nan else "none"}:
        raise CannotCompile("it replaces another marker of a missing text than the samples have")
    fill = np.array([str(value) for value in estimator.statistics_], object)
    return Frame.of(graph.where(absent, fill, frame.texts(), object), frame.width)


def _absent(graph: Graph, values: Value, marker: Any) -> Value:
    if marker is None or (isinstance(marker, float) and np.isnan(marker)):
        return graph.op("IsNaN", values, dtype=np.bool_)
    if not isinstance(marker, int | float | np.number):
        raise CannotCompile(f"it takes {marker!r} as missing")
    return values.equals(float(marker))


def _keeps_empty(estimator: Any) -> bool:
    return estimator.strategy == "constant" or bool(getattr(estimator, "keep_empty_features", False))


def _clip(graph: Graph, values: Value, low: float, high: float) -> Value:
    return graph.op("Min", graph.op("Max", values, float(low)), float(high))


def _power_of(graph: Graph, base: Value, exponent: Array) -> Value:
    """(base ** exponent - 1) / exponent, and its limit log(base) at 0."""
    zero = np.abs(exponent) < np.spacing(1.0)
    safe = np.where(zero, 1.0, exponent)
    power = (graph.op("Pow", base, safe) - 1.0) / safe
    if not zero.any():
        return power
    chosen = graph.constant(zero)
    return graph.where(chosen, graph.op("Log", base), power)
