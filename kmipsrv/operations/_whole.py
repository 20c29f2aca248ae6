"""A message that an asymmetric key encrypts or decrypts: it fits into one block, so its parts are few and short."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kmipsrv.crypto.failures import failure

_LONGEST: Final = 2048
"""Octets of a block of the longest key (16384 bits)."""


class Whole:
    """Collects the parts and computes at the end; the interface of a cipher's stream."""

    iv: Final = None
    tag: Final = None

    def __init__(self, run: Callable[[bytes], bytes]) -> None:
        self._run = run
        self._data = b""

    @property
    def held(self) -> int:
        return len(self._data)

    def update(self, data: bytes) -> bytes:
        if len(self._data) + len(data) > _LONGEST:
            raise failure("the data is too long for the key")
        self._data += data
        return b""

    def finalize(self) -> bytes:
        return self._run(self._data)
