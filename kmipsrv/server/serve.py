"""Ties the edge together: listening sockets, an event loop, the signals of one process.

    SIGTERM, SIGINT   drain: accept nothing more, answer what has been received, end
    SIGHUP            reload the certificates; if they cannot be read, the old ones stay

`run` is one process; `workers.supervise` runs several. uvloop where it is installed, else asyncio's own loop, which
holds an idle connection in several times the memory and answers about half as fast.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, cast

from kmipsrv.errors import ConfigError
from kmipsrv.server.engine_thread import Answer, Prepare
from kmipsrv.server.http import Bodies
from kmipsrv.server.limits import Counters, Limits
from kmipsrv.server.listener import Door, Server
from kmipsrv.server.tls import Trust
from kmipsrv.server.workers import Seat

logger = logging.getLogger(__name__)

_BACKLOG = 1024  # connections that the kernel completes before they are accepted


def bind(host: str, port: int) -> socket.socket:
    """A listening TCP socket; port 0 takes a free one. Raises ConfigError with the mend.

    It is bound once and inherited by the workers. Sockets of their own (SO_REUSEPORT) would let a second server
    start on the same port unnoticed, would lose the connections in the backlog of a worker that dies, and balance
    no better.
    """
    try:
        family, kind, number, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise ConfigError(f"the address {host} to listen on is not known: {error.strerror}") from error
    listening = socket.socket(family, kind, number)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise ConfigError(
            f"cannot listen on {host}:{port}: {error.strerror}; stop what is there or choose another port"
        ) from error
    return listening


async def serve(
    doors: Sequence[Door],
    trust: Trust,
    limits: Limits,
    answer: Answer,
    *,
    prepare: Prepare | None = None,
    bodies: Bodies | None = None,
    ready: Callable[[], None] = lambda: None,
    reload: Callable[[], Trust] | None = None,
    seat: Seat | None = None,
    clock: Callable[[], float] = time.time,
) -> None:
    """Serve until a signal says stop. Must run in the main thread, which alone gets signals.

    `answer` and `prepare`: see engine_thread.py. `ready` is called when connections are accepted. `reload` makes a new
    Trust and raises ConfigError. `seat`: given by workers.py; without its parent this process drains too.
    """
    loop = asyncio.get_running_loop()
    counters = Counters(limits) if seat is None else Counters(limits, seat.shares, seat.worker)
    server = Server(doors, trust, limits, answer, prepare, bodies, clock, counters)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, _reload, server, reload)
    if seat is not None:
        loop.add_reader(seat.lifeline, stop.set)
    server.start()
    ready()
    try:
        await stop.wait()
    finally:
        if seat is not None:
            loop.remove_reader(seat.lifeline)
        logger.info("process %d drains %d connections", os.getpid(), len(server.edge.connections))
        await server.drain()


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run `serve(...)` to its end on the best event loop there is."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(main)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:
        logger.warning("uvloop is not installed: asyncio's own loop serves, slower and with more memory")
        return asyncio.new_event_loop
    return cast(Callable[[], asyncio.AbstractEventLoop], uvloop.new_event_loop)


def _reload(server: Server, reload: Callable[[], Trust] | None) -> None:
    if reload is None:
        return
    try:
        server.reload(reload())
    except (ConfigError, ValueError, OSError) as error:
        logger.error("the certificates are not reloaded, the old ones stay: %s", error)
    else:
        logger.info("the certificates are reloaded")
