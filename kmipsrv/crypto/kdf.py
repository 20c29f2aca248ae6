"""Key derivation (KMIP 2.1 §6.1.14 Derive Key, §7.12 Derivation Parameters; 1.4 §4.6).

Each method is a row of `_METHODS`; what a method has no use for is refused. `length` is in bytes, and a length beyond the
method's output is an error ("If the specified length exceeds the output of the derivation method, then the server SHALL
return an error"). Iterations and lengths are bounded by `Limits`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec, x448, x25519
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from kmipsrv.crypto import ciphers, diffie_hellman
from kmipsrv.crypto.failures import bad, map_errors, unsupported
from kmipsrv.crypto.formats import PrivateKey, PublicKey, facts
from kmipsrv.crypto.hashes import Hashing, library_hash
from kmipsrv.crypto.macs import HMAC_HASH, mac
from kmipsrv.crypto.parameters import NONE, Parameters
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.enums import BlockCipherMode, CryptographicAlgorithm, DerivationMethod, HashingAlgorithm

_A: Final = CryptographicAlgorithm
_H: Final = HashingAlgorithm
_M: Final = DerivationMethod


@dataclass(frozen=True, slots=True)
class Limits:
    """What one derivation may cost: PBKDF2 iterations over all blocks of output, bytes of output."""

    iterations: int = 1_000_000
    length: int = 8192


@dataclass(frozen=True, slots=True)
class Derivation:
    """Derivation Parameters (§7.12) and the derivation key. `data` are the Derivation Data fields in order.

    `key` is the material of the key or Secret Data object, `key_algorithm` its Cryptographic Algorithm.
    """

    key: bytes | None = None
    key_algorithm: CryptographicAlgorithm | None = None
    parameters: Parameters = NONE
    data: tuple[bytes, ...] = ()
    iv: bytes | None = None
    salt: bytes | None = None
    iteration_count: int | None = None
    allow_legacy: bool = False


def derive(method: DerivationMethod, given: Derivation, length: int, limits: Limits = Limits()) -> bytes:
    """`length` bytes of key by any method but Asymmetric Key (`agree`). Raises Bad and Unsupported Cryptographic
    Parameters, Server Limit Exceeded, Cryptographic Failure for a length beyond the method's output."""
    run = _METHODS.get(method)
    if run is None:
        raise unsupported(f"the derivation method {method.text} is not available on this server")
    _check_length(length, limits)
    for name in ("iv", "salt", "iteration_count"):
        if getattr(given, name) is not None and name not in _USED.get(method, ()):
            raise bad(f"the derivation method {method.text} has no {name.replace('_', ' ')}")
    if len(given.data) > 1 and method != _M.AWS_SIGNATURE_VERSION_4:
        raise bad(f"the derivation method {method.text} takes one piece of derivation data")
    with map_errors("derive the key"):
        return _cut(run(given, length, limits), length)


