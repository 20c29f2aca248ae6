"""What a request message says of attestation (KMIP 2.1 §8.2, §9.11), and what the release gate answers.

Types of evidence go by the names that policies and commands use (`release.evidence.TYPES`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Presented:
    """One Attestation credential. Raw evidence is an Attestation Measurement, a token an Attestation Assertion."""

    type: str  # "" for a type that this server has no name for
    nonce_id: bytes
    nonce_value: bytes
    measurement: bytes | None = None
    assertion: bytes | None = None


@dataclass(slots=True)
class Attestation:
    """One request message as the gate sees it."""

    now: int  # seconds since the epoch
    frame: bytes = b""  # the whole message
    client: str = ""  # who speaks: what nonces are bound to
    requester: str = ""  # the owner whose objects are asked for: what approvals are given to
    client_key: bytes = b""  # SubjectPublicKeyInfo of the client's certificate
    capable: bool = False  # Attestation Capable Indicator
    types: Sequence[str] | None = None  # what the client can make; None: it did not say
    presented: Sequence[Presented] = ()
    recipient: bytes = b""  # SubjectPublicKeyInfo of the key that the client wants released keys to be wrapped to
    named: Sequence[str] = ()  # the unique identifiers in the items
    appraised: Any = None  # what `Gate.appraise` made of the credentials beside the queue


@dataclass(frozen=True, slots=True)
class Challenge:
    """What comes with Attestation Required: the nonce, and the types that could satisfy."""

    nonce_id: bytes
    nonce_value: bytes
    types: tuple[str, ...]
