"""A chain of records: each hash covers its record, its number and the hash before it, and so everything before it.

    hash(n) = SHA-256("kmipsrv-audit-v1" | n as 8 bytes, big-endian | hash(n-1), 32 bytes, zeros before the first | record)

A change, an insertion, a removal or a reordering breaks the chain at that place. Cutting the end off does not: that is
what the head is for. It says how many records there are and the hash of the last, signed with the server's key (Ed25519), and is
kept once, replaced with each record. Whoever can put back an old database as a whole, head included, is found out only by a
head that was noted elsewhere (`Head.text`), which is what `verify` takes as `known`.

1. number     The records are numbered from 1 without a gap.
2. hash       Each hash is that of its record behind the one before it.
3. head       There is a head, and the server signed it.
4. end        The chain ends where the head says, with its hash.
5. known      Heads noted before are in the chain.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PREFIX: Final = b"kmipsrv-audit-v1"
HEAD_PREFIX: Final = b"kmipsrv-audit-head-v1"
START: Final = bytes(32)


class Broken(Exception):
    """The trail is not as it was written. `number`: the first record that is concerned, 0 for the trail as a whole."""

    def __init__(self, step: str, number: int, reason: str) -> None:
        super().__init__(f"{step}: record {number}: {reason}" if number else f"{step}: {reason}")
        self.step = step
        self.number = number


def link(previous: bytes, number: int, body: bytes) -> bytes:
    """The hash of record `number` behind the one whose hash is `previous` (`b""`: there is none)."""
    return hashlib.sha256(PREFIX + number.to_bytes(8, "big") + (previous or START) + body).digest()


@dataclass(frozen=True, slots=True)
class Head:
    """Where a chain ended at some moment. Number 0: it was empty."""

    number: int
    hash: bytes

    def text(self) -> str:
        """The head on one line, to be noted."""
        return f"{self.number}:{self.hash.hex()}"

    @classmethod
    def read(cls, text: str) -> Head:
        """What `text` wrote. Raises ValueError."""
        number, _, digest = text.strip().partition(":")
        head = cls(int(number), bytes.fromhex(digest))
        if head.number < 0 or len(head.hash) != (32 if head.number else 0):
            raise ValueError("not a head")
        return head

    def _message(self) -> bytes:
        return HEAD_PREFIX + self.number.to_bytes(8, "big") + self.hash

    def sign(self, key: Ed25519PrivateKey) -> bytes:
        """The signed head as it is kept: JSON."""
        return json.dumps({"head": self.text(), "signature": key.sign(self._message()).hex()}).encode()

    @classmethod
    def verified(cls, data: bytes, key: Ed25519PublicKey) -> Head:
        """The head that `sign` wrote. Raises Broken("head")."""
        try:
            body = json.loads(data)
            head = cls.read(body["head"])
            key.verify(bytes.fromhex(body["signature"]), head._message())
        except (ValueError, TypeError, LookupError, AttributeError, InvalidSignature):
            raise Broken("head", 0, "the head is not signed by this server") from None
        return head


def verify(
    rows: Iterable[tuple[int, bytes, bytes]], signed: bytes | None, key: Ed25519PublicKey, known: Iterable[Head] = ()
) -> Head:
    """Steps 1 to 5 over (number, record, hash) in order. -> the head. Raises Broken with the first thing that is wrong."""
    noted = {head.number: head.hash for head in known}
    number, digest = 0, b""
    for found, body, stated in rows:
        if found != number + 1:  # 1.
            raise Broken("number", number + 1, "it is missing")
        number, digest = found, link(digest, found, body)
        if not hmac.compare_digest(stated, digest):  # 2.
            raise Broken("hash", number, "it, or its place, was changed")
        if number in noted and not hmac.compare_digest(noted.pop(number), digest):  # 5.
            raise Broken("known", number, "it is not the one whose head was noted")
    noted.pop(0, None)
    if signed is None:  # 3.
        raise Broken("head", 0, "the trail has no head")
    head = Head.verified(signed, key)
    if (head.number, head.hash) != (number, digest):  # 4.
        raise Broken(
            "end", min(number, head.number) + 1, f"there are {number} records, but the head says {head.number}"
        )
    if noted:
        raise Broken("known", min(noted), "its head was noted, but it is not there")
    return head
