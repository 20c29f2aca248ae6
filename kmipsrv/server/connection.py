"""What both doors do with a connection: who is it, is it still valid, how long may it keep us waiting.

A connection of either door is a `Connection`. It owns its place in the counters, its peer and one deadline.
Deadlines are not timers of the loop: one sweep per process looks at all of them a few times per timeout, which
costs a request nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import ssl
from collections.abc import Callable
from typing import ClassVar, Final, cast

from kmipsrv.engine.call import Call, Peer
from kmipsrv.identity.certificate import CertificateRefused, public_key
from kmipsrv.server.engine_thread import EngineThread
from kmipsrv.server.limits import LimitReached, Limits, Place
from kmipsrv.server.tls import Trust, certificates

logger = logging.getLogger(__name__)

NEVER: Final = float("inf")
_GOODBYE = 0.5  # seconds for a close_notify; RFC 8446 §6.1 does not ask to wait for it at all
_WRITE_BUFFER = 64 << 10  # bytes of answers that the client has not taken, before it gets no more


class Edge:
    """What all connections of a process share. Belongs to the thread of the event loop."""

    def __init__(self, trust: Trust, limits: Limits, engine: EngineThread, clock: Callable[[], float]) -> None:
        self.trust = trust  # replaced by a reload
        self.limits = limits
        self.engine = engine
        self.clock = clock  # seconds since the epoch
        self.now = asyncio.get_running_loop().time  # seconds of the loop, for deadlines
        self.connections: set[Connection] = set()


class Connection(asyncio.Protocol):
    """One TLS connection with a verified client. Subclasses know what the bytes mean."""

    protocol: ClassVar[str] = ""

    def __init__(self, edge: Edge, address: str, place: Place) -> None:
        self.edge = edge
        self.address = address
        self.deadline = edge.now() + edge.limits.idle
        self.transport: asyncio.Transport
        self._place = place
        self._peer: Peer
        self._trust: Trust | None = None  # under which the peer has been identified
        self._blocked_until = NEVER  # the write deadline while the client does not take its answers
        self._reading = True
        self.finishing = False

    # -- the asyncio protocol
    # -----------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(_WRITE_BUFFER)
        try:
            self._identify()
            self._place.admit(self._peer.identity.owner)
            self.edge.connections.add(self)
            self.peer()
        except (CertificateRefused, LimitReached, ValueError) as error:
            self.refuse(str(error))

    def connection_lost(self, exc: Exception | None) -> None:
        self._place.release()
        self.edge.connections.discard(self)
        self.deadline = NEVER

    def pause_writing(self) -> None:
        self._blocked_until = self.deadline = self.edge.now() + self.edge.limits.write

    def resume_writing(self) -> None:
        self._blocked_until = NEVER
        self.settle()
        self.resume()

    # -- for the subclasses
    # -------------------------------------------------------------------------------------------

    def peer(self) -> Peer:
        """The client, valid at this moment and under the trust of this moment.

        TLS judges a certificate at the full handshake only: not when a session is resumed, not during a connection
        that lives for days, not after the operator has taken a CA away. Raises CertificateRefused.
        """
        if self._trust is not self.edge.trust:
            self._identify()
        peer = self._peer
        if not peer.identity.not_before <= self.edge.clock() <= peer.identity.not_after:
            raise CertificateRefused(f"the certificate of {peer.identity.owner} has expired or is not yet valid")
        return peer

    def enter(self, frame: bytes) -> bool:
        """Hand a message to the engine. False: wait for `release` before the next. Raises CertificateRefused."""
        return self.edge.engine.enter(Call(frame, self.peer()), self)

    def read(self, wanted: bool) -> None:
        """Read on, or let the client's bytes wait in its own buffers."""
        if wanted != self._reading and not self.transport.is_closing():
            self._reading = wanted
            if wanted:
                self.transport.resume_reading()
            else:
                self.transport.pause_reading()

    def refuse(self, reason: str) -> None:
        """Close at once; what has been received is not answered."""
        logger.info("%s %s: closed: %s", self.protocol, self.address, reason)
        self.finishing = True
        self.transport.abort()

    def finish(self) -> None:
        """Read nothing more, answer what has been received whole, then close."""
        self.finishing = True
        self.read(False)
        self.resume()

    def close(self) -> None:
        """All is said. The client has a moment to say goodbye; one that sleeps on its connection need not hold us
        up."""
        if not self.transport.is_closing():
            pending = self.transport.get_write_buffer_size()
            self.transport.close()
            self.deadline = self.edge.now() + (self.edge.limits.write if pending else _GOODBYE)

    def expire(self) -> None:
        """The deadline has passed."""
        if self.transport.is_closing():
            return self.transport.abort()
        what = "does not take its answers" if self._blocked_until < NEVER else self.overdue()
        return self.refuse(f"the client {what}")

    @property
    def blocked(self) -> bool:
        """Whether the client does not take its answers."""
        return self._blocked_until < NEVER

    # -- what a subclass adds
    # -----------------------------------------------------------------------------------------

    def answered(self, answer: bytes | None) -> None:
        """The engine's next answer; None closes the connection."""
        raise NotImplementedError

    def resume(self) -> None:
        """Go on after the engine or the client's buffers held it up; close when finishing and done."""
        raise NotImplementedError

    def release(self) -> None:
        """The slow call has entered the engine."""
        self.resume()

    def settle(self) -> None:
        """Set `deadline` for what the connection waits for now."""
        raise NotImplementedError

    def overdue(self) -> str:
        """What the client has failed to do when `deadline` passes, for the log."""
        raise NotImplementedError

    def _identify(self) -> None:
        trust = self.edge.trust
        certificate, chain = certificates(cast(ssl.SSLObject, self.transport.get_extra_info("ssl_object")))
        identity = trust.identities.identify(certificate, chain)
        self._peer = Peer(
            identity, self.address, hashlib.sha256(certificate).hexdigest(), public_key=public_key(certificate)
        )
        self._trust = trust
