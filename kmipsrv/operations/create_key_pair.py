"""Create Key Pair (KMIP 2.1 §6.1.9)."""

from __future__ import annotations

from typing import Annotated, Any

from kmipsrv.crypto import formats, keygen
from kmipsrv.domain.creation import NewObject, check_client_attributes, combined, seal_body
from kmipsrv.domain.settings import Settings
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._effort import Effort
from kmipsrv.operations._key_material import digest_in_default_format, key_value_of
from kmipsrv.operations._links import link_to
from kmipsrv.operations._registry import operation
from kmipsrv.operations._storage_masks import check_storage_masks
from kmipsrv.spec.attribute_bag import AttributeBag
from kmipsrv.spec.attribute_codec import Attributes
from kmipsrv.spec.enums import CryptographicAlgorithm, KeyFormatType, LinkType, ObjectType, Operation, UniqueIdentifier
from kmipsrv.spec.objects import KeyBlock, PrivateKey, PublicKey
from kmipsrv.spec.schema import structure
from kmipsrv.spec.structures import CryptographicDomainParameters, ProtectionStorageMasks
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import Identifier, since, wire
from kmipsrv.spec.versions import V1_0, V1_4, V2_0


@structure
class CreateKeyPairRequest:
    common: Annotated[
        Attributes | None, wire(Tag.COMMON_TEMPLATE_ATTRIBUTE, V1_0, V1_4), wire(Tag.COMMON_ATTRIBUTES, V2_0)
    ] = None
    private: Annotated[
        Attributes | None, wire(Tag.PRIVATE_KEY_TEMPLATE_ATTRIBUTE, V1_0, V1_4), wire(Tag.PRIVATE_KEY_ATTRIBUTES, V2_0)
    ] = None
    public: Annotated[
        Attributes | None, wire(Tag.PUBLIC_KEY_TEMPLATE_ATTRIBUTE, V1_0, V1_4), wire(Tag.PUBLIC_KEY_ATTRIBUTES, V2_0)
    ] = None
    common_protection_storage_masks: Annotated[ProtectionStorageMasks | None, since(V2_0)] = None
    private_protection_storage_masks: Annotated[ProtectionStorageMasks | None, since(V2_0)] = None
    public_protection_storage_masks: Annotated[ProtectionStorageMasks | None, since(V2_0)] = None


_SIZES = (Tag.CRYPTOGRAPHIC_LENGTH, Tag.CRYPTOGRAPHIC_DOMAIN_PARAMETERS)


@structure
class CreateKeyPairResponse:
    private_key_unique_identifier: Identifier
    public_key_unique_identifier: Identifier


def prepare(settings: Settings, effort: Effort, request: CreateKeyPairRequest) -> Any:
    """The key pair, where the request itself says all about it (no Template of 1.x and no default has to be looked up)."""
    parts = (request.common, request.private, request.public)
    if any(part is not None and part.templates for part in parts):
        return None
    private, public = combined(request.common, request.private), combined(request.common, request.public)
    described = {*private, *public}
    if Tag.CRYPTOGRAPHIC_ALGORITHM not in described or described.isdisjoint(_SIZES):
        return None
    effort.key_pair(_same(private, public, Tag.CRYPTOGRAPHIC_ALGORITHM))
    return generate(settings, private, public)


@operation(Operation.CREATE_KEY_PAIR, prepare=prepare)
def create_key_pair(ctx: Context, request: CreateKeyPairRequest) -> CreateKeyPairResponse:
    check_storage_masks(ctx.settings, request.common_protection_storage_masks)
    check_storage_masks(
        ctx.settings, request.private_protection_storage_masks, Cause.PRIVATE_PROTECTION_STORAGE_UNAVAILABLE
    )
    check_storage_masks(
        ctx.settings, request.public_protection_storage_masks, Cause.PUBLIC_PROTECTION_STORAGE_UNAVAILABLE
    )
    common = ctx.requested(request.common)
    private = combined(common, ctx.requested(request.private))
    public = combined(common, ctx.requested(request.public))
    ctx.apply_defaults(private, ObjectType.PRIVATE_KEY)
    ctx.apply_defaults(public, ObjectType.PUBLIC_KEY)
    check_client_attributes(private, ObjectType.PRIVATE_KEY, ctx.settings)
    check_client_attributes(public, ObjectType.PUBLIC_KEY, ctx.settings)
    ctx.effort.key_pair(_same(private, public, Tag.CRYPTOGRAPHIC_ALGORITHM))
    key = ctx.prepared or generate(ctx.settings, private, public)
    private_uid, public_uid = ctx.new_identifier(), ctx.new_identifier()
    insert_pair(ctx, key, private, public, (private_uid, public_uid))
    ctx.remember(UniqueIdentifier.CREATE_KEY_PAIR_PUBLIC_KEY, public_uid)
    ctx.remember(UniqueIdentifier.CREATE_KEY_PAIR_PRIVATE_KEY, private_uid)
    ctx.remember(UniqueIdentifier.CREATE_KEY_PAIR, private_uid)
    return CreateKeyPairResponse(private_key_unique_identifier=private_uid, public_key_unique_identifier=public_uid)


