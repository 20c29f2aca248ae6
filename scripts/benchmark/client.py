"""The load of load.c in Python, for machines without a compiler: same arguments, same output. Run as a process of its own.

It costs more for each message than load.c does, which the echo's rate shows.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
import time
from array import array
from pathlib import Path
from typing import cast

import uvloop

from kmipsrv.spec.enums import ResultStatus
from kmipsrv.spec.tags import Tag
from kmipsrv.ttlv.codec import decode

GRACE = 5.0  # seconds for the last answers


class Load:
    """What all connections share; times are seconds of the monotonic clock."""

    def __init__(self, requests: list[bytes], start: float, end: float) -> None:
        self.requests, self.start, self.end = requests, start, end
        self.latencies = array("I")
        self.failures = 0


class Connection(asyncio.Protocol):
    """Sends one request, waits for the whole answer, checks it and sends the next."""

    def __init__(self, load: Load, turn: int) -> None:
        self.load, self.turn = load, turn
        self.done = asyncio.get_running_loop().create_future()
        self._answer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own is none by class

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.load.failures += 1
            self.done.set_result(None)

    def send(self) -> None:
        requests = self.load.requests
        self.sent = time.monotonic()
        self.transport.write(requests[self.turn % len(requests)])
        self.turn += 1

    def data_received(self, data: bytes) -> None:
        self._answer += data
        if len(self._answer) < 8 or len(self._answer) < 8 + int.from_bytes(self._answer[4:8], "big"):
            return
        now, load = time.monotonic(), self.load
        if not succeeded(bytes(self._answer)):
            load.failures += 1
        elif load.start <= now < load.end:
            load.latencies.append(int(1e6 * (now - self.sent)))
        self._answer.clear()
        if now < load.end:
            self.send()
        else:
            self.done.set_result(None)


def succeeded(answer: bytes) -> bool:
    """Whether every Batch Item of a Response Message says Result Status Success."""
    _, _, (_, *items) = decode(answer)
    statuses = [value for _, _, fields in items for tag, _, value in fields if tag == Tag.RESULT_STATUS]
    return bool(items) and statuses == [ResultStatus.SUCCESS] * len(items)


def cut(data: bytes) -> list[bytes]:
    """Messages one behind the other -> each of them."""
    messages, at = [], 0
    while at < len(data):
        size = 8 + int.from_bytes(data[at + 4 : at + 8], "big")
        messages.append(data[at : at + size])
        at += size
    return messages


async def run(
    host: str, port: str, ca: str, certificate: str, key: str, connections: str, warm: str, seconds: str, requests: str
) -> None:
    context = ssl.create_default_context(cafile=ca)
    context.check_hostname = False
    context.load_cert_chain(certificate, key)
    load = Load(cut(await asyncio.to_thread(Path(requests).read_bytes)), 0.0, 0.0)
    loop = asyncio.get_running_loop()
    opened: list[Connection] = []
    for turn in range(int(connections)):
        _, made = await loop.create_connection(lambda turn=turn: Connection(load, turn), host, int(port), ssl=context)  # type: ignore[misc]
        opened.append(made)
    load.start = time.monotonic() + float(warm)
    load.end = load.start + float(seconds)
    for each in opened:
        each.send()
    _, late = await asyncio.wait([each.done for each in opened], timeout=float(warm) + float(seconds) + GRACE)
    tls = opened[0].transport.get_extra_info("ssl_object")
    result = {
        "answers": len(load.latencies),
        "failures": load.failures + len(late),
        "seconds": float(seconds),
        "tls": f"{tls.version()} {tls.cipher()[0]}",
    }
    sys.stdout.buffer.write(json.dumps(result).encode() + b"\n" + load.latencies.tobytes())


if __name__ == "__main__":
    uvloop.run(run(*sys.argv[1:]))
