"""The HTTPS door: one KMIP message per POST (KMIP Additional Message Encodings 1.0 §2; KMIP 2.1 §10.2).

§2.5: the server "SHALL return HTTP response code 200 if a KMIP response is available", with Content-Type,
Content-Length and "Cache-Control: no-cache". Everything that does not reach the engine is a plain HTTP status,
after which the connection is closed, so that no doubt about where a bad request ends can be used to smuggle another
one. HTTP itself is h11's.
"""

from __future__ import annotations

import email.utils
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar

import h11

from kmipsrv.errors import KmipError, TTLVError
from kmipsrv.identity.certificate import CertificateRefused
from kmipsrv.server.connection import NEVER, Connection, Edge
from kmipsrv.server.limits import Place
from kmipsrv.ttlv.framer import Framer

logger = logging.getLogger(__name__)

TTLV = "application/octet-stream"
JSON = "application/json"
XML = "text/xml"

# §2.4 and §2.5 name the first three; application/xml is RFC 7303's preferred name and clients use it.
CONTENT_TYPES = {TTLV: TTLV, JSON: JSON, XML: XML, "application/xml": XML}

_TARGET = re.compile(rb"(?:https?://[^/?#]*)?/kmip/?(?:\?.*)?", re.IGNORECASE)  # §2.3; RFC 9112 §3.2.2 absolute form
_MAX_HEAD = 16 << 10  # bytes of request line and headers

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Bodies:
    """The encodings besides TTLV. Both callables take the content type (`JSON` or `XML`) and bytes.

    `decode` gives TTLV and raises KmipError or ValueError for a body that is not that encoding; `encode` is its
    inverse. They run outside the loop's thread.
    """

    decode: Callable[[str, bytes], bytes]
    encode: Callable[[str, bytes], bytes]


