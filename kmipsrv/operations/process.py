"""Process (KMIP 2.1 §6.1.39): an asynchronous request is to be done at once, so that the next Poll is not pending."""

from __future__ import annotations

from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations import _asynchronous
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.spec.enums import Operation
from kmipsrv.spec.schema import structure
from kmipsrv.spec.types import ByteString
from kmipsrv.spec.versions import V2_1


@structure
class ProcessRequest:
    asynchronous_correlation_value: ByteString


@structure
class ProcessResponse:
    pass


@operation(Operation.PROCESS, since=V2_1)
def process(ctx: Context, request: ProcessRequest) -> ProcessResponse:
    job, number = _asynchronous.find(ctx, request.asynchronous_correlation_value)
    entry = job.entries[number]
    if entry.canceled or entry.status is not None:
        # "The asynchronous request specified was already processed" (§11.48).
        raise KmipError(Cause.DUPLICATE_PROCESS_REQUEST, "the request has been processed already")
    _asynchronous.run(ctx, job, ctx.process)
    return ProcessResponse()
