"""Parquet files put together without decoding them: their pages copied, their footers merged.

A footer is one struct in Thrift's compact protocol. It is read generically, as fields of numbered ids, so that what a
newer writer adds is carried along; only the fields that hold positions are known here.
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from typing import Any, NamedTuple

MAGIC = b"PAR1"

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)


class _Raw(bytes):
    """What is written as it was read."""


class Field(NamedTuple):
    """One field of a struct: its id, its type, and its value (a struct is a list of these)."""

    id: int
    type: int
    value: Any


class _List(NamedTuple):
    type: int
    items: list[Any]


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def struct(self) -> list[Field]:
        fields = []
        last = 0
        while (header := self._byte()) != 0:
            kind = header & 0x0F
            last = last + (header >> 4) if header >> 4 else self._zigzag()
            fields.append(Field(last, kind, self._value(kind)))
        return fields

    def _value(self, kind: int) -> Any:
        if kind in {_TRUE, _FALSE}:
            return None  # the type is the value
        if kind in {_I16, _I32, _I64}:
            return self._zigzag()
        if kind == _BINARY:
            return self._take(self._varint())
        if kind == _STRUCT:
            return self.struct()
        if kind in {_LIST, _SET}:
            header = self._byte()
            size, of = header >> 4, header & 0x0F
            if size == 15:
                size = self._varint()
            return _List(of, [self._item(of) for _ in range(size)])
        if kind in {_BYTE, _DOUBLE}:
            return _Raw(self._take(1 if kind == _BYTE else 8))
        raise ValueError(f"a footer with a field of type {kind}")  # no struct of Parquet has a map

    def _item(self, kind: int) -> Any:
        return _Raw(self._take(1)) if kind in {_TRUE, _FALSE} else self._value(kind)

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _take(self, count: int) -> bytes:
        self._at += count
        if self._at > len(self._data):
            raise ValueError("a footer that ends too early")
        return self._data[self._at - count : self._at]

    def _varint(self) -> int:
        found = shift = 0
        while True:
            byte = self._byte()
            found |= (byte & 0x7F) << shift
            if byte < 0x80:
                return found
            shift += 7

    def _zigzag(self) -> int:
        found = self._varint()
        return (found >> 1) ^ -(found & 1)


class _Writer:
    def __init__(self) -> None:
        self.data = bytearray()

    def struct(self, fields: list[Field]) -> None:
        last = 0
        for field in fields:
            self.header(field.id, field.type, last)
            self._value(field.type, field.value)
            last = field.id
        self.data.append(0)

    def header(self, identifier: int, kind: int, last: int) -> None:
        if 0 < identifier - last <= 15:
            self.data.append((identifier - last) << 4 | kind)
        else:
            self.data.append(kind)
            self._zigzag(identifier)

    def list_header(self, kind: int, size: int) -> None:
        if size < 15:
            self.data.append(size << 4 | kind)
        else:
            self.data.append(0xF0 | kind)
            self._varint(size)

    def _value(self, kind: int, value: Any) -> None:
        if isinstance(value, _Raw):
            self.data += value
        elif kind in {_I16, _I32, _I64}:
            self._zigzag(value)
        elif kind == _BINARY:
            self._varint(len(value))
            self.data += value
        elif kind == _STRUCT:
            self.struct(value)
        elif kind in {_LIST, _SET}:
            self.list_header(value.type, len(value.items))
            for item in value.items:
                self._value(value.type, item)

    def _varint(self, value: int) -> None:
        while value >= 0x80:
            self.data.append(value & 0x7F | 0x80)
            value >>= 7
        self.data.append(value)

    def _zigzag(self, value: int) -> None:
        self._varint(value * 2 if value >= 0 else -value * 2 - 1)


# Ids in FileMetaData, RowGroup, ColumnChunk and ColumnMetaData.
_ROWS, _ROW_GROUPS = 3, 4
_COLUMNS, _ORDINAL = 1, 7
_GROUP_POSITIONS = frozenset({5})
_META_DATA = 3
_CHUNK_POSITIONS = frozenset({2, 4, 6})
_META_POSITIONS = frozenset({9, 10, 11, 14})


class Merged:
    """The footer of files whose pages come one after another."""

    def __init__(self) -> None:
        self._first: list[Field] | None = None
        self._rows = self._count = 0
        self._groups = _Writer()

    def add(self, footer: bytes, shift: int) -> None:
        """The footer of the next file, of the same columns, whose pages lie `shift` bytes later than it says."""
        fields = _Reader(footer).struct()
        by_id = {field.id: field.value for field in fields}
        self._rows += by_id[_ROWS]
        for group in by_id[_ROW_GROUPS].items:
            self._count += 1
            self._groups.struct(_group(group, shift))
        if self._first is None:
            self._first = [field for field in fields if field.id != _ROW_GROUPS]

    def end(self) -> bytes:
        """What comes after the pages: the footer, its length, the magic. At least one file was added."""
        assert self._first is not None
        written = _Writer()
        last = 0
        for field in sorted([*self._first, Field(_ROW_GROUPS, _LIST, None)]):
            written.header(field.id, field.type, last)
            last = field.id
            if field.id == _ROW_GROUPS:
                written.list_header(_STRUCT, self._count)
                written.data += self._groups.data
            else:
                written._value(field.type, self._rows if field.id == _ROWS else field.value)  # noqa: SLF001
        written.data.append(0)
        return bytes(written.data) + len(written.data).to_bytes(4, "little") + MAGIC


def _group(fields: list[Field], shift: int) -> list[Field]:
    found = []
    for field in fields:
        if field.id == _ORDINAL:
            continue  # 16 bits, which count no further than 32,767; only encryption needs it
        if field.id == _COLUMNS:
            chunks = [_chunk(chunk, shift) for chunk in field.value.items]
            found.append(field._replace(value=_List(_STRUCT, chunks)))
        else:
            found.append(_moved(field, _GROUP_POSITIONS, shift))
    return found


def _chunk(fields: list[Field], shift: int) -> list[Field]:
    return [
        field._replace(value=[_moved(one, _META_POSITIONS, shift) for one in field.value])
        if field.id == _META_DATA
        else _moved(field, _CHUNK_POSITIONS, shift)
        for field in fields
    ]


def _moved(field: Field, positions: frozenset[int], shift: int) -> Field:
    """A position of 0 is none: every file begins with its magic."""
    return field._replace(value=field.value + shift) if field.id in positions and field.value > 0 else field


def read(file: Any) -> bytes:
    """The footer of an open pyarrow.NativeFile.

    Raises:
        ValueError: It does not end as Parquet does.
    """
    size = file.size()
    end = file.read_at(8, size - 8)
    length = int.from_bytes(end[:4], "little")
    if end[4:] != MAGIC:
        raise ValueError("no Parquet file ends like this")
    found: bytes = file.read_at(length, size - 8 - length)
    return found
