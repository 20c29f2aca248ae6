"""Key Format Types (KMIP 2.1 §4.26, §11.25): the material of a Key Block to the library's keys, and back.

Material is bytes for the encoded formats and a dict for the transparent ones (`transparent`). For asymmetric keys the
DER says what it is: a declared PKCS#1 that holds PKCS#8 is read as such, because clients confuse the two. PKCS#12 has a
room of its own (`pkcs12`); symmetric keys have three interchangeable forms (`convert_symmetric`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import (
    dsa,
    ec,
    ed448,
    ed25519,
    mldsa,
    mlkem,
    rsa,
    x448,
    x25519,
)
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from kmipsrv.crypto import curves, der, diffie_hellman, transparent
from kmipsrv.crypto.failures import map_errors
from kmipsrv.crypto.iterations import bound_iterations
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.enums import CryptographicAlgorithm, KeyCompressionType, KeyFormatType, ObjectType, RecommendedCurve

Material = bytes | dict[str, transparent.Value]
PrivateKey = PrivateKeyTypes
PublicKey = PublicKeyTypes

_A: Final = CryptographicAlgorithm
_F: Final = KeyFormatType
_C: Final = RecommendedCurve
_EC_ALGORITHMS: Final = frozenset({_A.EC, _A.ECDSA, _A.ECDH, _A.ECMQV})
_ENCODED: Final = frozenset({_F.PKCS_1, _F.PKCS_8, _F.X_509, _F.ECPRIVATE_KEY, _F.OPAQUE, _F.RAW})
_MAX_ENCODED: Final = 64 * 1024
"""Longest encoded key that is parsed, in bytes; SLH-DSA and ML-DSA keys stay far below."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What an encoding says of its key: Cryptographic Algorithm, Cryptographic Length in bits, Recommended Curve."""

    algorithm: CryptographicAlgorithm
    length: int
    recommended_curve: RecommendedCurve | None = None


# Keys of fixed size: library class (private, public) -> facts. For the post-quantum algorithms the specification
# defines no Cryptographic Length; it is the length of the encoded public key here, as the modulus is for RSA.
_FIXED: Final[tuple[tuple[type, type, Facts], ...]] = (
    (ed25519.Ed25519PrivateKey, ed25519.Ed25519PublicKey, Facts(_A.ED25519, 256, _C.CURVE25519)),
    (ed448.Ed448PrivateKey, ed448.Ed448PublicKey, Facts(_A.ED448, 448, _C.CURVE448)),
    (x25519.X25519PrivateKey, x25519.X25519PublicKey, Facts(_A.ECDH, 256, _C.CURVE25519)),
    (x448.X448PrivateKey, x448.X448PublicKey, Facts(_A.ECDH, 448, _C.CURVE448)),
    (mldsa.MLDSA44PrivateKey, mldsa.MLDSA44PublicKey, Facts(_A.ML_DSA_44, 1312 * 8)),
    (mldsa.MLDSA65PrivateKey, mldsa.MLDSA65PublicKey, Facts(_A.ML_DSA_65, 1952 * 8)),
    (mldsa.MLDSA87PrivateKey, mldsa.MLDSA87PublicKey, Facts(_A.ML_DSA_87, 2592 * 8)),
    (mlkem.MLKEM768PrivateKey, mlkem.MLKEM768PublicKey, Facts(_A.ML_KEM_768, 1184 * 8)),
    (mlkem.MLKEM1024PrivateKey, mlkem.MLKEM1024PublicKey, Facts(_A.ML_KEM_1024, 1568 * 8)),
)
_RAW_PRIVATE: Final = {facts.algorithm: private for private, _, facts in _FIXED if facts.algorithm != _A.ECDH}
_RAW_PUBLIC: Final = {facts.algorithm: public for _, public, facts in _FIXED if facts.algorithm != _A.ECDH}
_HAVE_RAW: Final = tuple(private for private, _, _ in _FIXED)
_HAVE_RAW_PUBLIC: Final = tuple(public for _, public, _ in _FIXED)

