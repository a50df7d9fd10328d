"""Keys: equal for the same row, whichever form it has; different for every other row, and for who answers."""

import itertools
import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelroll_server.cache.keys import Keys, encoder
from modelroll_server.schema import Input, Row, Schema, rows_of
from modelroll_server.tensors import Datatype, Table

IDENTITY = ("churn", "sha256:" + "0" * 64, "sklearn", "prediction,probability")
TEXTS = st.text(max_size=6)
VALUES: dict[Datatype, st.SearchStrategy[Any]] = {
    Datatype.FP64: st.sampled_from([0.0, -0.0, math.nan, -math.nan, math.inf, 1.0, 5e-324]) | st.floats(),
    Datatype.FP32: st.sampled_from([0.0, -0.0, math.nan, 0.5]) | st.floats(width=32),
    Datatype.INT64: st.sampled_from([0, 1, -1]) | st.integers(-(2**63), 2**63 - 1),
    Datatype.BOOL: st.booleans(),
    Datatype.BYTES: st.sampled_from(["", "a", "b", "ab", None, math.nan]) | TEXTS,
    Datatype.ANY: st.sampled_from([0, 0.0, -0.0, False, "0", "", 1, 1.0, True, "1"])
    | st.floats()
    | st.integers()
    | TEXTS,
}


@st.composite
def two_rows(draw: st.DrawFn) -> tuple[list[Datatype], Row, Row]:
    """Some columns, and two rows of them, which often have values in common."""
    datatypes = draw(st.lists(st.sampled_from(list(Datatype)), min_size=1, max_size=4))
    one = tuple(draw(VALUES[datatype]) for datatype in datatypes)
    other = tuple(draw(st.just(value) | VALUES[datatype]) for value, datatype in zip(one, datatypes, strict=True))
    return datatypes, one, other


def same(datatype: Datatype, one: Any, other: Any) -> bool:
    """Whether a model is told the same: by type and value, one NaN, one zero."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float) and math.isnan(one):
        return math.isnan(other)
    if datatype is Datatype.FP32:
        return struct.pack("<f", one + 0.0) == struct.pack("<f", other + 0.0)
    return bool(one == other)


@given(two_rows())
@example(([Datatype.BYTES, Datatype.BYTES], ("a", "bc"), ("ab", "c")))
@example(([Datatype.BYTES, Datatype.BYTES], ("", "a"), ("a", "")))
@example(([Datatype.BYTES], ("",), (None,)))
@example(([Datatype.BYTES], (math.nan,), (None,)))
@example(([Datatype.BYTES, Datatype.FP64], ("a", 0.0), ("a", -0.0)))
def test_equal_rows_and_only_those_have_equal_bytes(rows: tuple[list[Datatype], Row, Row]) -> None:
    datatypes, one, other = rows
    encode = encoder(datatypes)
    equal = all(same(*values) for values in zip(datatypes, one, other, strict=True))
    assert (encode(one) == encode(other)) is equal


def test_numbers_are_little_endian_at_the_datatype_of_their_column() -> None:
    encode = encoder([Datatype.FP64, Datatype.FP32, Datatype.INT64, Datatype.BOOL, Datatype.BYTES])
    head = struct.pack("<d", 1.5) + struct.pack("<f", 0.1) + struct.pack("<q", -2) + b"\x01" + struct.pack("<I", 3)
    assert encode((1.5, 0.1, -2, True, "é!")) == head + "é!".encode()


def test_there_is_one_nan_and_one_zero() -> None:
    payload = struct.unpack("<d", b"\x01\x00\x00\x00\x00\x00\xf8\xff")[0]
    others: list[dict[Datatype, Any]] = [{}, {Datatype.BOOL: True}, {Datatype.BYTES: "a"}]
    for other in others:
        encode, rest = encoder([Datatype.FP64, *other]), tuple(other.values())
        assert encode((math.nan, *rest)) == encode((payload, *rest)) == encode((-math.nan, *rest))
        assert encode((0.0, *rest)) == encode((-0.0, *rest))


@given(two_rows())
def test_a_table_and_the_rows_it_was_made_of_have_the_same_keys(rows: tuple[list[Datatype], Row, Row]) -> None:
    datatypes, *both = rows
    inputs = [Input(name=f"x{index}", datatype=datatype) for index, datatype in enumerate(datatypes)]
    keys = Keys(IDENTITY, inputs)
    table = Schema(inputs).table(both)
    assert [keys.of(row) for row in rows_of(table)] == [keys.of(row) for row in both]


def test_a_block_and_its_columns_have_the_same_keys() -> None:
    inputs = [Input(name=name, datatype=Datatype.FP64) for name in "abc"]
    keys = Keys(IDENTITY, inputs)
    block = np.array([[1.0, -0.0, math.nan], [4.0, 5.0, 6.0]])
    tables = (Table(("a", "b", "c"), block, 2), Table(("a", "b", "c"), tuple(block.T), 2))
    found = [[keys.of(row) for row in rows_of(table)] for table in tables]
    assert found[0] == found[1] == [keys.of((1.0, 0.0, math.nan)), keys.of((4.0, 5.0, 6.0))]


def test_a_key_depends_on_who_answers() -> None:
    column = [Input(name="x", datatype=Datatype.FP64)]
    others = [(*IDENTITY[:index], "other", *IDENTITY[index + 1 :]) for index in range(len(IDENTITY))]
    found = {Keys(identity, column).of((1.0,)) for identity in [IDENTITY, *others]}
    assert len(found) == len(others) + 1


@given(st.lists(st.lists(TEXTS, min_size=1, max_size=3), min_size=2, max_size=4, unique_by=tuple))
def test_no_two_identities_run_into_each_other(identities: Sequence[Sequence[str]]) -> None:
    column = [Input(name="x", datatype=Datatype.BYTES)]
    for one, other in itertools.combinations(identities, 2):
        assert Keys(one, column).of(("a",)) != Keys(other, column).of(("a",))


@pytest.mark.parametrize("datatype", list(Datatype))
def test_a_key_is_32_bytes(datatype: Datatype) -> None:
    value: Any = {Datatype.BYTES: "a", Datatype.ANY: "a", Datatype.BOOL: True}.get(datatype, 1)
    assert len(Keys(IDENTITY, [Input(name="x", datatype=datatype)]).of((value,))) == 32
