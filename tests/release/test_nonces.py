"""Nonces: bound to client, object and time; told by any worker; used once."""

from __future__ import annotations

import datetime
import itertools
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmipsrv.release.nonces import MAX_LIFETIME, MAX_SCOPES, ConsumedNonces, Nonce, issue, verify
from kmipsrv.release.refusal import Refused

NOW = datetime.datetime(2026, 11, 23, 10, 30, 0, 123456, tzinfo=datetime.UTC)
KEY = bytes(range(32))
MINUTE = datetime.timedelta(minutes=1)


def made(scopes: tuple[str, ...] = ("uid-1",), identity: str = "CN=vm", now: datetime.datetime = NOW) -> Nonce:
    return issue(KEY, identity=identity, scopes=scopes, now=now, lifetime=MINUTE, random=secrets.token_bytes)


def check(
    nonce: Nonce, *, key: bytes = KEY, identity: str = "CN=vm", scope: str = "uid-1", now: datetime.datetime = NOW
) -> Nonce:
    return verify(key, nonce.id, nonce.value, identity=identity, scope=scope, now=now)


def test_a_nonce_is_told_by_whoever_has_the_key() -> None:
    nonce = made()
    assert check(nonce) == nonce
    assert check(nonce, now=NOW + MINUTE - datetime.timedelta(milliseconds=2)).expires == nonce.expires
    assert nonce.expires - nonce.issued == MINUTE


def test_nonces_differ_and_their_values_are_the_random_bytes() -> None:
    many = {made().id for _ in range(100)}
    assert len(many) == 100
    stream = itertools.count()
    fixed = issue(KEY, identity="x", scopes=["y"], now=NOW, lifetime=MINUTE, random=lambda n: bytes([next(stream)]) * n)
    assert fixed.value == bytes(32)


def refused(step: str, nonce: Nonce, **change: object) -> None:
    with pytest.raises(Refused) as error:
        check(nonce, **change)  # type: ignore[arg-type]
    assert error.value.step == step


def test_what_a_nonce_is_not_good_for() -> None:
    nonce = made()
    refused("mac", nonce, identity="CN=other")
    refused("mac", nonce, identity="")
    refused("mac", nonce, key=bytes(32))
    refused("scope", nonce, scope="uid-2")
    refused("scope", nonce, scope="")
    refused("time", nonce, now=NOW + MINUTE)
    refused("time", nonce, now=NOW + MINUTE * 1000)
    refused("time", nonce, now=NOW - MINUTE)
    other = made()
    refused("mac", Nonce(nonce.id, other.value, NOW, NOW))
    refused("form", Nonce(nonce.id, nonce.value[:-1], NOW, NOW))
    refused("form", Nonce(nonce.id, nonce.value + b"\0", NOW, NOW))
    refused("form", Nonce(nonce.id + b"\0", nonce.value, NOW, NOW))
    refused("form", Nonce(b"", nonce.value, NOW, NOW))
    refused("form", Nonce(b"\2" + nonce.id[1:], nonce.value, NOW, NOW))


def test_every_flipped_byte_is_refused() -> None:
    nonce = made(("uid-1", "uid-2"))
    for offset in range(len(nonce.id)):
        damaged = bytearray(nonce.id)
        damaged[offset] ^= 1 << (offset % 8)
        with pytest.raises(Refused):
            check(Nonce(bytes(damaged), nonce.value, NOW, NOW))
    for offset in range(len(nonce.value)):
        damaged = bytearray(nonce.value)
        damaged[offset] ^= 1
        refused("mac", Nonce(nonce.id, bytes(damaged), NOW, NOW))


def test_one_nonce_for_the_objects_of_a_batch() -> None:
    scopes = tuple(f"uid-{n}" for n in range(MAX_SCOPES))
    nonce = made(scopes)
    for scope in scopes:
        check(nonce, scope=scope)
    refused("scope", nonce, scope="uid-99")
    assert len(nonce.id) < 512


@given(st.binary(max_size=400), st.binary(max_size=40))
def test_any_bytes_are_refused(identifier: bytes, value: bytes) -> None:
    with pytest.raises(Refused):
        verify(KEY, identifier, value, identity="CN=vm", scope="uid-1", now=NOW)


@given(st.text(), st.text())
def test_identity_and_scope_are_not_to_be_moved_across_their_border(identity: str, scope: str) -> None:
    nonce = issue(KEY, identity=identity, scopes=[scope], now=NOW, lifetime=MINUTE, random=secrets.token_bytes)
    check(nonce, identity=identity, scope=scope)
    for i, s in ((identity + scope, ""), ("", identity + scope), (identity, scope + "x"), (identity + "x", scope)):
        if (i, s) != (identity, scope):
            with pytest.raises(Refused):
                check(nonce, identity=i, scope=s)


def test_arguments_that_make_no_nonce() -> None:
    def issued(**change: object) -> None:
        arguments: dict[str, object] = {
            "key": KEY,
            "identity": "x",
            "scopes": ["y"],
            "now": NOW,
            "lifetime": MINUTE,
            "random": secrets.token_bytes,
        }
        arguments |= change
        issue(arguments.pop("key"), **arguments)  # type: ignore[arg-type]

    issued()
    wrong: tuple[dict[str, object], ...] = (
        {"key": b"short"},
        {"scopes": []},
        {"scopes": ["y"] * (MAX_SCOPES + 1)},
        {"lifetime": datetime.timedelta(0)},
        {"lifetime": MAX_LIFETIME * 2},
        {"random": lambda n: b""},
    )
    for change in wrong:
        with pytest.raises(ValueError, match=r"\w"):
            issued(**change)


class Consumed:
    """The port as a set; the store's is a unique index."""

    def __init__(self) -> None:
        self.used: dict[bytes, datetime.datetime] = {}

    def consume(self, nonce_id: bytes, expires: datetime.datetime) -> None:
        if nonce_id in self.used:
            raise Refused("single", "the nonce has been used")
        self.used[nonce_id] = expires


@pytest.fixture
def port() -> ConsumedNonces:
    return Consumed()


def test_single_use_is_the_stores_last_word(port: ConsumedNonces) -> None:
    nonce = check(made())
    port.consume(nonce.id, nonce.expires)
    with pytest.raises(Refused) as error:
        port.consume(nonce.id, nonce.expires)
    assert error.value.step == "single"
    port.consume(made().id, nonce.expires)
