"""MAC (KMIP 2.1 §6.1.32, 1.4 §4.33), from 1.2 on, with a symmetric key or secret data."""

from __future__ import annotations

from kmipsrv.crypto import macs
from kmipsrv.operations._context import Context
from kmipsrv.operations._key_use import MAC
from kmipsrv.operations._parts import CorrelationValue, Indicator, Start, begin
from kmipsrv.operations._registry import operation
from kmipsrv.operations._stored_keys import algorithm_of, open_secret
from kmipsrv.spec.enums import Data, Operation
from kmipsrv.spec.schema import structure
from kmipsrv.spec.structures import CryptographicParameters
from kmipsrv.spec.types import ByteString, DataOrReference, Identifier
from kmipsrv.spec.versions import V1_2


@structure
class MACRequest:
    unique_identifier: Identifier | None = None
    cryptographic_parameters: CryptographicParameters | None = None
    data: DataOrReference | None = None
    correlation_value: CorrelationValue = None
    init_indicator: Indicator = None
    final_indicator: Indicator = None


@structure
class MACResponse:
    unique_identifier: Identifier
    mac_data: ByteString | None = None
    correlation_value: CorrelationValue = None


@operation(Operation.MAC, since=V1_2)
def mac(ctx: Context, request: MACRequest) -> MACResponse:
    part = begin(ctx, request, MAC, lambda given: start_mac(ctx, given))
    part.state.update(part.data)
    return MACResponse(
        unique_identifier=part.unique_identifier,
        mac_data=ctx.outputs.put(Data.MAC_MAC_DATA, part.state.finalize()) if part.last else None,
        correlation_value=part.correlation(ctx),
    )


def start_mac(ctx: Context, given: Start) -> macs.Mac:
    """The MAC that the key and the parameters ask for. Raises KmipError."""
    key = open_secret(ctx, given.obj)
    algorithm = algorithm_of(given.obj, key, given.parameters)
    return macs.start_mac(algorithm, key, given.parameters, allow_legacy=ctx.settings.allow_legacy_algorithms)
