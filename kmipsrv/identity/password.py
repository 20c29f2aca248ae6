"""Username and password of a Credential object (KMIP 2.1 §9.11), kept as scrypt hashes (RFC 7914).

A record is `scrypt$N$r$p$salt$hash`, salt and hash in base64. `check` raises or returns nothing; it takes as long
for a user that does not exist as for a wrong password. Clients that authenticate each message (Ceph does) would
cost a hash each time: what was right is remembered as an HMAC under a key of this process, never as the password or
a fast hash of it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from kmipsrv.errors import Cause, KmipError

_N, _R, _P, _SIZE = 1 << 15, 8, 1, 32  # 32 MiB and some 70 ms
_MEMORY = 256 << 20  # no record may ask for more
_MAX_PASSWORD = 1024  # bytes
_REMEMBERED = 1024


@dataclass(frozen=True, slots=True)
class _Record:
    n: int
    r: int
    p: int
    salt: bytes
    digest: bytes

    @classmethod
    def parse(cls, text: str) -> _Record:
        """Raises ValueError, which never quotes the record."""
        try:
            scheme, n, r, p, salt, digest = text.split("$")
            record = cls(int(n), int(r), int(p), _unbase64(salt), _unbase64(digest))
        except (ValueError, binascii.Error):
            raise ValueError("a password record must read scrypt$N$r$p$salt$hash") from None
        memory = 128 * record.r * record.n
        if scheme != "scrypt" or record.n < 1 << 14 or record.r < 8 or not 1 <= record.p <= 16 or memory > _MEMORY:
            raise ValueError("a password record must be scrypt with N at least 16384, r at least 8, p from 1 to 16")
        if len(record.salt) < 16 or len(record.digest) != _SIZE:
            raise ValueError(f"a password record must have a salt of 16 bytes or more and a hash of {_SIZE} bytes")
        return record

    def derive(self, password: bytes) -> bytes:
        limit = 128 * self.r * (self.n + self.p + 2) + (1 << 20)
        return hashlib.scrypt(password, salt=self.salt, n=self.n, r=self.r, p=self.p, maxmem=limit, dklen=_SIZE)


def hash_password(password: str, salt: bytes) -> str:
    """The record to keep for `password`. `salt`: 16 random bytes or more. Raises ValueError for a salt too short."""
    if len(salt) < 16:
        raise ValueError("the salt needs at least 16 random bytes")
    record = _Record(_N, _R, _P, salt, b"")
    digest = record.derive(password.encode("utf-8"))
    return f"scrypt${_N}${_R}${_P}${_base64(salt)}${_base64(digest)}"


class Passwords:
    """The users and their records. `secret`: 32 random bytes of this process. Raises ValueError for a bad record."""

    def __init__(self, records: Mapping[str, str], secret: bytes) -> None:
        self._records = {user: _Record.parse(text) for user, text in records.items()}
        self._secret = secret
        self._nobody = _Record(_N, _R, _P, hmac.digest(secret, b"nobody", "sha256"), bytes(_SIZE))
        self._right: OrderedDict[bytes, None] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, user: str, password: str) -> None:
        """Raises KmipError(AUTHENTICATION_NOT_SUCCESSFUL) unless `password` is the user's; says not which was wrong."""
        secret = password.encode("utf-8", "surrogatepass")
        if len(secret) > _MAX_PASSWORD:
            raise _refused()
        record = self._records.get(user, self._nobody)
        mark = hmac.digest(self._secret, b"".join((record.salt, record.digest, secret)), "sha256")
        if record is not self._nobody and self._remembers(mark):
            return
        same = hmac.compare_digest(record.derive(secret), record.digest)
        if record is self._nobody or not same:
            raise _refused()
        with self._lock:
            self._right[mark] = None
            if len(self._right) > _REMEMBERED:
                self._right.popitem(last=False)

    def _remembers(self, mark: bytes) -> bool:
        with self._lock:
            return mark in self._right


def _refused() -> KmipError:
    return KmipError(Cause.AUTHENTICATION_NOT_SUCCESSFUL, "the user name or the password is not right")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _unbase64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