class HttpConnection(Connection):
    """One connection of the HTTPS door; one request at a time."""

    protocol: ClassVar[str] = "https"

    def __init__(self, edge: Edge, address: str, place: Place, bodies: Bodies) -> None:
        super().__init__(edge, address, place)
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_HEAD)
        self._bodies = bodies
        self._content_type = TTLV
        self._body = bytearray()
        self._no_body = False  # the answer to HEAD has none
        self._begun = False  # bytes of the next request have come
        self._busy = False  # a request is whole and not answered
        self._frame: bytes | None = None  # of that request, while the engine has no room

    def data_received(self, data: bytes) -> None:
        if self.finishing and not self._busy:
            return
        self._http.receive_data(data)
        if not self._begun and not self._busy:
            self._begun = True
            self.settle()
        self._advance()

    def _advance(self) -> None:
        """Take events until a request is whole or more bytes are needed."""
        while not self._busy and not self.transport.is_closing():
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                return self._refuse(HTTPStatus(error.error_status_hint), "the request is not HTTP/1.1")
            if isinstance(event, h11.Request):
                refusal = self._judge(event)
                if refusal is not None:
                    return self._refuse(*refusal)
            elif isinstance(event, h11.Data):
                self._body += event.data
                if len(self._body) > self.edge.limits.message:
                    return self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is too long")
            elif isinstance(event, h11.EndOfMessage):
                self._request()
            elif isinstance(event, h11.ConnectionClosed):
                return self.close()
            else:  # NEED_DATA, or PAUSED behind a request that was the connection's last
                if self._http.they_are_waiting_for_100_continue:
                    self._write(h11.InformationalResponse(status_code=HTTPStatus.CONTINUE, headers=[]))
                return None
        return None

    def _judge(self, request: h11.Request) -> tuple[HTTPStatus, str, Headers] | None:
        """What is wrong with the head of a request."""
        self._no_body = request.method == b"HEAD"
        headers = {name: value.decode("latin-1").strip() for name, value in request.headers}
        if not _TARGET.fullmatch(request.target):
            return HTTPStatus.NOT_FOUND, "KMIP is at /kmip", []
        if request.method != b"POST":
            return HTTPStatus.METHOD_NOT_ALLOWED, "KMIP messages are sent by POST", [("Allow", "POST")]
        content_type = CONTENT_TYPES.get(headers.get(b"content-type", "").partition(";")[0].strip().lower())
        if content_type is None or headers.get(b"content-encoding", "identity").lower() != "identity":
            return HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send one of {', '.join(CONTENT_TYPES)}, not compressed", []
        if int(headers.get(b"content-length", "0")) > self.edge.limits.message:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is too long", []
        self._content_type = content_type
        return None

    def _request(self) -> None:
        """The body is whole."""
        self._busy, self._begun = True, False
        self.read(False)
        self.deadline = NEVER
        body, self._body = bytes(self._body), bytearray()
        if self._content_type == TTLV:
            self._enter(body)
        else:
            content_type = self._content_type
            self.edge.engine.aside(lambda: self._bodies.decode(content_type, body), self._decoded)

    def _decoded(self, frame: Any) -> None:
        if self.transport.is_closing():
            return
        if isinstance(frame, bytes):
            self._enter(frame)
            return
        logger.info("https %s: the body is not %s: %s", self.address, self._content_type, type(frame).__name__)
        said = f"the body is not a KMIP message in {self._content_type}"
        if isinstance(frame, KmipError):
            said = frame.message
        self._refuse(HTTPStatus.BAD_REQUEST, said)

    def _enter(self, frame: bytes) -> None:
        try:
            whole = Framer(self.edge.limits.message).feed(frame) == [frame]
            said = "the body is not one Request Message"
        except TTLVError as error:
            whole, said = False, error.message
        if not whole:
            return self._refuse(HTTPStatus.BAD_REQUEST, said)
        self._frame = frame
        return self.resume()

    def resume(self) -> None:
        if self.transport.is_closing():
            return
        if self._frame is not None and self.edge.engine.room(self):
            frame, self._frame = self._frame, None
            try:
                self.enter(frame)
            except CertificateRefused as error:
                self.refuse(str(error))
        elif self.finishing and not self._busy:
            self.close()

    def answered(self, answer: bytes | None) -> None:
        if self.transport.is_closing():
            return
        if answer is None:
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "the request failed")
        elif self._content_type == TTLV:
            self._respond(HTTPStatus.OK, TTLV, answer)
        else:
            content_type = self._content_type
            self.edge.engine.aside(lambda: self._bodies.encode(content_type, answer), self._encoded)

    def _encoded(self, body: Any) -> None:
        if self.transport.is_closing():
            return
        if isinstance(body, bytes):
            self._respond(HTTPStatus.OK, self._content_type, body)
        else:
            logger.error("https %s: an answer could not be encoded", self.address, exc_info=body)
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, "the answer could not be encoded")

    def _refuse(self, status: HTTPStatus, text: str, headers: Headers | None = None) -> None:
        logger.info("https %s: %d %s: %s", self.address, status, status.phrase, text)
        self.finishing = True
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return self.close()  # h11 has closed its half: nothing may be said any more
        return self._respond(status, "text/plain; charset=utf-8", f"{text}\n".encode(), headers)

    def _respond(self, status: HTTPStatus, content_type: str, body: bytes, headers: Headers | None = None) -> None:
        head = [
            ("Content-Type", content_type),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-cache"),
            ("Date", email.utils.formatdate(self.edge.clock(), usegmt=True)),
            *(headers or []),
        ]
        if self.finishing:
            head.append(("Connection", "close"))
        self._write(
            h11.Response(status_code=status, reason=status.phrase, headers=head),
            h11.Data(data=b"" if self._no_body else body),
            h11.EndOfMessage(),
        )
        self._busy = False
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return self.close()
        self._http.start_next_cycle()
        self._begun = bool(self._http.trailing_data[0])
        self.read(True)
        self.settle()
        return self._advance()

    def _write(self, *events: h11.Event) -> None:
        self.transport.write(b"".join(self._http.send(event) or b"" for event in events))

    def settle(self) -> None:
        if self.blocked or self.transport.is_closing():
            return
        limits = self.edge.limits
        if self._busy:
            self.deadline = NEVER
        else:
            self.deadline = self.edge.now() + (limits.read if self._begun else limits.idle)

    def overdue(self) -> str:
        return "does not finish its request" if self._begun else "has been idle for too long"
