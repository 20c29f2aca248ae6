"""The HTTPS door: bodies, keep-alive, and every way to ask wrongly."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import pytest

from kmipsrv.engine.call import Call
from kmipsrv.errors import TTLVError
from kmipsrv.server.http import JSON, XML, Bodies
from kmipsrv.server.limits import Limits
from tests.server.harness import DEADLINE, HOST, Running, World, closed, receive, request, response, running
from tests.server.pki import Certified

TTLV = "application/octet-stream"


def decode(content_type: str, body: bytes) -> bytes:
    """An encoding of the test's own: the frame as hexadecimal, in JSON or between XML tags."""
    text = body.decode("utf-8")
    if content_type == JSON:
        return bytes.fromhex(json.loads(text))
    if not text.startswith("<hex>"):
        raise TTLVError("the XML does not begin with <hex>")
    return bytes.fromhex(text.removeprefix("<hex>").removesuffix("</hex>"))


def encode(content_type: str, frame: bytes) -> bytes:
    if b"unspeakable" in frame:
        raise ValueError("unspeakable")
    return json.dumps(frame.hex()).encode() if content_type == JSON else f"<hex>{frame.hex()}</hex>".encode()


def answer(calls: Sequence[Call]) -> Sequence[bytes | None]:
    return [None if b"refuse" in call.frame else response(call.frame) for call in calls]


@pytest.fixture
def server(world: World) -> Iterator[Running]:
    limits = Limits(message=1024, read=0.5, drain=2.0)
    with running(world, limits, answer, bodies=Bodies(decode, encode)) as one:
        yield one


class Client(http.client.HTTPConnection):
    """Python's own HTTP client on a TLS connection of the harness."""

    def __init__(self, server: Running, certificate: Certified) -> None:
        super().__init__(HOST)
        self.sock = self.tls = server.connect(certificate, port=server.https_port)

    def post(self, body: bytes, content_type: str = TTLV, path: str = "/kmip") -> tuple[int, str, bytes]:
        self.request("POST", path, body, {"Content-Type": content_type, "Cache-Control": "no-cache"})
        return self.answer()

    def answer(self) -> tuple[int, str, bytes]:
        answer = self.getresponse()
        body = answer.read()
        assert answer.headers["Cache-Control"] == "no-cache"
        assert int(answer.headers["Content-Length"]) == len(body)
        return answer.status, answer.headers["Content-Type"], body


@pytest.fixture
def client(server: Running, alice: Certified) -> Client:
    return Client(server, alice)


def test_slow_work_holds_up_no_bodies(world: World, alice: Certified, bob: Certified) -> None:
    may_finish = threading.Event()

    def prepare(call: Call) -> Callable[[], Any] | None:
        return (lambda: may_finish.wait(DEADLINE)) if b"slow" in call.frame else None

    with running(world, prepare=prepare, bodies=Bodies(decode, encode)) as server:
        busy = [server.connect(each) for each in (alice, bob, alice, bob)]
        for connection in busy:
            connection.sendall(request(b"slow"))
        status, _, body = Client(server, alice).post(encode(XML, request(b"quick")), XML)
        assert (status, body) == (200, encode(XML, response(request(b"quick"))))
        assert not may_finish.is_set()
        may_finish.set()
        for connection in busy:
            assert receive(connection, 16) == response(request(b"slow"))


def test_all_three_encodings_on_one_connection(client: Client) -> None:
    frame = request(b"hello")
    tls = client.tls
    for _ in range(3):
        assert client.post(frame) == (200, TTLV, response(frame))
        assert client.post(decoded := encode(JSON, frame), JSON) == (200, JSON, encode(JSON, response(frame)))
        assert decoded.startswith(b'"')
        for content_type in (XML, "application/xml", "Text/XML; charset=utf-8"):
            assert client.post(encode(XML, frame), content_type) == (200, XML, encode(XML, response(frame)))
    assert client.sock is tls  # kept alive


def test_the_request_of_the_standards_example(server: Running, alice: Certified) -> None:
    """Additional Message Encodings 1.0 §3.1.1: HTTP/1.0, and a Content-Length with spaces behind it."""
    frame = request(b"hello")
    connection = server.connect(alice, port=server.https_port)
    connection.sendall(
        b"POST /kmip HTTP/1.0\r\nPragma: no-cache\r\nCache-Control: no-cache\r\nConnection: keep-alive\r\n"
        b"Content-Type: application/octet-stream\r\nContent-Length: %d      \r\n\r\n" % len(frame) + frame
    )
    answered = connection.recv(65536)
    while response(frame) not in answered:
        answered += connection.recv(65536)
    assert answered.startswith(b"HTTP/1.1 200 OK\r\n")
    assert closed(connection)


