"""Sign (KMIP 2.1 §6.1.55, 1.4 §4.31), from 1.2 on: data, or from 1.4 on data that the client has digested."""

from __future__ import annotations

from typing import Annotated

from kmipsrv.crypto import signatures
from kmipsrv.operations._context import Context
from kmipsrv.operations._key_use import SIGN, parameters_of, spend, usable
from kmipsrv.operations._parts import CorrelationValue, Indicator, Start, begin, check_alone
from kmipsrv.operations._registry import operation
from kmipsrv.operations._stored_keys import open_signing
from kmipsrv.spec.enums import Data, Operation
from kmipsrv.spec.schema import structure
from kmipsrv.spec.structures import CryptographicParameters
from kmipsrv.spec.types import ByteString, DataOrReference, Identifier, since
from kmipsrv.spec.versions import V1_2, V1_4


@structure
class SignRequest:
    unique_identifier: Identifier | None = None
    cryptographic_parameters: CryptographicParameters | None = None
    data: DataOrReference | None = None
    digested_data: Annotated[ByteString | None, since(V1_4)] = None
    correlation_value: CorrelationValue = None
    init_indicator: Indicator = None
    final_indicator: Indicator = None


@structure
class SignResponse:
    unique_identifier: Identifier
    signature_data: ByteString | None = None
    correlation_value: CorrelationValue = None


@operation(Operation.SIGN, since=V1_2)
def sign(ctx: Context, request: SignRequest) -> SignResponse:
    if request.digested_data is not None:
        return _sign_digest(ctx, request, request.digested_data)

    def start(given: Start) -> signatures.Signing:
        return signatures.Signing(
            open_signing(ctx, given.obj),
            given.parameters,
            allow_legacy=ctx.settings.allow_legacy_algorithms,
            max_collected=given.limit(ctx),
        )

    part = begin(ctx, request, SIGN, start)
    part.state.update(part.data)
    return SignResponse(
        unique_identifier=part.unique_identifier,
        signature_data=ctx.outputs.put(Data.SIGN_SIGNATURE_DATA, part.state.finalize()) if part.last else None,
        correlation_value=part.correlation(ctx),
    )


def _sign_digest(ctx: Context, request: SignRequest, digest: bytes) -> SignResponse:
    """A digest is whole: there are no parts of it."""
    check_alone(request)
    obj = usable(ctx, request.unique_identifier, SIGN)
    spend(ctx, obj, len(digest))
    made = signatures.sign(
        open_signing(ctx, obj),
        parameters_of(request.cryptographic_parameters, obj),
        digested=digest,
        allow_legacy=ctx.settings.allow_legacy_algorithms,
    )
    return SignResponse(
        unique_identifier=obj.unique_identifier, signature_data=ctx.outputs.put(Data.SIGN_SIGNATURE_DATA, made)
    )
