"""A TLS server that answers each request with the same bytes: `echo.py PORT STATE ANSWER`. The benchmark's floor."""

from __future__ import annotations

import asyncio
import ssl
import sys
from pathlib import Path
from typing import cast

import uvloop

from kmipsrv.ttlv.framer import Framer


class Echo(asyncio.Protocol):
    """One connection."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._framer = Framer(1 << 20)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own is none by class

    def data_received(self, data: bytes) -> None:
        for _ in self._framer.feed(data):
            self._transport.write(self._answer)


async def serve(port: int, certs: Path, answer: bytes) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certs / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certs / "server.pem", certs / "server.key")
    server = await asyncio.get_running_loop().create_server(lambda: Echo(answer), "127.0.0.1", port, ssl=context)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), Path(sys.argv[2]) / "certs", Path(sys.argv[3]).read_bytes()))
