"""Who gets in: certificates, versions, resumption, expiry on resumed and long-lived connections, reload."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kmipsrv.errors import ConfigError
from kmipsrv.identity.certificate import Identities, TrustDomain
from kmipsrv.server.tls import trust
from tests.server.harness import Running, World, closed, exchange, request, response, running
from tests.server.pki import Certified, authority

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
HELLO = request(b"hello")


def refused(server: Running, client: Certified | None, version: ssl.TLSVersion) -> bool:
    """Whether the server closes before it answers. In TLS 1.3 the client learns it after its own handshake."""
    try:
        with server.connect(client, version=version) as connection:
            return exchange(connection, HELLO) == b""
    except (ssl.SSLError, ConnectionError):
        return True


@pytest.mark.parametrize("version", VERSIONS)
def test_only_certificates_of_a_configured_authority_get_in(
    world: World, alice: Certified, version: ssl.TLSVersion
) -> None:
    stranger = authority("CN=Test CA")  # same name, other key
    with running(world) as server:
        assert refused(server, None, version)
        assert refused(server, stranger.issue("CN=alice"), version)
        assert refused(server, world.ca.issue("CN=alice", days=(-10, -1)), version)
        assert refused(server, world.ca.issue("CN=alice", days=(1, 10)), version)
        assert refused(server, world.ca.issue("CN=alice", server=True), version)  # no clientAuth
        assert refused(server, world.ca.issue("CN=alice", uris=("spiffe://a", "spiffe://b")), version)
        assert not refused(server, alice, version)
        server.until(lambda: server.server.counters.connections == 0)


def test_old_tls_is_refused(world: World, alice: Certified) -> None:
    with running(world) as server:
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            context = world.context(alice, ssl.TLSVersion.TLSv1_1)
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            server.connect(None, context=context)


@pytest.mark.parametrize("version", VERSIONS)
def test_sessions_are_resumed(world: World, alice: Certified, version: ssl.TLSVersion) -> None:
    with running(world) as server:
        context = world.context(alice, version)
        session = None
        for resumed in (False, True, True):
            with server.connect(None, context=context, session=session) as client:
                assert exchange(client, HELLO) == response(HELLO)
                assert client.session_reused is resumed
                session = client.session
        assert server.ask(lambda: dict(server.server.counters.clients)) in ({}, {"default:CN=alice": 1})


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_under_an_intermediate_is_resumed(world: World, version: ssl.TLSVersion) -> None:
    client = world.ca.intermediate("CN=Middle").issue("CN=carol")
    with running(world) as server:
        context = world.context(client, version)
        session = None
        for resumed in (False, True):
            with server.connect(None, context=context, session=session) as connection:
                assert exchange(connection, HELLO) == response(HELLO)
                assert connection.session_reused is resumed
                session = connection.session
        # Another process, or this one after it has forgotten, cannot tell whose client that is, and says no.
        server.ask(server.server.edge.trust.identities._found.clear)
        with server.connect(None, context=context, session=session) as connection:
            assert connection.session_reused
            assert closed(connection)


class Clock:
    """A clock that a test can advance."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.mark.parametrize("version", VERSIONS)
def test_an_expired_certificate_is_noticed_on_resumption(world: World, version: ssl.TLSVersion) -> None:
    clock = Clock()
    with running(world, clock=clock) as server:
        context = world.context(world.ca.issue("CN=brief", days=(-1, 1)), version)
        with server.connect(None, context=context) as client:
            assert exchange(client, HELLO) == response(HELLO)
            session = client.session
        clock.ahead = 86_400 * 1.5
        with server.connect(None, context=context, session=session) as client:
            assert client.session_reused
            assert closed(client)


def test_an_expired_certificate_is_noticed_on_a_connection_that_lives_on(world: World) -> None:
    clock = Clock()
    with running(world, clock=clock) as server, server.connect(world.ca.issue("CN=brief", days=(-1, 1))) as client:
        assert exchange(client, HELLO) == response(HELLO)
        clock.ahead = 86_400 * 1.5
        client.sendall(HELLO)
        assert closed(client)


def test_a_reload_is_felt_by_new_and_by_open_connections(tmp_path: Path) -> None:
    world = World(tmp_path)
    new_ca = authority("CN=New CA")
    alice, bob = world.ca.issue("CN=alice"), new_ca.issue("CN=bob")
    with running(world) as server:
        old, kept = server.connect(alice), server.connect(alice)
        assert exchange(old, HELLO) == response(HELLO)
        assert refused(server, bob, ssl.TLSVersion.TLSv1_3)

        def reload(domains: list[TrustDomain]) -> Callable[[], None]:
            fresh = trust(world.certificate, world.key, Identities(domains))
            return lambda: server.server.reload(fresh)

        server.ask(reload([TrustDomain("default", world.ca.pem), TrustDomain("new", new_ca.pem)]))
        assert exchange(old, HELLO) == response(HELLO)
        assert not refused(server, bob, ssl.TLSVersion.TLSv1_3)
        server.ask(reload([TrustDomain("new", new_ca.pem)]))
        for connection in (old, kept):
            connection.sendall(HELLO)
            assert closed(connection)
            connection.close()
        assert refused(server, alice, ssl.TLSVersion.TLSv1_3)
        assert not refused(server, bob, ssl.TLSVersion.TLSv1_3)


def test_mistakes_in_the_servers_own_files_are_told(world: World, tmp_path: Path) -> None:
    identities = Identities(world.domains)
    other_certificate, other_key = authority().issue("CN=other", server=True).save(tmp_path, "other")
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("nothing\n")
    mistakes = [
        (tmp_path / "absent.pem", world.key, "absent.pem cannot be read: No such file"),
        (world.certificate, tmp_path / "absent.key", "private key .*absent.key cannot be read"),
        (world.certificate, other_key, "are not a PEM certificate chain and its unencrypted private key"),
        (nothing, world.key, "nothing.pem and"),
    ]
    for certificate, key, said in mistakes:
        with pytest.raises(ConfigError, match=said):
            trust(certificate, key, identities)
    with pytest.raises(ConfigError, match="selects nothing"):
        trust(other_certificate, other_key, identities, "NONSENSE")
