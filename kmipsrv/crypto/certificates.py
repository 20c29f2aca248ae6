"""What an X.509 certificate says (KMIP 2.1 §4.6 Certificate Attributes, §4.61-4.63; 1.4 §3.10-3.15), and whether a
chain of them holds (§6.1.57 Validate).

Parsed once into `CertificateFacts`; attributes of every version are read from it. The forms are those of the
conformance cases: distinguished names as DER and as RFC 2253 text, the serial number as a DER INTEGER and as upper-case hex.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.x509.oid import ExtensionOID, NameOID, SignatureAlgorithmOID

from kmipsrv.crypto import der, formats
from kmipsrv.crypto.failures import map_errors
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.enums import DigitalSignatureAlgorithm, KeyFormatType, ValidityIndicator

_D: Final = DigitalSignatureAlgorithm
_S: Final = SignatureAlgorithmOID

NAME_FIELDS: Final[dict[str, x509.ObjectIdentifier]] = {
    # KMIP 2.1 §4.6 Table 39, the part after "Certificate Subject" and "Certificate Issuer", in snake_case
    "cn": NameOID.COMMON_NAME,
    "o": NameOID.ORGANIZATION_NAME,
    "ou": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "email": NameOID.EMAIL_ADDRESS,
    "c": NameOID.COUNTRY_NAME,
    "st": NameOID.STATE_OR_PROVINCE_NAME,
    "l": NameOID.LOCALITY_NAME,
    "uid": NameOID.USER_ID,
    "serial_number": NameOID.SERIAL_NUMBER,
    "title": NameOID.TITLE,
    "dc": NameOID.DOMAIN_COMPONENT,
    "dn_qualifier": NameOID.DN_QUALIFIER,
}

SIGNATURE_ALGORITHMS: Final[dict[x509.ObjectIdentifier, DigitalSignatureAlgorithm]] = {
    _S.RSA_WITH_MD5: _D.MD5_WITH_RSA_ENCRYPTION,
    _S.RSA_WITH_SHA1: _D.SHA_1_WITH_RSA_ENCRYPTION,
    _S.RSA_WITH_SHA224: _D.SHA_224_WITH_RSA_ENCRYPTION,
    _S.RSA_WITH_SHA256: _D.SHA_256_WITH_RSA_ENCRYPTION,
    _S.RSA_WITH_SHA384: _D.SHA_384_WITH_RSA_ENCRYPTION,
    _S.RSA_WITH_SHA512: _D.SHA_512_WITH_RSA_ENCRYPTION,
    _S.RSA_WITH_SHA3_256: _D.SHA3_256_WITH_RSA_ENCRYPTION,
    _S.RSA_WITH_SHA3_384: _D.SHA3_384_WITH_RSA_ENCRYPTION,
    _S.RSA_WITH_SHA3_512: _D.SHA3_512_WITH_RSA_ENCRYPTION,
    _S.RSASSA_PSS: _D.RSASSA_PSS,
    _S.DSA_WITH_SHA1: _D.DSA_WITH_SHA_1,
    _S.DSA_WITH_SHA224: _D.DSA_WITH_SHA224,
    _S.DSA_WITH_SHA256: _D.DSA_WITH_SHA256,
    _S.ECDSA_WITH_SHA1: _D.ECDSA_WITH_SHA_1,
    _S.ECDSA_WITH_SHA224: _D.ECDSA_WITH_SHA224,
    _S.ECDSA_WITH_SHA256: _D.ECDSA_WITH_SHA256,
    _S.ECDSA_WITH_SHA384: _D.ECDSA_WITH_SHA384,
    _S.ECDSA_WITH_SHA512: _D.ECDSA_WITH_SHA512,
}

MAX_CHAIN: Final = 10
"""Longest chain that is followed."""


@dataclass(frozen=True, slots=True)
class AlternativeName:
    """One GeneralName (RFC 5280 §4.2.1.6): its DER for the byte strings of 1.1 and later, its text for 1.0."""

    der: bytes
    text: str


@dataclass(frozen=True, slots=True)
class DistinguishedName:
    """A subject or an issuer. `der` and `text` are empty when the name is; `fields` has NAME_FIELDS that are there."""

    der: bytes
    text: str
    fields: dict[str, tuple[str, ...]]
    alternative_names: tuple[AlternativeName, ...] = ()


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """What attributes are made of. `key` is None when the public key is of an algorithm that the library lacks."""

    subject: DistinguishedName
    issuer: DistinguishedName
    serial_number: bytes
    """Certificate Serial Number of X.509 Certificate Identifier: a DER INTEGER."""
    serial_text: str
    """Serial Number of the 1.0 Certificate Identifier: upper-case hex."""
    not_before: datetime
    not_after: datetime
    length: int
    """Certificate Length: bytes of the DER encoding."""
    key: formats.Facts | None
    public_key: bytes | None
    """SubjectPublicKeyInfo."""
    signature_algorithm: DigitalSignatureAlgorithm | None


def load(value: bytes) -> x509.Certificate:
    """The library's certificate; Invalid Field when the bytes are not one. Its warnings about old certificates stay."""
    with map_errors("read the certificate", Cause.INVALID_FIELD), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return x509.load_der_x509_certificate(value)


