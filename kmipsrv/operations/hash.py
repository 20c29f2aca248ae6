"""Hash (KMIP 2.1 §6.1.24, 1.4 §4.37), from 1.2 on. No key, no object."""

from __future__ import annotations

from kmipsrv.crypto.hashes import start_hash
from kmipsrv.operations._context import Context
from kmipsrv.operations._parts import CorrelationValue, Indicator, begin_without_key
from kmipsrv.operations._registry import operation
from kmipsrv.spec.enums import Data, Operation
from kmipsrv.spec.schema import structure
from kmipsrv.spec.structures import CryptographicParameters
from kmipsrv.spec.types import ByteString, DataOrReference
from kmipsrv.spec.versions import V1_2


@structure
class HashRequest:
    """Cryptographic Parameters are "Yes" in the table; a stream has them from its first part."""

    cryptographic_parameters: CryptographicParameters | None = None
    data: DataOrReference | None = None
    correlation_value: CorrelationValue = None
    init_indicator: Indicator = None
    final_indicator: Indicator = None


@structure
class HashResponse:
    data: ByteString | None = None
    correlation_value: CorrelationValue = None


@operation(Operation.HASH, since=V1_2)
def hash_data(ctx: Context, request: HashRequest) -> HashResponse:
    part = begin_without_key(ctx, request, start_hash)
    part.state.update(part.data)
    return HashResponse(
        data=ctx.outputs.put(Data.HASH, part.state.finalize()) if part.last else None,
        correlation_value=part.correlation(ctx),
    )
