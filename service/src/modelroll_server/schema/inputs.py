"""One input column of a model, as its manifest describes it."""

from typing import Annotated, Literal

import msgspec

from modelroll_server.tensors import Datatype

Scalar = str | int | float | bool


class Histogram(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How the samples were spread.

    Attributes:
        counts: Rows in each part: numbers from one edge up to the next, which the last part includes; texts of each of
            `values`, or else of the input's categories; false and true.
        edges: Of numbers, ascending, one more than counts.
        values: The commonest texts, of an input that has too many of them to list.
        other: Rows with any other text.
        missing: Rows without a value; None: nobody counted.
    """

    counts: list[Annotated[int, msgspec.Meta(ge=0)]]
    edges: list[float] | None = None
    values: list[str] | None = None
    other: Annotated[int, msgspec.Meta(ge=0)] = 0
    missing: Annotated[int, msgspec.Meta(ge=0)] | None = None


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
