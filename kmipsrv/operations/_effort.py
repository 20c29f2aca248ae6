"""What one request message may cost in time: each item alone is bounded, a batch could ask for a thousand of them."""

from __future__ import annotations

from typing import Final

from kmipsrv.crypto.iterations import Iterations
from kmipsrv.domain.settings import Settings
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.enums import CryptographicAlgorithm

_A = CryptographicAlgorithm
SLOW: Final = frozenset((_A.RSA, _A.DSA, _A.DH))
"""The algorithms whose key pairs take the search for primes; an elliptic curve's takes less than a commit."""


class Effort:
    """What is left of it. `iterations`: of PBKDF2 and of PKCS#12 containers, all together."""

    __slots__ = ("_key_pairs", "iterations")

    def __init__(self, settings: Settings) -> None:
        self.iterations = Iterations(settings.maximum_pbkdf2_iterations)
        self._key_pairs = settings.maximum_key_pairs

    def key_pair(self, algorithm: CryptographicAlgorithm | None) -> None:
        """One more key pair is to be generated. Raises KmipError(SERVER_LIMIT_EXCEEDED)."""
        if algorithm in SLOW:
            if not self._key_pairs:
                raise KmipError(Cause.SERVER_LIMIT_EXCEEDED, "the batch asks for too many key pairs")
            self._key_pairs -= 1