# KMIP 2.1 §4.26 Table 81; algorithms that it does not list have the general encodings.
_DEFAULT: Final[dict[tuple[ObjectType, CryptographicAlgorithm], KeyFormatType]] = {
    (ObjectType.PRIVATE_KEY, _A.RSA): _F.PKCS_1,
    (ObjectType.PUBLIC_KEY, _A.RSA): _F.PKCS_1,
    (ObjectType.PRIVATE_KEY, _A.DSA): _F.TRANSPARENT_DSA_PRIVATE_KEY,
    (ObjectType.PUBLIC_KEY, _A.DSA): _F.TRANSPARENT_DSA_PUBLIC_KEY,
    (ObjectType.PRIVATE_KEY, _A.DH): _F.TRANSPARENT_DH_PRIVATE_KEY,
    (ObjectType.PUBLIC_KEY, _A.DH): _F.TRANSPARENT_DH_PUBLIC_KEY,
    **{(ObjectType.PRIVATE_KEY, a): _F.TRANSPARENT_EC_PRIVATE_KEY for a in _EC_ALGORITHMS},
    **{(ObjectType.PUBLIC_KEY, a): _F.TRANSPARENT_EC_PUBLIC_KEY for a in _EC_ALGORITHMS},
}


def default_format(
    kind: ObjectType, algorithm: CryptographicAlgorithm | None, curve: RecommendedCurve | None = None
) -> KeyFormatType:
    """The Key Format Type that a server produces by default (KMIP 2.1 §4.26 Table 81)."""
    fallback = {ObjectType.PRIVATE_KEY: _F.PKCS_8, ObjectType.PUBLIC_KEY: _F.X_509}.get(kind, _F.RAW)
    if algorithm is None or curve in (_C.CURVE25519, _C.CURVE448):
        return fallback
    return _DEFAULT.get((kind, algorithm), fallback)


def facts(key: PrivateKey | PublicKey) -> Facts:
    """Algorithm, length and curve of a key. Elliptic curve keys are EC, whatever the client calls them (ECDSA)."""
    if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey):
        return Facts(_A.RSA, key.key_size)
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        return Facts(_A.EC, key.curve.key_size, curves.of_library(key.curve))
    if isinstance(key, dsa.DSAPrivateKey | dsa.DSAPublicKey):
        return Facts(_A.DSA, key.key_size)
    if isinstance(key, diffie_hellman.DHPrivateKey | diffie_hellman.DHPublicKey):
        return Facts(_A.DH, key.key_size)
    for private, public, found in _FIXED:
        if isinstance(key, private | public):
            return found
    raise KmipError(Cause.KEY_FORMAT_TYPE_NOT_SUPPORTED, "the key's algorithm is not known to this server")


def transparent_facts(form: KeyFormatType, fields: transparent.Fields) -> Facts:
    """Facts of a transparent asymmetric key without building it: sizes and curves beyond the library are described."""
    if form in transparent.EC_PRIVATE or form in transparent.EC_PUBLIC:
        curve = transparent.curve_of(fields)
        algorithm = next((a for a in (_A.ECDSA, _A.ECDH, _A.ECMQV) if a.name in form.name.split("_")), _A.EC)
        return Facts(algorithm, curves.BITS[curve], curve)
    if form in (transparent.RSA_PRIVATE, transparent.RSA_PUBLIC):
        return Facts(_A.RSA, transparent.number(fields, "modulus").bit_length())
    if form in (_F.TRANSPARENT_DSA_PRIVATE_KEY, _F.TRANSPARENT_DSA_PUBLIC_KEY):
        return Facts(_A.DSA, transparent.number(fields, "p").bit_length())
    if form in (_F.TRANSPARENT_DH_PRIVATE_KEY, _F.TRANSPARENT_DH_PUBLIC_KEY):
        return Facts(_A.DH, transparent.number(fields, "p").bit_length())
    raise _unsupported(form, "is not an asymmetric transparent key")


def describe(kind: ObjectType, form: KeyFormatType, material: Material) -> Facts | None:
    """Facts of a private or public key's material, or None where it does not tell.

    Encrypted PKCS#8, raw bytes and opaque encodings tell nothing; the Key Block must then say algorithm and length
    (KMIP 2.1 §3.1). Raises Invalid Field for material that is not what it claims to be.
    """
    if not isinstance(material, bytes):
        return transparent_facts(form, material)
    if form in (_F.RAW, _F.OPAQUE, _F.PKCS_12) or is_encrypted(material):
        return None
    try:
        if kind == ObjectType.PRIVATE_KEY:
            return facts(load_private(form, material))
        return facts(load_public(form, material))
    except KmipError as error:
        if error.cause == Cause.UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS:
            return None  # valid, of a curve or size that the library does not compute with
        raise


def is_encrypted(material: bytes) -> bool:
    """Whether the bytes look like EncryptedPrivateKeyInfo (RFC 5958 §3): an AlgorithmIdentifier, an OCTET STRING."""
    try:
        return [tag for tag, _ in der.children(material)] == [der.SEQUENCE, der.OCTET_STRING]
    except KmipError:
        return False


