"""Release to the attested key: what is wrapped opens with that key alone, and belongs to one request."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, x25519

from kmipsrv.release.recipient import (
    ECDH_ES_KWP,
    HPKE_P256,
    HPKE_X25519,
    MAX_PLAINTEXT,
    METHODS,
    RSA_OAEP,
    RSA_OAEP_KWP,
    Context,
    NotReleased,
    bound_recipient,
    load_recipient,
    oaep_capacity,
    open_release,
    release,
    report_data,
    same_recipient,
    unwrap,
    wrap,
)
from kmipsrv.release.refusal import Refused

RSA = rsa.generate_private_key(65537, 2048)
KEYS: dict[str, Any] = {
    "rsa": RSA,
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "p521": ec.generate_private_key(ec.SECP521R1()),
    "x25519": x25519.X25519PrivateKey.generate(),
}
OTHERS: dict[str, Any] = {
    "rsa": rsa.generate_private_key(65537, 2048),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "p521": ec.generate_private_key(ec.SECP521R1()),
    "x25519": x25519.X25519PrivateKey.generate(),
}
SERVER = ed25519.Ed25519PrivateKey.generate()
SERVER_EC = ec.generate_private_key(ec.SECP256R1())


def spki(key: Any) -> bytes:
    der: bytes = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return der


def context(key: Any) -> Context:
    return Context(hashlib.sha256(b"request").digest(), "sha256:p", b"nonce-id", "uid-1", spki(key))


COMBINATIONS = [
    ("rsa", 16, RSA_OAEP),
    ("rsa", 190, RSA_OAEP),
    ("rsa", 191, RSA_OAEP_KWP),
    ("rsa", 2400, RSA_OAEP_KWP),
    ("p256", 32, HPKE_P256),
    ("p256", MAX_PLAINTEXT, HPKE_P256),
    ("x25519", 1, HPKE_X25519),
    ("x25519", 2400, HPKE_X25519),
    ("p384", 32, ECDH_ES_KWP),
    ("p521", 2401, ECDH_ES_KWP),
]


@pytest.mark.parametrize(("kind", "length", "method"), COMBINATIONS)
@pytest.mark.parametrize("server", [SERVER, SERVER_EC], ids=["ed25519", "p256"])
def test_what_is_released_opens_with_the_attested_key_alone(kind: str, length: int, method: str, server: Any) -> None:
    plaintext = secrets.token_bytes(length)
    key, asked = KEYS[kind], context(KEYS[kind])
    sent = release(plaintext, asked, server, secrets.token_bytes)
    assert json.loads(sent)["envelope"]["method"] == method
    assert open_release(sent, asked, server.public_key(), key) == plaintext
    assert open_release(sent, replace(asked, policy=""), server.public_key(), key) == plaintext
    assert plaintext not in sent or length < 4
    with pytest.raises(NotReleased):
        open_release(sent, asked, server.public_key(), OTHERS[kind])


@pytest.mark.parametrize("kind", ["p256", "p384", "p521", "x25519"])
def test_ecdh_es_on_every_curve(kind: str) -> None:
    key, asked = KEYS[kind], context(KEYS[kind])
    envelope = wrap(b"secret", asked, secrets.token_bytes, ECDH_ES_KWP)
    assert unwrap(envelope, asked, key) == b"secret"
    for wrong in (OTHERS[kind], KEYS["x25519" if kind != "x25519" else "p256"], RSA):
        with pytest.raises(NotReleased):
            unwrap(envelope, asked, wrong)


@pytest.mark.parametrize(("kind", "method"), [("p256", HPKE_P256), ("x25519", HPKE_X25519), ("p384", ECDH_ES_KWP)])
def test_the_context_is_in_the_key_derivation(kind: str, method: str) -> None:
    asked = context(KEYS[kind])
    envelope = wrap(b"secret", asked, secrets.token_bytes, method)
    for other in (
        replace(asked, request=bytes(32)),
        replace(asked, policy="sha256:q"),
        replace(asked, nonce=b"other"),
        replace(asked, object="uid-2"),
    ):
        with pytest.raises(NotReleased):
            unwrap(envelope, other, KEYS[kind])


@pytest.mark.parametrize("kind", sorted(KEYS))
def test_a_release_belongs_to_one_request(kind: str) -> None:
    asked = context(KEYS[kind])
    sent = release(b"secret", asked, SERVER, secrets.token_bytes)
    for other in (
        replace(asked, request=bytes(32)),
        replace(asked, policy="sha256:q"),
        replace(asked, nonce=b"other"),
        replace(asked, object="uid-2"),
        replace(asked, recipient=spki(OTHERS[kind])),
    ):
        with pytest.raises(NotReleased, match="another request"):
            open_release(sent, other, SERVER.public_key(), KEYS[kind])


def test_nobody_on_the_way_can_put_in_another_key() -> None:
    """Trap: a wrapped key without the server's signature can be replaced by whoever knows the recipient's public key."""
    asked = context(RSA)
    impostor = ed25519.Ed25519PrivateKey.generate()
    forged = release(b"chosen by the attacker", asked, impostor, secrets.token_bytes)
    with pytest.raises(NotReleased, match="not signed by the server"):
        open_release(forged, asked, SERVER.public_key(), RSA)
    genuine = json.loads(release(b"secret", asked, SERVER, secrets.token_bytes))
    mixed = {**genuine, "envelope": json.loads(forged)["envelope"]}
    with pytest.raises(NotReleased, match="another request"):
        open_release(json.dumps(mixed).encode(), asked, SERVER.public_key(), RSA)
    for member, value in (("wrapped", "00"), ("object", "uid-2"), ("extra", 1)):
        changed = {**genuine, "receipt": {**genuine["receipt"], member: value}}
        with pytest.raises(NotReleased, match="not signed"):
            open_release(json.dumps(changed).encode(), asked, SERVER.public_key(), RSA)


@pytest.mark.parametrize("kind", sorted(KEYS))
def test_every_flipped_byte_is_refused(kind: str) -> None:
    asked = context(KEYS[kind])
    sent = release(b"secret", asked, SERVER, secrets.token_bytes)
    for offset in range(len(sent)):
        damaged = bytearray(sent)
        damaged[offset] ^= 1
        with pytest.raises(NotReleased):
            open_release(bytes(damaged), asked, SERVER.public_key(), KEYS[kind])


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b"\xff", b'{"receipt":1,"envelope":2}', b"[" * 10**5])
def test_what_is_not_a_release(data: bytes) -> None:
    with pytest.raises(NotReleased):
        open_release(data, context(RSA), SERVER.public_key(), RSA)


def test_a_key_that_does_not_leave_its_tpm() -> None:
    """Plain RSAES-OAEP with SHA-256 and no label is all that the device is asked for."""
    oaep = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
    for length in (32, 1000):
        plaintext = secrets.token_bytes(length)
        sent = release(plaintext, context(RSA), SERVER, secrets.token_bytes)
        assert open_release(sent, context(RSA), SERVER.public_key(), lambda c: RSA.decrypt(c, oaep)) == plaintext


def test_methods_that_do_not_fit() -> None:
    assert oaep_capacity(RSA.public_key()) == 190
    for kind, method, length in (
        ("rsa", RSA_OAEP, 191),
        ("rsa", HPKE_P256, 16),
        ("rsa", ECDH_ES_KWP, 16),
        ("p256", RSA_OAEP, 16),
        ("p256", HPKE_X25519, 16),
        ("x25519", HPKE_P256, 16),
        ("p384", HPKE_P256, 16),
        ("p256", "none", 16),
    ):
        with pytest.raises(Refused, match="method"):
            wrap(bytes(length), context(KEYS[kind]), secrets.token_bytes, method)
    for length in (0, MAX_PLAINTEXT + 1):
        with pytest.raises(ValueError, match="bytes can be released"):
            wrap(bytes(length), context(RSA), secrets.token_bytes)
    assert {method for _, _, method in COMBINATIONS} == set(METHODS)


def test_keys_that_nothing_is_wrapped_to() -> None:
    for key in (
        rsa.generate_private_key(65537, 1024),
        ed25519.Ed25519PrivateKey.generate(),
        ec.generate_private_key(ec.SECP256K1()),
    ):
        with pytest.raises(Refused) as refused:
            load_recipient(spki(key))
        assert refused.value.step == "recipient"
    with pytest.raises(Refused):
        load_recipient(b"nonsense")


def test_the_recipient_is_the_key_that_the_evidence_binds() -> None:
    claims = {"key_binding": {"spki": base64.b64encode(spki(RSA)).decode(), "source": "cnf"}}
    assert bound_recipient(claims) == spki(RSA)
    same_recipient(bound_recipient(claims), spki(RSA))
    with pytest.raises(Refused):
        same_recipient(bound_recipient(claims), spki(KEYS["p256"]))
    for binding in (None, {}, {"spki": "!"}, {"spki": "AAAA"}, "AAAA"):
        with pytest.raises(Refused) as refused:
            bound_recipient({"key_binding": binding})
        assert refused.value.step == "recipient"


def test_report_data_binds_nonce_recipient_and_client() -> None:
    whole = report_data(b"n", b"r", b"c")
    assert len(whole) == 64
    assert len(report_data(b"n", b"r", b"c", 32)) == 32
    # SHA-512 over the protocol's name and each part behind its length, computed by hand
    by_hand = b"kmipsrv-release-v1" + b"".join(len(p).to_bytes(4, "big") + p for p in (b"n", b"r", b"c"))
    assert whole == hashlib.sha512(by_hand).digest()
    assert (
        len({report_data(*parts) for parts in ((b"nr", b"", b"c"), (b"n", b"rc", b""), (b"", b"nr", b"c"))} | {whole})
        == 4
    )
    with pytest.raises(ValueError, match="32 or 64"):
        report_data(b"n", b"r", b"c", 48)
