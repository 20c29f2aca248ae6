"""PKCS#12 containers (KMIP 2.1 §4.39, §6.1.19 Get, §6.1.43 Register; 1.4 §11.4): a private key with its certificates, under
the password that the key's PKCS#12 Password Link names.

A container is taken apart when it is registered: the key is kept as PKCS#8, each certificate becomes an object of its own,
linked in a chain. It is put together again when Get asks for Key Format Type PKCS#12.
"""

from __future__ import annotations

from typing import Any

from kmipsrv.crypto import formats, pkcs12
from kmipsrv.domain.creation import NewObject, seal_body
from kmipsrv.domain.grant import Purpose
from kmipsrv.domain.managed_object import ManagedObject
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._certificate_attributes import describe_certificate
from kmipsrv.operations._context import Context
from kmipsrv.operations._key_material import key_value_of, material_of
from kmipsrv.operations._links import link_to, linked
from kmipsrv.operations._stored_keys import parse, unwrapped
from kmipsrv.spec.attribute_bag import AttributeBag
from kmipsrv.spec.enums import CertificateType, KeyFormatType, LinkType, ObjectType, SecretDataType, State
from kmipsrv.spec.objects import Certificate, KeyBlock, PrivateKey, SecretData, plain_key_value
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V1_4
from kmipsrv.ttlv.codec import BYTE_STRING

_MAX_CHAIN = 10
_KEY_VALUE_UNTIL = V1_4


def opened(ctx: Context, new: NewObject, body: PrivateKey) -> PrivateKey:
    """A registered container -> the private key inside; its certificates are stored and linked.

    Raises KmipError(INVALID_FIELD | BAD_PASSWORD | WRONG_KEY_LIFECYCLE_STATE | …)."""
    given = body.key_block.key_value
    material = given[1] if given is not None and given[0] == BYTE_STRING else material_of(body.key_block)
    if new.object_type is not ObjectType.PRIVATE_KEY or not isinstance(material, bytes):
        raise KmipError(Cause.INVALID_FIELD, "a PKCS#12 container is registered as a Private Key")
    container = pkcs12.load(
        material,
        _password(ctx, new.attributes),
        friendly_name=new.attributes.get(Tag.PKCS_12_FRIENDLY_NAME),
        iterations=ctx.effort.iterations,
    )
    name = new.attributes.get(Tag.PKCS_12_FRIENDLY_NAME) or container.friendly_name
    if name:
        # "the server SHALL record the alias/friendly name (if any) it finds for the first Private Key" (§4.39)
        new.attributes.set(Tag.PKCS_12_FRIENDLY_NAME, name)
    chain = [container.certificate] if container.certificate is not None else []
    above: str | None = None
    for number, value in reversed(list(enumerate([*chain, *container.chain][:_MAX_CHAIN]))):
        above = _register_certificate(ctx, value, name if number == 0 else None, above)
    if above is not None and container.certificate is not None:
        new.attributes.add(Tag.LINK, link_to(LinkType.PKCS_12_CERTIFICATE_LINK, above))
    facts = formats.facts(container.private_key)
    return PrivateKey(
        key_block=KeyBlock(
            key_format_type=KeyFormatType.PKCS_8,
            key_value=key_value_of(
                KeyFormatType.PKCS_8, formats.dump_private(container.private_key, KeyFormatType.PKCS_8)
            ),
            cryptographic_algorithm=facts.algorithm,
            cryptographic_length=facts.length,
        )
    )


def contained(ctx: Context, private: ManagedObject) -> PrivateKey:
    """The container of a private key and its certificate chain.

    Raises KmipError(KEY_FORMAT_TYPE_NOT_SUPPORTED | INVALID_FIELD | …)."""
    ctx.effort.iterations.spend(pkcs12.DUMP_ITERATIONS)
    chain = _chain(ctx, private)
    block = unwrapped(ctx, ctx.body(private, Purpose.EXPORT).key_block)
    key: Any = parse(ctx.settings, private, block, check=False)
    made = pkcs12.dump(
        key,
        chain[0] if chain else None,
        chain[1:],
        _password(ctx, private.attributes),
        private.attributes.get(Tag.PKCS_12_FRIENDLY_NAME),
    )
    # 1.4 takes the container for an encrypted Key Value, a Byte String (TC-PKCS12-1-14); 2.x for Key Material (TC-PKCS12-1-20).
    return PrivateKey(
        key_block=KeyBlock(
            key_format_type=KeyFormatType.PKCS_12,
            key_value=plain_key_value(made) if ctx.version > _KEY_VALUE_UNTIL else (BYTE_STRING, made),
        )
    )


