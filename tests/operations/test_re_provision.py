"""Re-Provision (KMIP 2.1 §6.1.48): the new certificate is the same client's, the old one is none any more."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from kmipsrv.domain.identity import Identity
from kmipsrv.domain.link_credentials import Desk
from kmipsrv.domain.ports import Keyring
from kmipsrv.domain.settings import Settings
from kmipsrv.engine.call import Call, Peer
from kmipsrv.engine.engine import Engine
from kmipsrv.engine.own_keys import own_keys
from kmipsrv.engine.ports import CertificateOnly
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.enums import Operation, ResultReason
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V2_1
from kmipsrv.store.sqlite import SQLiteStore
from kmipsrv.ttlv.codec import BYTE_STRING, ENUMERATION, STRUCTURE, Item
from tests.harness import ALICE, BOB, Client, Clock, make_engine


def certificate(name: str) -> bytes:
    """A self-signed certificate (DER): the authority is the test's `identify`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(start).not_valid_after(start + datetime.timedelta(days=3650))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def identify(der: bytes) -> Identity:
    found = {"CN=alice": ALICE, "CN=bob": BOB}.get(x509.load_der_x509_certificate(der).subject.rfc4514_string())
    if found is None:
        raise KmipError(Cause.INVALID_FIELD, "not known")
    return found


@dataclass
class Holder(Client):
    """A client that connects with a certificate."""

    der: bytes = b""

    def raw(self, frame: bytes) -> bytes | None:
        (answer,) = self.engine.answer([Call(frame, Peer(self.identity, "127.0.0.1", Desk.fingerprint_of(self.der)))])
        return answer


def open_engine(folder: Path, keyring: Keyring, clock: Clock) -> Engine:
    plain = make_engine(folder, keyring, clock)
    gate = plain.dispatcher.gate
    plain.store.close()
    store = SQLiteStore(folder / "objects.db")
    own_keys(store, keyring, os.urandom)
    return Engine(
        store=store,
        keyring=keyring,
        gate=gate,
        settings=Settings(),
        authenticator=CertificateOnly(),
        clock=clock,
        random=os.urandom,
        identify=identify,
    )


@pytest.fixture
def engine(tmp_path: Path, keyring: Keyring, clock: Clock) -> Iterator[Engine]:
    made = open_engine(tmp_path, keyring, clock)
    yield made
    made.store.close()


@pytest.fixture
def alice(engine: Engine) -> Holder:
    return Holder(engine, V2_1, ALICE, der=certificate("alice"))


def given(der: bytes) -> Item:
    return (
        Tag.CERTIFICATE,
        STRUCTURE,
        [(Tag.CERTIFICATE_TYPE, ENUMERATION, 1), (Tag.CERTIFICATE_VALUE, BYTE_STRING, der)],
    )


def test_the_old_certificate_is_refused_from_then_on(
    alice: Holder, engine: Engine, tmp_path: Path, keyring: Keyring, clock: Clock
) -> None:
    fresh = certificate("alice")
    key = alice.create()
    uid = alice.ok(Operation.RE_PROVISION, given(fresh)).uid
    assert alice.refused(Operation.PING) is ResultReason.AUTHENTICATION_NOT_SUCCESSFUL
    renewed = replace(alice, der=fresh)
    assert set(renewed.locate()) == {key, uid}
    engine.store.close()
    again = open_engine(tmp_path, keyring, clock)
    assert replace(alice, engine=again).refused(Operation.PING) is ResultReason.AUTHENTICATION_NOT_SUCCESSFUL
    replace(renewed, engine=again).ok(Operation.PING)
    again.store.close()


def test_what_is_no_replacement(alice: Holder) -> None:
    for wrong in (certificate("bob"), certificate("stranger"), alice.der):
        assert alice.refused(Operation.RE_PROVISION, given(wrong)) is ResultReason.INVALID_FIELD
    request: Item = (
        Tag.CERTIFICATE_REQUEST,
        STRUCTURE,
        [(Tag.CERTIFICATE_REQUEST_TYPE, ENUMERATION, 1), (Tag.CERTIFICATE_REQUEST_VALUE, BYTE_STRING, b"x")],
    )
    assert alice.refused(Operation.RE_PROVISION, request) is ResultReason.FEATURE_NOT_SUPPORTED
    assert alice.refused(Operation.RE_PROVISION) is ResultReason.FEATURE_NOT_SUPPORTED
    alice.ok(Operation.PING)
