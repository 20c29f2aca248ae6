"""Interop (KMIP 2.1 §6.1.26), "SHALL NOT be available in a production server": only where the configuration says so."""

from __future__ import annotations

import logging

from kmipsrv.domain.search import AllOf
from kmipsrv.domain.settings import Settings
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.spec.enums import InteropFunction, Operation
from kmipsrv.spec.schema import structure
from kmipsrv.spec.types import TextString
from kmipsrv.spec.versions import V2_0
from kmipsrv.ttlv.text import quoted

logger = logging.getLogger(__name__)


@structure
class InteropRequest:
    interop_function: InteropFunction
    interop_identifier: TextString | None = None


@structure
class InteropResponse:
    pass


def _switched_on(settings: Settings) -> bool:
    return settings.interop


@operation(Operation.INTEROP, since=V2_0, when=_switched_on)
def interop(ctx: Context, request: InteropRequest) -> InteropResponse:
    function = request.interop_function
    logger.info("interop %s %s", function.text, quoted(request.interop_identifier or ""))
    if function is InteropFunction.RESET:
        # "Resets the server to the state it would be in at the beginning of an interop session" (§11.22): what is the
        # caller's, for others may be testing too.
        for stored in list(ctx.work.scan(ctx.identity.owner, AllOf(()))):
            ctx.work.purge(stored)
        ctx.set_rules(defaults=[], constraints=[])
    return InteropResponse()
