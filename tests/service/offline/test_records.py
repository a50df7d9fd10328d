"""Where the records of a CSV end, whatever is quoted, and wherever blocks are cut."""

import csv
import io

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pyarrow import csv as arrow_csv

from modelroll_server.offline.records import OpenQuote, Scanner

FIELDS = st.text(st.sampled_from('a",\n\r é'), max_size=6)


def ends_of(data: bytes, block: int) -> list[int]:
    blocks = [data[at : at + block] for at in range(0, len(data), block)]
    return [int(end) for ends in Scanner(",").ends(blocks) for end in ends.offsets]


@given(st.lists(st.lists(FIELDS, min_size=2, max_size=3), max_size=8), st.integers(1, 40), st.booleans())
def test_every_record_ends_where_python_writes_it(rows: list[list[str]], block: int, quoted: bool) -> None:
    file, written = io.StringIO(newline=""), []
    writer = csv.writer(file, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL)
    for row in rows:
        writer.writerow(row)
        written.append(len(file.getvalue().encode()))
    assert ends_of(file.getvalue().encode(), block) == written


@given(st.text(st.sampled_from('a",\n'), max_size=40), st.integers(1, 40))
@example('a,5" pipe\nb,c\n', 3)
@example('a,"5""\n"" pipe"\nb,c', 1)
@example('a,""\n"",b\n', 2)
@example('a"",b\n', 2)
def test_records_are_those_of_arrows_parser(text: str, block: int) -> None:
    data = text.encode()
    try:
        found = ends_of(data, block)
    except OpenQuote:
        return
    # With every row malformed but counted: what it calls a row is what ends here.
    seen: list[bytes] = []
    starts = [0, *found][: len(found)]
    for start, end in zip(starts, found, strict=True):
        record = data[start:end].lstrip(b"\n")
        parsed = _parsed(record)
        assert parsed == 1, record
        seen.append(record)
    assert b"".join(seen).replace(b"\n", b"") == data.replace(b"\n", b"")


def _parsed(record: bytes) -> int:
    count = 0

    def skip(_: object) -> str:
        nonlocal count
        count += 1
        return "skip"

    names = [f"c{index}" for index in range(60)]  # more than a record has
    reading = arrow_csv.ReadOptions(column_names=names, use_threads=False)
    parsing = arrow_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=skip)
    whole = arrow_csv.read_csv(io.BytesIO(record), reading, parsing).num_rows
    return count + int(whole)


def test_what_is_quoted_to_the_end_is_no_record() -> None:
    with pytest.raises(OpenQuote):
        ends_of(b'a,b\n1,"2\n3,4\n', 5)


def test_blank_lines_are_no_records() -> None:
    assert ends_of(b"\n\na\n\r\nb\r\n\n", 2) == [4, 9]
