"""One Time Pad (KMIP 1.3 §9.1.3.2.13 Cryptographic Algorithm; cases TC-OTP): data XOR the pad, from its beginning.

The pad is as good as its single use, and neither the operations nor this server keep account of what has been used: so it
is a legacy algorithm, off in the default policy.
"""

from __future__ import annotations

from typing import Final

from kmipsrv.crypto.failures import failure, unsupported
from kmipsrv.crypto.parameters import Parameters
from kmipsrv.spec.enums import CryptographicAlgorithm

_USED: Final = frozenset({"cryptographic_algorithm"})


class OneTimePad:
    """Encryption and decryption, which are the same; the interface of a cipher's stream."""

    held: Final = 0
    iv: Final = None
    tag: Final = None

    def __init__(self, pad: bytes, parameters: Parameters, *, allow_legacy: bool) -> None:
        parameters.only("encrypt", _USED)
        if parameters.cryptographic_algorithm not in (None, CryptographicAlgorithm.ONE_TIME_PAD):
            raise unsupported("the object is a One Time Pad")
        if not allow_legacy:
            raise unsupported("One Time Pad is not allowed by this server's policy")
        self._pad, self._at = pad, 0

    def update(self, data: bytes) -> bytes:
        """As much of the pad as the data needs. Raises Cryptographic Failure where it is used up."""
        pad = self._pad[self._at : self._at + len(data)]
        if len(pad) < len(data):
            raise failure("the One Time Pad is shorter than the data")
        self._at += len(data)
        return bytes(a ^ b for a, b in zip(data, pad, strict=True))

    def finalize(self) -> bytes:
        return b""
