"""The attributes that a certificate's own content gives it (KMIP 2.1 §4.6-4.8, §4.13, §4.15, §4.22, §4.61-4.63; for 1.x also
1.0 §3.9-3.11): set by Register, Import, Certify and Re-certify.
"""

from __future__ import annotations

from typing import Any

from kmipsrv.crypto import certificates
from kmipsrv.crypto.certificates import CertificateFacts, DistinguishedName
from kmipsrv.domain.creation import NewObject, set_algorithm
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.attribute_bag import AttributeBag
from kmipsrv.spec.attributes import ATTRIBUTES
from kmipsrv.spec.enums import CertificateType
from kmipsrv.spec.objects import Certificate
from kmipsrv.spec.structures import (
    CertificateIdentifier,
    CertificateIssuer,
    CertificateSubject,
    X509CertificateIdentifier,
    X509CertificateIssuer,
    X509CertificateSubject,
)
from kmipsrv.spec.tags import Tag

# The attributes that are never copied from one certificate to another.
FROM_CONTENT = frozenset(
    (
        Tag.CERTIFICATE_TYPE,
        Tag.CERTIFICATE_LENGTH,
        Tag.CRYPTOGRAPHIC_ALGORITHM,
        Tag.CRYPTOGRAPHIC_LENGTH,
        Tag.DIGITAL_SIGNATURE_ALGORITHM,
        Tag.X_509_CERTIFICATE_IDENTIFIER,
        Tag.X_509_CERTIFICATE_SUBJECT,
        Tag.X_509_CERTIFICATE_ISSUER,
        Tag.CERTIFICATE_IDENTIFIER,
        Tag.CERTIFICATE_SUBJECT,
        Tag.CERTIFICATE_ISSUER,
        *(tag for tag in ATTRIBUTES if tag.name.startswith(("CERTIFICATE_SUBJECT_", "CERTIFICATE_ISSUER_"))),
    )
)


def describe_certificate(new: NewObject, body: Certificate) -> None:
    """What the certificate says of itself becomes the object's.

    Raises KmipError(INVALID_FIELD | INVALID_ATTRIBUTE_VALUE) for what is no certificate, or not the one described."""
    _settle(new, Tag.CERTIFICATE_TYPE, body.certificate_type)
    _settle(new, Tag.CERTIFICATE_LENGTH, len(body.certificate_value))
    if body.certificate_type is not CertificateType.X_509:
        return
    facts = certificates.describe(body.certificate_value)
    if facts.key is not None:
        set_algorithm(new, facts.key.algorithm, facts.key.length)
    if facts.signature_algorithm is not None:
        _settle(new, Tag.DIGITAL_SIGNATURE_ALGORITHM, facts.signature_algorithm)
    _set_names(new.server, facts)


def _settle(new: NewObject, tag: Tag, value: Any) -> None:
    """The certificate's own value; a request may say the same, nothing else."""
    if any(given != value for given in new.attributes.values(tag)):
        raise KmipError(Cause.INVALID_ATTRIBUTE_VALUE, f"{tag.text} is not that of the certificate")
    new.server.set(tag, value)


def _set_names(bag: AttributeBag, facts: CertificateFacts) -> None:
    subject, issuer = facts.subject, facts.issuer
    bag.set(
        Tag.X_509_CERTIFICATE_IDENTIFIER,
        X509CertificateIdentifier(issuer_distinguished_name=issuer.der, certificate_serial_number=facts.serial_number),
    )
    bag.set(
        Tag.X_509_CERTIFICATE_SUBJECT,
        X509CertificateSubject(
            subject_distinguished_name=subject.der,
            subject_alternative_name=[name.der for name in subject.alternative_names],
        ),
    )
    bag.set(
        Tag.X_509_CERTIFICATE_ISSUER,
        X509CertificateIssuer(
            issuer_distinguished_name=issuer.der,
            issuer_alternative_name=[name.der for name in issuer.alternative_names],
        ),
    )
    bag.set(Tag.CERTIFICATE_IDENTIFIER, CertificateIdentifier(issuer=issuer.text, serial_number=facts.serial_text))
    bag.set(
        Tag.CERTIFICATE_SUBJECT,
        CertificateSubject(
            certificate_subject_distinguished_name=subject.text,
            certificate_subject_alternative_name=[name.text for name in subject.alternative_names],
        ),
    )
    bag.set(
        Tag.CERTIFICATE_ISSUER,
        CertificateIssuer(
            certificate_issuer_distinguished_name=issuer.text,
            certificate_issuer_alternative_name=[name.text for name in issuer.alternative_names],
        ),
    )
    _set_parts(bag, "CERTIFICATE_SUBJECT", subject)
    _set_parts(bag, "CERTIFICATE_ISSUER", issuer)


def _set_parts(bag: AttributeBag, prefix: str, name: DistinguishedName) -> None:
    """Certificate Attributes (§4.6): one for each part of the distinguished name."""
    for part, values in name.fields.items():
        for value in values:
            bag.add(Tag[f"{prefix}_{part.upper()}"], value)
