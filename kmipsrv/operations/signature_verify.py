"""Signature Verify (KMIP 2.1 §6.1.56, 1.4 §4.32), from 1.2 on, with a public key or a certificate.

No data is recovered from signatures: the schemes that are served are signatures with appendix.
"""

from __future__ import annotations

from typing import Annotated

from kmipsrv.crypto import signatures
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._key_use import SIGNATURE_VERIFY, parameters_of, usable
from kmipsrv.operations._parts import CorrelationValue, Indicator, Start, begin, check_alone
from kmipsrv.operations._registry import operation
from kmipsrv.operations._stored_keys import open_verifying
from kmipsrv.operations._verifying import Verifying, validity
from kmipsrv.spec.enums import Operation, ValidityIndicator
from kmipsrv.spec.schema import structure
from kmipsrv.spec.structures import CryptographicParameters
from kmipsrv.spec.types import ByteString, DataOrReference, Identifier, since
from kmipsrv.spec.versions import V1_2, V1_4


@structure
class SignatureVerifyRequest:
    unique_identifier: Identifier | None = None
    cryptographic_parameters: CryptographicParameters | None = None
    data: DataOrReference | None = None
    digested_data: Annotated[ByteString | None, since(V1_4)] = None
    signature_data: ByteString | None = None
    correlation_value: CorrelationValue = None
    init_indicator: Indicator = None
    final_indicator: Indicator = None


@structure
class SignatureVerifyResponse:
    unique_identifier: Identifier
    validity_indicator: ValidityIndicator | None = None
    correlation_value: CorrelationValue = None


@operation(Operation.SIGNATURE_VERIFY, since=V1_2)
def signature_verify(ctx: Context, request: SignatureVerifyRequest) -> SignatureVerifyResponse:
    if request.digested_data is not None:
        return _verify_digest(ctx, request, request.digested_data)

    def start(given: Start) -> Verifying:
        verification = signatures.Verification(
            open_verifying(ctx, given.obj),
            given.parameters,
            allow_legacy=ctx.settings.allow_legacy_algorithms,
            max_collected=given.limit(ctx),
        )
        return Verifying(verification, verification.finalize)

    part = begin(ctx, request, SIGNATURE_VERIFY, start)
    part.state.update(part.data, request.signature_data)
    return SignatureVerifyResponse(
        unique_identifier=part.unique_identifier,
        validity_indicator=part.state.conclude() if part.last else None,
        correlation_value=part.correlation(ctx),
    )


def _verify_digest(ctx: Context, request: SignatureVerifyRequest, digest: bytes) -> SignatureVerifyResponse:
    """A digest is whole: there are no parts of it."""
    check_alone(request)
    signature = request.signature_data
    if signature is None:
        raise KmipError(Cause.MISSING_DATA, "Signature Data is missing")
    obj = usable(ctx, request.unique_identifier, SIGNATURE_VERIFY)
    key, parameters = open_verifying(ctx, obj), parameters_of(request.cryptographic_parameters, obj)
    legacy = ctx.settings.allow_legacy_algorithms
    return SignatureVerifyResponse(
        unique_identifier=obj.unique_identifier,
        validity_indicator=validity(
            lambda: signatures.verify(key, parameters, signature, digested=digest, allow_legacy=legacy)
        ),
    )
