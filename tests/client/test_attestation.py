"""The attestation handshake from the client's side, with a whole engine on the other, and with others in between."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.x509.oid import NameOID

from kmipsrv.client import (
    Client,
    Evidence,
    OperationFailed,
    ProtocolFailure,
    Recipient,
    get_attested,
    material,
)
from kmipsrv.client.attestation import public_key_of
from kmipsrv.domain.ports import Keyring
from kmipsrv.engine.engine import Engine
from kmipsrv.release.gate import Gate
from kmipsrv.release.recipient import NotReleased, PrivateKey
from kmipsrv.release.statements import PublicKey
from kmipsrv.spec.attribute_codec import RELEASE_POLICY
from kmipsrv.spec.enums import CryptographicAlgorithm, CryptographicUsageMask, ResultReason
from kmipsrv.spec.versions import V2_1, Version
from kmipsrv.ttlv.codec import TEXT_STRING
from tests.attested import ANYTHING, START, gate_settings, gated, snp, tpm
from tests.harness import Client as Harness
from tests.harness import Clock, make_engine

BOUND = '{"anyOf": [{"claim": "tee", "exists": true}], "conditions": {"requireKeyBinding": true}}'
USAGE = CryptographicUsageMask.ENCRYPT
MATERIAL = bytes(range(32))


def certificate() -> bytes:
    """A client's certificate, in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "agent")])
    begin = datetime.fromtimestamp(START, UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, begin, begin + timedelta(days=1))
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


CERTIFICATE = certificate()


@dataclass
class Made:
    """An attester whose hardware is the tests' own."""

    types: tuple[str, ...] = ("tpm",)
    asked: int = 0

    def evidence(self, nonce: bytes, report_data: bytes) -> Evidence:
        self.asked += 1
        return Evidence(self.types[0], {"tpm": tpm, "snp": snp}[self.types[0]](report_data).evidence)


@pytest.fixture
def engine(tmp_path: Path, keyring: Keyring) -> Iterator[Engine]:
    made = make_engine(tmp_path, keyring, Clock(START), release=gate_settings())
    yield made
    made.store.close()


@pytest.fixture
def harness(engine: Engine) -> Harness:
    return replace(Harness(engine, V2_1), public_key=public_key_of(CERTIFICATE))


@pytest.fixture
def server_key(engine: Engine) -> PublicKey:
    gate = engine.dispatcher.gate
    assert isinstance(gate, Gate)
    return gate.signing_key.public_key()


def speaking(
    harness: Harness, version: Version = V2_1, between: Callable[[bytes], bytes] = lambda answer: answer
) -> Client:
    """A client of the engine; `between` sits on the wire."""

    def exchange(frame: bytes) -> bytes:
        answer = harness.raw(frame)
        assert answer is not None
        return between(answer)

    return Client(exchange, version)


def key_pair(kind: str) -> PrivateKey:
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    return x25519.X25519PrivateKey.generate() if kind == "x25519" else ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize("kind", ["rsa", "x25519", "p256"])
@pytest.mark.parametrize("version", [v for v in Version if v >= Version.V1_2], ids=str)
def test_a_key_comes_to_the_attested_key_only(
    harness: Harness, server_key: PublicKey, kind: str, version: Version
) -> None:
    uid = gated(harness, BOUND, MATERIAL)
    seen: list[bytes] = []
    client = speaking(harness, version, lambda answer: seen.append(answer) or answer)  # type: ignore[func-returns-value]
    found = get_attested(client, uid, Made(), CERTIFICATE, Recipient.of(key_pair(kind), server_key))
    assert material(found) == MATERIAL
    assert len(seen) == 2
    assert all(MATERIAL not in answer for answer in seen)


def test_evidence_of_another_kind(harness: Harness, server_key: PublicKey) -> None:
    uid = gated(harness, BOUND, MATERIAL)
    found = get_attested(
        speaking(harness), uid, Made(("snp",)), CERTIFICATE, Recipient.of(key_pair("p256"), server_key)
    )
    assert material(found) == MATERIAL


def test_without_a_recipient_in_clear_where_the_policy_allows_it(harness: Harness) -> None:
    assert material(get_attested(speaking(harness), gated(harness, ANYTHING, MATERIAL), Made(), CERTIFICATE)) == (
        MATERIAL
    )
    with pytest.raises(OperationFailed) as refusal:
        get_attested(speaking(harness), gated(harness, BOUND, MATERIAL), Made(), CERTIFICATE)
    assert refusal.value.reason is ResultReason.PERMISSION_DENIED


