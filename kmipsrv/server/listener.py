"""One process of the server: accepts, shakes hands, sweeps what is overdue, drains.

Connections are accepted here and not by the loop's own server because they have to be counted before the handshake:
the loop's server would let any number of strangers sit in handshakes. Every worker watches the same listening
socket.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from kmipsrv.server.connection import Connection, Edge
from kmipsrv.server.engine_thread import Answer, EngineThread, Prepare
from kmipsrv.server.http import Bodies, HttpConnection
from kmipsrv.server.limits import Counters, LimitReached, Limits, Place
from kmipsrv.server.tcp import KmipConnection
from kmipsrv.server.tls import Trust

logger = logging.getLogger(__name__)

_KEEPALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 15), (socket.TCP_KEEPCNT, 4))
_POLITE_PAUSE = 0.001  # seconds
_NO_DESCRIPTORS_PAUSE = 0.5  # seconds without accepting after the process ran out of file descriptors


@dataclass(frozen=True, slots=True)
class Door:
    """A bound, listening socket and what is spoken there."""

    socket: socket.socket
    protocol: Literal["kmip", "https"] = "kmip"


class Server:
    """All doors of one process. Belongs to the thread of the running event loop."""

    def __init__(
        self,
        doors: Sequence[Door],
        trust: Trust,
        limits: Limits,
        answer: Answer,
        prepare: Prepare | None = None,
        bodies: Bodies | None = None,
        clock: Callable[[], float] = time.time,
        counters: Counters | None = None,
    ) -> None:
        if bodies is None and any(door.protocol == "https" for door in doors):
            raise ValueError("an HTTPS door needs the encodings of bodies")
        self._loop = asyncio.get_running_loop()
        self._doors = doors
        self._bodies = bodies
        self._limits = limits
        self._engine = EngineThread(answer, prepare, limits)
        self.counters = counters or Counters(limits)
        self.edge = Edge(trust, limits, self._engine, clock)
        self._handshakes: set[asyncio.Task[None]] = set()
        self._sweep_every = min(limits.read, limits.write, limits.idle, 4.0) / 4
        self._sweeper: asyncio.TimerHandle | None = None
        self._draining = False

    def start(self) -> None:
        """Accept connections."""
        for door in self._doors:
            door.socket.setblocking(False)
            self._loop.add_reader(door.socket.fileno(), self._accept, door)
        self._sweep()

    def reload(self, trust: Trust) -> None:
        """New connections are judged by `trust` at once, open ones with their next request."""
        self.edge.trust = trust

    async def drain(self) -> None:
        """Accept nothing more, answer what has been received whole, close; bounded by `Limits.drain`."""
        if self._draining:
            return
        self._draining = True
        deadline = self._loop.time() + self._limits.drain
        for door in self._doors:
            self._loop.remove_reader(door.socket.fileno())
            door.socket.close()  # a client is told at once to go elsewhere, not kept in the backlog
        for task in list(self._handshakes):
            task.cancel()
        for connection in list(self.edge.connections):
            connection.finish()
        while self.edge.connections and self._loop.time() < deadline:
            await asyncio.sleep(0.01)
            self._expire()
        for connection in list(self.edge.connections):
            connection.refuse("the server stops")
        await self._engine.stop(max(deadline - self._loop.time(), 0.1))
        if self._sweeper is not None:
            self._sweeper.cancel()

    def _accept(self, door: Door) -> None:
        """One connection per wake-up, and only if no other worker has fewer.

        All workers wake up for a connection. Left to chance, the quickest takes most of a burst (1 of 64 against 63
        has been seen); so the busier ones step back for a moment, after which they take what is left.
        """
        if self.counters.busier:
            self._step_back(door, _POLITE_PAUSE)
        else:
            self._take(door)

    def _step_back(self, door: Door, seconds: float) -> None:
        self._loop.remove_reader(door.socket.fileno())
        self._loop.call_later(seconds, self._step_forth, door)

    def _step_forth(self, door: Door) -> None:
        if not self._draining:
            self._loop.add_reader(door.socket.fileno(), self._accept, door)
            self._take(door)

    def _take(self, door: Door) -> None:
        try:
            client, peer = door.socket.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another worker was quicker, or the client has gone
        except OSError as error:
            logger.error("connections cannot be accepted: %s", error)
            self._step_back(door, _NO_DESCRIPTORS_PAUSE)
            return
        address = str(peer[0])
        try:
            place = self.counters.begin(address)
        except LimitReached as limit:
            logger.warning("%s %s: refused: %s", door.protocol, address, limit)
            client.close()
            return
        task = self._loop.create_task(self._shake_hands(door, client, address, place))
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    async def _shake_hands(self, door: Door, client: socket.socket, address: str, place: Place) -> None:
        connection = self._connection(door, address, place)
        try:
            client.setblocking(False)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # a peer that is gone is noticed, idle or not
            for option, value in _KEEPALIVE:
                client.setsockopt(socket.IPPROTO_TCP, option, value)
            await self._loop.connect_accepted_socket(
                lambda: connection,
                client,
                ssl=self.edge.trust.context,
                ssl_handshake_timeout=self._limits.handshake,
                ssl_shutdown_timeout=self._limits.write,
            )
        except (OSError, ssl.SSLError, TimeoutError) as error:
            logger.info("%s %s: the TLS handshake failed: %s", door.protocol, address, error)
            place.release()
        except asyncio.CancelledError:
            place.release()
        finally:
            place.shaken()

    def _connection(self, door: Door, address: str, place: Place) -> Connection:
        if door.protocol == "https" and self._bodies is not None:
            return HttpConnection(self.edge, address, place, self._bodies)
        return KmipConnection(self.edge, address, place)

    def _sweep(self) -> None:
        self._expire()
        self._sweeper = self._loop.call_later(self._sweep_every, self._sweep)

    def _expire(self) -> None:
        """Close every connection whose deadline has passed."""
        now = self._loop.time()
        for connection in [one for one in self.edge.connections if one.deadline <= now]:
            connection.expire()
