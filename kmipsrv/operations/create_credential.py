"""Create Credential (KMIP 3.0)."""

from __future__ import annotations

from typing import Annotated

from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._accounts import make
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.spec.attribute_codec import Attributes
from kmipsrv.spec.enums import CredentialType, ObjectType, Operation, UniqueIdentifier
from kmipsrv.spec.objects import CredentialObject
from kmipsrv.spec.schema import structure
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import Identifier, wire
from kmipsrv.spec.versions import V3_0

_TYPES = {
    CredentialType.PASSWORD: ObjectType.PASSWORD_CREDENTIAL,
    CredentialType.DEVICE: ObjectType.DEVICE_CREDENTIAL,
    CredentialType.ONE_TIME_PASSWORD: ObjectType.ONE_TIME_PASSWORD_CREDENTIAL,
    CredentialType.HASHED_PASSWORD: ObjectType.HASHED_PASSWORD_CREDENTIAL,
    CredentialType.CERTIFICATE: ObjectType.CERTIFICATE,
}


@structure
class CreateCredentialRequest:
    credential_type: CredentialType
    attributes: Annotated[Attributes | None, wire(Tag.ATTRIBUTES, V3_0)] = None
    credential: Annotated[CredentialObject | None, wire(Tag.PASSWORD_CREDENTIAL, V3_0)] = None


@structure
class CreateCredentialResponse:
    unique_identifier: Identifier


@operation(Operation.CREATE_CREDENTIAL, since=V3_0)
def create_credential(ctx: Context, request: CreateCredentialRequest) -> CreateCredentialResponse:
    kind, given = _TYPES.get(request.credential_type), request.credential
    if kind is None:
        raise KmipError(Cause.FEATURE_NOT_SUPPORTED, f"no {request.credential_type.text} credential can be created")
    if given is None or given.kind is not kind:
        raise KmipError(Cause.INVALID_FIELD, f"the credential is not a {kind.text}")
    uid = make(ctx, kind, request.attributes, UniqueIdentifier.CREATE_CREDENTIAL, given.body)
    return CreateCredentialResponse(unique_identifier=uid)