def test_the_client_makes_gated_keys_itself(harness: Harness, server_key: PublicKey) -> None:
    client = speaking(harness)
    uid = client.create(CryptographicAlgorithm.AES, 256, USAGE, attributes=[(RELEASE_POLICY, (TEXT_STRING, BOUND))])
    with pytest.raises(OperationFailed) as refusal:
        client.get(uid)
    assert refusal.value.reason is ResultReason.PERMISSION_DENIED
    recipient = Recipient.of(key_pair("x25519"), server_key)
    attester = Made()
    first = material(get_attested(client, uid, attester, CERTIFICATE, recipient))
    assert material(get_attested(client, uid, attester, CERTIFICATE, recipient)) == first
    assert (len(first), attester.asked) == (32, 2)


def test_evidence_for_another_certificate_is_refused(harness: Harness, server_key: PublicKey) -> None:
    uid = gated(harness, BOUND, MATERIAL)
    with pytest.raises(OperationFailed) as refusal:
        get_attested(speaking(harness), uid, Made(), certificate(), Recipient.of(key_pair("p256"), server_key))
    assert refusal.value.reason is ResultReason.ATTESTATION_FAILED


def test_an_attester_of_a_type_that_the_server_has_no_anchor_for(harness: Harness, server_key: PublicKey) -> None:
    uid, attester = gated(harness, BOUND, MATERIAL), Made(("nitro",))
    with pytest.raises(OperationFailed) as refusal:
        get_attested(speaking(harness), uid, attester, CERTIFICATE, Recipient.of(key_pair("p256"), server_key))
    assert refusal.value.reason is ResultReason.PERMISSION_DENIED
    assert attester.asked == 0


# --- who is in between ----------------------------------------------------------------------------------------------


def test_another_server_s_signature_is_not_believed(harness: Harness) -> None:
    uid = gated(harness, BOUND, MATERIAL)
    other = Recipient.of(key_pair("p256"), ed25519.Ed25519PrivateKey.generate().public_key())
    with pytest.raises(NotReleased, match="not signed by the server"):
        get_attested(speaking(harness), uid, Made(), CERTIFICATE, other)


def test_an_older_answer_in_place_of_this_one(harness: Harness, server_key: PublicKey) -> None:
    uid, recipient = gated(harness, BOUND, MATERIAL), Recipient.of(key_pair("p256"), server_key)
    seen: list[bytes] = []

    def replaying(answer: bytes) -> bytes:
        seen.append(answer)
        return seen[1] if len(seen) == 4 else answer

    client = speaking(harness, between=replaying)
    assert material(get_attested(client, uid, Made(), CERTIFICATE, recipient)) == MATERIAL
    with pytest.raises(NotReleased, match="another request"):
        get_attested(client, uid, Made(), CERTIFICATE, recipient)


def test_any_byte_of_the_release_changed_on_the_way(harness: Harness, server_key: PublicKey) -> None:
    uid, recipient = gated(harness, BOUND, MATERIAL), Recipient.of(key_pair("x25519"), server_key)
    for _ in range(24):
        count = [0]

        def flipping(answer: bytes, count: list[int] = count) -> bytes:
            count[0] += 1
            if count[0] != 2:
                return answer
            begin, end = answer.index(b'{"envelope"'), answer.rindex(b"}") + 1
            at = begin + int.from_bytes(os.urandom(4), "big") % (end - begin)
            return answer[:at] + bytes((answer[at] ^ 1,)) + answer[at + 1 :]

        with pytest.raises((NotReleased, ProtocolFailure)):
            get_attested(speaking(harness, between=flipping), uid, Made(), CERTIFICATE, recipient)


def test_a_key_in_clear_is_not_what_was_asked_for(harness: Harness, server_key: PublicKey) -> None:
    """Somebody who answers for the server with a key of their own choice."""
    chosen = harness.register_key(bytes(32))
    answer = harness.raw(harness.frame([(10, [(0x420094, 7, chosen)])]))
    assert answer is not None
    client = Client(lambda frame: answer, V2_1)
    with pytest.raises(ProtocolFailure, match="did not come as a release"):
        get_attested(client, chosen, Made(), CERTIFICATE, Recipient.of(key_pair("p256"), server_key))
