"""An X.509 certificate as the verifiers see it (RFC 5280 §4.1): the bytes that were signed, and what they say.

AMD gives every VCEK and VLEK the serial number 0. RFC 5280 §4.1.2.2 wants it positive, and the library warns that it
will refuse such certificates one day. The serial number plays no part in these verifications, so a zero is read as a
one; the signature is always checked over the bytes as they came.
"""

from __future__ import annotations

import datetime
import functools
import hashlib

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from kmipsrv.release.verifiers import der

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

MAX_CERTIFICATE = 64 * 1024
MAX_RSA_BITS = 8192  # bounds the work of one verification
_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
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


class Certificate:
    """One certificate. Raises ValueError when the bytes are not exactly one certificate in DER."""

    __slots__ = ("__dict__", "der", "parsed", "serial_number", "tbs")

    def __init__(self, data: bytes) -> None:
        if len(data) > MAX_CERTIFICATE:
            raise ValueError("certificate too large")
        outer = list(der.read_all(data).children())
        if len(outer) != 3:
            raise ValueError("not a certificate")
        fields = list(outer[0].children())
        if len(fields) < 7 or fields[0].tag != 0xA0:  # version is [0] EXPLICIT; v1 has none
            raise ValueError("not an X.509 version 3 certificate")
        self.der = data
        self.tbs = outer[0].encoded
        self.serial_number = der.integer(fields[1])
        # RFC 5280 §4.1.1.2: the algorithm outside "MUST contain the same algorithm identifier" as the signed one
        if outer[1].encoded != fields[2].encoded:
            raise ValueError("certificate: the two signature algorithms differ")
        if self.serial_number < 0:
            raise ValueError("certificate: negative serial number")
        if self.serial_number == 0:
            zero = fields[1].end - 1
            data = data[:zero] + b"\x01" + data[zero + 1 :]
        self.parsed = x509.load_der_x509_certificate(data)

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

    @functools.cached_property
    def subject(self) -> bytes:
        return self.parsed.subject.public_bytes()

    @functools.cached_property
    def issuer(self) -> bytes:
        return self.parsed.issuer.public_bytes()

    @property
    def common_name(self) -> str:
        names = self.parsed.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return str(names[0].value) if names else ""

    @property
    def self_issued(self) -> bool:
        return self.subject == self.issuer

    @functools.cached_property
    def public_key(self) -> PublicKey:
        try:
            return checked_public_key(self.parsed.public_key())
        except UnsupportedAlgorithm as error:
            raise ValueError("certificate: unsupported public key") from error

    @property
    def usable_key(self) -> PublicKey | None:
        """The public key, or None where it is of a kind or strength that verifies nothing here."""
        try:
            return self.public_key
        except ValueError:
            return None

    @functools.cached_property
    def spki(self) -> bytes:
        return spki_of(self.public_key)

    @property
    def not_before(self) -> datetime.datetime:
        return self.parsed.not_valid_before_utc

    @property
    def not_after(self) -> datetime.datetime:
        return self.parsed.not_valid_after_utc

    @functools.cached_property
    def extensions(self) -> x509.Extensions:
        """Raises ValueError when an extension is malformed or stands there twice."""
        try:
            return self.parsed.extensions
        except (x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
            raise ValueError("certificate: malformed extensions") from error

    @functools.cached_property
    def vendor_extensions(self) -> dict[str, bytes]:
        """The extensions that the library does not know: OID -> content of the OCTET STRING."""
        return {
            extension.oid.dotted_string: extension.value.value
            for extension in self.extensions
            if isinstance(extension.value, x509.UnrecognizedExtension)
        }

    @functools.cached_property
    def basic_constraints(self) -> x509.BasicConstraints | None:
        try:
            return self.extensions.get_extension_for_class(x509.BasicConstraints).value
        except x509.ExtensionNotFound:
            return None

    @functools.cached_property
    def key_usage(self) -> x509.KeyUsage | None:
        try:
            return self.extensions.get_extension_for_class(x509.KeyUsage).value
        except x509.ExtensionNotFound:
            return None

    @property
    def is_ca(self) -> bool:
        return self.basic_constraints is not None and self.basic_constraints.ca

    def verify_signed_by(self, issuer: Certificate) -> None:
        """The signature over this certificate by the issuer's key, and nothing else. Raises ValueError."""
        parsed = self.parsed
        verify_with_parameters(
            issuer.public_key,
            parsed.signature,
            self.tbs,
            parsed.signature_hash_algorithm,
            None if isinstance(issuer.public_key, ed25519.Ed25519PublicKey) else parsed.signature_algorithm_parameters,
        )


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