def test_pipelined_posts_are_answered_in_order(server: Running, alice: Certified) -> None:
    frames = [request(b"%04d" % number) for number in range(100)]
    connection = server.connect(alice, port=server.https_port)
    connection.sendall(
        b"".join(
            b"POST /kmip HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: 16\r\n\r\n"
            + frame
            for frame in frames
        )
    )
    received = b""
    while received.count(b"HTTP/1.1 200 OK") < 100 or not received.endswith(response(frames[-1])):
        chunk = connection.recv(65536)
        assert chunk
        received += chunk
    positions = [received.index(response(frame)) for frame in frames]
    assert positions == sorted(positions)


def test_a_chunked_body_and_expect_continue(server: Running, alice: Certified) -> None:
    frame = request(b"hello", 64)
    connection = server.connect(alice, port=server.https_port)
    connection.sendall(
        b"POST https://localhost/kmip HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n"
        b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"
    )
    go_on = b"HTTP/1.1 100 \r\n\r\n"
    assert receive(connection, len(go_on)) == go_on
    for at in range(0, len(frame), 8):
        connection.sendall(b"8\r\n" + frame[at : at + 8] + b"\r\n")
    connection.sendall(b"0\r\n\r\n")
    received = b""
    while not received.endswith(response(frame)):
        received += connection.recv(65536)
    assert received.startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    ("method", "path", "content_type", "body", "status"),
    [
        ("GET", "/kmip", TTLV, b"", 405),
        ("HEAD", "/kmip", TTLV, b"", 405),
        ("PUT", "/kmip", TTLV, request(b"x"), 405),
        ("POST", "/", TTLV, request(b"x"), 404),
        ("POST", "/kmip/../etc", TTLV, request(b"x"), 404),
        ("POST", "/kmip", "text/plain", request(b"x"), 415),
        ("POST", "/kmip", "", request(b"x"), 415),
        ("POST", "/kmip", TTLV, request(b"", 2048), 413),
        ("POST", "/kmip", TTLV, b"", 400),
        ("POST", "/kmip", TTLV, b"garbage!", 400),
        ("POST", "/kmip", TTLV, request(b"one") + request(b"two"), 400),
        ("POST", "/kmip", TTLV, request(b"one")[:-1], 400),
        ("POST", "/kmip", JSON, b"{", 400),
        ("POST", "/kmip", JSON, b'"00"', 400),
        ("POST", "/kmip", XML, b"<!DOCTYPE bomb>", 400),
        ("POST", "/kmip", TTLV, request(b"refuse"), 500),
        ("POST", "/kmip", JSON, b'"' + request(b"unspeakable").hex().encode() + b'"', 500),
    ],
)
def test_what_is_wrong_gets_its_status_and_a_closed_connection(
    server: Running, alice: Certified, method: str, path: str, content_type: str, body: bytes, status: int
) -> None:
    client = Client(server, alice)
    client.request(method, path, body, {"Content-Type": content_type} if content_type else {})
    answered = client.getresponse()
    text = answered.read()
    assert answered.status == status
    assert answered.headers["Connection"] == "close"
    assert (answered.headers["Allow"] == "POST") == (status == 405)
    assert (text == b"") == (method == "HEAD")
    assert b"Traceback" not in text
    assert Client(server, alice).post(request(b"alive"))[0] == 200


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"\x00\x01\x02\r\n\r\n", b" 400 "),
        (b"POST /kmip HTTP/1.1\r\n\r\n", b" 400 "),  # no Host
        (b"POST /kmip HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", b" 400 "),
        (b"POST /kmip HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\nContent-Length: 16\r\n\r\n", b" 400 "),
        (b"POST /kmip HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", b" 501 "),
        (b"POST /kmip HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 40_000, b" 431 "),
        (
            b"POST /kmip HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n" + (b"100\r\n" + bytes(256) + b"\r\n") * 8,
            b" 413 ",
        ),
        (
            b"POST /kmip HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\nContent-Encoding: gzip\r\n"
            b"Content-Length: 8\r\n\r\n",
            b" 415 ",
        ),
        (
            b"POST /kmip HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b" 400 ",
        ),
    ],
)
def test_hostile_http_gets_a_status_and_a_closed_connection(
    server: Running, alice: Certified, raw: bytes, status: bytes
) -> None:
    connection = server.connect(alice, port=server.https_port)
    connection.sendall(raw)
    assert status in connection.recv(65536).partition(b"\r\n")[0]
    assert closed(connection)


def test_a_body_that_does_not_come_is_given_up(server: Running, alice: Certified) -> None:
    connection = server.connect(alice, port=server.https_port)
    connection.sendall(b"POST /kmip HTTP/1.1\r\nHost: x\r\nContent-Length: 64\r\nContent-Type: text/xml\r\n\r\n<")
    assert closed(connection)


def test_no_certificate_no_http(server: Running) -> None:
    with suppress(ssl.SSLError, ConnectionError):
        assert receive(server.connect(None, port=server.https_port), 1) == b""
    server.until(lambda: server.server.counters.connections == 0)


def test_the_drain_answers_and_says_that_it_closes(server: Running, client: Client) -> None:
    assert client.post(request(b"one"))[0] == 200
    server.run(server.server.drain())
    assert closed(client.tls)
