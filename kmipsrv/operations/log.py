"""Log (KMIP 2.1 §6.1.29): a line of the client's in the server's log."""

from __future__ import annotations

import logging

from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.spec.enums import Operation
from kmipsrv.spec.schema import structure
from kmipsrv.spec.types import TextString
from kmipsrv.spec.versions import V2_0
from kmipsrv.ttlv.text import quoted

logger = logging.getLogger(__name__)

MAXIMUM = 4096  # characters: nobody's log is a place to store things


@structure
class LogRequest:
    log_message: TextString


@structure
class LogResponse:
    pass


@operation(Operation.LOG, since=V2_0)
def log(ctx: Context, request: LogRequest) -> LogResponse:
    if len(request.log_message) > MAXIMUM:
        raise KmipError(Cause.INVALID_FIELD, f"a Log Message has at most {MAXIMUM} characters")
    logger.info("%s logs %s", quoted(ctx.identity.owner), quoted(request.log_message))
    return LogResponse()
