"""A master key in this process's own memory: for unit tests, and for nothing else.

Whoever reads the memory has the key, and it is gone with the process. The envelope around it is the real one. No
configuration leads here; a test may say `UnsafeSoftwareKeyring()`, and the log says so, too.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap_with_padding,
    aes_key_wrap_with_padding,
)

from kmipsrv.errors import Cause, KmipError
from kmipsrv.keyring.envelope import Envelope
from kmipsrv.keyring.master import MAX_SEALS, Mechanism

log = logging.getLogger(__name__)

IV_LENGTH: Final = 12  # bytes


class UnsafeSoftwareKeyring(Envelope):
    """An `Envelope` without a token. Its master key dies with it."""

    def __init__(
        self, mechanism: Mechanism = Mechanism.AES_GCM, randomness: Callable[[int], bytes] = os.urandom
    ) -> None:
        log.warning("a keyring without a token is in use: its master key lies in memory and will be lost")
        self.master = UnsafeSoftwareMasterKey(randomness)
        super().__init__(self.master, ForgetfulCounter(), mechanism, randomness)


class UnsafeSoftwareMasterKey:
    """A `master.MasterKey`. `rotate` makes the next version."""

    def __init__(self, randomness: Callable[[int], bytes]) -> None:
        self._randomness = randomness
        self._keys: dict[int, bytes] = {}
        self.rotate()

    def rotate(self) -> int:
        """Make the next version; -> its number."""
        version = len(self._keys) + 1
        self._keys[version] = self._randomness(32)
        return version

    def version(self) -> int:
        """See `master.MasterKey`."""
        return len(self._keys)

    def when_back(self, check: Callable[[], None]) -> None:
        """See `master.MasterKey`: memory never goes away."""

    def seal(self, version: int, mechanism: Mechanism, data_key: bytes, additional: bytes) -> tuple[bytes, bytes]:
        """See `master.MasterKey`."""
        if mechanism is Mechanism.AES_KWP:
            return b"", aes_key_wrap_with_padding(self._keys[version], data_key)
        iv = self._randomness(IV_LENGTH)
        return iv, AESGCM(self._keys[version]).encrypt(iv, data_key, additional)

    def open(self, version: int, mechanism: Mechanism, iv: bytes, sealed: bytes, additional: bytes) -> bytes:
        """See `master.MasterKey`."""
        try:
            if mechanism is Mechanism.AES_KWP:
                return aes_key_unwrap_with_padding(self._keys[version], sealed)
            return AESGCM(self._keys[version]).decrypt(iv, sealed, additional)
        except (KeyError, InvalidTag, InvalidUnwrap, ValueError) as error:
            raise KmipError(Cause.CRYPTOGRAPHIC_FAILURE, "the object cannot be opened") from error


class ForgetfulCounter:
    """A `master.SealCounter` that lives as long as the key it counts for."""

    def __init__(self) -> None:
        self._seals: Counter[int] = Counter()

    def take(self, version: int) -> None:
        """See `master.SealCounter`."""
        if self._seals[version] >= MAX_SEALS:
            raise KmipError(Cause.CRYPTOGRAPHIC_FAILURE, "the master key is used up")
        self._seals[version] += 1
