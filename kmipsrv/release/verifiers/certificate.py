"""An X.509 certificate as the verifiers see it (RFC 5280 §4.1): the bytes that were signed, and what they say.

AMD gives every VCEK and VLEK the serial number 0. RFC 5280 §4.1.2.2 wants it positive, and the library warns that it
will refuse such certificates one day. The serial number plays no part in these verifications, so a zero is read as a
one; the signature is always checked over the bytes as they came.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from kmipsrv.release.verifiers import der

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

BASIC_CONSTRAINTS, KEY_USAGE, EXTENDED_KEY_USAGE = "2.5.29.19", "2.5.29.15", "2.5.29.37"

MAX_CERTIFICATE = 64 * 1024
MAX_RSA_BITS = 8192  # bounds the work of one verification
_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_VERSION_3 = b"\xa0\x03\x02\x01\x02"  # version is [0] EXPLICIT INTEGER { v1(0), v2(1), v3(2) }
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)


def public_key_from_spki(spki: bytes) -> PublicKey:
    """A SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) as a key of a kind and strength that is good enough to verify with."""
    try:
        key = serialization.load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ValueError("not a public key that can be used") from error
    return checked_public_key(key)


def checked_public_key(key: object) -> PublicKey:
    """`key` itself when its kind and strength are allowed, else ValueError."""
    if isinstance(key, rsa.RSAPublicKey) and 2048 <= key.key_size <= MAX_RSA_BITS:
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES):
        return key
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    raise ValueError("the kind or strength of the public key is not allowed")


def spki_of(key: PublicKey) -> bytes:
    """The SubjectPublicKeyInfo of a key in DER: the form in which keys are compared."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


@dataclass(frozen=True, slots=True)
class Extension:
    """One extension: `value` is the content of its OCTET STRING."""

    critical: bool
    value: bytes


@dataclass(frozen=True, slots=True)
class BasicConstraints:
    """RFC 5280 §4.2.1.9."""

    ca: bool
    path_length: int | None


@dataclass(frozen=True, slots=True)
class KeyUsage:
    """The bits of RFC 5280 §4.2.1.3 that matter here."""

    digital_signature: bool
    key_cert_sign: bool
    crl_sign: bool


class Certificate:
    """One certificate. Raises ValueError when the bytes are not exactly one certificate in DER.

    Everything but public key, signature parameters and validity is read here: names are compared as they are encoded,
    and of the extensions only three are interpreted.
    """

    def __init__(self, data: bytes) -> None:
        if len(data) > MAX_CERTIFICATE:
            raise ValueError("certificate too large")
        outer = list(der.read_all(data).children())
        if len(outer) != 3:
            raise ValueError("not a certificate")
        fields = list(outer[0].children())
        if len(fields) < 7 or fields[0].encoded != _VERSION_3:
            raise ValueError("not an X.509 version 3 certificate")
        self.der = data
        self.tbs = outer[0].encoded
        self.serial_number = der.integer(fields[1])
        self.issuer = fields[3].encoded
        self.subject = fields[5].encoded
        # RFC 5280 §4.1.1.2: the algorithm outside "MUST contain the same algorithm identifier" as the signed one
        if outer[1].encoded != fields[2].encoded:
            raise ValueError("certificate: the two signature algorithms differ")
        if self.serial_number < 0:
            raise ValueError("certificate: negative serial number")
        if self.serial_number == 0:
            zero = fields[1].end - 1
            data = data[:zero] + b"\x01" + data[zero + 1 :]
        self.extensions = _extensions(fields[-1]) if fields[-1].tag == 0xA3 else {}
        self.basic_constraints = _basic_constraints(self.extensions.get(BASIC_CONSTRAINTS))
        self.key_usage = _key_usage(self.extensions.get(KEY_USAGE))
        self.extended_key_usage = _extended_key_usage(self.extensions.get(EXTENDED_KEY_USAGE))
        self.common_name = _common_name(fields[5])
        try:
            self._parsed = x509.load_der_x509_certificate(data)
        except x509.InvalidVersion as error:
            raise ValueError("not an X.509 version 3 certificate") from error
        self.not_before = self._parsed.not_valid_before_utc
        self.not_after = self._parsed.not_valid_after_utc

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Certificate) and self.der == other.der

    def __hash__(self) -> int:
        return hash(self.der)

    def __repr__(self) -> str:
        return f"<Certificate {self.common_name!r} {self.fingerprint[:16]}>"

    @functools.cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the whole certificate, in lower-case hexadecimal."""
        return hashlib.sha256(self.der).hexdigest()

    @property
    def self_issued(self) -> bool:
        return self.subject == self.issuer

    @property
    def is_ca(self) -> bool:
        return self.basic_constraints is not None and self.basic_constraints.ca

    @functools.cached_property
    def public_key(self) -> PublicKey:
        """Raises ValueError where the key is of a kind or strength that verifies nothing here."""
        try:
            return checked_public_key(self._parsed.public_key())
        except UnsupportedAlgorithm as error:
            raise ValueError("certificate: unsupported public key") from error

    @property
    def usable_key(self) -> PublicKey | None:
        """The public key, or None where it is of a kind or strength that verifies nothing here."""
        try:
            return self.public_key
        except ValueError:
            return None

    def extension(self, oid: str) -> bytes | None:
        """The value of an extension, None where it is absent."""
        found = self.extensions.get(oid)
        return None if found is None else found.value

    def verify_signed_by(self, issuer: Certificate) -> None:
        """The signature over this certificate by the issuer's key, and nothing else. Raises ValueError."""
        parsed = self._parsed
        try:
            algorithm = parsed.signature_hash_algorithm
            ed25519_key = isinstance(issuer.public_key, ed25519.Ed25519PublicKey)
            parameters = None if ed25519_key else parsed.signature_algorithm_parameters
        except UnsupportedAlgorithm as error:
            raise ValueError("certificate: unsupported signature algorithm") from error
        verify_with_parameters(issuer.public_key, parsed.signature, self.tbs, algorithm, parameters)


