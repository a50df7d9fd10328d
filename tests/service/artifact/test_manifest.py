"""Manifests: what is one, and that nothing else is taken for one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelroll_server.artifact import manifest as manifests
from modelroll_server.errors import ManifestInvalid

DATA = (Path(__file__).parents[3] / "models/churn/1.2.0/modelroll.json").read_bytes()
Document = dict[str, Any]


def changed(edit: Callable[[Document], object]) -> bytes:
    document = msgspec.json.decode(DATA)
    edit(document)
    return msgspec.json.encode(document)


def test_a_manifest_is_stored_as_it_is_read() -> None:
    assert manifests.encode(manifests.decode(DATA)) == DATA


WRONG: dict[str, Callable[[Document], object]] = {
    "unknown": lambda d: d.update(surprise=1),
    "unknown key within an input": lambda d: d["inputs"][0].update(surprise=1),
    "other schema": lambda d: d.update(schema=2),
    "no version": lambda d: d.pop("version"),
    "version with v": lambda d: d.update(version="v1.2.0"),
    "model that is a path": lambda d: d.update(model="../churn"),
    "local time": lambda d: d.update(created="2026-01-01 00:00"),
    "file in a directory": lambda d: d["files"].update({"a/b": d["files"]["model.joblib"]}),
    "file above": lambda d: d["files"].update({"..": d["files"]["model.joblib"]}),
    "hidden file": lambda d: d["files"].update({".x": d["files"]["model.joblib"]}),
    "the manifest itself": lambda d: d["files"].update({"modelroll.json": d["files"]["model.joblib"]}),
    "negative size": lambda d: d["files"]["model.joblib"].update(bytes=-1),
    "short hash": lambda d: d["files"]["model.joblib"].update(sha256="ab"),
    "runtime without its file": lambda d: d["runtimes"][0].update(file="other.joblib"),
    "unknown runtime": lambda d: d["runtimes"][0].update(kind="torch"),
    "no runtime": lambda d: d.update(runtimes=[]),
    "two runtimes of a kind": lambda d: d["runtimes"].append(d["runtimes"][0]),
    "compiled and not checked": lambda d: d["runtimes"][0].pop("checked"),
    "fewer than no rows checked": lambda d: d["runtimes"][0]["checked"]["rows"].update(samples=-1),
    "no inputs": lambda d: d.update(inputs=[]),
    "a name twice": lambda d: d["inputs"].append(d["inputs"][0]),
    "an input as JSON types it": lambda d: d["inputs"][0].update(datatype="ANY"),
    "an integer that may be missing": lambda d: d["inputs"][0].update(missing="nan"),
    "a magnitude below none": lambda d: d["inputs"][0].update(max_abs=-1),
    "refuses unknown and knows nothing": lambda d: d["inputs"][0].update(unknown="refuse"),
    "fewer than no rows in a part": lambda d: d["inputs"][0]["histogram"]["counts"].__setitem__(0, -1),
    "more rows than an int64 counts": lambda d: d["inputs"][0]["histogram"]["counts"].__setitem__(0, 2**63),
    "an edge too few": lambda d: d["inputs"][0]["histogram"]["edges"].pop(),
    "no edges of numbers": lambda d: d["inputs"][0]["histogram"].pop("edges"),
    "no parts": lambda d: d["inputs"][0].update(histogram={"counts": [], "edges": [1.0]}),
    "edges that descend": lambda d: d["inputs"][0]["histogram"]["edges"].reverse(),
    "a text too many": lambda d: d["inputs"][6].update(histogram={"counts": [1, 2], "values": ["a", "b", "c"]}),
    "a category too few": lambda d: d["inputs"][6].update(histogram={"counts": [1, 2]}),
    "golden row too short": lambda d: d["golden"]["rows"][0].pop(),
    "answers for fewer rows": lambda d: d["golden"]["prediction"].pop(),
    "a list of nineteen inputs": lambda d: d.update(call="list"),
}


@pytest.mark.parametrize("edit", WRONG.values(), ids=WRONG.keys())
def test_a_manifest_with_one_thing_wrong_is_refused(edit: Callable[[Document], object]) -> None:
    with pytest.raises(ManifestInvalid, match=r"modelroll\.json: "):
        manifests.decode(changed(edit))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        DATA[:-40],
        b"\xff" + DATA,
        b'{"schema":' + b"[" * 100_000,
        b'{"schema":1' + b"0" * 400 + b"}",
    ],
    ids=["empty", "cut", "list", "null", "truncated", "not UTF-8", "nested", "huge number"],
)
def test_bytes_that_are_no_manifest_are_refused(data: bytes) -> None:
    with pytest.raises(ManifestInvalid):
        manifests.decode(data)


def test_a_manifest_of_nine_mebibytes_is_refused_by_its_size() -> None:
    with pytest.raises(ManifestInvalid, match="more than 8 MiB"):
        manifests.decode(b" " * 9 * 2**20)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    with pytest.raises(ManifestInvalid):
        manifests.decode(data)
