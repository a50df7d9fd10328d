"""The input as a whole: files of one schema, cut into shards.

Owns what files have to agree on, the columns that stand in the names of directories (`year=2026/`), and which columns
are read. The shards of an input are the same whoever asks: several processes may each take their share of them.
"""

import re
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from modelroll_server.errors import BatchFailed
from modelroll_server.offline import decoding, formats, places, sources
from modelroll_server.offline.formats import Format
from modelroll_server.offline.options import Options
from modelroll_server.schema import Input

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_NULL = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True, slots=True)
class File:
    """One file of the input.

    Attributes:
        name: Its path below the input's root.
        source: What reads it.
        partition: Values of the columns that its directories name.
    """

    name: str
    source: sources.Source
    partition: dict[str, int | str | None]


@dataclass(frozen=True, slots=True)
class Shard:
    """One share of the rows: what is committed as a whole, or done again."""

    index: int
    file: File
    piece: sources.Piece


@dataclass(frozen=True)
class Dataset:
    """All rows, without reading them.

    Attributes:
        shards: In the order of the output.
        schema: Arrow schema of the columns that are read: what the model takes, and what is kept.
        kept: Names of those that the output has, in the input's order.
        format: Of the files.
        identities: What each file is told from its successor by, by path.
        listing: Where the files are.
    """

    shards: list[Shard]
    schema: Any
    kept: list[str]
    format: Format
    identities: dict[str, list[str]]
    listing: places.Listing

    @property
    def of_texts(self) -> bool:
        """Whether the files say nothing of what their columns hold."""
        return self.format.of_texts

    @property
    def rows(self) -> int:
        """How many there are."""
        return sum(shard.piece.rows for shard in self.shards)


def open_dataset(url: str, inputs: Sequence[Input], options: Options) -> Dataset:
    """Look at every file of an input, and cut it.

    Raises:
        BatchFailed: There is none, one is not whole, columns are missing or of other types, or files differ in them.
    """
    listing = places.listing(url, formats.SUFFIXES)
    kind = _format(listing.files)
    partitions = _partitions([one.path[len(listing.root) :] for one in listing.files])
    identities, files, schemas = {}, [], []
    for place, partition in zip(listing.files, partitions, strict=True):
        identities[str(place)] = place.identity()  # before it is read: a file that changes meanwhile is another
        source = kind.open(place, options)
        own = {name: value for name, value in partition.items() if name not in source.schema.names}
        files.append(File(place.path[len(listing.root) :].lstrip("/"), source, own))
        schemas.append(_with_partition(source.schema, own, partitions))
        _check_names(schemas[-1], place)
    _check_same(schemas, listing.files)
    schema = schemas[0]
    decoding.check_columns(inputs, schema, str(listing.files[0]), of_texts=kind.of_texts)
    kept = _kept(schema, options.keep, listing.files[0])
    wanted = {*kept, *(column.name for column in inputs)}
    read = pa.schema([pa.field(field.name, field.type) for field in schema if field.name in wanted])
    return Dataset(_shards(files), read, kept, kind, identities, listing)


def _shards(files: Sequence[File]) -> list[Shard]:
    pieces = [(file, piece) for file in files for piece in file.source.pieces()]
    # Without rows there still is an output, of none.
    pieces = pieces or [(files[0], sources.Piece(0, 0, 0, 0))]
    return [Shard(index, file, piece) for index, (file, piece) in enumerate(pieces)]


def _format(files: Sequence[places.Place]) -> Format:
    kinds = {formats.of(one.name).name: one for one in files}
    if len(kinds) > 1:
        (first, one), (second, other) = list(kinds.items())[:2]
        raise BatchFailed(f"{one} is {first} and {other} is {second}: name files of one format")
    return formats.of(files[0].name)


def _partitions(paths: Sequence[str]) -> list[dict[str, int | str | None]]:
    """What the directories of each path say: integers where all are, else texts."""
    texts = []
    for path in paths:
        pairs = (part.split("=", 1) for part in path.strip("/").split("/")[:-1] if "=" in part)
        texts.append({urllib.parse.unquote(name): urllib.parse.unquote(value) for name, value in pairs})
    names = list(dict.fromkeys(name for one in texts for name in one))
    for path, one in zip(paths, texts, strict=True):
        absent = [name for name in names if name not in one]
        if absent:
            raise BatchFailed(f"{path.strip('/')} is in no directory {absent[0]}=…, and other files are")
    integers = {name for name in names if all(_INTEGER.fullmatch(one[name]) for one in texts if one[name] != _NULL)}
    return [
        {name: None if text == _NULL else int(text) if name in integers else text for name, text in one.items()}
        for one in texts
    ]


def _with_partition(schema: Any, own: dict[str, Any], partitions: Sequence[dict[str, Any]]) -> Any:
    for name in own:
        is_text = any(isinstance(one[name], str) for one in partitions)
        schema = schema.append(pa.field(name, pa.string() if is_text else pa.int64()))
    return schema


def _check_names(schema: Any, place: places.Place) -> None:
    twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
    if twice:
        raise BatchFailed(f"{place} has more than one column {', '.join(map(repr, twice))}")


def _check_same(schemas: Sequence[Any], files: Sequence[places.Place]) -> None:
    first = schemas[0]
    for schema, file in zip(schemas[1:], files[1:], strict=True):
        for name in dict.fromkeys([*first.names, *schema.names]):
            for one, other, where in ((first, schema, file), (schema, first, files[0])):
                if name in one.names and name not in other.names:
                    has = files[0] if where is file else file
                    raise BatchFailed(f"{where} has no column {name}, and {has} has: files of one input have the same")
            if not _is_alike(first.field(name).type, schema.field(name).type):
                sentence = f"{name} is {first.field(name).type} in {files[0]} and {schema.field(name).type} in {file}"
                raise BatchFailed(f"{sentence}: files of one input have the same columns")


def _is_alike(one: Any, other: Any) -> bool:
    return bool(plain(one) == plain(other))


def plain(kind: Any) -> Any:
    """The type that the output has for a column of this one: of a dictionary that of its values, of texts one."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.string() if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) else kind


def _kept(schema: Any, keep: Sequence[str] | None, place: places.Place) -> list[str]:
    names: list[str] = schema.names
    if keep is None:
        return names
    absent = [name for name in keep if name not in names]
    if absent:
        raise BatchFailed(f"{place} has no column {', '.join(absent)} to keep; it has {', '.join(names)}")
    return [name for name in names if name in keep]
