"""Cancel (KMIP 2.1 §6.1.5): an asynchronous request taken back, if it still waits."""

from __future__ import annotations

from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations import _asynchronous
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.spec.enums import CancellationResult, Operation, ResultStatus
from kmipsrv.spec.schema import structure
from kmipsrv.spec.types import ByteString


@structure
class CancelRequest:
    asynchronous_correlation_value: ByteString


@structure
class CancelResponse:
    asynchronous_correlation_value: ByteString
    cancellation_result: CancellationResult


@operation(Operation.CANCEL)
def cancel(ctx: Context, request: CancelRequest) -> CancelResponse:
    value = request.asynchronous_correlation_value
    try:
        entry = _asynchronous.cancel(ctx, *_asynchronous.find(ctx, value))
    except KmipError as error:
        if error.cause is not Cause.INVALID_ASYNCHRONOUS_CORRELATION_VALUE:
            raise
        # "Unavailable – The specified correlation value did not match any recently pending or completed […] operations."
        return CancelResponse(asynchronous_correlation_value=value, cancellation_result=CancellationResult.UNAVAILABLE)
    if entry.status is None:
        result = CancellationResult.CANCELED
    elif entry.status == ResultStatus.SUCCESS:
        result = CancellationResult.COMPLETED
    else:
        result = CancellationResult.FAILED
    return CancelResponse(asynchronous_correlation_value=value, cancellation_result=result)
