"""The attributes, one row each: tag, type, versions and the rules of the tables "Attribute Rules" (KMIP 2.1 §4, 1.4 §3).

Query, Locate, Get Attribute List, the attribute operations and both wire forms read these rows; adding an attribute is
adding one here. `Key` names an attribute everywhere behind the wire: its Tag, or (vendor, name) for a vendor's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec import enums as e
from kmipsrv.spec import structures as s
from kmipsrv.spec.enums import ObjectType
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import (
    AnyEnumeration,
    Boolean,
    ByteString,
    DateTime,
    Identifier,
    Integer,
    Interval,
    LongInteger,
    Reference,
    TextString,
)
from kmipsrv.spec.versions import V1_1, V1_4, V2_0, V2_1, Version

Vendor = tuple[str, str]
Key = Tag | Vendor


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute's row.

    `rules`: what a client may do with it: C give it at creation only, S set it (at creation or by Add/Set Attribute), M
    modify it, D delete it; `*` it may have several instances. Without C or S only the server sets it. `objects` None:
    every object type may have it.
    `column` is the StoredObject column that mirrors the value; `indexed` values get index rows; the rest is found by
    scanning. `derived` ones are not kept but worked out when read.
    """

    tag: Tag
    kind: Any
    rules: str = ""
    objects: frozenset[ObjectType] | None = None
    since: Version = Version.V1_0
    until: Version | None = None
    column: str = ""
    indexed: bool = False
    derived: bool = False

    @property
    def name(self) -> str:
        """The attribute's name in 1.x messages."""
        return self.tag.text

    @property
    def many(self) -> bool:
        return "*" in self.rules

    def exists_in(self, version: Version) -> bool:
        return self.since <= version and (self.until is None or version <= self.until)


_KEYS = frozenset((ObjectType.SYMMETRIC_KEY, ObjectType.PUBLIC_KEY, ObjectType.PRIVATE_KEY, ObjectType.SPLIT_KEY))
_PAIRS = frozenset((ObjectType.PUBLIC_KEY, ObjectType.PRIVATE_KEY))
_CERTIFICATES = frozenset((ObjectType.CERTIFICATE,))
_SIGNED = frozenset((ObjectType.CERTIFICATE, ObjectType.PGP_KEY))
_OPAQUE = frozenset((ObjectType.OPAQUE_OBJECT,))
_T = Tag


def _row(
    tag: Tag,
    kind: Any,
    rules: str = "",
    objects: frozenset[ObjectType] | None = None,
    *,
    since: Version | None = None,
    until: Version | None = None,
    column: str = "",
    index: bool = False,
    derived: bool = False,
) -> Attribute:
    return Attribute(tag, kind, rules, objects, since or tag.since, until or tag.until, column, index, derived)


