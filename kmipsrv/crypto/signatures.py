"""Signatures (KMIP 2.1 §6.1.55 Sign, §6.1.56 Signature Verify), in one piece, over digested data, or as a stream.

The parameters name the scheme: a Digital Signature Algorithm, or Cryptographic Algorithm, Hashing Algorithm and Padding
Method. RSA PKCS#1 v1.5 and PSS (RFC 8017), DSA and ECDSA (FIPS 186-5; DER signatures), Ed25519 and Ed448 (RFC 8032),
ML-DSA (FIPS 204). What the texts leave open, after the conformance cases:

- ECDSA and DSA without a hash: SHA-256 (CS-AC-M-3-ECC, where RSA's padding named to an EC key on verifying is no
  obstacle either: the key is what decides).
- PSS without a Mask Generator Hashing Algorithm: the hash of the message, as in CS-AC-M-2. §4.16 says SHA-1, so both are
  accepted on verifying.
- PSS without a Salt Length: the length of the digest on signing (§4.16: "the block size of the Mask Generator Hashing
  Algorithm"), any length on verifying (CS-AC-M-2 has 222).
- RSA over Digested Data without a hash: PKCS#1 v1.5 over those bytes, without DigestInfo (TC-RSA-SIGN-DIGESTEDDATA).
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, mldsa, padding, rsa, utils

from kmipsrv.crypto.failures import NotAuthentic, bad, map_errors, unsupported
from kmipsrv.crypto.formats import PrivateKey, PublicKey, facts
from kmipsrv.crypto.hashes import LEGACY, Hashing, library_hash
from kmipsrv.crypto.parameters import Parameters
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.enums import CryptographicAlgorithm, DigitalSignatureAlgorithm, HashingAlgorithm, PaddingMethod

_A: Final = CryptographicAlgorithm
_D: Final = DigitalSignatureAlgorithm
_H: Final = HashingAlgorithm
_P: Final = PaddingMethod

SCHEMES: Final[
    dict[DigitalSignatureAlgorithm, tuple[CryptographicAlgorithm, HashingAlgorithm | None, PaddingMethod | None]]
] = {
    _D.MD2_WITH_RSA_ENCRYPTION: (_A.RSA, _H.MD2, _P.PKCS1_V1_5),
    _D.MD5_WITH_RSA_ENCRYPTION: (_A.RSA, _H.MD5, _P.PKCS1_V1_5),
    _D.SHA_1_WITH_RSA_ENCRYPTION: (_A.RSA, _H.SHA_1, _P.PKCS1_V1_5),
    _D.SHA_224_WITH_RSA_ENCRYPTION: (_A.RSA, _H.SHA_224, _P.PKCS1_V1_5),
    _D.SHA_256_WITH_RSA_ENCRYPTION: (_A.RSA, _H.SHA_256, _P.PKCS1_V1_5),
    _D.SHA_384_WITH_RSA_ENCRYPTION: (_A.RSA, _H.SHA_384, _P.PKCS1_V1_5),
    _D.SHA_512_WITH_RSA_ENCRYPTION: (_A.RSA, _H.SHA_512, _P.PKCS1_V1_5),
    _D.SHA3_256_WITH_RSA_ENCRYPTION: (_A.RSA, _H.SHA3_256, _P.PKCS1_V1_5),
    _D.SHA3_384_WITH_RSA_ENCRYPTION: (_A.RSA, _H.SHA3_384, _P.PKCS1_V1_5),
    _D.SHA3_512_WITH_RSA_ENCRYPTION: (_A.RSA, _H.SHA3_512, _P.PKCS1_V1_5),
    _D.RSASSA_PSS: (_A.RSA, None, _P.PSS),
    _D.DSA_WITH_SHA_1: (_A.DSA, _H.SHA_1, None),
    _D.DSA_WITH_SHA224: (_A.DSA, _H.SHA_224, None),
    _D.DSA_WITH_SHA256: (_A.DSA, _H.SHA_256, None),
    _D.ECDSA_WITH_SHA_1: (_A.EC, _H.SHA_1, None),
    _D.ECDSA_WITH_SHA224: (_A.EC, _H.SHA_224, None),
    _D.ECDSA_WITH_SHA256: (_A.EC, _H.SHA_256, None),
    _D.ECDSA_WITH_SHA384: (_A.EC, _H.SHA_384, None),
    _D.ECDSA_WITH_SHA512: (_A.EC, _H.SHA_512, None),
}

_SAME_KEY: Final = {
    # names that a client may use for a key's algorithm
    _A.EC: frozenset({_A.EC, _A.ECDSA}),
    _A.ED25519: frozenset({_A.ED25519, _A.EC}),
    _A.ED448: frozenset({_A.ED448, _A.EC}),
}
_BY_LENGTH: Final = {16: _H.MD5, 20: _H.SHA_1, 28: _H.SHA_224, 32: _H.SHA_256, 48: _H.SHA_384, 64: _H.SHA_512}
"""Stand-ins by digest length: ECDSA, DSA and PSS need to know only how long the digest is, or which hash pads."""

_NAMED: Final = frozenset(
    {"cryptographic_algorithm", "hashing_algorithm", "padding_method", "digital_signature_algorithm"}
)
_PSS: Final = _NAMED | {"salt_length", "mask_generator", "mask_generator_hashing_algorithm", "trailer_field"}

DEFAULT_MAX_COLLECTED: Final = 16 * 1024 * 1024
"""Bytes that a stream may collect for algorithms that sign the message itself (Ed25519, Ed448, ML-DSA)."""

_Pure = (
    ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
    | mldsa.MLDSA44PrivateKey
    | mldsa.MLDSA65PrivateKey
    | mldsa.MLDSA87PrivateKey
)
_PurePublic = (
    ed25519.Ed25519PublicKey
    | ed448.Ed448PublicKey
    | mldsa.MLDSA44PublicKey
    | mldsa.MLDSA65PublicKey
    | mldsa.MLDSA87PublicKey
)


@dataclass(frozen=True, slots=True)
class _Scheme:
    """A signature scheme, every parameter checked. `hashing` is None where the message or the bytes themselves sign."""

    hashing: HashingAlgorithm | None
    pss: bool = False
    salt: int | None = None
    mask: HashingAlgorithm | None = None


def sign(
    key: PrivateKey,
    parameters: Parameters,
    data: bytes | None = None,
    *,
    digested: bytes | None = None,
    allow_legacy: bool = False,
) -> bytes:
    """The signature of `data`, or of data that the client has hashed (`digested`); exactly one is given.

    Raises Bad and Unsupported Cryptographic Parameters, Cryptographic Failure. `allow_legacy` permits MD5 and SHA-1.
    """
    message, ready = _message(data, digested)
    scheme = _scheme(key, parameters, ready, len(message), allow_legacy, verifying=False)
    if not ready and scheme.hashing is not None:
        message, ready = _digest(scheme.hashing, message), True
    return _sign(key, scheme, message)


def verify(
    key: PublicKey,
    parameters: Parameters,
    signature: bytes,
    data: bytes | None = None,
    *,
    digested: bytes | None = None,
    allow_legacy: bool = False,
) -> None:
    """`NotAuthentic` unless `signature` is one of `data` (or of `digested`) by the key; other causes as in `sign`."""
    message, ready = _message(data, digested)
    scheme = _scheme(key, parameters, ready, len(message), allow_legacy, verifying=True)
    if not ready and scheme.hashing is not None:
        message = _digest(scheme.hashing, message)
    _verify(key, scheme, signature, message)


class _Stream:
    """A message that arrives in parts: hashed as it comes, or collected where the algorithm signs the message itself."""

    __slots__ = ("_collected", "_hashing", "_limit", "_scheme")

    def __init__(self, scheme: _Scheme, max_collected: int) -> None:
        self._scheme, self._limit = scheme, max_collected
        self._hashing = Hashing(scheme.hashing) if scheme.hashing is not None else None
        self._collected = bytearray()

    @property
    def held(self) -> int:
        """Bytes of the message that are kept until the end."""
        return len(self._collected)

    def update(self, data: bytes) -> None:
        if self._hashing is not None:
            self._hashing.update(data)
            return
        if len(self._collected) + len(data) > self._limit:
            raise KmipError(Cause.SERVER_LIMIT_EXCEEDED, f"this algorithm signs at most {self._limit} bytes in parts")
        self._collected += data

    def _message(self) -> bytes:
        return self._hashing.finalize() if self._hashing is not None else bytes(self._collected)


class Signing(_Stream):
    """A signature under way: `update` any number of times, then `finalize`."""

    __slots__ = ("_key",)

    def __init__(
        self,
        key: PrivateKey,
        parameters: Parameters,
        *,
        allow_legacy: bool = False,
        max_collected: int = DEFAULT_MAX_COLLECTED,
    ) -> None:
        super().__init__(_scheme(key, parameters, False, 0, allow_legacy, verifying=False), max_collected)
        self._key = key

    def finalize(self) -> bytes:
        """The signature."""
        return _sign(self._key, self._scheme, self._message())


class Verification(_Stream):
    """A verification under way: `update` any number of times, then `finalize` with the signature."""

    __slots__ = ("_key",)

    def __init__(
        self,
        key: PublicKey,
        parameters: Parameters,
        *,
        allow_legacy: bool = False,
        max_collected: int = DEFAULT_MAX_COLLECTED,
    ) -> None:
        super().__init__(_scheme(key, parameters, False, 0, allow_legacy, verifying=True), max_collected)
        self._key = key

    def finalize(self, signature: bytes) -> None:
        """`NotAuthentic` unless the signature is right."""
        _verify(self._key, self._scheme, signature, self._message())


def _message(data: bytes | None, digested: bytes | None) -> tuple[bytes, bool]:
    if (data is None) == (digested is None):
        raise bad("either data or digested data is signed")
    return (data, False) if data is not None else (digested or b"", True)


def _digest(hashing: HashingAlgorithm, data: bytes) -> bytes:
    state = Hashing(hashing)
    state.update(data)
    return state.finalize()


def _scheme(
    key: PrivateKey | PublicKey, given: Parameters, ready: bool, size: int, allow_legacy: bool, *, verifying: bool
) -> _Scheme:
    """The scheme that key and parameters name together; `ready`: `size` bytes of digest are given, not data."""
    algorithm = facts(key).algorithm
    named = given.cryptographic_algorithm
    hashing, pad = given.hashing_algorithm, given.padding_method
    if given.digital_signature_algorithm is not None:
        row = SCHEMES.get(given.digital_signature_algorithm)
        if row is None or row[0] != algorithm:
            raise bad("the digital signature algorithm is not one of the key")
        if (hashing is not None and row[1] not in (None, hashing)) or (pad is not None and pad != row[2]):
            raise bad("the digital signature algorithm contradicts the other parameters")
        hashing, pad = row[1] or hashing, row[2]
    foreign = verifying and algorithm == _A.EC and named == _A.RSA
    if not foreign and named is not None and named not in _SAME_KEY.get(algorithm, {algorithm}):
        raise bad("the cryptographic algorithm is not that of the key")
    if isinstance(key, _Pure | _PurePublic):
        given.only("sign", frozenset({"cryptographic_algorithm"}))
        if ready:
            raise unsupported(f"{algorithm.text} signs the message itself, not digested data")
        return _Scheme(None)
    if algorithm == _A.RSA:
        scheme = _rsa_scheme(key, given, hashing, pad, ready, size)
    elif isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey | dsa.DSAPrivateKey | dsa.DSAPublicKey):
        given.only("sign", _NAMED)
        if pad not in (None, _P.NONE) and not foreign:
            raise bad(f"{algorithm.text} has no padding method")
        scheme = _Scheme(hashing or (_by_length(size) if ready else _H.SHA_256))
    else:
        raise unsupported(f"{algorithm.text} makes no signatures")
    if scheme.hashing is not None:
        expected = library_hash(scheme.hashing).digest_size
        if ready and size != expected:
            raise bad(f"a digest of {scheme.hashing.text} is {expected} bytes long")
        # A bare digest without a named hash was not made by the stand-in, so the policy has nothing to say on it.
        if scheme.hashing in LEGACY and not allow_legacy and not (ready and hashing is None):
            raise unsupported(f"signatures with {scheme.hashing.text} are not allowed by this server's policy")
    return scheme


def _rsa_scheme(
    key: PrivateKey | PublicKey,
    given: Parameters,
    hashing: HashingAlgorithm | None,
    pad: PaddingMethod | None,
    ready: bool,
    size: int,
) -> _Scheme:
    if pad in (None, _P.PKCS1_V1_5):
        given.only("sign", _NAMED)
        if hashing is None and not ready:
            raise bad("a hashing algorithm is needed")
        return _Scheme(hashing)
    if pad != _P.PSS:
        raise unsupported(f"{pad.text if pad else 'no'} padding is not available for signatures on this server")
    given.only("sign", _PSS)
    if hashing is None:
        if not ready:
            raise bad("a hashing algorithm is needed")
        hashing = _by_length(size)
    # RFC 8017 §A.2.3: trailerFieldBC(1) is the only one.
    if given.trailer_field not in (None, 1):
        raise unsupported("the only trailer field of PSS is 1")
    salt = given.salt_length
    longest = (facts(key).length + 6) // 8 - library_hash(hashing).digest_size - 2
    if salt is not None and not 0 <= salt <= longest:
        raise bad(f"the salt length is between 0 and {longest} bytes for this key and hash")
    return _Scheme(hashing, True, salt, given.mask_generator_hashing_algorithm)


def _by_length(size: int) -> HashingAlgorithm:
    found = _BY_LENGTH.get(size)
    if found is None:
        raise bad(f"no hashing algorithm makes digests of {size} bytes")
    return found


def _sign(key: PrivateKey, scheme: _Scheme, message: bytes) -> bytes:
    with map_errors("sign"):
        if isinstance(key, rsa.RSAPrivateKey):
            if scheme.hashing is None:
                return key.sign(message, padding.PKCS1v15(), utils.NoDigestInfo())
            used = library_hash(scheme.hashing)
            if not scheme.pss:
                return key.sign(message, padding.PKCS1v15(), utils.Prehashed(used))
            mask = padding.MGF1(library_hash(scheme.mask or scheme.hashing))
            salt = scheme.salt if scheme.salt is not None else used.digest_size
            return key.sign(message, padding.PSS(mask, salt), utils.Prehashed(used))
        if isinstance(key, ec.EllipticCurvePrivateKey):
            return key.sign(message, ec.ECDSA(_prehashed(scheme)))
        if isinstance(key, dsa.DSAPrivateKey):
            return key.sign(message, _prehashed(scheme))
        if isinstance(key, _Pure):
            return key.sign(message)
    raise unsupported("the key makes no signatures")


def _verify(key: PublicKey, scheme: _Scheme, signature: bytes, message: bytes) -> None:
    with map_errors("verify the signature"):
        if isinstance(key, rsa.RSAPublicKey):
            _verify_rsa(key, scheme, signature, message)
            return
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, message, ec.ECDSA(_prehashed(scheme)))
            return
        if isinstance(key, dsa.DSAPublicKey):
            key.verify(signature, message, _prehashed(scheme))
            return
        if isinstance(key, _PurePublic):
            key.verify(signature, message)
            return
    raise unsupported("the key verifies no signatures")


def _verify_rsa(key: rsa.RSAPublicKey, scheme: _Scheme, signature: bytes, message: bytes) -> None:
    if scheme.hashing is None:
        recovered = key.recover_data_from_signature(signature, padding.PKCS1v15(), None)
        if not hmac.compare_digest(recovered, message):
            raise NotAuthentic("verify the signature: the data is not authentic")
        return
    used: hashes.HashAlgorithm = library_hash(scheme.hashing)
    if not scheme.pss:
        key.verify(signature, message, padding.PKCS1v15(), utils.Prehashed(used))
        return
    salt = scheme.salt if scheme.salt is not None else padding.PSS.AUTO
    masks = [scheme.mask] if scheme.mask is not None else [scheme.hashing, _H.SHA_1]
    for last, mask in zip((*[False] * (len(masks) - 1), True), masks, strict=True):
        try:
            with map_errors("verify the signature"):
                key.verify(
                    signature, message, padding.PSS(padding.MGF1(library_hash(mask)), salt), utils.Prehashed(used)
                )
                return
        except NotAuthentic:
            if last:
                raise


def _prehashed(scheme: _Scheme) -> utils.Prehashed:
    assert scheme.hashing is not None  # schemes of ECDSA and DSA always have a hash
    return utils.Prehashed(library_hash(scheme.hashing))
