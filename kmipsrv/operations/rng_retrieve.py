"""RNG Retrieve (KMIP 2.1 §6.1.49, 1.4 §4.35), from 1.2 on."""

from __future__ import annotations

from kmipsrv.crypto.rng import retrieve
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.spec.enums import Data, Operation
from kmipsrv.spec.schema import structure
from kmipsrv.spec.types import ByteString, Integer
from kmipsrv.spec.versions import V1_2


@structure
class RNGRetrieveRequest:
    data_length: Integer


@structure
class RNGRetrieveResponse:
    data: ByteString


@operation(Operation.RNG_RETRIEVE, since=V1_2)
def rng_retrieve(ctx: Context, request: RNGRetrieveRequest) -> RNGRetrieveResponse:
    made = retrieve(request.data_length, ctx.generator, max_length=ctx.settings.maximum_random_bytes)
    return RNGRetrieveResponse(data=ctx.outputs.put(Data.RNG_RETRIEVE, made))
