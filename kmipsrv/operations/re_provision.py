"""Re-Provision (KMIP 2.1 §6.1.48): the client replaces the certificate that it connects with.

Client certificates are issued by the authorities of the configuration, whose keys this server does not have: so the client
brings the new certificate, and neither a request to be signed nor nothing. It must be one that the same client can
connect with, and the old one is refused from then on.
"""

from __future__ import annotations

from kmipsrv.domain import link_credentials
from kmipsrv.domain.creation import NewObject
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.operations.register import describe
from kmipsrv.spec.attribute_bag import AttributeBag
from kmipsrv.spec.enums import ObjectType, Operation, UniqueIdentifier
from kmipsrv.spec.objects import Certificate, CertificateRequest
from kmipsrv.spec.schema import structure
from kmipsrv.spec.types import Identifier
from kmipsrv.spec.versions import V2_0

_FOREVER = 253_402_300_799  # the last second that a certificate can name


@structure
class ReProvisionRequest:
    certificate_request: CertificateRequest | None = None
    certificate: Certificate | None = None


@structure
class ReProvisionResponse:
    unique_identifier: Identifier


@operation(Operation.RE_PROVISION, since=V2_0)
def re_provision(ctx: Context, request: ReProvisionRequest) -> ReProvisionResponse:
    """ "The server SHALL associate the certificate with the client as the client's link level credential"."""
    given, desk = request.certificate, ctx.certificates
    if given is None or request.certificate_request is not None or desk is None:
        raise KmipError(Cause.FEATURE_NOT_SUPPORTED, "this server signs no client certificates: give the new one")
    if ctx.identity.ticket or ctx.identity.via:
        # "Re-Provision SHALL be called by the client that requires new credentials".
        raise KmipError(Cause.PERMISSION_DENIED, "only the holder of a certificate replaces it")
    if desk.fingerprint_of(given.certificate_value) == desk.fingerprint:
        raise KmipError(Cause.INVALID_FIELD, "this is the certificate that is in use")
    new = desk.identify(given.certificate_value)
    if new.owner != ctx.identity.owner or not new.not_before <= ctx.now < new.not_after:
        raise KmipError(Cause.INVALID_FIELD, "the certificate is not this client's, or not valid now")
    body = NewObject(ObjectType.CERTIFICATE, AttributeBag(), ctx.settings)
    describe(ctx, body, given)
    obj = ctx.insert(body)
    link_credentials.withdraw(ctx.work, desk.fingerprint, int(min(ctx.identity.not_after, _FOREVER)))
    ctx.remember(UniqueIdentifier.RE_PROVISION, obj.unique_identifier)
    return ReProvisionResponse(unique_identifier=obj.unique_identifier)