def _password(ctx: Context, attributes: AttributeBag) -> bytes:
    """The octets of the one Secret Data object of type Password that the Link names. Raises KmipError."""
    targets = linked(attributes, LinkType.PKCS_12_PASSWORD_LINK)
    if len(targets) != 1:
        # "missing or multiple PKCS#12 Password Links": Invalid Field (1.4 §11.4)
        raise KmipError(Cause.INVALID_FIELD, "PKCS#12 needs one PKCS#12 Password Link")
    try:
        secret = ctx.object(targets[0])
    except KmipError as error:
        if error.cause is Cause.OBJECT_NOT_FOUND:
            raise KmipError(Cause.INVALID_FIELD, "the PKCS#12 Password Link leads to no object") from None
        raise
    if secret.object_type is ObjectType.SECRET_DATA:
        secret.require_alive(ctx.now)
        if secret.state(ctx.now) is not State.ACTIVE:
            raise KmipError(Cause.WRONG_KEY_LIFECYCLE_STATE, "the PKCS#12 password is not Active")
        body: SecretData = ctx.body(secret, Purpose.USE)
        if body.secret_data_type is SecretDataType.PASSWORD:
            return formats.symmetric_bytes(material_of(unwrapped(ctx, body.key_block)))
    raise KmipError(Cause.INVALID_FIELD, "the PKCS#12 Password Link does not lead to a password")


def _register_certificate(ctx: Context, value: bytes, friendly_name: str | None, above: str | None) -> str:
    """-> the unique identifier of a new Certificate object, linked to its issuer's."""
    bag = AttributeBag()
    if friendly_name:
        bag.set(Tag.PKCS_12_FRIENDLY_NAME, friendly_name)
    if above is not None:
        bag.add(Tag.LINK, link_to(LinkType.CERTIFICATE_LINK, above))
    new = NewObject(ObjectType.CERTIFICATE, bag, ctx.settings)
    body = Certificate(certificate_type=CertificateType.X_509, certificate_value=value)
    describe_certificate(new, body)
    return ctx.insert(seal_body(new, body)).unique_identifier


def private_key_of(ctx: Context, certificate: ManagedObject) -> ManagedObject:
    """ "The Unique Identifier shall be either that of a private key or certificate" (§6.1.19): the private key meant, by the
    certificate's Links, directly or by way of the public key. Raises KmipError(KEY_FORMAT_TYPE_NOT_SUPPORTED)."""
    if certificate.object_type is ObjectType.PRIVATE_KEY:
        return certificate
    found = linked(certificate.attributes, LinkType.PRIVATE_KEY_LINK)
    for uid in linked(certificate.attributes, LinkType.PUBLIC_KEY_LINK):
        found += linked(ctx.object(uid).attributes, LinkType.PRIVATE_KEY_LINK)
    if certificate.object_type is not ObjectType.CERTIFICATE or len(found) != 1:
        raise KmipError(Cause.KEY_FORMAT_TYPE_NOT_SUPPORTED, "PKCS#12 is for private keys and their certificates")
    return ctx.object(found[0])


def _chain(ctx: Context, private: ManagedObject) -> list[bytes]:
    """The certificate values from the key's own upward. Raises KmipError where the Links fork or run in a circle."""
    start = _next(private.attributes)
    for uid in () if start else linked(private.attributes, LinkType.PUBLIC_KEY_LINK):
        start = _next(ctx.object(uid).attributes)
    values: list[bytes] = []
    seen: set[str] = set()
    while start is not None:
        if start in seen or len(seen) == _MAX_CHAIN:
            raise KmipError(Cause.KEY_FORMAT_TYPE_NOT_SUPPORTED, "the certificates' Links do not form a chain")
        seen.add(start)
        obj = ctx.object(start)
        if obj.object_type is not ObjectType.CERTIFICATE:
            raise KmipError(Cause.KEY_FORMAT_TYPE_NOT_SUPPORTED, "a certificate's Link leads to another object")
        body: Any = ctx.body(obj, Purpose.EXPORT)
        values.append(body.certificate_value)
        start = _next(obj.attributes)
    return values


def _next(attributes: AttributeBag) -> str | None:
    """The certificate that a key or certificate is linked to: by a PKCS#12 Certificate Link, else a Certificate Link."""
    for kind in (LinkType.PKCS_12_CERTIFICATE_LINK, LinkType.CERTIFICATE_LINK):
        found = linked(attributes, kind)
        if len(found) > 1:
            # "It is an error if there is more than one valid certificate chain" (§6.1.19).
            raise KmipError(Cause.KEY_FORMAT_TYPE_NOT_SUPPORTED, "there is more than one certificate chain")
        if found:
            return found[0]
    return None
