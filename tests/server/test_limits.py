"""What clients may spend: connections, handshakes, seconds."""

from __future__ import annotations

import dataclasses
import socket
import ssl
import time

import pytest

from kmipsrv.server.limits import Counters, LimitReached, Limits, Shares
from tests.server.harness import DEADLINE, Running, World, closed, exchange, request, response, running
from tests.server.pki import Certified

HELLO = request(b"hello")


def test_bounds_must_be_positive() -> None:
    for field in dataclasses.fields(Limits):
        with pytest.raises(ValueError, match=f"^{field.name}: must be greater than 0"):
            Limits(**{field.name: 0})
    with pytest.raises(ValueError, match="message"):
        Limits(message=32)


def test_places_are_counted_and_given_back() -> None:
    counters = Counters(Limits(connections=3, connections_per_client=1, handshakes_per_address=2))
    first, second = counters.begin("a"), counters.begin("a")
    with pytest.raises(LimitReached, match="handshakes"):
        counters.begin("a")
    third = counters.begin("b")
    with pytest.raises(LimitReached, match="3 connections"):
        counters.begin("c")
    first.shaken()
    first.admit("alice")
    second.shaken()
    with pytest.raises(LimitReached, match="alice"):
        second.admit("alice")
    for place in (first, second, third, first):
        place.release()
    assert (counters.connections, dict(counters.handshakes), dict(counters.clients)) == (0, {}, {})


def test_connections_of_all_workers_are_counted_together() -> None:
    shares = Shares(2)
    limits = Limits(connections=3)
    first, second = Counters(limits, shares, 0), Counters(limits, shares, 1)
    places = [first.begin("a"), first.begin("a"), second.begin("a")]
    assert (first.connections, second.connections, first.busier, second.busier) == (2, 1, True, False)
    for one in (first, second):
        with pytest.raises(LimitReached, match="3 connections"):
            one.begin("a")
    for place in places:
        place.release()
    assert (shares.total, shares.least, first.busier) == (0, 0, False)


def test_two_hundred_connections_over_the_limit(world: World, alice: Certified) -> None:
    with running(world, Limits(connections=10, handshakes_per_address=1000, drain=2.0)) as server:
        context = world.context(alice)
        clients = [server.connect(None, context=context) for _ in range(10)]
        surplus = [server.plain() for _ in range(200)]
        for client in surplus:
            assert closed(client)
            client.close()
        for client in clients:
            assert exchange(client, HELLO) == response(HELLO)
        clients.pop().close()
        server.until(lambda: server.server.counters.connections == 9)
        clients.append(server.connect(None, context=context))
        assert exchange(clients[-1], HELLO) == response(HELLO)
        for client in clients:
            client.close()


def test_one_client_cannot_take_all_connections(world: World, alice: Certified, bob: Certified) -> None:
    with running(world, Limits(connections_per_client=3, drain=2.0)) as server:
        context = world.context(alice)
        clients = [server.connect(None, context=context) for _ in range(3)]
        server.until(lambda: server.server.counters.clients["default:CN=alice"] == 3)
        surplus = server.connect(None, context=context)
        assert closed(surplus)
        for client in (*clients, server.connect(bob)):
            assert exchange(client, HELLO) == response(HELLO)


def test_a_handshake_that_does_not_proceed_is_given_up(world: World, alice: Certified) -> None:
    with running(world, Limits(handshake=0.3, handshakes_per_address=4, drain=2.0)) as server:
        silent, babbling = server.plain(), server.plain()
        babbling.sendall(b"\x16\x03\x01")
        for client in (silent, babbling):
            assert closed(client)
            client.close()
        server.until(lambda: server.server.counters.connections == 0)
        assert exchange(server.connect(alice), HELLO) == response(HELLO)


def test_one_address_cannot_take_all_handshakes(world: World) -> None:
    with running(world, Limits(handshakes_per_address=4, drain=2.0)) as server:
        silent = [server.plain() for _ in range(4)]
        server.until(lambda: server.server.counters.connections == 4)
        fifth = server.plain()
        assert closed(fifth)
        for client in (*silent, fifth):
            client.close()
        server.until(lambda: server.server.counters.connections == 0)


def test_what_is_not_tls_is_closed(world: World) -> None:
    with running(world) as server, server.plain() as client:
        client.sendall(HELLO * 10)
        assert closed(client)


def trickle(client: socket.socket, data: bytes) -> None:
    """One byte at a time, never silent for long."""
    for at in range(len(data)):
        client.sendall(data[at : at + 1])
        time.sleep(0.01)


def test_a_request_that_trickles_is_given_up(world: World, alice: Certified) -> None:
    frame = request(b"", 1 << 16)
    with running(world, Limits(read=0.3, drain=2.0)) as server, server.connect(alice) as client:
        assert exchange(client, HELLO) == response(HELLO)
        started = time.monotonic()
        with pytest.raises((ConnectionError, ssl.SSLError)):
            trickle(client, frame)
        assert 0.2 < time.monotonic() - started < DEADLINE


def test_an_idle_connection_is_closed_and_a_busy_one_is_not(world: World, alice: Certified) -> None:
    with running(world, Limits(idle=0.4, drain=2.0)) as server:
        idle, busy = server.connect(alice), server.connect(alice)
        idle.setblocking(False)
        while server.ask(lambda: server.server.counters.connections) == 2:
            assert exchange(busy, HELLO) == response(HELLO)
        idle.settimeout(DEADLINE)
        assert closed(idle)
        assert exchange(busy, HELLO) == response(HELLO)
        for client in (idle, busy):
            client.close()


def test_a_reset_in_the_handshake_leaves_nothing(world: World, alice: Certified) -> None:
    with running(world, Limits(handshakes_per_address=1000)) as server:
        for _ in range(20):
            client = server.plain()
            client.sendall(b"\x16\x03\x01\x02\x00\x01")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
        server.connect(alice).close()  # which is accepted after those, so they have been met
        server.until(lambda: empty(server))


def empty(server: Running) -> bool:
    counters = server.server.counters
    return not (counters.connections or counters.handshakes or counters.clients)
