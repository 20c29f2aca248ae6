"""The permission without which no plaintext leaves the keyring.

Only `release/gate.py` makes Grants (a test walks the syntax trees); the keyring asks for one with every `open`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Purpose(enum.Enum):
    """What the plaintext is wanted for."""

    EXPORT = "export"  # the key leaves the server
    USE = "use"  # the server computes with it and the key does not leave


@dataclass(frozen=True, slots=True)
class Grant:
    """One decision of the gate: this owner may have this object opened for this purpose."""

    unique_identifier: str
    owner: str
    purpose: Purpose
    policy: str  # id of the release policy that was satisfied, "" for an ungated object
    recipient: bytes = b""  # the attested public key (SPKI) that the plaintext has to be wrapped to before it leaves
