"""Passwords: right, wrong, unknown; records that are not what they should be."""

from __future__ import annotations

import base64
import hashlib

import pytest

from kmipsrv.errors import Cause, KmipError
from kmipsrv.identity.password import Passwords, hash_password

SALT = bytes(range(16))
SECRET = b"s" * 32


@pytest.fixture(scope="module")
def record() -> str:
    return hash_password("correct horse", SALT)


def test_the_record_is_plain_scrypt(record: str) -> None:
    scheme, n, r, p, salt, digest = record.split("$")
    assert (scheme, n, r, p, base64.b64decode(salt)) == ("scrypt", "32768", "8", "1", SALT)
    expected = hashlib.scrypt(b"correct horse", salt=SALT, n=32768, r=8, p=1, maxmem=1 << 26, dklen=32)
    assert base64.b64decode(digest) == expected


@pytest.mark.parametrize(
    ("user", "password", "right"),
    [
        ("alice", "correct horse", True),
        ("alice", "correct horsf", False),
        ("alice", "", False),
        ("alice", "x" * 2000, False),
        ("alice", "\ud800", False),
        ("bob", "correct horse", False),
        ("", "", False),
    ],
)
def test_check(record: str, user: str, password: str, right: bool) -> None:
    passwords = Passwords({"alice": record}, SECRET)
    for _ in range(2):  # the second time from memory, if it was right
        if right:
            passwords.check(user, password)
            assert len(passwords._right) == 1
            continue
        with pytest.raises(KmipError) as refused:
            passwords.check(user, password)
        assert refused.value.cause is Cause.AUTHENTICATION_NOT_SUCCESSFUL
        assert not passwords._right


def test_a_right_password_is_only_right_for_its_user(record: str) -> None:
    passwords = Passwords({"alice": record, "bob": hash_password("battery", bytes(16))}, SECRET)
    passwords.check("alice", "correct horse")
    with pytest.raises(KmipError):
        passwords.check("bob", "correct horse")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "correct horse",
        "scrypt$32768$8$1$AAAAAAAAAAAAAAAAAAAAAA==",
        "bcrypt$32768$8$1$AAAAAAAAAAAAAAAAAAAAAA==$" + "A" * 43 + "=",
        "scrypt$1024$8$1$AAAAAAAAAAAAAAAAAAAAAA==$" + "A" * 43 + "=",
        "scrypt$1073741824$8$1$AAAAAAAAAAAAAAAAAAAAAA==$" + "A" * 43 + "=",
        "scrypt$32768$8$99$AAAAAAAAAAAAAAAAAAAAAA==$" + "A" * 43 + "=",
        "scrypt$32768$8$1$AAAA$" + "A" * 43 + "=",
        "scrypt$32768$8$1$AAAAAAAAAAAAAAAAAAAAAA==$AAAA",
        "scrypt$x$8$1$AAAAAAAAAAAAAAAAAAAAAA==$" + "A" * 43 + "=",
    ],
)
def test_bad_records_are_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="password record") as refused:
        Passwords({"alice": text}, SECRET)
    assert not text or text not in str(refused.value)


def test_a_short_salt_is_refused() -> None:
    with pytest.raises(ValueError, match="salt"):
        hash_password("correct horse", b"short")
