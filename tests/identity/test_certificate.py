"""Whose certificate is it: trust domains, names, owners, validity."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from kmipsrv.identity.certificate import CertificateRefused, Identities, TrustDomain
from tests.server.pki import CA, Certified, authority


@pytest.fixture(scope="module")
def ca() -> CA:
    return authority("CN=Root A")


@pytest.fixture(scope="module")
def other() -> CA:
    return authority("CN=Root B")


def chain(client: Certified) -> list[bytes]:
    return [one.public_bytes(Encoding.DER) for one in client.chain]


def test_the_subject_is_the_name(ca: CA) -> None:
    identity = Identities([TrustDomain("default", ca.pem, "acme")]).identify(ca.issue("CN=alice,O=Acme\\, Inc.").der)
    assert (identity.domain, identity.name) == ("default", "CN=alice,O=Acme\\, Inc.")
    assert identity.owner == "default:CN=alice,O=Acme\\, Inc."
    assert identity.tenant == "acme"
    assert identity.common_name == "alice"
    assert identity.user == ""


def test_a_uri_comes_before_the_subject(ca: CA) -> None:
    identity = Identities([TrustDomain("default", ca.pem)]).identify(ca.issue("CN=alice", uris=("spiffe://a/b",)).der)
    assert identity.owner == "default:spiffe://a/b"
    assert identity.common_name == "alice"


def test_a_renewed_certificate_is_the_same_client(ca: CA) -> None:
    identities = Identities([TrustDomain("default", ca.pem)])
    old, new = ca.issue("CN=alice"), ca.issue("CN=alice")
    assert old.der != new.der
    assert identities.identify(old.der).owner == identities.identify(new.der).owner


def test_two_authorities_never_collide(ca: CA, other: CA) -> None:
    identities = Identities([TrustDomain("a", ca.pem), TrustDomain("b", other.pem)])
    owners = {identities.identify(one.issue("CN=alice").der).owner for one in (ca, other)}
    assert owners == {"a:CN=alice", "b:CN=alice"}


def test_two_authorities_of_the_same_name_never_collide() -> None:
    first, second = authority("CN=Same"), authority("CN=Same")
    identities = Identities([TrustDomain("a", first.pem), TrustDomain("b", second.pem)])
    assert identities.identify(first.issue("CN=alice").der).domain == "a"
    assert identities.identify(second.issue("CN=alice").der).domain == "b"


def test_several_certificates_of_one_owner(ca: CA, other: CA) -> None:
    owners = {("a", "CN=alice"): "a:CN=bob", ("b", "CN=carol"): "vcenter", ("b", "CN=dave"): "vcenter"}
    identities = Identities([TrustDomain("a", ca.pem), TrustDomain("b", other.pem)], owners)
    assert identities.identify(ca.issue("CN=alice").der).owner == "a:CN=bob"
    assert identities.identify(ca.issue("CN=carol").der).owner == "a:CN=carol"
    assert {identities.identify(other.issue(name).der).owner for name in ("CN=carol", "CN=dave")} == {"vcenter"}


def test_the_nearest_configured_authority_counts(ca: CA) -> None:
    middle = ca.intermediate("CN=Middle")
    identities = Identities(
        [TrustDomain("root", ca.pem), TrustDomain("middle", middle.certificate.public_bytes(Encoding.PEM))]
    )
    client = middle.issue("CN=alice")
    assert identities.identify(client.der, chain(client)).domain == "middle"
    assert identities.identify(client.der).domain == "middle"
    assert identities.identify(ca.issue("CN=alice").der).domain == "root"


def test_an_intermediate_of_the_handshake_is_needed_once(ca: CA) -> None:
    bottom = ca.intermediate("CN=Middle").intermediate("CN=Bottom")
    client = bottom.issue("CN=alice")
    identities = Identities([TrustDomain("root", ca.pem)])
    with pytest.raises(CertificateRefused, match="intermediate"):
        identities.identify(client.der)
    assert identities.identify(client.der, chain(client)).domain == "root"
    assert identities.identify(client.der).domain == "root"  # a resumed session brings no chain


def test_a_stranger_is_refused_even_with_a_chain(ca: CA, other: CA) -> None:
    identities = Identities([TrustDomain("a", ca.pem)])
    client = other.issue("CN=alice")
    with pytest.raises(CertificateRefused):
        identities.identify(client.der, [other.der, ca.der])


def test_an_authority_of_the_same_name_but_another_key_is_refused(ca: CA) -> None:
    identities = Identities([TrustDomain("a", ca.pem)])
    with pytest.raises(CertificateRefused):
        identities.identify(authority("CN=Root A").issue("CN=alice").der)


def test_a_denied_certificate_is_refused_and_its_successor_is_not(ca: CA) -> None:
    middle = ca.intermediate("CN=Middle")
    lost, below, renewed = ca.issue("CN=alice"), middle.issue("CN=bob"), ca.issue("CN=alice")
    denied = [hashlib.sha256(one).digest() for one in (lost.der, middle.der)]
    identities = Identities([TrustDomain("a", ca.pem)], denied=denied)
    with pytest.raises(CertificateRefused, match=r"CN=alice is in tls\.denied"):
        identities.identify(lost.der)
    with pytest.raises(CertificateRefused, match=r"CN=Middle is in tls\.denied"):
        identities.identify(below.der, chain(below))
    assert identities.identify(renewed.der).owner == "a:CN=alice"


def test_validity_is_that_of_the_whole_path() -> None:
    ca = authority()
    identities = Identities([TrustDomain("a", ca.pem)])
    short = ca.issue("CN=alice", days=(0, 1))
    found = identities.identify(short.der)
    assert found.not_before == short.certificate.not_valid_before_utc.timestamp()
    assert found.not_after == short.certificate.not_valid_after_utc.timestamp()
    long = identities.identify(ca.issue("CN=alice", days=(-10, 400)).der)
    assert long.not_before == ca.certificate.not_valid_before_utc.timestamp()
    assert long.not_after == ca.certificate.not_valid_after_utc.timestamp()


@pytest.mark.parametrize(
    ("uris", "said"),
    [
        (("spiffe://a", "spiffe://b"), "more than one"),
        (("CN=alice",), "not a URI"),
        (("spiffe://a b",), "not a URI"),
        (("spiffe://a\n",), "not a URI"),
        (("noscheme",), "not a URI"),
        (("urn:" + "x" * 1024,), "longer"),
    ],
)
def test_names_that_would_be_in_doubt_are_refused(ca: CA, uris: tuple[str, ...], said: str) -> None:
    with pytest.raises(CertificateRefused, match=said):
        Identities([TrustDomain("a", ca.pem)]).identify(ca.issue("CN=alice", uris=uris).der)


def test_a_certificate_without_any_name_is_refused(ca: CA) -> None:
    with pytest.raises(CertificateRefused, match="neither"):
        Identities([TrustDomain("a", ca.pem)]).identify(ca.issue("").der)


# cryptography warns of odd serial numbers before it refuses or accepts the certificate.
ODD = pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")


@ODD
@given(st.binary(max_size=300))
def test_garbage_is_refused(data: bytes) -> None:
    identities = Identities([TrustDomain("a", GARBAGE_CA.pem)])
    with pytest.raises(CertificateRefused):
        identities.identify(data)


GARBAGE_CA = authority()


@ODD
@given(st.data())
def test_a_damaged_certificate_is_refused_or_still_the_same(data: st.DataObject) -> None:
    """Whatever bit of a certificate is turned, nobody becomes somebody else."""
    der = bytearray(DAMAGED.der)
    position = data.draw(st.integers(0, 8 * len(der) - 1))
    der[position // 8] ^= 1 << position % 8
    try:
        owner = Identities([TrustDomain("a", GARBAGE_CA.pem)]).identify(bytes(der)).owner
    except CertificateRefused:
        return
    assert owner == "a:CN=alice"


DAMAGED = GARBAGE_CA.issue("CN=alice")


def test_what_was_found_is_remembered_up_to_a_bound(ca: CA) -> None:
    identities = Identities([TrustDomain("a", ca.pem)], remembered=2)
    clients = [ca.issue(f"CN=c{number}") for number in range(3)]
    first = identities.identify(clients[0].der)
    assert identities.identify(clients[0].der) is first
    for client in clients[1:]:
        identities.identify(client.der)
    assert identities.identify(clients[0].der) is not first
    assert len(identities._found) == 2


def test_the_common_name_is_empty_when_there_are_two(ca: CA) -> None:
    identity = Identities([TrustDomain("a", ca.pem)]).identify(ca.issue("CN=alice,CN=admin").der)
    assert identity.common_name == ""


def test_configuration_mistakes_are_told(ca: CA, other: CA) -> None:
    leaf = ca.issue("CN=alice")
    good = TrustDomain("a", ca.pem)
    mistakes: list[tuple[list[TrustDomain], dict[tuple[str, str], str], str]] = [
        ([], {}, "no file"),
        ([TrustDomain("a:b", ca.pem)], {}, "'a:b'"),
        ([TrustDomain("", ca.pem)], {}, "name"),
        ([TrustDomain("a", b"nothing")], {}, "PEM"),
        ([TrustDomain("a", leaf.pem)], {}, "CN=alice"),
        ([good, TrustDomain("b", ca.pem)], {}, "a and b"),
        ([good, TrustDomain("a", other.pem)], {}, "same name"),
        ([good], {("b", "CN=alice"): "x"}, "does not exist"),
        ([good], {("a", "CN=alice"): ""}, "empty"),
    ]
    for domains, owners, said in mistakes:
        with pytest.raises(ValueError, match=said):
            Identities(domains, owners)
