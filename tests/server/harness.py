"""A server on loopback in a thread of the test, clients with real certificates, and an engine that only echoes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import uvloop

from kmipsrv.engine.call import Call
from kmipsrv.identity.certificate import Identities, TrustDomain
from kmipsrv.server.engine_thread import Answer, Prepare
from kmipsrv.server.http import Bodies
from kmipsrv.server.limits import Limits
from kmipsrv.server.listener import Door, Server
from kmipsrv.server.serve import bind
from kmipsrv.server.tls import Trust, trust
from tests.server.pki import CA, Certified, authority

DEADLINE = 10.0  # seconds until a test that waits for something gives up
HOST = "localhost"
T = TypeVar("T")


def request(text: bytes = b"", size: int = 0) -> bytes:
    """A frame that holds `text`, padded to `size` bytes of content or a multiple of eight."""
    body = text.ljust(max(size, -(-len(text) // 8) * 8), b"\0")
    return bytes.fromhex("42007801") + len(body).to_bytes(4, "big") + body


def response(frame: bytes) -> bytes:
    """What the echo engine answers to a frame."""
    return b"\x42\x00\x7b" + frame[3:]


def echo(calls: Sequence[Call]) -> list[bytes | None]:
    return [response(call.frame) for call in calls]


class World:
    """A CA, a server certificate and the files of both."""

    def __init__(self, folder: Path, ca: CA | None = None) -> None:
        self.folder = folder
        self.ca = ca or authority()
        self.certificate, self.key = self.ca.issue(f"CN={HOST}", server=True).save(folder, "server")
        (folder / "ca.pem").write_bytes(self.ca.pem)
        self.domains = [TrustDomain("default", self.ca.pem)]

    def trust(self) -> Trust:
        return trust(self.certificate, self.key, Identities(self.domains))

    def context(
        self,
        client: Certified | None,
        version: ssl.TLSVersion | None = None,
    ) -> ssl.SSLContext:
        """A client's TLS context; `version`: the only one that it speaks."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=self.ca.pem.decode())
        if version is not None:
            context.minimum_version = context.maximum_version = version
        if client is not None:
            context.load_cert_chain(*client.save(self.folder, f"client-{client.certificate.serial_number}"))
        return context


class Running:
    """A `Server` on a random port of loopback, on an event loop in a thread."""

    def __init__(
        self,
        world: World,
        limits: Limits,
        answer: Answer,
        prepare: Prepare | None,
        bodies: Bodies | None,
        clock: Callable[[], float],
        loop_factory: Callable[[], asyncio.AbstractEventLoop],
    ) -> None:
        self.world = world
        self.sockets = [bind("127.0.0.1", 0) for _ in range(1 if bodies is None else 2)]
        self.port = int(self.sockets[0].getsockname()[1])
        self.https_port = int(self.sockets[-1].getsockname()[1])
        doors = [Door(self.sockets[0])] + [Door(one, "https") for one in self.sockets[1:]]
        self.loop = loop_factory()
        self.server: Server
        self._clients: list[socket.socket] = []  # closed at the end, whatever the test forgets
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

        async def start() -> None:
            self.server = Server(doors, world.trust(), limits, answer, prepare, bodies, clock)
            self.server.start()

        self.run(start())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(DEADLINE)

    def ask(self, question: Callable[[], T]) -> T:
        """The answer to a question about the server, asked in its own thread."""

        async def coroutine() -> T:
            return question()

        return self.run(coroutine())

    def until(self, true: Callable[[], bool]) -> None:
        """Wait until something is true of the server."""
        deadline = time.monotonic() + DEADLINE
        while not self.ask(true):
            assert time.monotonic() < deadline, "it did not become true in time"
            time.sleep(0.005)

    def plain(self, port: int | None = None) -> socket.socket:
        raw = socket.create_connection(("127.0.0.1", port or self.port), timeout=DEADLINE)
        self._clients.append(raw)
        return raw

    def connect(
        self,
        client: Certified | None,
        *,
        version: ssl.TLSVersion | None = None,
        context: ssl.SSLContext | None = None,
        session: ssl.SSLSession | None = None,
        port: int | None = None,
    ) -> ssl.SSLSocket:
        context = context or self.world.context(client, version)
        raw = self.plain(port)
        try:
            connection = context.wrap_socket(raw, server_hostname=HOST, session=session)
        except BaseException:
            raw.close()
            raise
        self._clients.append(connection)
        return connection

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self.run(self.server.drain())

        async def rest() -> None:
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            await asyncio.gather(*others, return_exceptions=True)
            await asyncio.sleep(0)

        self.run(rest())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(DEADLINE)
        self.loop.close()
        for one in self.sockets:
            one.close()


@contextlib.contextmanager
def running(
    world: World,
    limits: Limits | None = None,
    answer: Answer = echo,
    *,
    prepare: Prepare | None = None,
    bodies: Bodies | None = None,
    clock: Callable[[], float] = time.time,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop,
) -> Iterator[Running]:
    server = Running(world, limits or Limits(drain=2.0), answer, prepare, bodies, clock, loop_factory)
    try:
        yield server
    finally:
        server.close()


def receive(connection: socket.socket, size: int) -> bytes:
    """Exactly `size` bytes, or fewer if the other side closes."""
    data = b""
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        if not chunk:
            break
        data += chunk
    return data


def exchange(connection: socket.socket, frame: bytes) -> bytes:
    """Send a frame and receive as many bytes."""
    connection.sendall(frame)
    return receive(connection, len(frame))


def closed(connection: socket.socket) -> bool:
    """Wait for the other side to close; whatever it says before is skipped."""
    try:
        while connection.recv(65536):
            pass
    except (ssl.SSLError, ConnectionError):
        return True
    return True
