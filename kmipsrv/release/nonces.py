"""Nonces of the KMIP attestation handshake (KMIP 2.1 §9.14) that need no table of those handed out.

"A Nonce object is a structure used by the server to send a random value to the client. The Nonce Identifier is assigned by
the server and used to identify the Nonce object." The value is random. The identifier carries the time of issue, the
expiry and what the nonce may be used for, and a MAC over these, the value and the client's identity under a key of
the deployment: any worker process, before or after a restart, can tell its own nonces, and a stream of refused
requests writes nothing. Only what was used is stored (`ConsumedNonces`), until it would have expired anyway.

Layout of an identifier: version (1 byte, 1), issued and expiry (8 bytes each, milliseconds since 1970, big-endian),
number of scopes (1 byte), a tag of 16 bytes for each scope, MAC (32 bytes: HMAC-SHA-256).

1. form       The identifier has this layout, the value its length.
2. mac        It was made here, for this value and this client.
3. time       It was issued before `now` and has not expired.
4. scope      It was handed out for this object.
5. single     It has not been used before: `consume`, the caller's last step.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from kmipsrv.release.refusal import Refused

VALUE_SIZE: Final = 32
KEY_SIZE: Final = 32
MAX_SCOPES: Final = 16
MAX_LIFETIME: Final = datetime.timedelta(hours=1)
SKEW: Final = datetime.timedelta(seconds=5)
"""How far the clocks of two nodes of one deployment may be apart."""

_VERSION: Final = 1
_HEAD: Final = struct.Struct(">BQQB")
_TAG_SIZE: Final = 16
_MAC_SIZE: Final = 32
_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_LATEST: Final = 253_402_300_799_999  # the end of the year 9999, in milliseconds

Random = Callable[[int], bytes]


class ConsumedNonces(Protocol):
    """What the store does: remember the nonces that were used."""

    def consume(self, nonce_id: bytes, expires: datetime.datetime) -> None:
        """Record the use. Raises Refused("single") when it has been recorded before, by whichever process.

        The record outlives the request's rollback, and may be forgotten once `expires` has passed.
        """


@dataclass(frozen=True, slots=True)
class Nonce:
    """What the response header carries."""

    id: bytes
    value: bytes
    issued: datetime.datetime
    expires: datetime.datetime


def issue(
    key: bytes,
    *,
    identity: str,
    scopes: Sequence[str],
    now: datetime.datetime,
    lifetime: datetime.timedelta,
    random: Random,
) -> Nonce:
    """A fresh nonce for the client `identity`, to be used for the objects `scopes` until `now + lifetime`.

    `key` is 32 bytes of the deployment; `random` yields as many random bytes as it is asked for. A batch can hold
    several gated objects, and its response header has room for one nonce, so a nonce can be for several.
    """
    _check_key(key)
    if not 1 <= len(scopes) <= MAX_SCOPES:
        raise ValueError(f"a nonce is for 1 to {MAX_SCOPES} objects")
    if not datetime.timedelta(0) < lifetime <= MAX_LIFETIME:
        raise ValueError("the lifetime of a nonce is more than nothing and at most an hour")
    value = random(VALUE_SIZE)
    if len(value) != VALUE_SIZE:
        raise ValueError("the source of randomness gave another length than asked for")
    issued, expires = _milliseconds(now), _milliseconds(now + lifetime)
    tags = [_tag(key, value, scope) for scope in dict.fromkeys(scopes)]
    head = _HEAD.pack(_VERSION, issued, expires, len(tags)) + b"".join(tags)
    return Nonce(head + _mac(key, head, value, identity), value, _moment(issued), _moment(expires))


def verify(
    key: bytes, nonce_id: bytes, value: bytes, *, identity: str, scope: str | None, now: datetime.datetime
) -> Nonce:
    """Steps 1 to 4; 1 to 3 where `scope` is None, as long as no object is at hand. Raises Refused with the step's name.

    Single use is not checked here: `consume` what this returns."""
    _check_key(key)
    if len(value) != VALUE_SIZE or len(nonce_id) < _HEAD.size + _MAC_SIZE:  # 1.
        raise Refused("form", "not a nonce of this server")
    version, issued, expires, count = _HEAD.unpack_from(nonce_id)
    if version != _VERSION or len(nonce_id) != _HEAD.size + count * _TAG_SIZE + _MAC_SIZE:
        raise Refused("form", "not a nonce of this server")
    head, mac = nonce_id[:-_MAC_SIZE], nonce_id[-_MAC_SIZE:]
    if not hmac.compare_digest(mac, _mac(key, head, value, identity)):  # 2.
        raise Refused("mac", "not a nonce of this server for this client")
    if max(issued, expires) > _LATEST:
        raise Refused("form", "not a nonce of this server")
    nonce = Nonce(nonce_id, value, _moment(issued), _moment(expires))
    if now + SKEW < nonce.issued:  # 3.
        raise Refused("time", "the nonce is from the future")
    if now >= nonce.expires:
        raise Refused("time", "the nonce has expired")
    if scope is None:
        return nonce
    wanted = _tag(key, value, scope)  # 4.
    tags = [head[i : i + _TAG_SIZE] for i in range(_HEAD.size, len(head), _TAG_SIZE)]
    if not any(hmac.compare_digest(tag, wanted) for tag in tags):
        raise Refused("scope", "the nonce was handed out for other objects")
    return nonce


def _check_key(key: bytes) -> None:
    if len(key) != KEY_SIZE:
        raise ValueError(f"the nonce key has {KEY_SIZE} bytes")


def _mac(key: bytes, head: bytes, value: bytes, identity: str) -> bytes:
    return _hmac(key, b"kmipsrv-nonce-v1", head, value, identity.encode("utf-8", "surrogatepass"))


def _tag(key: bytes, value: bytes, scope: str) -> bytes:
    return _hmac(key, b"kmipsrv-nonce-scope-v1", value, scope.encode("utf-8", "surrogatepass"))[:_TAG_SIZE]


def _hmac(key: bytes, *parts: bytes) -> bytes:
    """Every part behind its length, so that no two lists of parts are the same message."""
    message = b"".join(struct.pack(">I", len(part)) + part for part in parts)
    return hmac.new(key, message, hashlib.sha256).digest()


def _milliseconds(moment: datetime.datetime) -> int:
    return (moment - _EPOCH) // datetime.timedelta(milliseconds=1)


def _moment(milliseconds: int) -> datetime.datetime:
    return _EPOCH + datetime.timedelta(milliseconds=milliseconds)
