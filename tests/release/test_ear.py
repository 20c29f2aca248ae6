"""EAT Attestation Results (draft-ietf-rats-ear), as JWT and as CWT: what they say in the common vocabulary."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from kmipsrv.release.canonical import dumps
from kmipsrv.release.evidence import Refused, verify
from kmipsrv.release.verifiers.tokens import verify_ear, verify_jwt
from tests.release.tokens import (
    EC,
    KEYS,
    NONCE,
    NOW,
    SECONDS,
    b64,
    cwt,
    ear_claims,
    ear_cwt_claims,
    ec_key,
    ed_key,
    jwk,
    jwt_claims,
    keys,
    rsa_key,
    signed,
    spki,
    trustee_claims,
)

# --- EAR ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "vector", "expected"),
    [
        ("affirming", {"hardware": 2}, "affirming"),
        ("affirming", {"hardware": 0, "executables": 1, "configuration": -1}, "affirming"),
        ("affirming", {"hardware": 31, "executables": -32}, "affirming"),
        (2, {"hardware": 2}, "affirming"),
        ("warning", {"hardware": 32}, "warning"),
        (32, {"hardware": -96}, "warning"),
        ("contraindicated", {"hardware": 97}, "contraindicated"),
        (96, {"hardware": -128}, "contraindicated"),
        ("none", {"hardware": 2}, "none"),
        (0, {}, "none"),
        ("affirming", {"hardware": 32}, None),
        ("affirming", {"hardware": -33}, None),
        ("affirming", {"hardware": 96}, None),
        ("warning", {"hardware": -97}, None),
        ("none", {"hardware": 99}, None),
        ("affirming", {"hardware": 128}, None),
        ("affirming", {"hardware": True}, None),
        ("affirming", {"hardware": "2"}, None),
        ("affirming", {"hardware": 2.0}, None),
        ("Affirming", {}, None),
        (1, {}, None),
        (True, {}, None),
        (None, {}, None),
    ],
)
def test_a_status_claims_no_more_than_the_vector(status: Any, vector: dict[str, Any], expected: str | None) -> None:
    made = signed(ear_claims(status, vector))
    if expected is None:
        with pytest.raises(Refused) as refused:
            verify_ear(made, KEYS, NOW, None)
        assert refused.value.step == "result"
    else:
        assert verify_ear(made, KEYS, NOW, None)["status"] == expected


@pytest.mark.shared
def test_the_drafts_examples_signed(shared: Path) -> None:
    """The examples of the draft are claim sets; here a test key signs them."""
    folder = shared / "attestation" / "evidence" / "ear"
    for name, status in (
        ("ear-json-1.diag", "contraindicated"),
        ("ear-json-2.diag", "affirming"),
        ("ext-veraison-json-1.diag", "contraindicated"),
    ):
        claims = json.loads((folder / name).read_text())
        assert verify_ear(signed(claims), KEYS, NOW, None)["status"] == status
    # ear-cbor-1.diag, transcribed from diagnostic notation
    example = {
        265: "tag:ietf.org,2026:rats/ear#03",
        6: 1666529184,
        1004: {0: "https://veraison-project.org", 1: "vts 0.0.1"},
        1002: b"lifeboatman",
        266: {"PSA": {1000: 96, 1001: {0: 2, 2: 96, 4: 2}, 1003: ["https://veraison.example/policy/1/60a0068d"]}},
    }
    claims = verify_ear(cwt(EC, example), keys(jwk(EC)), NOW, None)
    assert claims["status"] == "contraindicated"
    assert claims["raw"]["ear_raw_evidence"] == b64(b"lifeboatman")


def test_the_worst_submodule_counts() -> None:
    for worst in ("contraindicated", "warning", "none", "affirming"):
        submods = {"a": {"ear_status": "affirming"}, "b": {"ear_status": worst}}
        assert verify_ear(signed(ear_claims(submods=submods)), KEYS, NOW, None)["status"] == worst


@pytest.mark.parametrize(
    ("change", "step"),
    [
        ({"eat_profile": "tag:example.com,2026:other"}, "profile"),
        ({"eat_profile": None}, "profile"),
        ({"eat_profile": ["tag:ietf.org,2026:rats/ear#03"]}, "profile"),
        ({"eat_profile": "tag:github.com,2023:veraison/ear"}, "result"),  # the members have other names there
        ({"ear_verifier_id": None}, "result"),
        ({"ear_verifier_id": {"build": "1"}}, "result"),
        ({"submods": {}}, "result"),
        ({"submods": []}, "result"),
        ({"submods": {"a": "b"}}, "result"),
        ({"submods": {"a": {"ear_status": "affirming", "ear_trustworthiness_vector": []}}}, "result"),
        ({"iat": 1.5}, "time"),
        ({"exp": SECONDS}, "time"),
    ],
)
def test_results_that_are_none(change: dict[str, Any], step: str) -> None:
    with pytest.raises(Refused) as refused:
        verify_ear(signed(ear_claims(**change)), KEYS, NOW, None)
    assert refused.value.step == step


def test_trustees_key_and_tee() -> None:
    evidence = {"snp": {"measurement": "x"}, "runtime_data_claims": {"tee-pubkey": jwk(rsa_key()), "nonce": "x"}}
    claims = verify_ear(signed(trustee_claims(evidence)), KEYS, NOW, None)
    assert claims["tee"] == "snp"
    assert claims["key_binding"] == {"spki": spki(rsa_key()), "source": "tee-pubkey"}
    assert verify_ear(signed(trustee_claims({"sample": {}})), KEYS, NOW, None)["tee"] == "sample"
    two = trustee_claims(evidence)
    other = {**evidence, "runtime_data_claims": {"tee-pubkey": jwk(rsa_key(2048, 1))}}
    two["submods"]["gpu"] = {"ear.status": "affirming", "ear.veraison.annotated-evidence": other}
    assert "key_binding" not in verify_ear(signed(two), KEYS, NOW, None)
    attested = trustee_claims({}, **{"ear.veraison.key-attestation": {"akpub": spki(EC)}})
    assert verify_ear(signed(attested), KEYS, NOW, None)["key_binding"]["source"] == "akpub"
    confirmed = {**trustee_claims(evidence), "cnf": {"jwk": jwk(EC)}}
    assert verify_ear(signed(confirmed), KEYS, NOW, None)["key_binding"] == {"spki": spki(EC), "source": "cnf"}


def test_every_submodule_must_be_fresh() -> None:
    body = ear_claims()
    body["submods"] = {
        "a": {"ear_status": "affirming", "eat_nonce": b64(NONCE)},
        "b": {"ear_status": "affirming", "eat_nonce": b64(NONCE)},
    }
    assert verify_ear(signed(body), KEYS, NOW, NONCE)
    del body["submods"]["b"]["eat_nonce"]
    with pytest.raises(Refused, match="nonce"):
        verify_ear(signed(body), KEYS, NOW, NONCE)


# --- EAR as CWT -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["ES256", "ES384", "ES512", "EdDSA", "PS256"])
def test_an_ear_in_cbor(algorithm: str) -> None:
    key: Any = {
        "ES256": EC,
        "ES384": ec_key(ec.SECP384R1),
        "ES512": ec_key(ec.SECP521R1),
        "EdDSA": ed_key(),
        "PS256": rsa_key(),
    }[algorithm]
    given = keys(jwk(key, kid="k1"))
    for tagged in (True, False):
        made = cwt(key, ear_cwt_claims(), algorithm, b"k1", tagged=tagged)
        claims = verify_ear(made, given, NOW, None)
        assert claims["status"] == "affirming"
        assert claims["raw"]["ear_verifier_id"] == {"developer": "https://veraison-project.org", "build": "vts 0.0.1"}
        assert claims["raw"]["submods"]["PSA"]["ear_trustworthiness_vector"] == {"instance-identity": 2, "hardware": 2}


def test_a_cwt_comes_as_bytes_or_text_and_keeps_its_last_byte() -> None:
    given = keys(jwk(EC))
    made = cwt(EC, ear_cwt_claims())
    while made[-1] not in b" \n\r\t":  # a signature may end with what looks like white space
        made = cwt(EC, ear_cwt_claims())
    for evidence in (made, made.hex().encode(), base64.b64encode(made), made.hex().encode() + b"\n"):
        assert verify("ear", evidence, given, NOW)["status"] == "affirming"


def test_a_cwts_nonce_and_key() -> None:
    x = ec_key(number=5).public_key().public_numbers()
    cose_key = {1: 2, -1: 1, -2: x.x.to_bytes(32, "big"), -3: x.y.to_bytes(32, "big")}
    made = cwt(EC, {**ear_cwt_claims(), 10: NONCE, 8: {1: cose_key}, 1: "https://v.example"})
    claims = verify_ear(made, keys(jwk(EC)), NOW, NONCE)
    assert claims["key_binding"] == {"spki": spki(ec_key(number=5)), "source": "cnf"}
    assert claims["issuer"] == "https://v.example"
    with pytest.raises(Refused, match="nonce"):
        verify_ear(made, keys(jwk(EC)), NOW, bytes(64))


def test_cwts_that_are_refused() -> None:
    good = cwt(EC, ear_cwt_claims())
    given = keys(jwk(EC))
    assert verify_ear(good, given, NOW, None)
    body = ear_cwt_claims()
    bad = {
        "another key": cwt(ec_key(number=1), body),
        "trailing byte": good + b"\0",
        "truncated": good[:-1],
        "expired": cwt(EC, {**body, 4: SECONDS}),
        "a float time": cwt(EC, {**body, 6: float(SECONDS)}),
        "contraindicated vector": cwt(EC, ear_cwt_claims() | {266: {"a": {1000: 2, 1001: {0: 96}}}}),
        "twice, by label and name": cwt(EC, {**body, "iat": SECONDS}),
        "twice by label": cwt(EC, bytes.fromhex("a2061a00000001061a00000002")),
        "indefinite": b"\xd2\x9f" + good[2:] + b"\xff",
        "bomb": b"\xd2" + b"\x84" + b"\x81" * 100_000,
        "huge length": b"\xd2\x84\x5b\x7f\xff\xff\xff\xff\xff\xff\xff",
        "claims are a list": cwt(EC, b"\x80"),
        "claims are empty": cwt(EC, b""),
        "longer encoding": cwt(EC, b"\xb8\x01\x06\x01"),
    }
    for evidence in bad.values():
        with pytest.raises(Refused):
            verify_ear(evidence, given, NOW, None)
    for offset in range(len(good)):
        damaged = bytearray(good)
        damaged[offset] ^= 1 << (offset % 8)
        with pytest.raises(Refused):
            verify_ear(bytes(damaged), given, NOW, None)


def test_claims_always_have_a_canonical_form() -> None:
    claims = jwt_claims(large=2**64 - 1, small=-(2**63), inside=[{"n": 2**53}], fine=2**53 - 1, real=1e300)
    found = verify_jwt(signed(claims), KEYS, NOW, None)
    assert found["raw"]["large"] == "0xffffffffffffffff"
    assert found["raw"]["inside"] == [{"n": "0x20000000000000"}]
    assert found["raw"]["fine"] == 2**53 - 1
    assert dumps(found)
    body = {**ear_cwt_claims(), 77777: 2**64 - 1}
    assert dumps(verify_ear(cwt(EC, body), keys(jwk(EC)), NOW, None)["raw"]).count(b"0xffffffffffffffff") == 1
