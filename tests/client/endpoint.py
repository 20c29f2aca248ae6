"""A client that waits for the server's messages: a real TLS server of the test, which keeps what it is sent."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kmipsrv.operations._registry import TO_CLIENT, load_all
from kmipsrv.spec.enums import Operation, ResultReason, ResultStatus
from kmipsrv.spec.messages import (
    ResponseBatchItem,
    request_parts,
    response_header,
    response_message,
    supported,
    version_of,
)
from kmipsrv.spec.schema import bind
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import Version
from kmipsrv.ttlv.codec import STRUCTURE, Item, decode, encode
from tests.server.pki import CA, Certified

HOST = "localhost"
load_all()


@dataclass
class Received:
    """One message: its payload as an object and as items."""

    operation: Operation
    payload: Any
    fields: list[Item]
    header: Any
    version: Version


@dataclass
class Waiting:
    """The endpoint. `refuse`: how many of the next messages are answered with Permission Denied."""

    ca: CA
    folder: Path
    server: Certified
    port: int = 0
    refuse: int = 0
    received: list[Received] = field(default_factory=list)
    handshakes: list[str] = field(default_factory=list)  # errors of handshakes

    def start(self) -> None:
        """Listen, on the same port as before."""
        certificate, key = self.server.save(self.folder, "endpoint")
        (self.folder / "endpoint-ca.pem").write_bytes(self.ca.pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        context.load_verify_locations(self.folder / "endpoint-ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        self._listening = socket.create_server((HOST, self.port))
        self._listening.settimeout(0.05)
        self.port = self._listening.getsockname()[1]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(context,))
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(10)
        self._listening.close()

    def until(self, true: Callable[[], object], seconds: float = 10) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, (self.received, self.handshakes)
            time.sleep(0.01)

    def await_messages(self, count: int) -> list[Received]:
        self.until(lambda: len(self.received) >= count)
        return self.received

    def _run(self, context: ssl.SSLContext) -> None:
        while not self._over.is_set():
            try:
                plain, _ = self._listening.accept()
            except TimeoutError:
                continue
            plain.settimeout(5)
            try:
                with plain, context.wrap_socket(plain, server_side=True) as tls:
                    self._talk(tls)
            except OSError as error:
                self.handshakes.append(str(error))

    def _talk(self, tls: ssl.SSLSocket) -> None:
        with contextlib.closing(tls.makefile("rb")) as stream:
            while head := stream.read(8):
                tls.sendall(self._answer(head + stream.read(int.from_bytes(head[4:], "big"))))

    def _answer(self, frame: bytes) -> bytes:
        message = decode(frame)
        version = supported(*version_of(message))
        assert version is not None
        header, ((_, _, fields),) = request_parts(message, version)
        found = {tag: value for tag, _, value in fields}
        operation = Operation(found[Tag.OPERATION])
        payload = bind(TO_CLIENT[operation].request, found[Tag.REQUEST_PAYLOAD], version)
        self.received.append(Received(operation, payload, found[Tag.REQUEST_PAYLOAD], header, version))
        item = ResponseBatchItem(
            operation=operation, result_status=ResultStatus.SUCCESS, response_payload=(STRUCTURE, [])
        )
        if self.refuse:
            self.refuse -= 1
            item.result_status, item.result_reason = ResultStatus.OPERATION_FAILED, ResultReason.PERMISSION_DENIED
            item.response_payload = None
        return encode(response_message(response_header(version, 0, 1), [item], version))
