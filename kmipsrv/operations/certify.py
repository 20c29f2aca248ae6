"""Certify (KMIP 2.1 §6.1.6): a certificate for a public key, by the authority of the client's trust domain."""

from __future__ import annotations

from typing import Annotated, Any

from kmipsrv.crypto import certify as issuing
from kmipsrv.crypto.certify import Request
from kmipsrv.domain.creation import check_client_attributes
from kmipsrv.domain.managed_object import ManagedObject
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._certification import (
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
from kmipsrv.operations._storage_masks import check_storage_masks
from kmipsrv.operations._stored_keys import open_verifying
from kmipsrv.spec.attribute_bag import AttributeBag
from kmipsrv.spec.attribute_codec import Attributes
from kmipsrv.spec.enums import (
    CertificateRequestType,
    CertificateType,
    LinkType,
    ObjectType,
    Operation,
    UniqueIdentifier,
)
from kmipsrv.spec.schema import structure
from kmipsrv.spec.structures import ProtectionStorageMasks
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import ByteString, Identifier, since, wire
from kmipsrv.spec.versions import V1_0, V1_4, V2_0


@structure
class CertifyRequest:
    unique_identifier: Identifier | None = None
    certificate_request_type: CertificateRequestType | None = None
    certificate_request: Annotated[
        ByteString | None, wire(Tag.CERTIFICATE_REQUEST, V1_0, V1_4), wire(Tag.CERTIFICATE_REQUEST_VALUE, V2_0)
    ] = None
    attributes: Annotated[Attributes | None, wire(Tag.TEMPLATE_ATTRIBUTE, V1_0, V1_4), wire(Tag.ATTRIBUTES, V2_0)] = (
        None
    )
    protection_storage_masks: Annotated[ProtectionStorageMasks | None, since(V2_0)] = None


@structure
class CertifyResponse:
    unique_identifier: Identifier


@operation(Operation.CERTIFY)
def certify(ctx: Context, request: CertifyRequest) -> CertifyResponse:
    check_storage_masks(ctx.settings, request.protection_storage_masks)
    bag, subject = named_subject(ctx.requested(request.attributes))
    check_client_attributes(bag, ObjectType.CERTIFICATE, ctx.settings)
    wanted, public, policy = _to_be_certified(ctx, request, bag, subject)
    if public is not None:
        bag.add(Tag.LINK, link_to(LinkType.PUBLIC_KEY_LINK, public.unique_identifier))
    unique_identifier = ctx.new_identifier()
    insert_certificate(ctx, wanted, bag, public, unique_identifier, policy)
    ctx.remember(UniqueIdentifier.CERTIFY, unique_identifier)
    return CertifyResponse(unique_identifier=unique_identifier)


def _to_be_certified(
    ctx: Context, request: CertifyRequest, bag: AttributeBag, subject: Any
) -> tuple[Request, ManagedObject | None, str]:
    """-> (what is certified, the Public Key object if there is one, the new object's release policy). Raises KmipError."""
    wanted = given_request(ctx, request.certificate_request_type, request.certificate_request)
    if wanted is not None and request.unique_identifier is None:
        return wanted, None, ""
    obj = ctx.object(request.unique_identifier)
    if wanted is None and obj.object_type is ObjectType.CERTIFICATE_REQUEST:
        wanted = stored_request(ctx, obj)
        keys = linked(obj.attributes, LinkType.PUBLIC_KEY_LINK)
        public = public_key_object(ctx, keys[0]) if keys else None
    else:
        public = public_key_object(ctx, obj.unique_identifier)
    if public is None:
        assert wanted is not None
        return wanted, None, obj.stored.policy
    key = open_verifying(ctx, public)
    if wanted is not None:
        # "If the information in the Certificate Request conflicts with the attributes […] [it] takes precedence."
        same_key(wanted, key)
    else:
        _check_type(bag)
        names = public.attributes.values(Tag.NAME)
        wanted = Request(
            subject or issuing.common_name(names[0].name_value if names else public.unique_identifier), key
        )
    return wanted, public, public.stored.policy


def _check_type(bag: AttributeBag) -> None:
    """ "If the Certificate Request Type and the Certificate Request objects are omitted from the request, then the
    Certificate Type SHALL be specified using the Attributes object"."""
    kind = bag.get(Tag.CERTIFICATE_TYPE)
    if kind is None:
        raise KmipError(Cause.INVALID_FIELD, "neither a Certificate Request nor a Certificate Type is given")
    if kind is not CertificateType.X_509:
        raise KmipError(Cause.FEATURE_NOT_SUPPORTED, "X.509 certificates are issued, no others")
