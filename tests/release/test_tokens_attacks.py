"""What every token verifier refuses, whoever the issuer is: the list of issue and RFC 8725."""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kmipsrv.release.canonical import dumps
from kmipsrv.release.evidence import Claims, Endorsements, Refused, verify
from kmipsrv.release.verifiers.tokens import verify_ear, verify_gcp, verify_ita, verify_jwt, verify_maa
from tests.release.tokens import (
    NOW,
    SECONDS,
    b64,
    ear_claims,
    ec_key,
    ed_key,
    gcp_claims,
    ita_claims,
    jwk,
    jwt_claims,
    keys,
    maa_claims,
    pem,
    rsa_key,
    token,
)

Verify = Callable[[bytes, Endorsements, datetime.datetime, bytes | None], Claims]
KINDS: dict[str, tuple[Verify, Callable[..., dict[str, Any]]]] = {
    "ear": (verify_ear, ear_claims),
    "maa": (verify_maa, maa_claims),
    "gcp": (verify_gcp, gcp_claims),
    "ita": (verify_ita, ita_claims),
    "jwt": (verify_jwt, jwt_claims),
}
kinds = pytest.mark.parametrize(("verifier", "claims"), KINDS.values(), ids=KINDS)


@kinds
@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "PS256", "PS384", "PS512"])
def test_a_good_token_with_rsa(verifier: Verify, claims: Callable[..., dict[str, Any]], algorithm: str) -> None:
    made = token(rsa_key(), claims(), algorithm, {"alg": algorithm, "kid": "k1"})
    found = verifier(made, keys(jwk(rsa_key(), kid="k1", use="sig")), NOW, None)
    assert found["raw"] == claims()
    assert len(found["trust_anchor"]) == 64


@kinds
def test_a_good_token_with_curves_and_bare_keys(verifier: Verify, claims: Callable[..., dict[str, Any]]) -> None:
    for key in (ec_key(), ed_key()):
        made = token(key, claims())
        assert verifier(made, keys(jwk(key)), NOW, None)["raw"] == claims()
        assert verifier(made, Endorsements.parse([pem(key)]), NOW, None)["raw"] == claims()


def hmac_token(secret: bytes, claims: dict[str, Any], header: dict[str, Any]) -> bytes:
    signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}".encode()
    return signed + b"." + b64(hmac.new(secret, signed, hashlib.sha256).digest()).encode()


