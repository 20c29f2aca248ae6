"""Padding Methods of block ciphers (KMIP 2.1 §11.37): what is appended for a count of bytes, how much the end holds.

PKCS5: RFC 8018 §6.1.1, extended to blocks of any size (RFC 5652 §6.3). ANSI X9.23: zeros, then the length. ISO 10126:
random bytes, then the length. SSL3: RFC 6101 §5.2.3.2: the last byte counts the padding before it. Zeros: to the next
block, nothing when the data is whole; what the data itself ended in is lost on the way back, as the method has it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from kmipsrv.crypto.failures import failure
from kmipsrv.spec.enums import PaddingMethod

Random = Callable[[int], bytes]


def _zeros_length(block: bytes) -> int:
    return len(block) - len(block.rstrip(b"\0"))


def _pkcs5_length(block: bytes) -> int:
    size = block[-1]
    return size if 1 <= size <= len(block) and block.endswith(bytes((size,)) * size) else -1


def _x923_length(block: bytes) -> int:
    size = block[-1]
    return size if 1 <= size <= len(block) and block[len(block) - size : -1] == bytes(size - 1) else -1


def _iso10126_length(block: bytes) -> int:
    return block[-1] if 1 <= block[-1] <= len(block) else -1


def _ssl3_length(block: bytes) -> int:
    return block[-1] + 1 if block[-1] < len(block) else -1


_MAKE: Final[dict[PaddingMethod, Callable[[int, Random], bytes]]] = {
    PaddingMethod.PKCS5: lambda size, random: bytes((size,)) * size,
    PaddingMethod.ANSI_X9_23: lambda size, random: bytes(size - 1) + bytes((size,)),
    PaddingMethod.ISO_10126: lambda size, random: random(size - 1) + bytes((size,)),
    PaddingMethod.SSL3: lambda size, random: bytes(size - 1) + bytes((size - 1,)),
}
_LENGTH: Final[dict[PaddingMethod, Callable[[bytes], int]]] = {
    PaddingMethod.PKCS5: _pkcs5_length,
    PaddingMethod.ANSI_X9_23: _x923_length,
    PaddingMethod.ISO_10126: _iso10126_length,
    PaddingMethod.SSL3: _ssl3_length,
    PaddingMethod.ZEROS: _zeros_length,
}

BLOCK_METHODS: Final = frozenset(_LENGTH)
"""The methods that pad data to the blocks of a symmetric cipher."""


def padding_for(method: PaddingMethod, block: int, count: int, random: Random) -> bytes:
    """The padding after `count` bytes of data for a cipher of `block` bytes."""
    if method == PaddingMethod.ZEROS:
        return bytes(-count % block)
    return _MAKE[method](block - count % block, random)


def strip(method: PaddingMethod, last: bytes, block: int) -> bytes:
    """The last block of decrypted data without its padding; Cryptographic Failure when there is none."""
    if len(last) != block:
        if not last and method == PaddingMethod.ZEROS:
            return last
        raise failure("decrypt: the data is not whole blocks")
    size = _LENGTH[method](last)
    if size < 0:
        raise failure("decrypt: the data does not end in the padding of the method")
    return last[: block - size]