def describe(value: bytes) -> CertificateFacts:
    """The facts of a DER-encoded X.509 certificate (a Certificate Value). Raises Invalid Field."""
    certificate = load(value)
    with map_errors("read the certificate", Cause.INVALID_FIELD), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        public_key = _public_key(certificate)
        return CertificateFacts(
            subject=_name(certificate.subject, _alternative(certificate, ExtensionOID.SUBJECT_ALTERNATIVE_NAME)),
            issuer=_name(certificate.issuer, _alternative(certificate, ExtensionOID.ISSUER_ALTERNATIVE_NAME)),
            serial_number=_integer(certificate.serial_number),
            serial_text=_hex(certificate.serial_number),
            not_before=certificate.not_valid_before_utc,
            not_after=certificate.not_valid_after_utc,
            length=len(value),
            key=formats.facts(public_key) if public_key is not None else None,
            public_key=_encoded(public_key),
            signature_algorithm=SIGNATURE_ALGORITHMS.get(certificate.signature_algorithm_oid),
        )


def public_key(value: bytes) -> formats.PublicKey:
    """The public key of a certificate, to encrypt to or to verify with. Raises Invalid Field or Unsupported."""
    certificate = load(value)
    with map_errors("read the certificate's public key", Cause.INVALID_FIELD), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return certificate.public_key()


def issuer_names(value: bytes) -> tuple[bytes, bytes]:
    """Subject and issuer as DER, for finding the certificate that issued another."""
    certificate = load(value)
    return certificate.subject.public_bytes(), certificate.issuer.public_bytes()


def validate(chain: Sequence[bytes], anchors: Sequence[bytes], at: datetime) -> ValidityIndicator:
    """Whether the certificates form one chain, in any order, that holds at a moment (RFC 5280 §6.1, without policies).

    Valid: every certificate is within its dates, issued and signed by the next, whose basic constraints and key usage
    let it do so, and the last one is an anchor or is issued by one. Invalid: one of these does not hold. Unknown: all
    hold but no anchor is reached. Raises Invalid Field for what is no certificate, no single chain, or too long.
    """
    certificates = [load(value) for value in dict.fromkeys(chain)]
    if not certificates or len(certificates) > MAX_CHAIN:
        raise KmipError(Cause.INVALID_FIELD, f"a certificate chain has 1 to {MAX_CHAIN} certificates")
    ordered = _ordered(certificates)
    trusted = [load(value) for value in anchors]
    root = next((a for a in trusted if a == ordered[-1] or _issued(ordered[-1], a)), None)
    if root is not None and root != ordered[-1]:
        ordered.append(root)
    for certificate in ordered:
        if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
            return ValidityIndicator.INVALID
    for depth, (child, parent) in enumerate(itertools.pairwise(ordered)):
        if not _issued(child, parent) or not _may_issue(parent, depth):
            return ValidityIndicator.INVALID
    if root is not None:
        return ValidityIndicator.VALID
    last = ordered[-1]
    if last.subject == last.issuer and not _issued(last, last):
        return ValidityIndicator.INVALID
    return ValidityIndicator.UNKNOWN


