"""What Certify and Re-certify have in common: from the fields of the request to what is to be certified."""

from __future__ import annotations

from typing import Any

from kmipsrv.crypto import certificates, certify, formats
from kmipsrv.crypto.certify import Request
from kmipsrv.domain.creation import NewObject, seal_body
from kmipsrv.domain.grant import Purpose
from kmipsrv.domain.managed_object import ManagedObject
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations import _authority
from kmipsrv.operations._certificate_attributes import describe_certificate
from kmipsrv.operations._context import Context
from kmipsrv.operations._links import replace_link
from kmipsrv.spec.attribute_bag import AttributeBag
from kmipsrv.spec.enums import CertificateRequestType, CertificateType, LinkType, ObjectType
from kmipsrv.spec.objects import Certificate, CertificateRequest
from kmipsrv.spec.tags import Tag

_PARTS = {Tag[f"CERTIFICATE_SUBJECT_{part.upper()}"]: part for part in certificates.NAME_FIELDS}
_SUBJECT = frozenset((Tag.X_509_CERTIFICATE_SUBJECT, Tag.CERTIFICATE_SUBJECT, *_PARTS))


def given_request(ctx: Context, kind: CertificateRequestType | None, value: bytes | None) -> Request | None:
    """The Certificate Request of the payload. Raises KmipError(MISSING_DATA | INVALID_CSR | …)."""
    if value is None:
        if kind is not None:
            raise KmipError(Cause.MISSING_DATA, "Certificate Request is missing")
        return None
    if kind is None:
        # "It is REQUIRED if the Certificate Request is present."
        raise KmipError(Cause.MISSING_DATA, "Certificate Request Type is missing")
    return certify.load_request(kind, value, allow_legacy=ctx.settings.allow_legacy_algorithms)


def stored_request(ctx: Context, obj: ManagedObject) -> Request:
    """A registered Certificate Request object's content. Raises KmipError."""
    if obj.object_type is not ObjectType.CERTIFICATE_REQUEST:
        raise KmipError(Cause.INVALID_OBJECT_TYPE, "the object is not a Certificate Request")
    obj.require_alive(ctx.now)
    body: CertificateRequest = ctx.body(obj, Purpose.USE)
    found = given_request(ctx, body.certificate_request_type, body.certificate_request_value)
    assert found is not None
    return found


def same_key(request: Request, public: Any) -> None:
    """The request is one for this public key. Raises KmipError(INVALID_CSR)."""
    if request.public_key != public:
        raise KmipError(Cause.INVALID_CSR, "the Certificate Request is not one for this Public Key")


def named_subject(asked: AttributeBag) -> tuple[AttributeBag, Any]:
    """The attributes of a request -> (those of the object to be, the subject that the others name or None).

    The attributes of a subject are the server's to set, from the certificate; here they say what it is to be. Raises
    KmipError(INVALID_FIELD | INVALID_ATTRIBUTE_VALUE)."""
    rest = AttributeBag()
    for key, index, value in asked.items():
        if key not in _SUBJECT:
            rest.add(key, value, index)
    name, text = asked.get(Tag.X_509_CERTIFICATE_SUBJECT), asked.get(Tag.CERTIFICATE_SUBJECT)
    if (name is not None and name.subject_alternative_name) or (
        text is not None and text.certificate_subject_alternative_name
    ):
        raise KmipError(Cause.INVALID_ATTRIBUTE_VALUE, "alternative names are taken from a Certificate Request only")
    parts = {part: tuple(asked.values(tag)) for tag, part in _PARTS.items() if tag in asked}
    if name is not None:
        return rest, certify.subject_from_der(name.subject_distinguished_name)
    if parts:
        return rest, certify.subject_from_fields(parts)
    return rest, None if text is None else certify.subject_from_text(text.certificate_subject_distinguished_name)


def insert_certificate(
    ctx: Context, request: Request, bag: AttributeBag, public: ManagedObject | None, unique_identifier: str, policy: str
) -> None:
    """Issue the certificate and store it; the public key, if that is an object, is linked to it. Raises KmipError."""
    body = Certificate(certificate_type=CertificateType.X_509, certificate_value=_authority.issue(ctx, request, bag))
    new = NewObject(ObjectType.CERTIFICATE, bag, ctx.settings, policy=policy)
    describe_certificate(new, body)
    new.server.set(Tag.ORIGINAL_CREATION_DATE, ctx.now)
    ctx.insert(seal_body(new, body), unique_identifier)
    if public is not None:
        replace_link(public.attributes, LinkType.CERTIFICATE_LINK, unique_identifier)
        public.touch(ctx.now)
        ctx.save(public)


def public_key_object(ctx: Context, reference: Any) -> ManagedObject:
    """The caller's Public Key object. Raises KmipError(OBJECT_NOT_FOUND | INVALID_OBJECT_TYPE | OBJECT_DESTROYED)."""
    obj = ctx.object(reference)
    if obj.object_type is not ObjectType.PUBLIC_KEY:
        raise KmipError(Cause.INVALID_OBJECT_TYPE, "the object is not a Public Key")
    obj.require_alive(ctx.now)
    return obj


def certificate_key(body: Certificate) -> formats.PublicKey:
    """The public key of a certificate that is to be renewed."""
    return certificates.public_key(body.certificate_value)
