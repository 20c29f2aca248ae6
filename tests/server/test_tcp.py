"""The KMIP door: order, bounds, faults, and an engine that misbehaves."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import uvloop

from kmipsrv.client.attestation import public_key_of
from kmipsrv.engine.call import Call
from kmipsrv.errors import StoreConflict
from kmipsrv.server.limits import Limits
from kmipsrv.server.tcp import KmipConnection
from tests.server.harness import DEADLINE, Running, World, closed, echo, exchange, receive, request, response, running
from tests.server.pki import Certified


@pytest.mark.parametrize("loop_factory", [uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def test_a_request_is_answered(
    world: World, alice: Certified, loop_factory: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    seen: list[Call] = []

    def answer(calls: Sequence[Call]) -> Sequence[bytes | None]:
        seen.extend(calls)
        return echo(calls)

    with running(world, answer=answer, loop_factory=loop_factory) as server, server.connect(alice) as client:
        for size in (8, 304, 100_000):
            frame = request(b"hello", size)
            assert exchange(client, frame) == response(frame)
    peer = seen[0].peer
    assert (peer.identity.owner, peer.address, len(peer.fingerprint)) == ("default:CN=alice", "127.0.0.1", 64)
    assert peer.public_key == public_key_of(alice.pem)
    assert seen[0].prepared is None


def test_a_frame_may_come_in_any_pieces(world: World, alice: Certified) -> None:
    frame = request(b"in pieces", 64)
    with running(world) as server, server.connect(alice) as client:
        for at in range(len(frame)):
            client.sendall(frame[at : at + 1])
        assert receive(client, len(frame)) == response(frame)


def test_pipelined_requests_are_answered_in_order(world: World, alice: Certified) -> None:
    frames = [request(b"%06d" % number) for number in range(1000)]
    with running(world, Limits(pipeline=4, drain=2.0)) as server, server.connect(alice) as client:
        client.sendall(b"".join(frames))
        assert receive(client, 16 * len(frames)) == b"".join(response(frame) for frame in frames)


def test_a_slow_request_holds_up_only_its_own_connection(world: World, alice: Certified) -> None:
    may_finish = threading.Event()

    def prepare(call: Call) -> Callable[[], Any] | None:
        def work() -> str:
            assert may_finish.wait(DEADLINE)
            return "a key pair"

        return work if b"slow" in call.frame else None

    seen: list[Any] = []

    def answer(calls: Sequence[Call]) -> Sequence[bytes | None]:
        seen.extend((call.frame[8:12], call.prepared) for call in calls)
        return echo(calls)

    frames = [request(b"one"), request(b"slow"), request(b"two"), request(b"slow"), request(b"three")]
    with (
        running(world, answer=answer, prepare=prepare) as server,
        server.connect(alice) as slow,
        server.connect(alice) as quick,
    ):
        slow.sendall(b"".join(frames))
        assert receive(slow, 16) == response(frames[0])
        for _ in range(20):
            assert exchange(quick, request(b"quick")) == response(request(b"quick"))
        may_finish.set()
        assert receive(slow, 16 * 4) == b"".join(response(frame) for frame in frames[1:])
    assert [entry for entry in seen if entry[0] != b"quic"] == [
        (b"one\0", None),
        (b"slow", "a key pair"),
        (b"two\0", None),
        (b"slow", "a key pair"),
        (b"thre", None),
    ]


def test_one_client_cannot_keep_all_threads_for_slow_work(world: World, alice: Certified, bob: Certified) -> None:
    may_finish = threading.Event()
    at_work: list[str] = []  # owners, each for as long as its work takes
    most: list[int] = []

    def prepare(call: Call) -> Callable[[], Any] | None:
        owner = call.peer.identity.owner

        def work() -> None:
            at_work.append(owner)
            most.append(at_work.count(owner))
            assert b"hold" not in call.frame or may_finish.wait(DEADLINE)
            at_work.remove(owner)

        return work

    with running(world, prepare=prepare) as server, contextlib.ExitStack() as stack:
        greedy = [stack.enter_context(server.connect(alice)) for _ in range(6)]
        for client in greedy:
            client.sendall(request(b"hold"))
        server.until(lambda: bool(at_work))
        with server.connect(bob) as other:
            for _ in range(5):
                assert exchange(other, request(b"mine")) == response(request(b"mine"))
        assert len(at_work) == 1, "the greedy client's first work is all that it has at hand"
        may_finish.set()
        for client in greedy:
            assert receive(client, 16) == response(request(b"hold"))
    assert set(most) == {1}


def test_a_failure_while_preparing_leaves_the_request_to_the_engine(
    world: World, alice: Certified, caplog: pytest.LogCaptureFixture
) -> None:
    def prepare(call: Call) -> Callable[[], Any] | None:
        def work() -> None:
            raise RuntimeError("no entropy")

        if b"odd" in call.frame:
            raise RuntimeError("cannot judge")
        return work if b"slow" in call.frame else None

    frames = [request(text) for text in (b"one", b"slow", b"odd", b"two")]
    with running(world, prepare=prepare) as server, server.connect(alice) as client:
        client.sendall(b"".join(frames))
        assert receive(client, 64) == b"".join(response(frame) for frame in frames)
    assert "no entropy" in caplog.text
    assert "cannot judge" in caplog.text


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        bytes(100),
        bytes.fromhex("42007b0100000008") + bytes(8),
        bytes.fromhex("4200780100000009") + bytes(9),
        bytes.fromhex("42007801fffffff8"),
        request(b"", 4096),
    ],
    ids=["http", "zeros", "response", "odd length", "4 GiB", "oversize"],
)
def test_what_is_no_request_closes_the_connection(world: World, alice: Certified, garbage: bytes) -> None:
    with running(world, Limits(message=1024, drain=2.0)) as server:
        with server.connect(alice) as client:
            client.sendall(garbage)
            assert closed(client)
        with server.connect(alice) as client:
            client.sendall(request(b"one") + request(b"two") + garbage)
            assert receive(client, 32) == response(request(b"one")) + response(request(b"two"))
            assert closed(client)
        server.until(lambda: server.server.counters.connections == 0)


def test_none_closes_the_connection_behind_the_answers_before(world: World, alice: Certified) -> None:
    def answer(calls: Sequence[Call]) -> Sequence[bytes | None]:
        return [None if b"bad" in call.frame else response(call.frame) for call in calls]

    with running(world, answer=answer) as server, server.connect(alice) as client:
        client.sendall(request(b"good") + request(b"bad") + request(b"late"))
        assert receive(client, 16) == response(request(b"good"))
        assert client.recv(16) == b""


def test_an_engine_that_raises_loses_the_group_and_lives_on(
    world: World, alice: Certified, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(calls: Sequence[Call]) -> Sequence[bytes | None]:
        if any(b"raise" in call.frame for call in calls):
            raise RuntimeError("the database is gone")
        if any(b"exit" in call.frame for call in calls):
            raise SystemExit(3)
        if any(b"short" in call.frame for call in calls):
            return []
        if any(b"overtaken" in call.frame for call in calls):
            raise StoreConflict
        return echo(calls)

    with running(world, answer=answer) as server:
        for text in (b"raise", b"exit", b"short", b"overtaken"):
            with server.connect(alice) as client:
                client.sendall(request(text))
                assert closed(client)
        with server.connect(alice) as client:
            assert exchange(client, request(b"good")) == response(request(b"good"))
    failures = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    assert len(failures) == 3
    assert all(len(str(record.args[0])) == 16 for record in failures if isinstance(record.args, tuple))
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert warning.exc_info is None, "nothing has failed: other processes were faster"


def test_what_waits_is_answered_as_a_group(world: World, alice: Certified) -> None:
    may_go, started = threading.Event(), threading.Event()
    sizes: list[int] = []

    def answer(calls: Sequence[Call]) -> Sequence[bytes | None]:
        sizes.append(len(calls))
        started.set()
        assert may_go.wait(DEADLINE)
        return echo(calls)

    with running(world, Limits(group=5, drain=2.0), answer) as server:
        context = server.world.context(alice)
        clients = [server.connect(None, context=context) for _ in range(12)]
        clients[0].sendall(request(b"first"))
        assert started.wait(DEADLINE)
        for client in clients[1:]:
            client.sendall(request(b"other"))
        server.until(lambda: sum(one._entered for one in connections(server)) == 12)
        may_go.set()
        for client in clients:
            receive(client, 16)
            client.close()
    assert sizes == [1, 5, 5, 1]


def connections(server: Running) -> list[KmipConnection]:
    return [one for one in server.server.edge.connections if isinstance(one, KmipConnection)]


def test_a_client_that_takes_no_answers_is_held_back_and_then_closed(world: World, alice: Certified) -> None:
    answered = 0

    def answer(calls: Sequence[Call]) -> Sequence[bytes | None]:
        nonlocal answered
        answered += len(calls)
        return [response(request(b"", 1 << 20)) for _ in calls]

    limits = Limits(pipeline=2, write=0.5, drain=2.0)
    with running(world, limits, answer) as server:
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(DEADLINE)
        raw.connect(("127.0.0.1", server.port))
        with server.world.context(alice).wrap_socket(raw, server_hostname="localhost") as client:
            client.sendall(request(b"more") * 500)
            server.until(lambda: not server.server.edge.connections)
            assert closed(client)
    assert 0 < answered < 50


def test_a_full_queue_makes_everybody_wait_and_nobody_starve(world: World, alice: Certified) -> None:
    frames = [request(b"%04d" % number, 512) for number in range(40)]
    with running(world, Limits(queue=1024, group=2, drain=2.0)) as server:
        context = server.world.context(alice)
        clients = [server.connect(None, context=context) for _ in range(10)]
        for client in clients:
            client.sendall(b"".join(frames))
        for client in clients:
            assert receive(client, 520 * 40) == b"".join(response(frame) for frame in frames)
            client.close()
        assert server.ask(lambda: server.server.edge.engine._queued) == 0


def test_a_half_closed_connection_is_closed(world: World, alice: Certified) -> None:
    with running(world) as server, server.connect(alice) as client:
        assert exchange(client, request(b"one")) == response(request(b"one"))
        client.unwrap().close()  # close_notify, then wait for the server's
        server.until(lambda: server.server.counters.connections == 0)


def test_a_connection_that_vanishes_in_a_request_leaves_nothing(world: World, alice: Certified) -> None:
    with running(world) as server:
        for _ in range(5):
            client = server.connect(alice)
            client.sendall(request(b"one") * 50 + request(b"two")[:9])
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()  # a reset
        server.until(lambda: server.server.counters.connections == 0 and not server.server.edge.connections)
        with server.connect(alice) as client:
            assert exchange(client, request(b"alive")) == response(request(b"alive"))
