"""Query Asynchronous Requests (KMIP 2.1 §§6.1.41, 7.2): what the caller has not polled for yet."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated

from kmipsrv.operations import _asynchronous
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.spec import structures as s
from kmipsrv.spec.enums import Operation, ProcessingStage
from kmipsrv.spec.schema import structure
from kmipsrv.spec.types import ByteString, DateTimeExtended, since
from kmipsrv.spec.versions import V2_1


@structure
class AsynchronousCorrelationValues:
    """Asynchronous Correlation Values (§7.1)."""

    asynchronous_correlation_value: list[ByteString] = field(default_factory=list)


@structure
class AsynchronousRequest:
    """Asynchronous Request (§7.2)."""

    asynchronous_correlation_value: ByteString
    operation: Operation
    submission_date: Annotated[DateTimeExtended, since(V2_1)]
    processing_stage: Annotated[ProcessingStage, since(V2_1)]


@structure
class QueryAsynchronousRequestsRequest:
    asynchronous_correlation_values: Annotated[AsynchronousCorrelationValues | None, since(V2_1)] = None
    operations: Annotated[s.Operations | None, since(V2_1)] = None


@structure
class QueryAsynchronousRequestsResponse:
    asynchronous_request: Annotated[list[AsynchronousRequest], since(V2_1)] = field(default_factory=list)


@operation(Operation.QUERY_ASYNCHRONOUS_REQUESTS, since=V2_1)
def query_asynchronous_requests(
    ctx: Context, request: QueryAsynchronousRequestsRequest
) -> QueryAsynchronousRequestsResponse:
    values, operations = request.asynchronous_correlation_values, request.operations
    found = []
    for job in _asynchronous.jobs(ctx):
        for number, entry in enumerate(job.entries):
            if entry.canceled or not entry.fields:
                continue  # taken back, or its answer has been obtained
            if values is not None and job.value(number) not in values.asynchronous_correlation_value:
                continue
            if operations is not None and entry.operation not in operations.operation:
                continue
            found.append(
                AsynchronousRequest(
                    asynchronous_correlation_value=job.value(number),
                    operation=Operation(entry.operation),
                    submission_date=job.submitted * 1_000_000,
                    processing_stage=ProcessingStage.SUBMITTED if entry.status is None else ProcessingStage.COMPLETED,
                )
            )
    return QueryAsynchronousRequestsResponse(asynchronous_request=found)
