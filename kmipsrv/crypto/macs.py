"""Message authentication codes (KMIP 2.1 §6.1.32 MAC, §6.1.33 MAC Verify), in one piece or as a stream.

HMAC (RFC 2104, FIPS 198-1) with every hash of the enumeration that OpenSSL has, CMAC (SP 800-38B) and CBC-MAC (FIPS 113,
ISO/IEC 9797-1 algorithm 1) of the block ciphers, Poly1305 (RFC 8439 §2.5). GMAC is not served: the operation carries no
nonce. The key's Cryptographic Algorithm decides unless the parameters name one: an AES key may serve for HMAC-SHA256.
"""

from __future__ import annotations

import hmac as constant_time
from typing import Any, Final

from cryptography.hazmat.primitives import cmac, hmac
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.poly1305 import Poly1305

from kmipsrv.crypto.ciphers import block_cipher
from kmipsrv.crypto.failures import NotAuthentic, bad, failure, map_errors, unsupported
from kmipsrv.crypto.hashes import LEGACY, library_hash
from kmipsrv.crypto.padding import BLOCK_METHODS, padding_for
from kmipsrv.crypto.parameters import Parameters
from kmipsrv.errors import Cause
from kmipsrv.spec.enums import BlockCipherMode, CryptographicAlgorithm, HashingAlgorithm, PaddingMethod

_A: Final = CryptographicAlgorithm
_H: Final = HashingAlgorithm

HMAC_HASH: Final[dict[CryptographicAlgorithm, HashingAlgorithm]] = {
    _A.HMAC_MD5: _H.MD5,
    _A.HMAC_SHA1: _H.SHA_1,
    _A.HMAC_SHA224: _H.SHA_224,
    _A.HMAC_SHA256: _H.SHA_256,
    _A.HMAC_SHA384: _H.SHA_384,
    _A.HMAC_SHA512: _H.SHA_512,
    _A.HMAC_SHA3_224: _H.SHA3_224,
    _A.HMAC_SHA3_256: _H.SHA3_256,
    _A.HMAC_SHA3_384: _H.SHA3_384,
    _A.HMAC_SHA3_512: _H.SHA3_512,
}
_HMAC_USED: Final = frozenset({"cryptographic_algorithm", "hashing_algorithm"})
_BLOCK_USED: Final = frozenset({"cryptographic_algorithm", "block_cipher_mode"})
_CBC_USED: Final = _BLOCK_USED | {"padding_method"}
_POLY_USED: Final = frozenset({"cryptographic_algorithm"})


class _CbcMac:
    """CBC-MAC: the last block of CBC under a zero vector, the message padded."""

    __slots__ = ("_block", "_context", "_count", "_last", "_padding")

    def __init__(self, algorithm: CryptographicAlgorithm, key: bytes, padding: PaddingMethod) -> None:
        cipher = block_cipher(algorithm, key)
        self._block = cipher.block_size // 8
        self._context = Cipher(cipher, modes.CBC(bytes(self._block))).encryptor()
        self._padding, self._count, self._last = padding, 0, b""

    def update(self, data: bytes) -> None:
        self._count += len(data)
        self._last = (self._last + self._context.update(data))[-self._block :]

    def finalize(self) -> bytes:
        if self._padding == PaddingMethod.ZEROS and self._count == 0:
            self.update(bytes(self._block))  # ISO/IEC 9797-1 §6.3.2: empty data is one block of zeros
        self.update(padding_for(self._padding, self._block, self._count, lambda size: bytes(size)))
        self._context.finalize()
        return self._last


class Mac:
    """A MAC under way: `update` any number of times, then `finalize` or `verify` once."""

    __slots__ = ("_context",)
    held: Final = 0  # nothing of the message is kept

    def __init__(self, context: Any) -> None:
        self._context = context

    def update(self, data: bytes) -> None:
        with map_errors("compute the MAC"):
            self._context.update(data)

    def finalize(self) -> bytes:
        """The MAC."""
        with map_errors("compute the MAC"):
            out: bytes = self._context.finalize()
            return out

    def verify(self, mac: bytes) -> None:
        """`NotAuthentic` unless `mac` is the MAC; compared in constant time, at full length."""
        if not constant_time.compare_digest(self.finalize(), mac):
            raise NotAuthentic("the MAC is not that of the data")


def start_mac(
    algorithm: CryptographicAlgorithm, key: bytes, parameters: Parameters, *, allow_legacy: bool = False
) -> Mac:
    """The MAC that a key of `algorithm` and the parameters ask for. Raises Bad and Unsupported Cryptographic Parameters.

    `allow_legacy` permits HMAC-MD5, CBC-MAC and ciphers of 64-bit blocks. (HMAC-SHA1 is not broken: SP 800-131A.)
    """
    chosen, mode = parameters.cryptographic_algorithm or algorithm, parameters.block_cipher_mode
    with map_errors("prepare the MAC", Cause.BAD_CRYPTOGRAPHIC_PARAMETERS):
        if chosen in HMAC_HASH or (mode is None and parameters.hashing_algorithm is not None):
            parameters.only("mac", _HMAC_USED)
            hashing = HMAC_HASH.get(chosen, parameters.hashing_algorithm)
            if parameters.hashing_algorithm not in (None, hashing) or hashing is None:
                raise bad("the hashing algorithm is not that of the HMAC")
            if hashing in LEGACY - {_H.SHA_1} and not allow_legacy:
                raise unsupported(f"HMAC with {hashing.text} is not allowed by this server's policy")
            return Mac(hmac.HMAC(key, library_hash(hashing)))
        if chosen == _A.POLY1305:
            parameters.only("mac", _POLY_USED)
            return Mac(Poly1305(key))
        if chosen != algorithm:
            raise bad("the cryptographic algorithm is not that of the key")
        if mode == BlockCipherMode.CMAC:
            parameters.only("mac", _BLOCK_USED)
            return Mac(cmac.CMAC(block_cipher(algorithm, key, allow_legacy=allow_legacy)))
        if mode == BlockCipherMode.CBC_MAC:
            parameters.only("mac", _CBC_USED)
            if not allow_legacy:
                raise unsupported("CBC-MAC is not allowed by this server's policy")
            padding = parameters.padding_method or PaddingMethod.ZEROS
            if padding not in BLOCK_METHODS or padding == PaddingMethod.ISO_10126:
                raise bad(f"the padding {padding.text} does not go with CBC-MAC")
            return Mac(_CbcMac(algorithm, key, padding))
    if mode is not None:
        raise unsupported(f"{mode.text} is not available as a MAC on this server")
    raise bad("the parameters name no MAC algorithm")


def mac(
    algorithm: CryptographicAlgorithm,
    key: bytes,
    parameters: Parameters,
    data: bytes,
    *,
    allow_legacy: bool = False,
) -> bytes:
    """The MAC of one message."""
    state = start_mac(algorithm, key, parameters, allow_legacy=allow_legacy)
    state.update(data)
    return state.finalize()


def verify_mac(
    algorithm: CryptographicAlgorithm,
    key: bytes,
    parameters: Parameters,
    data: bytes,
    expected: bytes,
    *,
    allow_legacy: bool = False,
) -> None:
    """`NotAuthentic` unless `expected` is the MAC of `data`."""
    if not expected:
        raise failure("there is no MAC to verify")
    state = start_mac(algorithm, key, parameters, allow_legacy=allow_legacy)
    state.update(data)
    state.verify(expected)