def load_private(
    form: KeyFormatType,
    material: Material,
    *,
    algorithm: CryptographicAlgorithm | None = None,
    curve: RecommendedCurve | None = None,
    password: bytes | None = None,
    max_iterations: int = 1_000_000,
    check: bool = True,
) -> PrivateKey:
    """The private key in `material`. `algorithm` and `curve` are needed for Raw, `password` for encrypted PKCS#8.

    `check` proves that an RSA key's primes are prime, which takes 30 ms for 2048 bits: for material that comes from a
    client. What the server itself has stored, it has checked before.

    Raises Invalid Field (malformed), Bad Password through Cryptographic Failure, Key Format Type Not Supported,
    Server Limit Exceeded (the encryption asks for more than `max_iterations`).
    """
    if not isinstance(material, bytes):
        return transparent.load_private(form, material, check=check)
    _check_size(form, material)
    with map_errors("read the private key", Cause.INVALID_FIELD):
        if form == _F.RAW and algorithm in _RAW_PRIVATE:
            return _raw_private(_RAW_PRIVATE[algorithm], material)
        if form == _F.RAW and algorithm in _EC_ALGORITHMS and curve is not None:
            if curve == _C.CURVE25519:
                return x25519.X25519PrivateKey.from_private_bytes(material)
            if curve == _C.CURVE448:
                return x448.X448PrivateKey.from_private_bytes(material)
            return ec.derive_private_key(int.from_bytes(material, "big"), curves.library_curve(curve))
        if is_encrypted(material):
            if password is None:
                raise KmipError(Cause.CRYPTOGRAPHIC_FAILURE, "the private key is encrypted and no password is known")
            bound_iterations(material, max_iterations)
            with map_errors("decrypt the private key"), diffie_hellman.quietly():
                return serialization.load_der_private_key(material, password, unsafe_skip_rsa_key_validation=not check)
        # An encoding in clear needs no password, and the library refuses one.
        if diffie_hellman.is_named_in(material):
            with diffie_hellman.quietly():
                return serialization.load_der_private_key(material, None, unsafe_skip_rsa_key_validation=not check)
        return serialization.load_der_private_key(material, None, unsafe_skip_rsa_key_validation=not check)


def load_public(
    form: KeyFormatType,
    material: Material,
    *,
    algorithm: CryptographicAlgorithm | None = None,
    curve: RecommendedCurve | None = None,
) -> PublicKey:
    """The public key in `material`; `algorithm` and `curve` are needed for Raw. Raises like `load_private`."""
    if not isinstance(material, bytes):
        return transparent.load_public(form, material)
    _check_size(form, material)
    with map_errors("read the public key", Cause.INVALID_FIELD):
        if form == _F.RAW and algorithm in _RAW_PUBLIC:
            return _raw_public(_RAW_PUBLIC[algorithm], material)
        if form == _F.RAW and algorithm in _EC_ALGORITHMS and curve is not None:
            return transparent.load_point(curve, material)
        if diffie_hellman.is_named_in(material):
            with diffie_hellman.quietly():
                return serialization.load_der_public_key(material)
        return serialization.load_der_public_key(material)