def iterations(method: DerivationMethod, given: Derivation, length: int) -> int:
    """How many iterations `derive` computes for a derivation that it has not refused."""
    if method is not _M.PBKDF2:
        return 0
    return (given.iteration_count or 0) * -(-length // _pbkdf2_hash(given).digest_size)


def agree(
    private: PrivateKey, public: PublicKey, parameters: Parameters, length: int, limits: Limits = Limits()
) -> bytes:
    """The method Asymmetric Key: the first `length` bytes of what ECDH, X25519, X448 or DH agree upon.

    SP 800-56A §5.7: the shared secret is the x coordinate, or the number at the length of the prime.
    """
    _check_length(length, limits)
    parameters.only("derive", frozenset({"cryptographic_algorithm"}))
    ours = facts(private)
    if parameters.cryptographic_algorithm not in (None, ours.algorithm, *_AGREEMENT.get(ours.algorithm, ())):
        raise bad("the cryptographic algorithm is not that of the keys")
    if ours != facts(public):
        raise bad("the private and the public key are not of the same curve or group")
    with map_errors("derive the key"):
        if isinstance(private, ec.EllipticCurvePrivateKey) and isinstance(public, ec.EllipticCurvePublicKey):
            return _cut(private.exchange(ec.ECDH(), public), length)
        if isinstance(private, x25519.X25519PrivateKey) and isinstance(public, x25519.X25519PublicKey):
            return _cut(private.exchange(public), length)
        if isinstance(private, x448.X448PrivateKey) and isinstance(public, x448.X448PublicKey):
            return _cut(private.exchange(public), length)
        if isinstance(private, diffie_hellman.DHPrivateKey) and isinstance(public, diffie_hellman.DHPublicKey):
            secret = private.exchange(public)
            return _cut(bytes((ours.length + 7) // 8 - len(secret)) + secret, length)
    raise unsupported(f"{ours.algorithm.text} keys agree upon nothing")


_AGREEMENT: Final = {_A.EC: (_A.ECDH,), _A.ECDH: (_A.EC,)}


def _check_length(length: int, limits: Limits) -> None:
    if length < 1:
        raise KmipError(Cause.INVALID_ATTRIBUTE_VALUE, "a derived key has a length of at least 8 bits")
    if length > limits.length:
        raise KmipError(Cause.SERVER_LIMIT_EXCEEDED, f"derived keys are at most {limits.length} bytes long")


def _cut(output: bytes, length: int) -> bytes:
    if len(output) < length:
        raise KmipError(Cause.CRYPTOGRAPHIC_FAILURE, f"the derivation method yields {len(output)} bytes only")
    return output[:length]


def _key(given: Derivation) -> bytes:
    if given.key is None:
        raise bad("a derivation key is needed")
    return given.key


def _data(given: Derivation) -> bytes:
    if not given.data:
        raise bad("derivation data are needed")
    return given.data[0]


def _either(given: Derivation) -> bytes:
    # §7.12: data "MAY either be explicitly provided … or implicitly provided by … a Secret Data object. If both are
    # provided, then an error SHALL be returned."
    if (given.key is None) == (not given.data):
        raise bad("either a key or derivation data is derived from")
    return _key(given) if given.key is not None else _data(given)


_HASH_ONLY: Final = frozenset({"hashing_algorithm"})
_PRF: Final = frozenset({"hashing_algorithm", "cryptographic_algorithm"})
_KBKDF: Final = _PRF | {"block_cipher_mode", "counter_length"}


def _hash_of(given: Derivation, default: HashingAlgorithm | None) -> HashingAlgorithm:
    """The hash of an HMAC: the key's own, or the parameters', or the method's default."""
    if given.key_algorithm in HMAC_HASH:
        # §7.12: "the attributes of the derivation key provide enough information about the PRF, and the Cryptographic
        # Parameters are ignored."
        return HMAC_HASH[given.key_algorithm]
    named = given.parameters.cryptographic_algorithm
    chosen = HMAC_HASH.get(named) if named is not None else None
    if named is not None and chosen is None and named != given.key_algorithm:
        raise bad("the cryptographic algorithm is not an HMAC")
    hashing = given.parameters.hashing_algorithm
    if chosen is not None and hashing not in (None, chosen):
        raise bad("the hashing algorithm is not that of the HMAC")
    found = chosen or hashing or default
    if found is None:
        raise bad("a hashing algorithm is needed")
    return found


def _hmac(hashing: HashingAlgorithm, key: bytes, *parts: bytes) -> bytes:
    state = hmac.HMAC(key, library_hash(hashing))
    for part in parts:
        state.update(part)
    return state.finalize()


def _pbkdf2(given: Derivation, length: int, limits: Limits) -> bytes:
    # RFC 8018 §5.2; the default PRF is HMAC-SHA-1 (§A.2).
    given.parameters.only("derive", _PRF)
    count = given.iteration_count
    if given.salt is None or count is None:
        raise bad("PBKDF2 needs a salt and an iteration count")
    if count < 1:
        raise bad("the iteration count is at least 1")
    used = _pbkdf2_hash(given)
    if iterations(_M.PBKDF2, given, length) > limits.iterations:
        raise KmipError(Cause.SERVER_LIMIT_EXCEEDED, f"at most {limits.iterations} iterations are computed")
    return hashlib.pbkdf2_hmac(used.name.replace("-", "_"), _either(given), given.salt, count, length)


def _pbkdf2_hash(given: Derivation) -> hashes.HashAlgorithm:
    return library_hash(_hash_of(replace(given, key_algorithm=None), _H.SHA_1))


def _hash(given: Derivation, length: int, limits: Limits) -> bytes:
    given.parameters.only("derive", _HASH_ONLY)
    if given.parameters.hashing_algorithm is None:
        raise bad("a hashing algorithm is needed")
    state = Hashing(given.parameters.hashing_algorithm)
    state.update(_either(given))
    return state.finalize()


def _hmac_method(given: Derivation, length: int, limits: Limits) -> bytes:
    given.parameters.only("derive", _PRF)
    return _hmac(_hash_of(given, None), _key(given), _data(given))


def _encrypt(given: Derivation, length: int, limits: Limits) -> bytes:
    algorithm = given.key_algorithm or given.parameters.cryptographic_algorithm
    if algorithm is None:
        raise bad("the cryptographic algorithm of the key is needed")
    # §7.12: "an empty IV is assumed if not provided": a block of zeros for the modes that need one.
    iv = given.iv or bytes(ciphers.iv_bytes(algorithm, given.parameters))
    if given.parameters.random_iv:
        raise bad("a random IV would make the derived key one that nobody can derive again")
    made = ciphers.encrypt(
        algorithm, _key(given), given.parameters, _data(given), iv=iv, random=bytes, allow_legacy=given.allow_legacy
    )
    return made.data


def _prf(given: Derivation) -> Callable[[bytes], bytes]:
    """The PRF of SP 800-108: CMAC of the key's block cipher when the mode says so, otherwise HMAC."""
    key, parameters = _key(given), given.parameters
    parameters.only("derive", _KBKDF)
    if parameters.block_cipher_mode is None:
        hashing = _hash_of(given, None)
        return lambda data: _hmac(hashing, key, data)
    if parameters.block_cipher_mode != BlockCipherMode.CMAC or given.key_algorithm is None:
        raise bad("the PRF is HMAC, or CMAC with a block cipher's key")
    if parameters.hashing_algorithm is not None:
        raise bad("CMAC has no hashing algorithm")
    algorithm, chosen = given.key_algorithm, Parameters(BlockCipherMode.CMAC)
    if parameters.cryptographic_algorithm not in (None, algorithm):
        raise bad("the cryptographic algorithm is not that of the key")
    return lambda data: mac(algorithm, key, chosen, data, allow_legacy=given.allow_legacy)


def _kbkdf(method: DerivationMethod, given: Derivation, length: int) -> bytes:
    """SP 800-108r1 §4: blocks K(1) … K(n). Derivation Data is Label || 0x00 || Context; [i] and [L] are added here.

    The counter [i] has Counter Length bits, 32 by default (in every mode); [L], the length in bits, has 32.
    """
    prf, fixed = _prf(given), _data(given) + (length * 8).to_bytes(4, "big")
    bits = given.parameters.counter_length or 32
    if bits not in (8, 16, 24, 32):
        raise bad("the counter length is 8, 16, 24 or 32 bits")
    out, counter, block, pipeline = b"", 0, given.iv or b"", fixed
    while len(out) < length:
        counter += 1
        if counter >> bits:
            raise KmipError(Cause.CRYPTOGRAPHIC_FAILURE, "the counter is too short for this length")
        before = b""
        if method == _M.NIST800_108_F:
            before = block  # §4.2: K(i-1); K(0) is the IV, which may be empty
        elif method == _M.NIST800_108_DPI:
            before = pipeline = prf(pipeline)  # §4.3: A(i) = PRF(A(i-1)); A(0) is the fixed input
        block = prf(before + counter.to_bytes(bits // 8, "big") + fixed)
        out += block
    return out


def _counter_mode(given: Derivation, length: int, limits: Limits) -> bytes:
    return _kbkdf(_M.NIST800_108_C, given, length)


def _feedback_mode(given: Derivation, length: int, limits: Limits) -> bytes:
    return _kbkdf(_M.NIST800_108_F, given, length)


def _double_pipeline_mode(given: Derivation, length: int, limits: Limits) -> bytes:
    return _kbkdf(_M.NIST800_108_DPI, given, length)


def _aws4(given: Derivation, length: int, limits: Limits) -> bytes:
    # §7.12: "the Derivation Data is (in order) the Date, Region, and Service".
    given.parameters.only("derive", frozenset())
    if len(given.data) != 3:
        raise bad("AWS Signature Version 4 takes date, region and service as derivation data")
    key = b"AWS4" + _key(given)
    for part in (*given.data, b"aws4_request"):
        key = _hmac(_H.SHA_256, key, part)
    return key


def _hkdf(given: Derivation, length: int, limits: Limits) -> bytes:
    # RFC 5869. §7.12: "The default hash function is SHA-256".
    given.parameters.only("derive", _HASH_ONLY)
    used = library_hash(given.parameters.hashing_algorithm or _H.SHA_256)
    info = given.data[0] if given.data else b""
    return HKDF(used, min(length, 255 * used.digest_size), given.salt, info).derive(_key(given))


_METHODS: Final[Mapping[DerivationMethod, Callable[[Derivation, int, Limits], bytes]]] = {
    _M.PBKDF2: _pbkdf2,
    _M.HASH: _hash,
    _M.HMAC: _hmac_method,
    _M.ENCRYPT: _encrypt,
    _M.NIST800_108_C: _counter_mode,
    _M.NIST800_108_F: _feedback_mode,
    _M.NIST800_108_DPI: _double_pipeline_mode,
    _M.AWS_SIGNATURE_VERSION_4: _aws4,
    _M.HKDF: _hkdf,
}
_USED: Final[Mapping[DerivationMethod, tuple[str, ...]]] = {
    _M.PBKDF2: ("salt", "iteration_count"),
    _M.ENCRYPT: ("iv",),
    _M.NIST800_108_F: ("iv",),
    _M.HKDF: ("salt",),
}
