"""Poll (KMIP 2.1 §6.1.38): the answer to an asynchronous request, which is processed now if it still waits."""

from __future__ import annotations

from kmipsrv.operations import _asynchronous
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import WholeAnswer, operation
from kmipsrv.spec.enums import Operation
from kmipsrv.spec.schema import structure
from kmipsrv.spec.types import ByteString


@structure
class PollRequest:
    asynchronous_correlation_value: ByteString


@operation(Operation.POLL)
def poll(ctx: Context, request: PollRequest) -> WholeAnswer:
    """ "This response SHALL be identical to the response that would have been sent if […] completed synchronously"."""
    job, number = _asynchronous.find(ctx, request.asynchronous_correlation_value)
    job = _asynchronous.run(ctx, job, ctx.process)
    return WholeAnswer(_asynchronous.obtain(ctx, job, number))
