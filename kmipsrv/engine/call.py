"""What a door hands to the engine: one framed message and who sent it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kmipsrv.domain.identity import Identity


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of a connection whose client certificate has been verified."""

    identity: Identity
    address: str
    fingerprint: str = ""  # SHA-256 of the certificate's DER, hexadecimal: for the audit records
    public_key: bytes = b""  # the certificate's SubjectPublicKeyInfo in DER: what evidence covers


@dataclass(frozen=True, slots=True)
class Call:
    """One request message. `frame` is complete TTLV from tag to padding; nothing inside it has been looked at yet."""

    frame: bytes
    peer: Peer
    prepared: Any = None  # what the engine's own `prepare` made of this call beside the queue; None: nothing was slow
