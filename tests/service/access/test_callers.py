"""Tokens: whose they are, which are none, and what becomes of a directory that cannot be read."""

import hashlib
import hmac
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import credentials
from modelroll_server import errors
from modelroll_server.access.callers import MOST, SHORTEST, Callers
from modelroll_server.telemetry.metrics import Metrics

SHOP, DESK = b"shop-0123456789abcdef", b"desk-0123456789abcdef"
TEXT = st.binary(max_size=200)


def callers(place: Path, **files: bytes) -> Callers:
    """What is found where each file is as given."""
    for old in place.iterdir():
        old.unlink()
    for name, data in files.items():
        (place / name).write_bytes(data)
    return Callers(place, Metrics())


def name(found: Callers, shown: bytes | None) -> str | None:
    caller = found.find(shown)
    return None if caller is None else caller.name


def test_each_token_is_its_callers_and_a_file_may_have_several(tmp_path: Path) -> None:
    found = callers(tmp_path, shop=SHOP + b"\n" + SHOP[::-1] + b"\n", desk=b"\n\n  " + DESK + b" \r\n")
    assert found.read() == 2
    assert name(found, b"Bearer " + SHOP) == name(found, b"bearer  " + SHOP[::-1]) == "shop"
    assert name(found, b"BEARER " + DESK + b" ") == "desk"


def test_every_token_is_compared_wherever_the_right_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = callers(tmp_path, **{f"caller-{number}": b"token-of-caller-%d" % number for number in range(5)})
    found.read()
    compared: list[bool] = []
    compare = hmac.compare_digest

    def counted(one: bytes, other: bytes) -> bool:
        compared.append(compare(one, other))
        return compared[-1]

    monkeypatch.setattr(hmac, "compare_digest", counted)
    for number in range(5):
        compared.clear()
        assert name(found, b"Bearer token-of-caller-%d" % number) == f"caller-{number}"
        assert sorted(compared) == [False] * 4 + [True]


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (None, "send the header Authorization: Bearer <token>"),
        (b"", "Bearer and a token"),
        (SHOP, "Bearer and a token"),
        (b"Basic " + SHOP, "Bearer and a token"),
        (b"Bearer", "Bearer and a token"),
        (b"Bearer ", "Bearer and a token"),
        (b"Bearer " + SHOP + b" " + DESK, "Bearer and a token"),
        (b"Bearer " + SHOP[:-1], "none of this server's"),
        (b"Bearer " + SHOP + b"x", "none of this server's"),
        (b"Bearer " + hashlib.sha256(SHOP).hexdigest().encode(), "none of this server's"),
        (b"Bearer \xff\x00\xc3", "none of this server's"),
        (b"Bearer " + b"x" * 60_000, "none of this server's"),
    ],
)
def test_whoever_shows_another_is_told_what_is_expected_and_nothing_else(
    shown: bytes | None, said: str, tmp_path: Path
) -> None:
    found = callers(tmp_path, shop=SHOP, desk=DESK)
    found.read()
    assert found.find(shown) is None
    message = found.refusal(shown).message
    assert said in message
    assert SHOP.decode() not in message