def flipped(made: bytes, part: int) -> bytes:
    parts = made.split(b".")
    raw = bytearray(base64.urlsafe_b64decode(parts[part] + b"=="))
    raw[len(raw) // 2] ^= 1
    parts[part] = b64(bytes(raw)).encode()
    return b".".join(parts)


def respelled(made: bytes) -> bytes:
    """The same octets in another base64url: a spare bit of the last character is set."""
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return made[:-1] + bytes([alphabet[alphabet.index(made[-1]) ^ 1]])


EC = ec_key()
Attack = Callable[[dict[str, Any]], bytes]
ATTACKS: dict[str, tuple[str, Attack]] = {
    "another key": ("signature", lambda c: token(ec_key(number=1), c)),
    "a key in the header": ("signature", lambda c: token(ec_key(number=1), c, header={"jwk": jwk(ec_key(number=1))})),
    "a key set in the header": ("signature", lambda c: token(ec_key(number=1), c, header={"jku": "https://x.example"})),
    "kid is a number": ("header", lambda c: token(EC, c, header={"kid": 1})),
    "alg none": ("algorithm", lambda c: token(EC, c, header={"alg": "none"})),
    "alg None": ("algorithm", lambda c: token(EC, c, header={"alg": "None"})),
    "alg none without a signature": (
        "structure",
        lambda c: token(EC, c, header={"alg": "none"}).rpartition(b".")[0] + b".",
    ),
    "no alg": ("algorithm", lambda c: token(EC, c, header='{"typ":"JWT"}')),
    "alg is a list": ("algorithm", lambda c: token(EC, c, header='{"alg":["ES256"]}')),
    "alg HS256 with the public key": ("algorithm", lambda c: hmac_token(pem(EC), c, {"alg": "HS256"})),
    "alg HS256 with the public JWK": (
        "algorithm",
        lambda c: hmac_token(json.dumps(jwk(EC)).encode(), c, {"alg": "HS256", "kid": "k1"}),
    ),
    "alg of another curve": ("key", lambda c: token(EC, c, "ES256", {"alg": "ES384"})),
    "alg RS256 with an EC key": ("key", lambda c: token(rsa_key(), c)),
    "alg ES256K": ("algorithm", lambda c: token(EC, c, header={"alg": "ES256K"})),
    "crit": ("header", lambda c: token(EC, c, header={"crit": ["exp"]})),
    "b64 false": ("header", lambda c: token(EC, c, header={"b64": False})),
    "duplicate key in the header": ("header", lambda c: token(EC, c, header='{"alg":"ES256","alg":"ES256"}')),
    "duplicate key in the claims": ("payload", lambda c: token(EC, json.dumps(c)[:-1] + ', "iat": 1}')),
    "claims are a list": ("payload", lambda c: token(EC, json.dumps([c]))),
    "claims are not JSON": ("payload", lambda c: token(EC, "nonsense")),
    "claims with NaN": ("payload", lambda c: token(EC, json.dumps({**c, "x": float("nan")}))),
    "claims nested too deeply": ("payload", lambda c: token(EC, '{"a":' * 5000 + "1" + "}" * 5000)),
    "a flipped bit in the header": ("", lambda c: flipped(token(EC, c), 0)),
    "a flipped bit in the claims": ("signature", lambda c: flipped(token(EC, c), 1)),
    "a flipped bit in the signature": ("signature", lambda c: flipped(token(EC, c), 2)),
    "another spelling of the signature": ("structure", lambda c: respelled(token(EC, c))),
    "padding": ("structure", lambda c: token(EC, c) + b"="),
    "truncated": ("", lambda c: token(EC, c)[:-10]),
    "trailing bytes": ("", lambda c: token(EC, c) + b"AAAA"),
    "a line break inside": ("structure", lambda c: token(EC, c)[:50] + b"\n" + token(EC, c)[50:]),
    "four parts": ("structure", lambda c: token(EC, c) + b".AAAA"),
    "two parts": ("structure", lambda c: token(EC, c).rpartition(b".")[0]),
    "JSON serialization": ("structure", lambda c: json.dumps({"payload": "e30", "signature": "AAAA"}).encode()),
    "a large header": ("size", lambda c: token(EC, c, header={"x": "a" * 40_000})),
    "too large": ("size", lambda c: token(EC, {**c, "x": "a" * 300_000})),
    "expired": ("time", lambda c: token(EC, {**c, "exp": SECONDS})),
    "not valid yet": ("time", lambda c: token(EC, {**c, "nbf": SECONDS + 61})),
    "issued in the future": ("time", lambda c: token(EC, {**c, "iat": SECONDS + 61})),
    "exp is a string": ("time", lambda c: token(EC, {**c, "exp": str(SECONDS + 60)})),
    "exp is a float": ("time", lambda c: token(EC, {**c, "exp": SECONDS + 60.5})),
    "iat is a boolean": ("time", lambda c: token(EC, {**c, "iat": True})),
    "iat is a float": ("time", lambda c: token(EC, {**c, "iat": float(SECONDS)})),
    "exp is immense": ("time", lambda c: token(EC, {**c, "exp": 10**30})),
    "nothing": ("structure", lambda c: b""),
    "dots": ("structure", lambda c: b".."),
}


@kinds
@pytest.mark.parametrize(("step", "attack"), ATTACKS.values(), ids=ATTACKS)
def test_what_every_verifier_refuses(
    verifier: Verify, claims: Callable[..., dict[str, Any]], step: str, attack: Attack
) -> None:
    given_keys = keys(jwk(EC, kid="k1"), jwk(EC))
    with pytest.raises(Refused) as refused:
        verifier(attack(claims()), given_keys, NOW, None)
    assert not step or refused.value.step == step
    assert "k1" not in str(refused.value)


@kinds
@pytest.mark.parametrize(
    "given_keys",
    [
        Endorsements(),
        keys(jwk(rsa_key(), kid="k1")),
        keys(jwk(EC, use="enc")),
        keys(jwk(EC, key_ops=["sign"])),
        keys(jwk(EC, alg="ES384")),
        keys(jwk(EC, kid="k2")),
        Endorsements.parse([pem(rsa_key())]),
    ],
    ids=["none", "other kind", "use enc", "key_ops sign", "other alg", "other kid", "other PEM"],
)
def test_keys_that_are_not_for_this(
    verifier: Verify, claims: Callable[..., dict[str, Any]], given_keys: Endorsements
) -> None:
    with pytest.raises(Refused) as refused:
        verifier(token(EC, claims(), header={"kid": "k1", "jwk": jwk(EC)}), given_keys, NOW, None)
    assert refused.value.step == "key"


def test_a_short_rsa_key_is_no_key() -> None:
    short = rsa_key(1024)
    with pytest.raises(Refused):
        verify_jwt(token(short, jwt_claims()), keys(jwk(short)), NOW, None)


def test_ten_megabytes_are_refused_before_they_are_read() -> None:
    for kind in KINDS:
        with pytest.raises(Refused, match="size"):
            verify(kind, b"A" * 10_000_000, keys(jwk(EC)), NOW)


GOOD = {name: token(EC, claims()) for name, (_, claims) in KINDS.items()}


@kinds
def test_every_single_flipped_byte_is_refused(verifier: Verify, claims: Callable[..., dict[str, Any]]) -> None:
    made = token(EC, claims(submods={}) if claims is jwt_claims else claims())
    verifier(made, keys(jwk(EC)), NOW, None)
    for offset in range(len(made)):
        damaged = bytearray(made)
        damaged[offset] ^= 1 << (offset % 7)
        with pytest.raises(Refused):
            verifier(bytes(damaged), keys(jwk(EC)), NOW, None)


@settings(max_examples=200)
@given(st.sampled_from(sorted(KINDS)), st.one_of(st.binary(max_size=200), st.text(max_size=100).map(str.encode)))
def test_any_bytes_are_refused(kind: str, data: bytes) -> None:
    with pytest.raises(Refused):
        KINDS[kind][0](data, keys(jwk(EC)), NOW, None)


CLAIM_NAMES = (
    *("iss", "exp", "iat", "nbf", "aud", "submods", "eat_profile", "eat_nonce", "nonce", "cnf", "tdx", "attester_type"),
    *("x-ms-runtime", "x-ms-attestation-type", "x-ms-isolation-tee", "hwmodel", "dbgstat", "ear_verifier_id"),
    "policy_ids_matched",
)


@settings(max_examples=200)
@given(
    st.sampled_from(sorted(KINDS)),
    st.dictionaries(
        st.sampled_from(CLAIM_NAMES),
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(0, 2**40), st.text(max_size=5)),
            lambda inner: st.one_of(
                st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=5), inner, max_size=2)
            ),
        ),
        max_size=5,
    ),
)
def test_signed_nonsense_is_refused_or_harmless(kind: str, change: dict[str, Any]) -> None:
    """A verifier with a signed token of any content returns claims or refuses; nothing else comes out of it."""
    verifier, claims = KINDS[kind]
    try:
        found = verifier(token(EC, claims(**change)), keys(jwk(EC)), NOW, b"nonce")
    except Refused:
        return
    assert dumps(found)  # it can go into the audit record
