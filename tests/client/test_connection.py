"""What a connection takes for an answer; the bytes come from a socket whose other end the test holds."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from kmipsrv.client import ProtocolFailure, connect
from kmipsrv.client.connection import MAX_ANSWER, Connection

ANSWER = bytes.fromhex("42007b0100000008") + bytes(8)


@pytest.fixture
def ends() -> Iterator[tuple[Connection, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.settimeout(5)
    with ours, theirs:
        yield Connection(cast(ssl.SSLSocket, ours)), theirs


def test_an_answer_in_pieces_and_two_in_one(ends: tuple[Connection, socket.socket]) -> None:
    connection, server = ends
    server.sendall(ANSWER + ANSWER)
    assert connection.exchange(b"one") == ANSWER
    assert connection.exchange(b"two") == ANSWER
    assert server.recv(64) == b"onetwo"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not answer with a Response Message"),
        (bytes.fromhex("4200780100000000"), "does not answer with a Response Message"),
        (ANSWER[:4] + (MAX_ANSWER + 8).to_bytes(4, "big"), "longer than"),
    ],
)
def test_what_is_no_answer(ends: tuple[Connection, socket.socket], said: bytes, why: str) -> None:
    connection, server = ends
    server.sendall(said)
    with pytest.raises(ProtocolFailure, match=why):
        connection.exchange(b"")


@pytest.mark.parametrize("said", [b"", ANSWER[:5], ANSWER[:-1]])
def test_a_server_that_goes_away(ends: tuple[Connection, socket.socket], said: bytes) -> None:
    connection, server = ends
    server.sendall(said)
    server.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionError):
        connection.exchange(b"")


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        connect("127.0.0.1", 1, tmp_path / "c", tmp_path / "k", tmp_path / "ca")