_ROWS: list[Attribute] = [
    _row(_T.UNIQUE_IDENTIFIER, Identifier, column="unique_identifier", derived=True),
    _row(_T.SHORT_UNIQUE_IDENTIFIER, ByteString, since=V2_0, derived=True),
    _row(_T.OBJECT_TYPE, e.ObjectType, column="object_type", derived=True),
    _row(_T.STATE, e.State, derived=True),
    _row(_T.NAME, s.Name, "SMD*", index=True),
    _row(_T.ALTERNATIVE_NAME, s.AlternativeName, "SMD*", index=True),
    _row(_T.CRYPTOGRAPHIC_ALGORITHM, e.CryptographicAlgorithm, "C", column="cryptographic_algorithm"),
    _row(_T.CRYPTOGRAPHIC_LENGTH, Integer, "C", column="cryptographic_length"),
    _row(_T.CRYPTOGRAPHIC_PARAMETERS, s.CryptographicParameters, "SMD*", index=True),
    _row(_T.CRYPTOGRAPHIC_DOMAIN_PARAMETERS, s.CryptographicDomainParameters, "S", _PAIRS, index=True),
    _row(_T.CRYPTOGRAPHIC_USAGE_MASK, e.CryptographicUsageMask, "S", column="cryptographic_usage_mask"),
    _row(_T.KEY_FORMAT_TYPE, e.KeyFormatType, "C", since=V2_0),
    _row(_T.CERTIFICATE_TYPE, e.CertificateType, "C", _CERTIFICATES),
    _row(_T.CERTIFICATE_LENGTH, Integer, "C", _CERTIFICATES),
    _row(_T.X_509_CERTIFICATE_IDENTIFIER, s.X509CertificateIdentifier, "", _CERTIFICATES, index=True),
    _row(_T.X_509_CERTIFICATE_SUBJECT, s.X509CertificateSubject, "", _CERTIFICATES, index=True),
    _row(_T.X_509_CERTIFICATE_ISSUER, s.X509CertificateIssuer, "", _CERTIFICATES, index=True),
    _row(_T.CERTIFICATE_IDENTIFIER, s.CertificateIdentifier, "", _CERTIFICATES, until=V1_4, index=True),
    _row(_T.CERTIFICATE_SUBJECT, s.CertificateSubject, "", _CERTIFICATES, until=V1_4, index=True),
    _row(_T.CERTIFICATE_ISSUER, s.CertificateIssuer, "", _CERTIFICATES, until=V1_4, index=True),
    _row(_T.DIGITAL_SIGNATURE_ALGORITHM, e.DigitalSignatureAlgorithm, "C*", _SIGNED, since=V1_1),
    _row(_T.DIGEST, s.Digest, "*"),
    _row(_T.OPERATION_POLICY_NAME, TextString, "SM", until=V1_4, index=True),
    _row(_T.LEASE_TIME, Interval),
    _row(_T.USAGE_LIMITS, s.UsageLimits, "SMD"),
    _row(_T.INITIAL_DATE, DateTime, column="initial_date"),
    _row(_T.ACTIVATION_DATE, DateTime, "SM", column="activation_date"),
    _row(_T.PROCESS_START_DATE, DateTime, "SM", column="process_start_date"),
    _row(_T.PROTECT_STOP_DATE, DateTime, "SM", column="protect_stop_date"),
    _row(_T.DEACTIVATION_DATE, DateTime, "SM", column="deactivation_date"),
    _row(_T.DESTROY_DATE, DateTime, column="destroy_date"),
    _row(_T.COMPROMISE_OCCURRENCE_DATE, DateTime),
    _row(_T.COMPROMISE_DATE, DateTime, column="compromise_date"),
    _row(_T.REVOCATION_REASON, s.RevocationReason, index=True),
    _row(_T.ARCHIVE_DATE, DateTime, column="archive_date"),
    _row(_T.LAST_CHANGE_DATE, DateTime, column="last_change_date"),
    _row(_T.ORIGINAL_CREATION_DATE, DateTime, "S"),
    _row(_T.OBJECT_GROUP, TextString, "SMD*", index=True),
    _row(_T.FRESH, Boolean, "S"),
    _row(_T.LINK, s.Link, "SMD*", index=True),
    _row(_T.APPLICATION_SPECIFIC_INFORMATION, s.ApplicationSpecificInformation, "SMD*", index=True),
    _row(_T.CONTACT_INFORMATION, TextString, "SMD", index=True),
    _row(_T.KEY_VALUE_PRESENT, Boolean),
    _row(_T.KEY_VALUE_LOCATION, s.KeyValueLocation, "SMD*", index=True),
    _row(_T.RANDOM_NUMBER_GENERATOR, s.RNGParameters, "S"),
    _row(_T.PKCS_12_FRIENDLY_NAME, TextString, "SMD", index=True),
    _row(_T.DESCRIPTION, TextString, "SMD", index=True),
    _row(_T.COMMENT, TextString, "SMD", index=True),
    _row(_T.SENSITIVE, Boolean, "SM"),
    _row(_T.ALWAYS_SENSITIVE, Boolean),
    _row(_T.EXTRACTABLE, Boolean, "SM"),
    _row(_T.NEVER_EXTRACTABLE, Boolean),
    _row(_T.NIST_KEY_TYPE, e.NISTKeyType, "S*", _KEYS, index=True),
    _row(_T.OPAQUE_DATA_TYPE, AnyEnumeration, "", _OPAQUE, since=V2_0),
    _row(_T.PROTECTION_LEVEL, e.ProtectionLevel, "SMD"),
    _row(_T.PROTECTION_PERIOD, Interval, "SMD"),
    _row(_T.PROTECTION_STORAGE_MASK, e.ProtectionStorageMask),
    _row(_T.QUANTUM_SAFE, Boolean, "SMD"),
    _row(_T.ROTATE_AUTOMATIC, Boolean, "S", until=V2_1),
    _row(_T.ROTATE_DATE, DateTime),
    _row(_T.ROTATE_GENERATION, Integer),
    _row(_T.ROTATE_INTERVAL, Interval, "S"),
    _row(_T.ROTATE_LATEST, Boolean),
    _row(_T.ROTATE_NAME, s.RotateName, "SMD", until=V2_1, index=True),
    _row(_T.ROTATE_OFFSET, Interval, "S"),
    _row(_T.DEACTIVATION_REASON, s.DeactivationReason),
    _row(_T.OBJECT_CLASS, e.ObjectClass, derived=True),
    # The links of 3.0 that earlier versions have no Link Type for.
    _row(_T.CREDENTIAL_LINK, Reference, "SMD*", index=True),
    _row(_T.PASSWORD_LINK, Reference, "SMD", index=True),
    _row(_T.GROUP_LINK, Reference, "SMD*", index=True),
    _row(_T.SPLIT_KEY_BASE_LINK, Reference, "SMD", index=True),
    _row(_T.JOINED_SPLIT_KEY_PARTS_LINK, Reference, "SMD*", index=True),
    _row(_T.CERTIFICATE_REQUEST_LINK, Reference, "SMD", index=True),
    _row(_T.NIST_SECURITY_CATEGORY, Integer),
    _row(_T.CERTIFY_COUNTER, LongInteger),
    _row(_T.DECRYPT_COUNTER, LongInteger),
    _row(_T.ENCRYPT_COUNTER, LongInteger),
    _row(_T.SIGN_COUNTER, LongInteger),
    _row(_T.SIGNATURE_VERIFY_COUNTER, LongInteger),
]
# Certificate Attributes (2.1 §4.6): one for each part of the subject's and the issuer's name. 1.4 has their tags but no text
# about them; TC-CERTATTR-1-14 expects them.
_ROWS += [
    _row(tag, TextString, "*", _CERTIFICATES, index=True)
    for tag in Tag
    if tag.name.startswith(("CERTIFICATE_SUBJECT_", "CERTIFICATE_ISSUER_")) and not tag.name.endswith(("_NAME", "_DN"))
]

