"""RNG Seed (KMIP 2.1 §6.1.50, 1.4 §4.36), from 1.2 on.

The policy of CS-RNG-O-1: all of the seed is used. It is mixed into what RNG Retrieve puts out, never instead of the
operating system's randomness, and never into keys.
"""

from __future__ import annotations

from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.spec.enums import Operation
from kmipsrv.spec.schema import structure
from kmipsrv.spec.types import DataOrReference, Integer
from kmipsrv.spec.versions import V1_2


@structure
class RNGSeedRequest:
    data: DataOrReference


@structure
class RNGSeedResponse:
    data_length: Integer


@operation(Operation.RNG_SEED, since=V1_2)
def rng_seed(ctx: Context, request: RNGSeedRequest) -> RNGSeedResponse:
    seed = ctx.outputs.resolve(request.data)
    if not seed:
        raise KmipError(Cause.INVALID_FIELD, "the seed is empty")
    return RNGSeedResponse(data_length=ctx.generator.seed(seed, max_length=ctx.settings.maximum_random_bytes))
