"""Hashing (KMIP 2.1 §6.1.24 Hash; §11.21 Hashing Algorithm), and the table of hashes for the other rooms.

The Hash operation runs on `hashlib` (OpenSSL too), which has RIPEMD-160 and states that can be copied; signatures, MACs
and padding need the objects of `cryptography`. MD2, MD4, Tiger and Whirlpool are in neither.
"""

from __future__ import annotations

import hashlib
from typing import Final

from cryptography.hazmat.primitives import hashes

from kmipsrv.crypto.failures import bad, map_errors, unsupported
from kmipsrv.crypto.parameters import Parameters
from kmipsrv.errors import Cause
from kmipsrv.spec.enums import HashingAlgorithm

_H: Final = HashingAlgorithm

_NAMES: Final[dict[HashingAlgorithm, str]] = {
    _H.MD5: "md5",
    _H.SHA_1: "sha1",
    _H.SHA_224: "sha224",
    _H.SHA_256: "sha256",
    _H.SHA_384: "sha384",
    _H.SHA_512: "sha512",
    _H.RIPEMD_160: "ripemd160",
    _H.SHA_512_224: "sha512_224",
    _H.SHA_512_256: "sha512_256",
    _H.SHA3_224: "sha3_224",
    _H.SHA3_256: "sha3_256",
    _H.SHA3_384: "sha3_384",
    _H.SHA3_512: "sha3_512",
}

_LIBRARY: Final[dict[HashingAlgorithm, hashes.HashAlgorithm]] = {
    _H.MD5: hashes.MD5(),  # noqa: S303 - the policy decides
    _H.SHA_1: hashes.SHA1(),  # noqa: S303 - the policy decides
    _H.SHA_224: hashes.SHA224(),
    _H.SHA_256: hashes.SHA256(),
    _H.SHA_384: hashes.SHA384(),
    _H.SHA_512: hashes.SHA512(),
    _H.SHA_512_224: hashes.SHA512_224(),
    _H.SHA_512_256: hashes.SHA512_256(),
    _H.SHA3_224: hashes.SHA3_224(),
    _H.SHA3_256: hashes.SHA3_256(),
    _H.SHA3_384: hashes.SHA3_384(),
    _H.SHA3_512: hashes.SHA3_512(),
}

LEGACY: Final = frozenset({_H.MD2, _H.MD4, _H.MD5, _H.SHA_1})
"""Hashes whose collisions are known: not for signatures under the default policy."""

SERVED: Final = frozenset(_NAMES)
"""Hashing algorithms of the Hash operation."""

_USED: Final = frozenset({"hashing_algorithm"})


class Hashing:
    """A digest under way: `update` any number of times, `finalize` once."""

    __slots__ = ("_state",)
    held: Final = 0  # nothing of the message is kept

    def __init__(self, algorithm: HashingAlgorithm) -> None:
        name = _NAMES.get(algorithm)
        if name is None:
            raise unsupported(f"{algorithm.text} is not available on this server")
        with map_errors("hash", Cause.UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS):  # an OpenSSL may lack RIPEMD-160 or MD5
            self._state = hashlib.new(name, usedforsecurity=False)

    def update(self, data: bytes) -> None:
        self._state.update(data)

    def finalize(self) -> bytes:
        return self._state.digest()


def start_hash(parameters: Parameters) -> Hashing:
    """The digest that the Cryptographic Parameters ask for: the Hashing Algorithm, and nothing else."""
    parameters.only("hash", _USED)
    if parameters.hashing_algorithm is None:
        raise bad("a hashing algorithm is needed")
    return Hashing(parameters.hashing_algorithm)


def hash_data(parameters: Parameters, data: bytes) -> bytes:
    """The digest of one message."""
    state = start_hash(parameters)
    state.update(data)
    return state.finalize()


def digest(algorithm: HashingAlgorithm, data: bytes) -> bytes:
    """The digest of bytes, for Digest attributes and fingerprints."""
    state = Hashing(algorithm)
    state.update(data)
    return state.finalize()


def library_hash(algorithm: HashingAlgorithm) -> hashes.HashAlgorithm:
    """The library's object of a hash, or Unsupported Cryptographic Parameters."""
    found = _LIBRARY.get(algorithm)
    if found is None:
        raise unsupported(f"{algorithm.text} is not available for this on this server")
    return found
