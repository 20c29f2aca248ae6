"""Query (KMIP 2.1 §6.1.40): what this server is and can do, read from the registries, tables and settings that it obeys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field
from typing import Annotated

from kmipsrv.domain.creation import SYSTEM_RNG
from kmipsrv.domain.managed_object import key_text
from kmipsrv.domain.search import Indexed
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._factory_rules import of_groups
from kmipsrv.operations._profiles import profiles
from kmipsrv.operations._registry import offered, operation
from kmipsrv.spec import enums as e
from kmipsrv.spec import structures as s
from kmipsrv.spec.defaults import DefaultsInformation
from kmipsrv.spec.enums import QueryFunction as F
from kmipsrv.spec.objects import CREDENTIAL_TAGS, OBJECT_TAGS
from kmipsrv.spec.schema import structure
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import TextString, since, wire
from kmipsrv.spec.versions import V1_1, V1_2, V1_3, V2_0, V2_1


@structure
class QueryRequest:
    query_function: list[F]
    object_groups: Annotated[s.ObjectGroups | None, since(V2_1)] = None


@structure
class QueryResponse:
    operation: list[e.Operation] = field(default_factory=list)
    object_type: list[e.ObjectType] = field(default_factory=list)
    vendor_identification: TextString | None = None
    server_information: s.ServerInformation | None = None
    application_namespace: list[TextString] = field(default_factory=list)
    extension_information: Annotated[list[s.ExtensionInformation], since(V1_1)] = field(default_factory=list)
    attestation_type: Annotated[list[e.AttestationType], since(V1_2)] = field(default_factory=list)
    rng_parameters: Annotated[list[s.RNGParameters], since(V1_3)] = field(default_factory=list)
    profile_information: Annotated[list[s.ProfileInformation], since(V1_3)] = field(default_factory=list)
    validation_information: Annotated[list[s.ValidationInformation], since(V1_3)] = field(default_factory=list)
    capability_information: Annotated[list[s.CapabilityInformation], since(V1_3)] = field(default_factory=list)
    client_registration_method: Annotated[list[e.ClientRegistrationMethod], since(V1_3)] = field(default_factory=list)
    defaults_information: Annotated[DefaultsInformation | None, since(V2_0)] = None
    protection_storage_masks: Annotated[s.ProtectionStorageMasks | None, wire(Tag.PROTECTION_STORAGE_MASKS, V2_0)] = (
        None
    )


@operation(e.Operation.QUERY)
def query(ctx: Context, request: QueryRequest) -> QueryResponse:
    response = QueryResponse()
    groups = set(request.object_groups.object_group) if request.object_groups is not None else set()
    for group in sorted(groups):
        _require_group(ctx, group)
    for function in dict.fromkeys(request.query_function):
        if not function.exists_in(ctx.version):
            raise KmipError(Cause.INVALID_FIELD, f"{function.text} is not a function of KMIP {ctx.version}")
        _ANSWERS[function](ctx, response, groups)
    return response


def _require_group(ctx: Context, group: str) -> None:
    """Raises KmipError(UNKNOWN_OBJECT_GROUP) for a group that no object of the caller's and no default belongs to."""
    settings = ctx.settings
    if group == settings.default_object_group or group in settings.generated_groups:
        return
    if any(each.object_groups and group in each.object_groups.object_group for each in ctx.rules.defaults):
        return
    where = Indexed(key_text(Tag.OBJECT_GROUP), (("", group),))
    if not ctx.work.locate(ctx.identity.owner, where, 0, 1)[0]:
        raise KmipError(Cause.UNKNOWN_OBJECT_GROUP, "no object belongs to this Object Group")


# 2.0 has no Templates, but SUITEB_128-M-1 of 2.0 lists them; those registered by 1.x are there at every version.
_ALSO_LISTED = {V2_0: e.ObjectType.TEMPLATE}


# ------------------------------------------------------------------------------------------- one function, one answer


def _operations(ctx: Context, response: QueryResponse, groups: set[str]) -> None:
    response.operation = [row.operation for row in offered(ctx.version, ctx.settings)]