def _ordered(certificates: list[x509.Certificate]) -> list[x509.Certificate]:
    """The chain from its end entity to its root."""
    issuers = {c.issuer for c in certificates if c.subject != c.issuer}
    leaves = [c for c in certificates if c.subject not in issuers]
    if len(certificates) == 1:
        leaves = certificates
    if len(leaves) != 1:
        raise KmipError(Cause.INVALID_FIELD, "the certificates do not form a single chain")
    ordered, left = leaves, [c for c in certificates if c is not leaves[0]]
    while left:
        following = next((c for c in left if c.subject == ordered[-1].issuer), None)
        if following is None:
            raise KmipError(Cause.INVALID_FIELD, "the certificates do not form a single chain")
        ordered = [*ordered, following]
        left.remove(following)
    return ordered


def _issued(child: x509.Certificate, parent: x509.Certificate) -> bool:
    try:
        with map_errors("verify the certificate"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            child.verify_directly_issued_by(parent)
    except KmipError:
        return False
    return True


def _may_issue(parent: x509.Certificate, below: int) -> bool:
    """RFC 5280 §6.1.4 (k) to (n): a certification authority, with `below` others under it, that signs certificates."""
    with map_errors("read the certificate", Cause.INVALID_FIELD), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        extensions = parent.extensions
    try:
        constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
    except x509.ExtensionNotFound:
        return False
    if not constraints.ca or (constraints.path_length is not None and constraints.path_length < below):
        return False
    try:
        return extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound:
        return True


def _name(name: x509.Name, alternative: tuple[AlternativeName, ...]) -> DistinguishedName:
    if not name.rdns:
        return DistinguishedName(b"", "", {}, alternative)
    found: dict[str, tuple[str, ...]] = {}
    for field, oid in NAME_FIELDS.items():
        values = tuple(str(a.value) for a in name.get_attributes_for_oid(oid) if isinstance(a.value, str))
        if values:
            found[field] = values
    return DistinguishedName(name.public_bytes(), name.rfc4514_string(), found, alternative)


def _alternative(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> tuple[AlternativeName, ...]:
    try:
        extension = certificate.extensions.get_extension_for_oid(oid)
    except x509.ExtensionNotFound:
        return ()
    names = extension.value
    assert isinstance(names, x509.SubjectAlternativeName | x509.IssuerAlternativeName)
    encoded = [der.encode(tag, contents) for tag, contents in der.children(names.public_bytes())]
    return tuple(AlternativeName(e, _text(n)) for e, n in zip(encoded, names, strict=True))


def _text(name: x509.GeneralName) -> str:
    value = name.value
    if isinstance(value, x509.Name):
        return value.rfc4514_string()
    if isinstance(value, x509.ObjectIdentifier):
        return value.dotted_string
    return value.hex() if isinstance(value, bytes) else str(value)


def _public_key(certificate: x509.Certificate) -> formats.PublicKey | None:
    try:
        with map_errors("read the certificate's public key"):
            return certificate.public_key()
    except KmipError:
        return None


def _encoded(key: formats.PublicKey | None) -> bytes | None:
    if key is None:
        return None
    material = formats.dump_public(key, KeyFormatType.X_509)
    assert isinstance(material, bytes)
    return material


def _integer(number: int) -> bytes:
    return der.encode(der.INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True))


def _hex(number: int) -> str:
    digits = f"{abs(number):X}"
    return ("-" if number < 0 else "") + "0" * (len(digits) % 2) + digits
