"""Validate (KMIP 2.1 §6.1.57): whether certificates form a chain that holds.

Trust anchors are the certification authority of the client's trust domain, and no other: a chain that holds and ends
elsewhere is Unknown.
"""

from __future__ import annotations

from dataclasses import field

from kmipsrv.crypto import certificates
from kmipsrv.domain.grant import Purpose
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._authority import anchors, moment
from kmipsrv.operations._context import Context, Reference
from kmipsrv.operations._registry import operation
from kmipsrv.spec.enums import CertificateType, ObjectType, Operation, ValidityIndicator
from kmipsrv.spec.objects import Certificate
from kmipsrv.spec.schema import structure
from kmipsrv.spec.types import DateTime, Identifier


@structure
class ValidateRequest:
    certificate: list[Certificate] = field(default_factory=list)
    unique_identifier: list[Identifier] = field(default_factory=list)
    validity_date: DateTime | None = None


@structure
class ValidateResponse:
    validity_indicator: ValidityIndicator


@operation(Operation.VALIDATE)
def validate(ctx: Context, request: ValidateRequest) -> ValidateResponse:
    given = len(request.certificate) + len(request.unique_identifier)
    if not 0 < given <= certificates.MAX_CHAIN:
        # "The combination of Certificate Objects and Unique Identifiers does not specify a certificate list": Invalid
        # Message (1.4 §11.25).
        raise KmipError(Cause.INVALID_MESSAGE, f"a chain has 1 to {certificates.MAX_CHAIN} certificates")
    chain = [*request.certificate, *(_stored(ctx, each) for each in request.unique_identifier)]
    if any(each.certificate_type is not CertificateType.X_509 for each in chain):
        raise KmipError(Cause.INVALID_FIELD, "chains of X.509 certificates are validated")
    date = moment(ctx.now if request.validity_date is None else request.validity_date)
    found = certificates.validate([each.certificate_value for each in chain], anchors(ctx), date)
    return ValidateResponse(validity_indicator=found)


def _stored(ctx: Context, reference: Reference) -> Certificate:
    obj = ctx.object(reference)
    if obj.object_type is not ObjectType.CERTIFICATE:
        raise KmipError(Cause.INVALID_OBJECT_TYPE, "the object is not a Certificate")
    obj.require_alive(ctx.now)
    body: Certificate = ctx.body(obj, Purpose.USE)
    return body