def generate(settings: Settings, private: AttributeBag, public: AttributeBag) -> Any:
    """A private key as the attributes ask for it. Raises KmipError."""
    algorithm = _same(private, public, Tag.CRYPTOGRAPHIC_ALGORITHM)
    length = _same(private, public, Tag.CRYPTOGRAPHIC_LENGTH)
    domain: CryptographicDomainParameters | None = _same(private, public, Tag.CRYPTOGRAPHIC_DOMAIN_PARAMETERS)
    if algorithm is None:
        raise KmipError(Cause.INVALID_FIELD, "Cryptographic Algorithm is missing")
    if length is None and domain is None and algorithm is CryptographicAlgorithm.RSA:
        raise KmipError(Cause.INVALID_FIELD, "Cryptographic Length is missing")
    return keygen.generate_pair(
        algorithm,
        length,
        curve=domain.recommended_curve if domain is not None else None,
        qlength=domain.qlength if domain is not None else None,
        max_bits=settings.maximum_rsa_bits,
    )


def _same(private: AttributeBag, public: AttributeBag, tag: Tag) -> Any:
    """ "Table 191 indicates which attributes SHALL have the same value for the Private and Public Key"."""
    one, other = private.get(tag), public.get(tag)
    if one is not None and other is not None and one != other:
        raise KmipError(Cause.INVALID_ATTRIBUTE_VALUE, f"{tag.text} differs between the Private and the Public Key")
    return one if one is not None else other


def insert_pair(
    ctx: Context,
    key: Any,
    private: AttributeBag,
    public: AttributeBag,
    identifiers: tuple[str, str],
    policies: tuple[str, str] = ("", ""),
) -> None:
    """Store both halves under these unique identifiers and release policies (private, public), linked to each other."""
    facts = formats.facts(key)
    algorithm = private.get(Tag.CRYPTOGRAPHIC_ALGORITHM) or public.get(Tag.CRYPTOGRAPHIC_ALGORITHM) or facts.algorithm
    private_uid, public_uid = identifiers
    halves = (
        (ObjectType.PUBLIC_KEY, PublicKey, public, public_uid, LinkType.PRIVATE_KEY_LINK, private_uid, policies[1]),
        (ObjectType.PRIVATE_KEY, PrivateKey, private, private_uid, LinkType.PUBLIC_KEY_LINK, public_uid, policies[0]),
    )
    for kind, cls, bag, uid, link_type, other, policy in halves:
        # "The server SHALL comply with the client's requested format or SHALL fail the request" (2.1 §4.26).
        form = bag.get(Tag.KEY_FORMAT_TYPE) or stored_format(kind, algorithm)
        material = (
            formats.dump_private(key, form) if cls is PrivateKey else formats.dump_public(formats.public_of(key), form)
        )
        block = KeyBlock(
            key_format_type=form,
            key_value=key_value_of(form, material),
            cryptographic_algorithm=algorithm,
            cryptographic_length=facts.length,
        )
        bag.set(Tag.CRYPTOGRAPHIC_ALGORITHM, algorithm)
        bag.set(Tag.CRYPTOGRAPHIC_LENGTH, facts.length)
        if facts.recommended_curve is not None:
            bag.set(
                Tag.CRYPTOGRAPHIC_DOMAIN_PARAMETERS,
                CryptographicDomainParameters(recommended_curve=facts.recommended_curve),
            )
        links = bag.values(Tag.LINK)
        bag.set(Tag.LINK, link_to(link_type, other))  # the first one, as TC-133-11 has it
        for link in links:
            bag.add(Tag.LINK, link)
        new = NewObject(kind, bag, ctx.settings, generated=True, policy=policy)
        digest_in_default_format(new, block, facts.recommended_curve)
        ctx.insert(seal_body(new, cls(key_block=block)), uid)


def stored_format(kind: ObjectType, algorithm: CryptographicAlgorithm) -> KeyFormatType:
    """The Key Format Type in which the server keeps a half that it made: one that every version knows."""
    if algorithm is CryptographicAlgorithm.RSA:
        return KeyFormatType.PKCS_1
    return KeyFormatType.PKCS_8 if kind is ObjectType.PRIVATE_KEY else KeyFormatType.X_509