def _objects(ctx: Context, response: QueryResponse, groups: set[str]) -> None:
    kinds = {*OBJECT_TAGS, *CREDENTIAL_TAGS, e.ObjectType.USER, e.ObjectType.GROUP}
    also = _ALSO_LISTED.get(ctx.version)
    response.object_type = sorted(kind for kind in kinds if kind.exists_in(ctx.version) or kind is also)


def _server_information(ctx: Context, response: QueryResponse, groups: set[str]) -> None:
    settings = ctx.settings
    response.vendor_identification = settings.vendor_identification
    response.server_information = s.ServerInformation(
        server_name=settings.server_name,
        server_version=settings.server_version or None,
        product_name="kmipsrv",
    )


def _attestation_types(ctx: Context, response: QueryResponse, groups: set[str]) -> None:
    response.attestation_type = list(ctx.settings.attestation_types)


def _rngs(ctx: Context, response: QueryResponse, groups: set[str]) -> None:
    response.rng_parameters = [SYSTEM_RNG]


def _profiles(ctx: Context, response: QueryResponse, groups: set[str]) -> None:
    response.profile_information = profiles(ctx.version, ctx.settings)


def _capabilities(ctx: Context, response: QueryResponse, groups: set[str]) -> None:
    here = {row.operation for row in offered(ctx.version, ctx.settings)}
    response.capability_information = [
        s.CapabilityInformation(
            streaming_capability=e.Operation.ENCRYPT in here,
            asynchronous_capability=e.Operation.POLL in here,
            attestation_capability=bool(ctx.settings.attestation_types),
            batch_undo_capability=True,
            batch_continue_capability=True,
            unwrap_mode=e.UnwrapMode.PROCESSED,  # what is registered wrapped is unwrapped when it is used
            destroy_action=e.DestroyAction.KEY_MATERIAL_DELETED,
            shredding_algorithm=e.ShreddingAlgorithm.UNSUPPORTED,
            rng_mode=e.RNGMode.SHARED_INSTANTIATION,
            quantum_safe_capability=False,  # TLS and the token's seals are not
        )
    ]


def _registration_methods(ctx: Context, response: QueryResponse, groups: set[str]) -> None:
    # The operator makes a client's certificate and credential beforehand (`kmipsrv client-cert`).
    response.client_registration_method = [e.ClientRegistrationMethod.SERVER_PRE_GENERATED]


def _defaults(ctx: Context, response: QueryResponse, groups: set[str]) -> None:
    found = [each for each in ctx.rules.defaults if not groups or of_groups(each.object_groups, groups)]
    response.defaults_information = DefaultsInformation(object_defaults=found)


def _storage_masks(ctx: Context, response: QueryResponse, groups: set[str]) -> None:
    response.protection_storage_masks = s.ProtectionStorageMasks(
        protection_storage_mask=[ctx.settings.protection_storage_mask]
    )


def _nothing(ctx: Context, response: QueryResponse, groups: set[str]) -> None:
    """No namespace's Application Data is generated, no extension is used, no validation is claimed, and the texts do not
    say what Credential Information (3.0) holds: "the response payload is empty if there are no values to return"."""


_ANSWERS: dict[F, Callable[[Context, QueryResponse, set[str]], None]] = {
    F.QUERY_OPERATIONS: _operations,
    F.QUERY_OBJECTS: _objects,
    F.QUERY_SERVER_INFORMATION: _server_information,
    F.QUERY_APPLICATION_NAMESPACES: _nothing,
    F.QUERY_EXTENSION_LIST: _nothing,
    F.QUERY_EXTENSION_MAP: _nothing,
    F.QUERY_ATTESTATION_TYPES: _attestation_types,
    F.QUERY_RNGS: _rngs,
    F.QUERY_VALIDATIONS: _nothing,
    F.QUERY_PROFILES: _profiles,
    F.QUERY_CAPABILITIES: _capabilities,
    F.QUERY_CLIENT_REGISTRATION_METHODS: _registration_methods,
    F.QUERY_DEFAULTS_INFORMATION: _defaults,
    F.QUERY_STORAGE_PROTECTION_MASKS: _storage_masks,
    F.QUERY_CREDENTIAL_INFORMATION: _nothing,
}
