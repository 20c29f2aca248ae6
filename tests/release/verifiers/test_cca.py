"""CCA tokens made with test keys: what is accepted, and each step of the verification failing alone."""

from __future__ import annotations

from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.release.verifiers.attesters import Made, make_cca
from tests.release.verifiers.conftest import accepted, refused
from tests.release.verifiers.pki import key, spki_pem


@pytest.mark.parametrize("collection", [399, 907])
@pytest.mark.parametrize("profile", [False, True])
@pytest.mark.parametrize("curve", [ec.SECP256R1, ec.SECP384R1])
def test_accepted(collection: int, profile: bool, curve: type[ec.EllipticCurve]) -> None:
    made = make_cca(collection=collection, profile=profile, platform_curve=curve)
    claims = accepted("cca", made, b"\x11" * 64)
    assert claims["tee"] == "cca"
    assert claims["measurement"] == "22" * 32
    assert claims["debug"] is False
    assert claims["versions"] == {"BL": "3.4.2"}
    assert claims["raw"]["platform"]["sw_components"][0]["version"] == "3.4.2"


@pytest.mark.parametrize(
    ("lifecycle", "debug"),
    [(0x3000, False), (0x30FF, False), (0x4001, True), (0x5000, True), (0x0000, None), (0x1000, None), (0x6000, None)],
)
def test_lifecycle(lifecycle: int, debug: bool | None) -> None:
    assert accepted("cca", make_cca(lifecycle=lifecycle)).get("debug") is debug


@pytest.mark.parametrize(
    ("step", "changes"),
    [
        ("structure", {"collection": 398}),
        ("claims", {"platform": {2395: None}}),
        ("claims", {"platform": {2395: True}}),
        ("claims", {"platform": {256: "text"}}),
        ("claims", {"realm": {44238: None}}),
        ("claims", {"realm": {44239: b"no list"}}),
        ("realm", {"realm_signer": "another"}),
        ("realm", {"realm": {44237: b"\x04" + bytes(96)}}),
        ("realm", {"realm": {265: "tag:arm.com,2023:realm#1.0.0"}}),  # with a profile the key is a COSE_Key
        ("binding", {"challenge": bytes(32)}),
        ("binding", {"challenge": b""}),
        ("binding", {"realm": {44240: "sha-1"}}),
        ("binding", {"realm": {44240: "sha-512"}}),
    ],
)
def test_refused(step: str, changes: dict[str, Any]) -> None:
    assert refused("cca", make_cca(**changes)) == step


def test_only_an_enrolled_platform_key() -> None:
    made = make_cca()
    assert refused("cca", Made(made.evidence, ())) == "platform"
    assert refused("cca", Made(made.evidence, (spki_pem(key("another")),))) == "platform"
    # the realm's own key signs only the realm's token
    assert refused("cca", Made(made.evidence, (spki_pem(key("RAK")),))) == "platform"


def test_half_a_token() -> None:
    made = make_cca()
    value = cbor2.loads(made.evidence)
    for label in (44234, 44241):
        half = cbor2.dumps(cbor2.CBORTag(399, {label: value.value[label]}))
        assert refused("cca", Made(half, made.endorsements)) == "structure"
    swapped = {44234: value.value[44241], 44241: value.value[44234]}
    assert refused("cca", Made(cbor2.dumps(cbor2.CBORTag(399, swapped)), made.endorsements)) == "platform"
    assert refused("cca", Made(made.evidence + b"\0", made.endorsements)) == "structure"


def test_nonce() -> None:
    assert refused("cca", make_cca(), b"\x11" * 32) == "nonce"
    assert accepted("cca", make_cca(nonce=b"\x11" * 32), b"\x11" * 32)["nonce"] == "11" * 32
