"""The KMIP door: TTLV messages one behind the other on a TLS connection (KMIP 2.1 §10.1, §10.4).

Clients send the next request before they have the answer to the last (pipelining); the answers go back in the order
of the requests. At most `Limits.pipeline` requests of a connection are inside the engine; the frames behind them
wait here, and while any waits, nothing more is read. So one connection holds at most a reading of the transport,
one frame that is incomplete, and the answers that the client has not taken.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import ClassVar

from kmipsrv.errors import TTLVError
from kmipsrv.identity.certificate import CertificateRefused
from kmipsrv.server.connection import NEVER, Connection, Edge
from kmipsrv.server.limits import Place
from kmipsrv.ttlv.framer import Framer

logger = logging.getLogger(__name__)


class KmipConnection(Connection):
    """One connection of the KMIP door."""

    protocol: ClassVar[str] = "kmip"

    def __init__(self, edge: Edge, address: str, place: Place) -> None:
        super().__init__(edge, address, place)
        self._framer = Framer(edge.limits.message)
        self._waiting: deque[bytes] = deque()  # frames that have not entered the engine
        self._entered = 0  # frames that have, without an answer yet
        self._held = False  # by a slow call

    def data_received(self, data: bytes) -> None:
        if self.finishing:
            return
        begun = self._framer.partial
        try:
            frames = self._framer.feed(data)
        except TTLVError:
            frames = []
        self._waiting.extend(frames)
        if self._framer.fault is not None:
            # No answer is possible to what cannot be told apart; the requests before it get theirs.
            logger.info("kmip %s: closing: %s", self.address, self._framer.fault.message)
            self.finish()
        elif frames:
            self.resume()
        elif not begun:
            self.settle()

    def answered(self, answer: bytes | None) -> None:
        self._entered -= 1
        if self.transport.is_closing():
            return
        if answer is None:
            self._waiting.clear()
            self.finishing = True
            self.close()
            return
        self.transport.write(answer)
        if self._waiting or self.finishing:
            self.resume()
        elif not self._entered:
            self.settle()

    def resume(self) -> None:
        if self.transport.is_closing():
            return self._waiting.clear()
        limits, engine, waiting = self.edge.limits, self.edge.engine, self._waiting
        try:
            while waiting and not self._held and not self.blocked and self._entered < limits.pipeline:
                if not engine.room(self):
                    break
                self._entered += 1
                self._held = not self.enter(waiting.popleft())
        except CertificateRefused as error:
            return self.refuse(str(error))
        if self.finishing and not waiting and not self._entered:
            return self.close()
        self.read(not waiting and not self.finishing)
        return self.settle()

    def release(self) -> None:
        self._held = False
        self.resume()

    def settle(self) -> None:
        if self.blocked or self.transport.is_closing():
            return
        if self._entered or self._waiting:
            self.deadline = NEVER  # the engine's turn, not the client's
        elif self._framer.partial:
            self.deadline = self.edge.now() + self.edge.limits.read
        else:
            self.deadline = self.edge.now() + self.edge.limits.idle

    def overdue(self) -> str:
        return "does not finish its request" if self._framer.partial else "has been idle for too long"
