"""One input column of a model, as its manifest describes it."""

from typing import Annotated, Literal

import msgspec

from modelroll_server.tensors import Datatype

Scalar = str | int | float | bool


class Histogram(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How the samples were spread: numbers between `edges` (one more than counts), else one count a category."""

    counts: list[int]
    edges: list[float] | None = None


class Input(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One input column, as the manifest writes it.

    Attributes:
        name: What callers call it.
        datatype: FP64, FP32, INT64, BOOL or BYTES (a text).
        missing: What null becomes: refused, nan, or None.
        infinite: Whether ±inf may come (never in JSON, which cannot write it).
        max_abs: Largest magnitude that the estimator takes; 0 or more.
        unknown: Whether a value outside `categories` is refused.
        categories: The values seen in training, for columns that have few.
        range: Smallest and largest sample. Information, not a rule.
        example: One sample.
        histogram: How the samples were spread.
    """

    name: str
    datatype: Datatype
    missing: Literal["refuse", "nan", "none"] = "refuse"
    infinite: bool = False
    max_abs: Annotated[float, msgspec.Meta(ge=0)] | None = None
    unknown: Literal["accept", "refuse"] = "accept"
    categories: list[Scalar] | None = None
    range: tuple[float, float] | None = None
    example: Scalar | None = None
    histogram: Histogram | None = None