@given(tokens=st.lists(TEXT, max_size=6), shown=TEXT)
def test_exactly_the_tokens_that_a_file_has_are_taken(
    tokens: list[bytes], shown: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    found = callers(tmp_path_factory.mktemp("tokens"), shop=b"\n".join(tokens))
    lines = {line.strip() for line in b"\n".join(tokens).splitlines()}
    good = {line for line in lines if len(line) >= SHORTEST and all(0x21 <= byte <= 0x7E for byte in line)}
    try:
        found.read()
        assert good
        assert good == lines - {b""}
    except errors.CredentialsUnusable:
        assert not good or good != lines - {b""}
    for each in {shown, *tokens, *good}:
        assert (found.find(b"Bearer " + each) is not None) == (each.strip(b" ") in good)


def test_a_bad_line_costs_nobody_else_his_token(tmp_path: Path) -> None:
    found = callers(tmp_path, shop=SHOP, desk=b"short\n" + DESK)
    with pytest.raises(errors.CredentialsUnusable, match=r"line 1 of .*desk is no token") as refused:
        found.read()
    assert "short" not in refused.value.message.replace("printable", "")
    assert (name(found, b"Bearer " + SHOP), name(found, b"Bearer " + DESK)) == ("shop", "desk")


def test_a_token_that_two_have_counts_as_the_firsts(tmp_path: Path) -> None:
    found = callers(tmp_path, shop=SHOP, desk=SHOP)
    with pytest.raises(errors.CredentialsUnusable, match="shop and desk have the same token"):
        found.read()
    assert name(found, b"Bearer " + SHOP) == "desk"


def test_of_too_many_tokens_the_first_count_and_the_limit_is_said(tmp_path: Path) -> None:
    most = [b"token-%016d" % number for number in range(MOST)]
    found = callers(tmp_path, many=b"\n".join(most))
    assert found.read() == 1
    (tmp_path / "shop").write_bytes(SHOP + b"\n" + DESK)
    with pytest.raises(errors.CredentialsUnusable, match=f"has {MOST + 2} tokens, and {MOST} are taken"):
        found.read()
    assert name(found, b"Bearer " + most[0]) == name(found, b"Bearer " + most[-1]) == "many"
    assert name(found, b"Bearer " + SHOP) is name(found, b"Bearer " + DESK) is None


def test_where_there_is_no_token_nobody_may_call(tmp_path: Path) -> None:
    found = callers(tmp_path, shop=SHOP)
    assert found.find(b"Bearer " + SHOP) is None  # not read yet
    found.read()
    (tmp_path / "shop").write_bytes(b"\n")
    with pytest.raises(errors.CredentialsUnusable, match="has no token, so nobody may call"):
        found.read()
    assert found.find(b"Bearer " + SHOP) is None
    assert found.find(b"Bearer ") is None
    assert "refuses all" in found.refusal(b"Bearer " + SHOP).message


def test_where_the_directory_is_gone_nobody_may_call(tmp_path: Path) -> None:
    place = tmp_path / "tokens"
    place.mkdir()
    found = callers(place, shop=SHOP)
    found.read()
    (place / "shop").unlink()
    place.rmdir()
    with pytest.raises(errors.CredentialsUnusable, match="cannot be read: No such file"):
        found.read()
    assert found.find(b"Bearer " + SHOP) is None


def before(monkeypatch: pytest.MonkeyPatch, method: str, acts: list[Callable[[], None]]) -> None:
    """Have these happen, one before each of the next calls of a method of paths that they do not make themselves."""
    original, left = getattr(Path, method), list(acts)

    def hooked(self: Path, *arguments: Any, **named: Any) -> Any:
        now, later = left[:1], left[1:]
        left.clear()
        for act in now:
            act()
        left.extend(later)
        return original(self, *arguments, **named)

    monkeypatch.setattr(Path, method, hooked)


@pytest.mark.parametrize("swaps", [1, 3])
@pytest.mark.parametrize("method", ["iterdir", "is_file", "open"])
def test_a_secret_that_is_replaced_while_it_is_read_costs_nobody_his_token(
    method: str, swaps: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = credentials.Mounted(tmp_path / "tokens", {"desk": DESK, "shop": SHOP})
    found = Callers(secret.place, Metrics())
    found.read()
    before(monkeypatch, method, [lambda: secret.replace({"shop": SHOP})] * swaps)
    assert found.read() == 1
    assert (name(found, b"Bearer " + SHOP), name(found, b"Bearer " + DESK)) == ("shop", None)


def test_what_is_left_of_a_directory_that_is_being_removed_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = credentials.Mounted(tmp_path / "tokens", {"desk": DESK, "shop": SHOP})
    found = Callers(secret.place, Metrics())

    def swap() -> None:
        old = (secret.place / "..data").resolve()
        secret.replace({"desk": DESK, "shop": SHOP})
        old.mkdir()
        (old / "desk").write_bytes(DESK)

    before(monkeypatch, "iterdir", [swap])
    assert found.read() == 2
    assert name(found, b"Bearer " + SHOP) == "shop"


def test_a_file_that_is_taken_away_while_it_is_read_costs_nobody_else_his_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = callers(tmp_path, desk=DESK, shop=SHOP)
    before(monkeypatch, "open", [(tmp_path / "desk").unlink])
    assert found.read() == 1
    assert name(found, b"Bearer " + SHOP) == "shop"


def test_where_it_never_holds_still_nobody_may_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = credentials.Mounted(tmp_path / "tokens", {"shop": SHOP})
    found = Callers(secret.place, Metrics())
    found.read()
    before(monkeypatch, "open", [lambda: secret.replace({"shop": SHOP})] * 100)
    with pytest.raises(errors.CredentialsUnusable, match="cannot be read"):
        found.read()
    assert found.find(b"Bearer " + SHOP) is None
