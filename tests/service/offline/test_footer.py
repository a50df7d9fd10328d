"""Parquet files joined without decoding them: what a reader finds is all rows, in order."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelroll_server.offline import formats, places
from modelroll_server.offline.options import Options

SCHEMA = pa.schema(
    [
        ("number", pa.int64()),
        ("text", pa.string()),
        ("list", pa.list_(pa.float64())),
        ("struct", pa.struct([("flag", pa.bool_()), ("time", pa.timestamp("us", "UTC"))])),
    ]
)


def part(rows: int, seed: int) -> Any:
    made = [
        {
            "number": None if at % 5 == 4 else at * seed,
            "text": "é" * (at % 3) + str(seed),
            "list": [0.5] * (at % 4),
            "struct": {"flag": at % 2 == 0, "time": at * 1_000_000},
        }
        for at in range(rows)
    ]
    return pa.Table.from_pylist(made, SCHEMA)


def joined(tables: list[Any], place: Path, **options: Any) -> Path:
    files = []
    for index, table in enumerate(tables):
        file = place / f"{index}.parquet"
        pq.write_table(table, file, **options)
        files.append(places.place(str(file)))
    out = place / "joined.parquet"
    with places.place(str(out)).replacing() as sink:
        formats.of("x.parquet").join(files, sink, Options())
    return out


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=40)
@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=20),
    st.integers(1, 50),
    st.sampled_from(["NONE", "snappy", "zstd"]),
    st.booleans(),
)
def test_all_rows_are_there_in_order(
    tmp_path: Path, sizes: list[int], group: int, compression: str, indexed: bool
) -> None:
    tables = [part(size, seed) for seed, size in enumerate(sizes)]
    out = joined(tables, tmp_path, row_group_size=group, compression=compression, write_page_index=indexed)
    whole = pa.concat_tables(tables)
    assert pq.read_table(out).equals(whole)
    file = pq.ParquetFile(out, page_checksum_verification=True)
    assert file.metadata.num_rows == len(whole)
    read = [file.read_row_group(at) for at in range(file.num_row_groups)]
    assert pa.concat_tables(read or [SCHEMA.empty_table()]).equals(whole)


def test_a_row_group_is_found_by_its_statistics(tmp_path: Path) -> None:
    out = joined([part(30, seed) for seed in (1, 100, 10_000)], tmp_path, row_group_size=10)
    found = pq.read_table(out, filters=[("number", ">", 50_000)])
    assert found["number"].to_pylist() == [at * 10_000 for at in range(6, 30) if at % 5 != 4]


def test_more_row_groups_than_sixteen_bits_count(tmp_path: Path) -> None:
    file = tmp_path / "0.parquet"
    pq.write_table(pa.table({"x": pa.array(range(170))}), file, row_group_size=1, write_statistics=False)
    with places.place(str(tmp_path / "joined.parquet")).replacing() as sink:
        formats.of("x.parquet").join([places.place(str(file))] * 200, sink, Options())
    found = pq.ParquetFile(tmp_path / "joined.parquet")
    assert (found.num_row_groups, found.metadata.num_rows) == (34_000, 34_000)
    assert [found.read_row_group(at)["x"].to_pylist() for at in (0, 32_767, 33_999)] == [[0], [32_767 % 170], [169]]


def test_what_is_no_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "0.parquet").write_bytes(b"PAR1 and more, but no end")
    with (
        pytest.raises(ValueError, match="no Parquet file ends like this"),
        places.place(str(tmp_path / "out")).replacing() as sink,
    ):
        formats.of("x.parquet").join([places.place(str(tmp_path / "0.parquet"))], sink, Options())
    assert [one.name for one in tmp_path.iterdir()] == ["0.parquet"]
