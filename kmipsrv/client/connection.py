"""One TLS connection on which request messages go and response messages come (KMIP Profiles 2.1 §3, KMIP 2.1 §10.1)."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path
from typing import Self

from kmipsrv.client.failures import ProtocolFailure

TIMEOUT = 30.0  # seconds for any one step
MAX_ANSWER = 16 * 1024 * 1024  # bytes
_RESPONSE_MESSAGE = bytes.fromhex("42007b01")  # tag Response Message, type Structure
_HEADER = 8


class Connection:
    """Sends a frame, receives a frame. Not for several threads at once."""

    def __init__(self, tls: ssl.SSLSocket) -> None:
        self._tls = tls

    @classmethod
    def open(cls, host: str, port: int, certificate: Path, key: Path, ca: Path, timeout: float = TIMEOUT) -> Self:
        """Connect as the holder of `certificate` (PEM) to a server whose certificate `ca` signed. Raises OSError."""
        context = ssl.create_default_context(cafile=ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(certificate, key)
        plain = socket.create_connection((host, port), timeout)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return cls(context.wrap_socket(plain, server_hostname=host))
        except BaseException:
            plain.close()
            raise

    def exchange(self, frame: bytes) -> bytes:
        """The answer to one request message. Raises OSError, ProtocolFailure."""
        self._tls.sendall(frame)
        head = self._receive(_HEADER)
        length = int.from_bytes(head[4:], "big")
        if head[:4] != _RESPONSE_MESSAGE:
            raise ProtocolFailure("the server does not answer with a Response Message")
        if length > MAX_ANSWER:
            raise ProtocolFailure(f"the answer is longer than {MAX_ANSWER} bytes")
        return head + self._receive(length)

    def _receive(self, count: int) -> bytes:
        parts = bytearray()
        while len(parts) < count:
            part = self._tls.recv(count - len(parts))
            if not part:
                raise ConnectionError("the server closed the connection")
            parts += part
        return bytes(parts)

    def close(self) -> None:
        self._tls.close()
