"""RSA encryption and decryption (KMIP 2.1 §6.1.17 Encrypt, §6.1.11 Decrypt with an asymmetric key; RFC 8017 §7).

Padding Method OAEP (Hashing Algorithm, Mask Generator and its hash, P Source as the label) and PKCS1 v1.5; None is the
bare RSA primitive. §4.16: "Mask Generator Hashing Algorithm … if omitted defaults to SHA-1"; RFC 8017 §A.2.1 has the same
default for the hash. Bare RSA and PKCS1 v1.5 are legacy. The library's OAEP knows SHA-1 and SHA-2; the other hashes, and
the bare primitive, are computed here.
"""

from __future__ import annotations

import hmac
import secrets
from math import gcd
from typing import Final

from cryptography.hazmat.primitives.asymmetric import padding, rsa

from kmipsrv.crypto.failures import bad, failure, map_errors, unsupported
from kmipsrv.crypto.formats import PrivateKey, PublicKey
from kmipsrv.crypto.hashes import digest, library_hash
from kmipsrv.crypto.padding import Random
from kmipsrv.crypto.parameters import Parameters
from kmipsrv.spec.enums import CryptographicAlgorithm, HashingAlgorithm, MaskGenerator, PaddingMethod

_H: Final = HashingAlgorithm
_LIBRARY_OAEP: Final = frozenset({_H.SHA_1, _H.SHA_224, _H.SHA_256, _H.SHA_384, _H.SHA_512})
_NAMED: Final = frozenset({"padding_method", "cryptographic_algorithm"})
_OAEP: Final = _NAMED | {"hashing_algorithm", "mask_generator", "mask_generator_hashing_algorithm", "p_source"}


def encrypt(
    key: PublicKey, parameters: Parameters, data: bytes, *, random: Random, allow_legacy: bool = False
) -> bytes:
    """RSA encryption of one message. Raises Bad and Unsupported Cryptographic Parameters, Cryptographic Failure."""
    if not isinstance(key, rsa.RSAPublicKey):
        raise unsupported("only RSA public keys encrypt")
    scheme = _scheme(parameters, allow_legacy)
    with map_errors("encrypt"):
        if scheme is None:
            return _public(key, data)
        if isinstance(scheme, padding.AsymmetricPadding):
            return key.encrypt(data, scheme)
        return _public(key, _encode(data, scheme, parameters.p_source or b"", key, random))


def decrypt(key: PrivateKey, parameters: Parameters, data: bytes, *, allow_legacy: bool = False) -> bytes:
    """RSA decryption of one message; every wrong ciphertext is the same Cryptographic Failure."""
    if not isinstance(key, rsa.RSAPrivateKey):
        raise unsupported("only RSA private keys decrypt")
    scheme = _scheme(parameters, allow_legacy)
    with map_errors("decrypt"):
        if scheme is None:
            return _private(key, data)
        if isinstance(scheme, padding.AsymmetricPadding):
            return key.decrypt(data, scheme)
        return _decode(_private(key, data), scheme, parameters.p_source or b"")


def _scheme(
    parameters: Parameters, allow_legacy: bool
) -> padding.AsymmetricPadding | tuple[HashingAlgorithm, HashingAlgorithm] | None:
    """The library's padding, the two hashes of an OAEP made here, or None for the bare primitive."""
    if parameters.cryptographic_algorithm not in (None, CryptographicAlgorithm.RSA):
        raise bad("the cryptographic algorithm is not that of the key")
    method = parameters.padding_method
    if method == PaddingMethod.OAEP:
        parameters.only("encrypt", _OAEP)
        if parameters.mask_generator not in (None, MaskGenerator.MGF1):
            raise unsupported("the only mask generator is MGF1")
        hashing = parameters.hashing_algorithm or _H.SHA_1
        mask = parameters.mask_generator_hashing_algorithm or _H.SHA_1
        if {hashing, mask} <= _LIBRARY_OAEP:
            return padding.OAEP(padding.MGF1(library_hash(mask)), library_hash(hashing), parameters.p_source or None)
        library_hash(hashing), library_hash(mask)  # refuses what is not served at all
        if _H.MD5 in (hashing, mask) and not allow_legacy:
            raise unsupported("OAEP with MD5 is not allowed by this server's policy")
        return hashing, mask
    parameters.only("encrypt", _NAMED)
    if method is None:
        raise bad("a padding method is needed")
    if method not in (PaddingMethod.PKCS1_V1_5, PaddingMethod.NONE):
        raise bad(f"the padding {method.text} does not go with RSA encryption")
    if not allow_legacy:
        raise unsupported(f"RSA encryption with padding {method.text} is not allowed by this server's policy")
    return padding.PKCS1v15() if method == PaddingMethod.PKCS1_V1_5 else None