def _extensions(field: der.Element) -> dict[str, Extension]:
    """Extensions ::= SEQUENCE OF SEQUENCE { extnID, critical BOOLEAN DEFAULT FALSE, extnValue OCTET STRING }."""
    extensions: dict[str, Extension] = {}
    (members,) = field.children()
    for member in members.children():
        oid, *flags, value = member.children()
        if len(flags) > 1 or any(flag.tag != der.BOOLEAN or flag.end - flag.content != 1 for flag in flags):
            raise ValueError("certificate: malformed extension")
        name = der.object_identifier(oid)
        if value.tag != der.OCTET_STRING or name in extensions:
            raise ValueError("certificate: malformed extension, or one that stands twice")
        extensions[name] = Extension(any(flag.value != b"\0" for flag in flags), value.value)
    return extensions


def _basic_constraints(extension: Extension | None) -> BasicConstraints | None:
    """BasicConstraints ::= SEQUENCE { cA BOOLEAN DEFAULT FALSE, pathLenConstraint INTEGER OPTIONAL }."""
    if extension is None:
        return None
    members = list(der.read_all(extension.value).children())
    ca = bool(members) and members[0].tag == der.BOOLEAN and members[0].value != b"\0"
    rest = members[1:] if members and members[0].tag == der.BOOLEAN else members
    if len(rest) > 1:
        raise ValueError("certificate: malformed basic constraints")
    path_length = der.integer(rest[0]) if rest else None
    if path_length is not None and path_length < 0:
        raise ValueError("certificate: malformed basic constraints")
    return BasicConstraints(ca, path_length)


def _key_usage(extension: Extension | None) -> KeyUsage | None:
    """KeyUsage ::= BIT STRING, the first bit is digitalSignature(0)."""
    if extension is None:
        return None
    element = der.read_all(extension.value)
    if element.tag != der.BIT_STRING or len(element.value) < 2:
        raise ValueError("certificate: malformed key usage")
    bits = element.value[1]
    return KeyUsage(bool(bits & 0x80), bool(bits & 0x04), bool(bits & 0x02))  # bits 0, 5 and 6


def _extended_key_usage(extension: Extension | None) -> tuple[str, ...] | None:
    """ExtKeyUsageSyntax ::= SEQUENCE OF OBJECT IDENTIFIER (RFC 5280 §4.2.1.12)."""
    if extension is None:
        return None
    return tuple(der.object_identifier(member) for member in der.read_all(extension.value).children())


def _common_name(name: der.Element) -> str:
    """The first commonName of a Name, "" where there is none: a label, compared only with what the vendors write."""
    for names in name.children():
        for attribute in names.children():
            kind, value = attribute.children()
            if kind.value == b"\x55\x04\x03":  # id-at-commonName
                return value.value.decode("utf-8", "replace")
    return ""


def verify_with_parameters(
    key: PublicKey,
    signature: bytes,
    message: bytes,
    algorithm: hashes.HashAlgorithm | None,
    parameters: object,
) -> None:
    """A signature with the parameters that X.509 names for it, SHA-1 and older hashes refused. Raises ValueError."""
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, message)
        elif not isinstance(algorithm, _HASHES):
            raise ValueError("signature: hash algorithm is not allowed")
        elif isinstance(key, ec.EllipticCurvePublicKey) and isinstance(parameters, ec.ECDSA):
            key.verify(signature, message, parameters)
        elif isinstance(key, rsa.RSAPublicKey) and isinstance(parameters, padding.PSS | padding.PKCS1v15):
            key.verify(signature, message, parameters, algorithm)
        else:
            raise ValueError("signature: algorithm does not fit the key")
    except (InvalidSignature, UnsupportedAlgorithm) as error:
        raise ValueError("signature does not verify") from error