def dump_private(key: PrivateKey, form: KeyFormatType) -> Material:
    """The private key in a format (PKCS#12 apart); Key Format Type Not Supported where the key has no such form."""
    with map_errors("encode the private key", Cause.KEY_FORMAT_TYPE_NOT_SUPPORTED):
        if form == _F.PKCS_8:
            return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        if (form == _F.PKCS_1 and isinstance(key, rsa.RSAPrivateKey)) or (
            form == _F.ECPRIVATE_KEY and isinstance(key, ec.EllipticCurvePrivateKey)
        ):
            return key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        if form in transparent.PRIVATE:
            return transparent.dump_private(form, key)
        if form == _F.RAW and isinstance(key, _HAVE_RAW):
            return key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        if form == _F.RAW and isinstance(key, ec.EllipticCurvePrivateKey):
            return key.private_numbers().private_value.to_bytes((key.curve.key_size + 7) // 8, "big")
    raise _unsupported(form, "is not a form of this private key")


def dump_public(key: PublicKey, form: KeyFormatType, compression: KeyCompressionType | None = None) -> Material:
    """The public key in a format, EC points compressed as asked (KMIP 1.4 §9.1.3.2.2; default: uncompressed).

    Raises Key Format Type Not Supported and Key Compression Type Not Supported.
    """
    with map_errors("encode the public key", Cause.KEY_FORMAT_TYPE_NOT_SUPPORTED):
        if form in transparent.PUBLIC:
            return transparent.dump_public(form, key, compression)
        if isinstance(key, ec.EllipticCurvePublicKey):
            point = transparent.dump_point(key, compression)
            if form == _F.RAW:
                return point
            if form == _F.X_509:
                info = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
                if compression in (None, KeyCompressionType.EC_PUBLIC_KEY_TYPE_UNCOMPRESSED):
                    return info
                return der.subject_public_key_info(der.encode(*der.children(info)[0]), point)
            raise _unsupported(form, "is not a form of this public key")
        if compression not in (None, KeyCompressionType.EC_PUBLIC_KEY_TYPE_UNCOMPRESSED):
            raise KmipError(Cause.KEY_COMPRESSION_TYPE_NOT_SUPPORTED, "only EC public keys can be compressed")
        if form == _F.X_509:
            return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if form == _F.PKCS_1 and isinstance(key, rsa.RSAPublicKey):
            return key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
        if form == _F.RAW and isinstance(key, _HAVE_RAW_PUBLIC):
            return key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    raise _unsupported(form, "is not a form of this public key")


def convert_private(
    material: Material,
    form: KeyFormatType,
    wanted: KeyFormatType,
    *,
    algorithm: CryptographicAlgorithm | None = None,
    curve: RecommendedCurve | None = None,
    password: bytes | None = None,
    check: bool = True,
) -> Material:
    """A private key's material from one Key Format Type to another; unchanged when they are the same.

    `check` as in `load_private`.
    """
    if wanted == form or (wanted == _F.OPAQUE and isinstance(material, bytes)):
        return material
    key = load_private(form, material, algorithm=algorithm, curve=curve, password=password, check=check)
    return dump_private(key, wanted)


def convert_public(
    material: Material,
    form: KeyFormatType,
    wanted: KeyFormatType,
    *,
    compression: KeyCompressionType | None = None,
    algorithm: CryptographicAlgorithm | None = None,
    curve: RecommendedCurve | None = None,
) -> Material:
    """A public key's material from one Key Format Type and Key Compression Type to another."""
    if compression is None and (wanted == form or (wanted == _F.OPAQUE and isinstance(material, bytes))):
        return material
    return dump_public(load_public(form, material, algorithm=algorithm, curve=curve), wanted, compression)


def convert_symmetric(material: Material, form: KeyFormatType, wanted: KeyFormatType) -> Material:
    """A symmetric key's (or secret data's) material between Raw, Opaque and Transparent Symmetric Key (§3.4)."""
    key = symmetric_bytes(material)
    if wanted == form:
        return material
    if wanted in (_F.RAW, _F.OPAQUE):
        return key
    if wanted == _F.TRANSPARENT_SYMMETRIC_KEY:
        return {"key": key}
    raise _unsupported(wanted, "is not a form of a symmetric key")


def symmetric_bytes(material: Material) -> bytes:
    """The bytes of a symmetric key in any of its forms."""
    key = material if isinstance(material, bytes) else material.get("key")
    if not isinstance(key, bytes):
        raise KmipError(Cause.INVALID_FIELD, "the transparent symmetric key holds no Key")
    return key


def public_of(key: PrivateKey) -> PublicKey:
    """The public half of a private key."""
    with map_errors("derive the public key"):
        return key.public_key()


def _raw_private(kind: type, material: bytes) -> PrivateKey:
    # Post-quantum private keys are their seeds (FIPS 203 §7.1, FIPS 204 §6.1: d||z and xi).
    maker = getattr(kind, "from_private_bytes", None) or kind.from_seed_bytes  # type: ignore[attr-defined]
    key: PrivateKey = maker(material)
    return key


def _raw_public(kind: type, material: bytes) -> PublicKey:
    key: PublicKey = kind.from_public_bytes(material)  # type: ignore[attr-defined]
    return key


def _check_size(form: KeyFormatType, material: bytes) -> None:
    if form not in _ENCODED:
        raise _unsupported(form, "does not hold this kind of key")
    if len(material) > _MAX_ENCODED:
        raise KmipError(Cause.INVALID_FIELD, f"an encoded key is at most {_MAX_ENCODED} bytes long")


def _unsupported(form: KeyFormatType, what: str) -> KmipError:
    return KmipError(Cause.KEY_FORMAT_TYPE_NOT_SUPPORTED, f"{form.text} {what}")
