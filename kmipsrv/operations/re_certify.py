"""Re-certify (KMIP 2.1 §6.1.45): a new certificate for the same key pair takes the place of an old one."""

from __future__ import annotations

from typing import Annotated

from kmipsrv.crypto import certify as issuing
from kmipsrv.crypto.certify import Request
from kmipsrv.domain.creation import check_client_attributes, check_dates
from kmipsrv.domain.grant import Purpose
from kmipsrv.domain.managed_object import ManagedObject
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._certificate_attributes import FROM_CONTENT
from kmipsrv.operations._certification import (
    certificate_key,
    given_request,
    insert_certificate,
    named_subject,
    public_key_object,
    same_key,
    stored_request,
)
from kmipsrv.operations._context import Context
from kmipsrv.operations._links import link_to, linked
from kmipsrv.operations._registry import operation
from kmipsrv.operations._replacement import replaceable, replacement_attributes, retire
from kmipsrv.operations._storage_masks import check_storage_masks
from kmipsrv.spec.attribute_codec import Attributes
from kmipsrv.spec.enums import (
    CertificateRequestType,
    CertificateType,
    LinkType,
    ObjectType,
    Operation,
    UniqueIdentifier,
)
from kmipsrv.spec.objects import Certificate
from kmipsrv.spec.schema import structure
from kmipsrv.spec.structures import ProtectionStorageMasks
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import ByteString, Identifier, Interval, since, wire
from kmipsrv.spec.versions import V1_0, V1_2, V1_4, V2_0

# The order of a new certificate's Names and Links: what it takes over comes first in TC-134-10 and -11, last in TC-134-12.
_OWN_FIRST_SINCE = V1_2


@structure
class ReCertifyRequest:
    unique_identifier: Identifier | None = None
    certificate_request_unique_identifier: Annotated[Identifier | None, since(V2_0)] = None
    certificate_request_type: CertificateRequestType | None = None
    certificate_request: Annotated[
        ByteString | None, wire(Tag.CERTIFICATE_REQUEST, V1_0, V1_4), wire(Tag.CERTIFICATE_REQUEST_VALUE, V2_0)
    ] = None
    offset: Interval | None = None
    attributes: Annotated[Attributes | None, wire(Tag.TEMPLATE_ATTRIBUTE, V1_0, V1_4), wire(Tag.ATTRIBUTES, V2_0)] = (
        None
    )
    protection_storage_masks: Annotated[ProtectionStorageMasks | None, since(V2_0)] = None


@structure
class ReCertifyResponse:
    unique_identifier: Identifier


@operation(Operation.RE_CERTIFY)
def re_certify(ctx: Context, request: ReCertifyRequest) -> ReCertifyResponse:
    old = ctx.object(request.unique_identifier)
    replaceable(ctx, old, ObjectType.CERTIFICATE)
    check_storage_masks(ctx.settings, request.protection_storage_masks)
    asked, subject = named_subject(ctx.requested(request.attributes))
    check_client_attributes(asked, ObjectType.CERTIFICATE, ctx.settings)
    body: Certificate = ctx.body(old, Purpose.USE)
    if {body.certificate_type, asked.get(Tag.CERTIFICATE_TYPE, CertificateType.X_509)} != {CertificateType.X_509}:
        raise KmipError(Cause.INVALID_OBJECT_TYPE, "X.509 certificates are renewed, no others")
    key = certificate_key(body)
    wanted = _given(ctx, request)
    if wanted is None:
        wanted = Request(subject or issuing.subject_of(body.certificate_value), key)
    # "used to renew an existing certificate for the same key pair"
    same_key(wanted, key)
    own_first = ctx.version >= _OWN_FIRST_SINCE
    bag = replacement_attributes(old, asked, request.offset, ctx.now, names_last=own_first)
    for tag in FROM_CONTENT:
        bag.remove(tag)
    check_dates(bag)
    public = _public_key(ctx, old)
    links = [link_to(LinkType.REPLACED_OBJECT_LINK, old.unique_identifier)]
    if public is not None:
        links.insert(0 if own_first else 1, link_to(LinkType.PUBLIC_KEY_LINK, public.unique_identifier))
    for link in links:
        bag.add(Tag.LINK, link)
    unique_identifier = ctx.new_identifier()
    retire(ctx, old, unique_identifier)
    insert_certificate(ctx, wanted, bag, public, unique_identifier, old.stored.policy)
    ctx.remember(UniqueIdentifier.RE_CERTIFY, unique_identifier)
    return ReCertifyResponse(unique_identifier=unique_identifier)


def _given(ctx: Context, request: ReCertifyRequest) -> Request | None:
    """The Certificate Request: by value, or as an object. Raises KmipError."""
    by_value = given_request(ctx, request.certificate_request_type, request.certificate_request)
    reference = request.certificate_request_unique_identifier
    if reference is None:
        return by_value
    if by_value is not None:
        raise KmipError(Cause.INVALID_FIELD, "two Certificate Requests are given")
    return stored_request(ctx, ctx.object(reference))


def _public_key(ctx: Context, old: ManagedObject) -> ManagedObject | None:
    """The Public Key object of the certificate, if it has one still."""
    for uid in linked(old.attributes, LinkType.PUBLIC_KEY_LINK):
        if ctx.work.find(ctx.identity.owner, uid) is not None:
            return public_key_object(ctx, uid)
    return None
