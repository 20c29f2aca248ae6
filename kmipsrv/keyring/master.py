"""What the envelope asks of the key it is sealed under, and of whoever counts the seals.

NIST SP 800-38D §8.3 bounds one AES-GCM key with random 96-bit IVs to 2^32 invocations; RFC 5649 is AES key wrap with
padding.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Protocol

MAX_SEALS = 2**32  # SP 800-38D §8.3: invocations of one key with random IVs


class Mechanism(enum.IntEnum):
    """How a data key is sealed inside the token. The numbers are part of the record's format."""

    AES_GCM = 1  # the IV is random and ours
    AES_GCM_TOKEN_IV = 2  # the token makes the IV and writes it into the zeroed buffer it is given
    AES_KWP = 3  # AES key wrap with padding (RFC 5649): no IV, no additional data


MECHANISMS = {
    "aes-gcm": Mechanism.AES_GCM,
    "aes-gcm-token-iv": Mechanism.AES_GCM_TOKEN_IV,
    "aes-kwp": Mechanism.AES_KWP,
}
"""The names that the configuration uses."""


class MasterKey(Protocol):
    """All versions of one master key. Version numbers start at 1; the highest one seals."""

    def version(self) -> int:
        """The version that seals now. Raises TokenUnavailable."""

    def seal(self, version: int, mechanism: Mechanism, data_key: bytes, additional: bytes) -> tuple[bytes, bytes]:
        """-> (IV, sealed data key). Raises TokenUnavailable."""

    def open(self, version: int, mechanism: Mechanism, iv: bytes, sealed: bytes, additional: bytes) -> bytes:
        """-> the data key. Raises KmipError(CRYPTOGRAPHIC_FAILURE) when it is not this key's seal, TokenUnavailable."""

    def when_back(self, check: Callable[[], None]) -> None:
        """Run `check` every time the token has been away and is opened anew, before it serves; it raises to refuse."""


class SealCounter(Protocol):
    """Counts, durably, how often each version of the master key has sealed."""

    def take(self, version: int) -> None:
        """Account for one seal. Raises KmipError(CRYPTOGRAPHIC_FAILURE) when the version has used up MAX_SEALS."""
