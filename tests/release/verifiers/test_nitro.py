"""Nitro documents made with test keys: what is accepted, and each step of the verification failing alone."""

from __future__ import annotations

import base64
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.release.verifiers.attesters import Made, make_nitro
from tests.release.verifiers.conftest import accepted, refused
from tests.release.verifiers.pki import DAY, NOW, key, rsa_key, spki


def test_claims() -> None:
    claims = accepted("nitro", make_nitro(), b"\x11" * 64)
    assert claims["tee"] == "nitro"
    assert claims["measurement"] == "01" * 48
    assert claims["debug"] is False
    assert claims["pcrs"]["sha384"]["3"] == "00" * 48
    assert claims["issued_at"] == int(NOW.timestamp())
    assert claims["user_data"] == b"hello".hex()
    assert "key_binding" not in claims


def test_a_document_of_a_nitro_tpm() -> None:
    made = make_nitro(document={"nitrotpm_pcrs": {4: b"\x04" * 48, 7: b"\x07" * 48}}, without=["pcrs"])
    claims = accepted("nitro", made)
    assert claims["tee"] == "nitrotpm"
    assert claims["pcrs"] == {"sha384": {"4": "04" * 48, "7": "07" * 48}}
    assert "debug" not in claims
    assert refused("nitro", make_nitro(without=["pcrs"])) == "structure"


def test_debug_mode_is_pcrs_of_zeros() -> None:
    zeros = {index: bytes(48) for index in range(16)}
    assert accepted("nitro", make_nitro(document={"pcrs": zeros}))["debug"] is True
    # a document without the boot PCRs says nothing good about the boot
    assert accepted("nitro", make_nitro(document={"pcrs": {4: b"\x01" * 48}}))["debug"] is True


@pytest.mark.parametrize("of", [rsa_key("recipient"), key("recipient", ec.SECP256R1)])
def test_a_bound_key(of: Any) -> None:
    claims = accepted("nitro", make_nitro(document={"public_key": spki(of)}))
    assert claims["key_binding"] == {"spki": base64.b64encode(spki(of)).decode(), "source": "public_key"}


@pytest.mark.parametrize("junk", [b"my super secret key", b"", spki(rsa_key("recipient"))[:-1]])
def test_what_is_no_key_binds_nothing(junk: bytes) -> None:
    assert "key_binding" not in accepted("nitro", make_nitro(document={"public_key": junk}))


@pytest.mark.parametrize(
    ("step", "document"),
    [
        ("structure", {"module_id": ""}),
        ("structure", {"module_id": 1}),
        ("structure", {"digest": "SHA256"}),
        ("structure", {"timestamp": 0}),
        ("structure", {"timestamp": True}),
        ("structure", {"timestamp": 1 << 60}),
        ("structure", {"pcrs": {}}),
        ("structure", {"pcrs": {32: bytes(48)}}),
        ("structure", {"pcrs": {"0": bytes(48)}}),
        ("structure", {"pcrs": {True: bytes(48)}}),
        ("structure", {"pcrs": {0: bytes(47)}}),
        ("structure", {"certificate": b""}),
        ("structure", {"certificate": None}),
        ("structure", {"cabundle": []}),
        ("structure", {"cabundle": [b"\x30\x00"]}),
        ("structure", {"cabundle": [b""] * 9}),
        ("structure", {"user_data": bytes(1025)}),
        ("structure", {"nonce": "text"}),
    ],
)
def test_a_malformed_document(step: str, document: dict[str, Any]) -> None:
    assert refused("nitro", make_nitro(document=document)) == step


@pytest.mark.parametrize(
    ("step", "changes"),
    [
        ("structure", {"algorithm": -7}),  # ES256 with a fitting key is still not what Nitro signs with
        ("structure", {"payload": b""}),
        ("structure", {"payload": cbor2.dumps([1])}),
        ("chain", {"not_after": NOW - DAY, "not_before": NOW - 2 * DAY}),
        ("chain", {"not_before": NOW + DAY}),
        ("chain", {"ca": True}),
    ],
)
def test_refused(step: str, changes: dict[str, Any]) -> None:
    assert refused("nitro", make_nitro(**changes)) == step


def test_the_root_in_the_document_is_no_anchor() -> None:
    made = make_nitro()
    assert refused("nitro", Made(made.evidence, ())) == "chain"


def test_nonce() -> None:
    assert refused("nitro", make_nitro(), b"\x11" * 63) == "nonce"
    assert refused("nitro", make_nitro(document={"nonce": None}), b"\x11" * 64) == "nonce"


def test_trailing_and_truncated() -> None:
    made = make_nitro()
    assert refused("nitro", Made(made.evidence + b"\0", made.endorsements)) == "structure"
    assert refused("nitro", Made(made.evidence[:-1], made.endorsements)) == "structure"