def _public(key: rsa.RSAPublicKey, data: bytes) -> bytes:
    """RSAEP (RFC 8017 §5.1.1). `data` is as long as the modulus, or shorter and then a number of fewer bytes."""
    numbers, size = key.public_numbers(), (key.key_size + 7) // 8
    message = int.from_bytes(data, "big")
    if len(data) > size or message >= numbers.n:
        raise failure("encrypt: the data is too long for the key")
    return pow(message, numbers.e, numbers.n).to_bytes(size, "big")


def _private(key: rsa.RSAPrivateKey, data: bytes) -> bytes:
    """RSADP (RFC 8017 §5.1.2) on whole blocks.

    Python's `pow` takes a time that depends on its numbers, so the ciphertext is multiplied by a random power first
    (blinding): the numbers that it works on are none that a client chose. `secrets` is used for that mask alone; it does
    not reach the result.
    """
    numbers, size = key.private_numbers(), (key.key_size + 7) // 8
    n, e = numbers.public_numbers.n, numbers.public_numbers.e
    cipher = int.from_bytes(data, "big")
    if len(data) != size or cipher >= n:
        raise failure("decrypt: the data does not fit the key")
    mask = secrets.randbelow(n - 2) + 2
    if gcd(mask, n) != 1:
        raise failure("decrypt: the key is not valid")
    blinded = cipher * pow(mask, e, n) % n
    at_p, at_q = pow(blinded, numbers.dmp1, numbers.p), pow(blinded, numbers.dmq1, numbers.q)
    message = at_q + numbers.q * (numbers.iqmp * (at_p - at_q) % numbers.p)
    if pow(message, e, n) != blinded:  # a fault in one half would give the factors away (Boneh, DeMillo, Lipton)
        raise failure("decrypt: the key is not valid")
    return (message * pow(mask, -1, n) % n).to_bytes(size, "big")


def _mgf1(seed: bytes, size: int, hashing: HashingAlgorithm) -> bytes:
    """RFC 8017 §B.2.1."""
    out = b""
    counter = 0
    while len(out) < size:
        out += digest(hashing, seed + counter.to_bytes(4, "big"))
        counter += 1
    return out[:size]


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def _encode(
    data: bytes,
    scheme: tuple[HashingAlgorithm, HashingAlgorithm],
    label: bytes,
    key: rsa.RSAPublicKey,
    random: Random,
) -> bytes:
    """EME-OAEP encoding (RFC 8017 §7.1.1)."""
    hashing, mask = scheme
    size, h = (key.key_size + 7) // 8, library_hash(hashing).digest_size
    if len(data) > size - 2 * h - 2:
        raise failure("encrypt: the data is too long for the key")
    block = digest(hashing, label) + bytes(size - len(data) - 2 * h - 2) + b"\1" + data
    seed = random(h)
    masked = _xor(block, _mgf1(seed, len(block), mask))
    return b"\0" + _xor(seed, _mgf1(masked, h, mask)) + masked


def _decode(encoded: bytes, scheme: tuple[HashingAlgorithm, HashingAlgorithm], label: bytes) -> bytes:
    """EME-OAEP decoding (RFC 8017 §7.1.2). One failure for every flaw, after the same work (Manger's attack)."""
    hashing, mask = scheme
    h = library_hash(hashing).digest_size
    seed, masked = encoded[1 : 1 + h], encoded[1 + h :]
    if len(masked) < h + 1:
        raise failure("decrypt: the key is too short for the hash")
    block = _xor(masked, _mgf1(_xor(seed, _mgf1(masked, h, mask)), len(masked), mask))
    rest = block[h:].lstrip(b"\0")
    sound = hmac.compare_digest(block[:h], digest(hashing, label))
    sound &= encoded[0] == 0
    sound &= rest[:1] == b"\1"
    if not sound:
        raise failure("decrypt: the key, the data or the parameters do not fit the algorithm")
    return rest[1:]
