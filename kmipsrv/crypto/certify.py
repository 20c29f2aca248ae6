"""Issuing certificates (KMIP 2.1 §6.1.6 Certify, §6.1.45 Re-certify): requests in, X.509 certificates out.

Certificate Request Types PKCS#10 (RFC 2986) and PEM (the same in text); CRMF and PGP are refused. What a request asks
for is used or refused: subject, key and alternative names are taken over, key usage and extended key usage too; anything
else, and above all the wish to be an authority, is an Invalid CSR.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID

from kmipsrv.crypto import signatures
from kmipsrv.crypto.certificates import NAME_FIELDS, SIGNATURE_ALGORITHMS, load
from kmipsrv.crypto.failures import map_errors, unsupported
from kmipsrv.crypto.formats import PrivateKey, PublicKey
from kmipsrv.crypto.parameters import Parameters
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.enums import CertificateRequestType, CryptographicUsageMask, DigitalSignatureAlgorithm

_MAX_REQUEST: Final = 64 * 1024
_MAX_COMMON_NAME: Final = 64  # ub-common-name of X.520
_AUTHORITY_USAGE: Final = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
_U: Final = CryptographicUsageMask
_TAKEN: Final = frozenset(
    {ExtensionOID.SUBJECT_ALTERNATIVE_NAME, ExtensionOID.KEY_USAGE, ExtensionOID.EXTENDED_KEY_USAGE}
)
_OURS: Final = frozenset(
    {ExtensionOID.BASIC_CONSTRAINTS, ExtensionOID.SUBJECT_KEY_IDENTIFIER, ExtensionOID.AUTHORITY_KEY_IDENTIFIER}
)
_Issuing = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | dsa.DSAPrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
)
_Issuable = (
    rsa.RSAPublicKey | ec.EllipticCurvePublicKey | dsa.DSAPublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
)


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be certified: the subject, its key, and extensions from the request that are taken over."""

    subject: x509.Name
    public_key: PublicKey
    extensions: tuple[x509.Extension[x509.ExtensionType], ...] = ()


@dataclass(frozen=True, slots=True)
class Authority:
    """Who issues: a certification authority's certificate and its private key."""

    certificate: bytes
    private_key: PrivateKey

    def __repr__(self) -> str:
        return "Authority()"


def invalid(message: str) -> KmipError:
    return KmipError(Cause.INVALID_CSR, message)


def load_request(kind: CertificateRequestType, value: bytes, *, allow_legacy: bool = False) -> Request:
    """A Certificate Request, its self-signature verified. Raises Invalid CSR, or Unsupported for CRMF and PGP.

    `allow_legacy` permits requests that are signed with MD5 or SHA-1, as those of the conformance cases TC-134 are.
    """
    if kind not in (CertificateRequestType.PKCS_10, CertificateRequestType.PEM):
        raise unsupported(f"certificate requests of type {kind.text} are not read by this server")
    if len(value) > _MAX_REQUEST:
        raise invalid(f"a certificate request is at most {_MAX_REQUEST} bytes long")
    with map_errors("read the certificate request", Cause.INVALID_CSR), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read = x509.load_pem_x509_csr if kind == CertificateRequestType.PEM else x509.load_der_x509_csr
        request = read(value)
        _check_signature(request, allow_legacy)
        extensions = tuple(request.extensions)
        for extension in extensions:
            if extension.oid not in _TAKEN | _OURS:
                raise invalid(f"the extension {extension.oid.dotted_string} is not issued")
            if isinstance(extension.value, x509.BasicConstraints) and extension.value.ca:
                raise invalid("certificates of certification authorities are not issued")
            if isinstance(extension.value, x509.KeyUsage) and extension.value.key_cert_sign:
                raise invalid("certificates that sign certificates are not issued")
        return Request(request.subject, request.public_key(), tuple(e for e in extensions if e.oid in _TAKEN))


def _check_signature(request: x509.CertificateSigningRequest, allow_legacy: bool) -> None:
    """RFC 2986 §3: the request is signed with the private key of the public key that it names."""
    named = SIGNATURE_ALGORITHMS.get(request.signature_algorithm_oid)
    if named is None or named == DigitalSignatureAlgorithm.RSASSA_PSS:
        if not request.is_signature_valid:
            raise invalid("the certificate request is not signed by its own key")
        return
    # The library calls every signature with SHA-1 invalid; here the policy decides.
    try:
        signatures.verify(
            request.public_key(),
            Parameters(digital_signature_algorithm=named),
            request.signature,
            request.tbs_certrequest_bytes,
            allow_legacy=allow_legacy,
        )
    except KmipError as error:
        raise invalid(f"the certificate request's signature is refused: {error.message}") from error


def subject_of(certificate: bytes) -> x509.Name:
    """The subject of a certificate, for Re-certify without a request."""
    return load(certificate).subject


def subject_from_der(name: bytes) -> x509.Name:
    """A subject given as the DER of X.509 Certificate Subject. Raises Invalid Field."""
    with map_errors("read the subject", Cause.INVALID_FIELD):
        return x509.Name.from_bytes(name)