ATTRIBUTES: dict[Tag, Attribute] = {row.tag: row for row in _ROWS}
BY_NAME: dict[str, Attribute] = {row.name: row for row in _ROWS}

# 3.0 has no Link structure: each Link Type is an attribute of its own, whose value is a Reference.
LINK_TAGS: dict[Tag, e.LinkType] = {Tag[link.name]: link for link in e.LinkType if link.name in Tag.__members__} | {
    Tag.DERIVATION_OBJECT_LINK: e.LinkType.DERIVATION_BASE_OBJECT_LINK,
    Tag.DERIVED_OBJECT_LINK: e.LinkType.DERIVED_KEY_LINK,
}
LINK_TYPES: dict[e.LinkType, Tag] = {link: tag for tag, link in LINK_TAGS.items()}


def attribute(key: Key) -> Attribute:
    """The row of a standard attribute. Raises KmipError(UNSUPPORTED_ATTRIBUTE)."""
    row = ATTRIBUTES.get(key) if isinstance(key, Tag) else None
    if row is None:
        raise KmipError(Cause.UNSUPPORTED_ATTRIBUTE, f"{key_name(key)} is not supported")
    return row


def key_name(key: Key) -> str:
    """How messages for people name an attribute."""
    return key.text if isinstance(key, Tag) else "-".join(key)
