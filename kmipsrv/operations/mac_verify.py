"""MAC Verify (KMIP 2.1 §6.1.33, 1.4 §4.34), from 1.2 on."""

from __future__ import annotations

from kmipsrv.operations._context import Context
from kmipsrv.operations._key_use import MAC_VERIFY
from kmipsrv.operations._parts import CorrelationValue, Indicator, Start, begin
from kmipsrv.operations._registry import operation
from kmipsrv.operations._verifying import Verifying
from kmipsrv.operations.mac import start_mac
from kmipsrv.spec.enums import Operation, ValidityIndicator
from kmipsrv.spec.schema import structure
from kmipsrv.spec.structures import CryptographicParameters
from kmipsrv.spec.types import ByteString, DataOrReference, Identifier
from kmipsrv.spec.versions import V1_2


@structure
class MACVerifyRequest:
    unique_identifier: Identifier | None = None
    cryptographic_parameters: CryptographicParameters | None = None
    data: DataOrReference | None = None
    mac_data: ByteString | None = None
    correlation_value: CorrelationValue = None
    init_indicator: Indicator = None
    final_indicator: Indicator = None


@structure
class MACVerifyResponse:
    unique_identifier: Identifier
    validity_indicator: ValidityIndicator | None = None
    correlation_value: CorrelationValue = None


@operation(Operation.MAC_VERIFY, since=V1_2)
def mac_verify(ctx: Context, request: MACVerifyRequest) -> MACVerifyResponse:
    def start(given: Start) -> Verifying:
        state = start_mac(ctx, given)
        return Verifying(state, state.verify)

    part = begin(ctx, request, MAC_VERIFY, start)
    part.state.update(part.data, request.mac_data)
    return MACVerifyResponse(
        unique_identifier=part.unique_identifier,
        validity_indicator=part.state.conclude() if part.last else None,
        correlation_value=part.correlation(ctx),
    )
