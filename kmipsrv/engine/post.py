"""What waits for endpoints: notices become messages here, and are forgotten once they have arrived (domain/notices.py).

It has an engine of its own, whose store nobody else uses: several threads may call, one at a time is served. The engine that
answers clients is never waited for, nor does it wait.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any, Final

from kmipsrv.domain.notices import LOOK, NOTICE, Endpoint, Notice, last_look
from kmipsrv.domain.ports import Work
from kmipsrv.engine.engine import Engine
from kmipsrv.errors import KmipError, StoreUnavailable, TokenUnavailable
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import TO_CLIENT
from kmipsrv.spec.enums import Operation

logger = logging.getLogger(__name__)

PERIOD: Final = 5.0  # seconds between two looks for dates that have been reached
SHARE: Final = 20  # a look that took t seconds is followed by SHARE * t of rest at least


class Post:
    """`most`: notices kept for one endpoint; the oldest go first."""

    def __init__(self, engine: Engine, most: int) -> None:
        self._engine = engine
        self._most = most
        self._lock = threading.Lock()
        self._next_look: dict[str, float] = {}

    def waiting(self, endpoint: Endpoint) -> list[tuple[str, bytes]]:
        """Notices for an endpoint, oldest first: (key, record)."""
        with self._lock, self._engine.store.work() as work:
            found = list(work.records(NOTICE, endpoint.name))
            excess = len(found) - self._most
            for key, _ in found[: max(excess, 0)]:
                work.remove(NOTICE, key)
        if excess > 0:
            logger.warning("endpoint %s: more than %d notices wait, %d are lost", endpoint.name, self._most, excess)
            return found[excess:]
        return found

    def compose(self, endpoint: Endpoint, key: str, record: bytes) -> tuple[Operation, Any] | None:
        """A notice -> operation and request payload, its object opened now. None: it does not leave and is forgotten.

        Raises StoreUnavailable, TokenUnavailable."""
        notice = Notice.decode(record)
        row = TO_CLIENT[Operation.PUT if notice.changed is None else Operation.NOTIFY]
        with self._lock, self._engine.store.work() as work:
            ctx = self._context(work, endpoint, int(self._engine.clock()))
            ctx.operation = row.operation
            ctx.begin(notice)
            try:
                with work.savepoint():
                    return row.operation, row.handler(ctx, notice)
            except (StoreUnavailable, TokenUnavailable):
                raise
            except KmipError as error:
                logger.info("endpoint %s: %s is not sent: %s", endpoint.name, row.operation.text, error.message)
                work.remove(NOTICE, key)
        return None

    def done(self, key: str) -> None:
        """Forget a notice."""
        with self._lock, self._engine.store.work() as work:
            work.remove(NOTICE, key)

    def look(self, endpoint: Endpoint) -> None:
        """Note what dates have done to objects since the last look, and clear records away whose time has passed."""
        begun = time.monotonic()
        if begun < self._next_look.get(endpoint.name, 0.0):
            return
        now = int(self._engine.clock())
        with self._lock, self._engine.store.work() as work:
            work.expire(now)
            if endpoint.notify:
                since = last_look(work, endpoint)
                outbox = self._context(work, endpoint, now).outbox
                if since is not None and outbox.reached(endpoint, since, self._most) == self._most:
                    logger.warning("endpoint %s: the dates of %d objects or more at once", endpoint.name, self._most)
                work.write(LOOK, endpoint.name, str(max(now, since or 0)).encode())
        ended = time.monotonic()
        self._next_look[endpoint.name] = ended + max(PERIOD, SHARE * (ended - begun))

    def _context(self, work: Work, endpoint: Endpoint, now: int) -> Context:
        return self._engine.dispatcher.context(work, endpoint.identity, endpoint.version, now)