def subject_from_fields(fields: Mapping[str, tuple[str, ...]]) -> x509.Name:
    """A subject given as Certificate Attributes (§4.6): country first, common name last. Raises Invalid Field."""
    order = ("dc", "c", "st", "l", "o", "ou", "title", "dn_qualifier", "serial_number", "uid", "email", "cn")
    with map_errors("read the subject", Cause.INVALID_FIELD):
        return x509.Name(
            [x509.NameAttribute(NAME_FIELDS[field], value) for field in order for value in fields.get(field, ())]
        )


def subject_from_text(name: str) -> x509.Name:
    """A subject given as the text of 1.0's Certificate Subject (RFC 4514, as RFC 2253 before it). Raises Invalid Field."""
    with map_errors("read the subject", Cause.INVALID_FIELD):
        return x509.Name.from_rfc4514_string(name)


def common_name(name: str) -> x509.Name:
    """The subject that has a common name only; what is longer than X.520 lets it be is cut."""
    with map_errors("make the subject", Cause.INVALID_FIELD):
        return x509.Name([x509.NameAttribute(NAME_FIELDS["cn"], name[:_MAX_COMMON_NAME])])


def self_signed(
    subject: x509.Name, key: PrivateKey, *, serial_number: int, not_before: datetime, not_after: datetime
) -> bytes:
    """The DER-encoded certificate of a new certification authority, one that issues to end entities only."""
    with map_errors("issue the certificate"):
        if not isinstance(key, _Issuing):
            raise unsupported("the certification authority's key makes no signatures")
        public = key.public_key()
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(public)
            .serial_number(serial_number)
            .not_valid_before(not_before)
            .not_valid_after(not_after)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_AUTHORITY_USAGE, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .sign(key, _hash_for(key))
            .public_bytes(Encoding.DER)
        )


def issue(
    request: Request,
    authority: Authority | None,
    *,
    serial_number: int,
    not_before: datetime,
    not_after: datetime,
    usage: CryptographicUsageMask | None = None,
    self_signing_key: PrivateKey | None = None,
) -> bytes:
    """A DER-encoded end-entity certificate, signed by the authority, or by the key itself when there is none.

    `usage` is the Cryptographic Usage Mask and becomes the key usage where the request names none. Never longer than the
    authority's own certificate lasts. Raises Invalid CSR, Unsupported Cryptographic Parameters, Cryptographic Failure.
    """
    with map_errors("issue the certificate", Cause.INVALID_CSR), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        public, signer = request.public_key, authority.private_key if authority is not None else self_signing_key
        if not isinstance(public, _Issuable):
            raise unsupported("keys of this algorithm are not certified by this server")
        if not isinstance(signer, _Issuing):
            raise unsupported("the certification authority's key makes no signatures")
        issuer, issuer_key = request.subject, signer.public_key()
        if authority is not None:
            own = load(authority.certificate)
            if own.public_key() != issuer_key:
                raise KmipError(Cause.CRYPTOGRAPHIC_FAILURE, "the authority's key is not that of its certificate")
            issuer, not_after = own.subject, min(not_after, own.not_valid_after_utc)
        elif issuer_key != public:
            raise invalid("without a certification authority only the key itself can sign")
        if not not_before < not_after:
            raise invalid("the certificate would end before it begins")
        builder = (
            x509.CertificateBuilder()
            .subject_name(request.subject)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(serial_number)
            .not_valid_before(not_before)
            .not_valid_after(not_after)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
        )
        for extension in request.extensions:
            builder = builder.add_extension(extension.value, extension.critical)
        if usage and ExtensionOID.KEY_USAGE not in {e.oid for e in request.extensions}:
            builder = builder.add_extension(_key_usage(usage), critical=True)
        return builder.sign(signer, _hash_for(signer)).public_bytes(Encoding.DER)


def _key_usage(usage: CryptographicUsageMask) -> x509.KeyUsage:
    """Key usage (RFC 5280 §4.2.1.3) from a Cryptographic Usage Mask (KMIP 2.1 §12.1)."""
    agreement = bool(usage & _U.KEY_AGREEMENT)
    return x509.KeyUsage(
        digital_signature=bool(usage & (_U.SIGN | _U.VERIFY | _U.AUTHENTICATE)),
        content_commitment=bool(usage & _U.CONTENT_COMMITMENT_NON_REPUDIATION),
        key_encipherment=bool(usage & (_U.WRAP_KEY | _U.UNWRAP_KEY)),
        data_encipherment=bool(usage & (_U.ENCRYPT | _U.DECRYPT)),
        key_agreement=agreement,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _hash_for(signer: PrivateKey) -> hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None:
    """SHA-256, or more for larger curves; Ed25519 and Ed448 have their own (RFC 8410)."""
    if isinstance(signer, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey):
        return None
    if isinstance(signer, ec.EllipticCurvePrivateKey) and signer.curve.key_size > 256:
        return hashes.SHA384() if signer.curve.key_size <= 384 else hashes.SHA512()
    return hashes.SHA256()
