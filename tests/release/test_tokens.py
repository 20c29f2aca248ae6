"""What each issuer's token says in the common vocabulary; nonces, key binding, issuers; the genuine samples."""

from __future__ import annotations

import base64
import csv
import datetime
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519

from kmipsrv.release.evidence import Endorsements, Refused, verify
from kmipsrv.release.facts import VOCABULARY, read_time
from kmipsrv.release.verifiers.tokens import verify_ear, verify_gcp, verify_ita, verify_jwt, verify_maa
from tests.release.tokens import (
    EC,
    KEYS,
    NONCE,
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
    rsa_key,
    signed,
    spki,
    token,
    trustee_claims,
)

# --- the genuine samples --------------------------------------------------------------------------------------------------

TOKEN_TYPES = ("ear", "maa", "gcp", "ita", "jwt")


def expectations(shared: Path) -> list[list[str]]:
    with (shared / "attestation" / "evidence" / "expect.tsv").open(newline="") as file:
        return [
            row for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE) if row and row[0] in TOKEN_TYPES
        ]


@pytest.mark.shared
def test_every_expected_verdict_comes_out(shared: Path) -> None:
    folder = shared / "attestation" / "evidence"
    rows = expectations(shared)
    assert len(rows) >= 8
    for kind, evidence, endorsements, at, verdict, claims in rows:
        given = Endorsements.parse([(folder / name).read_bytes() for name in endorsements.split() if name != "-"])
        content = (folder / evidence).read_bytes()
        if verdict == "refuse":
            with pytest.raises(Refused):
                verify(kind, content, given, read_time(at))
            continue
        found = verify(kind, content, given, read_time(at))
        for name, expected in json.loads(claims).items():
            assert found[name].startswith(expected) if isinstance(expected, str) else found[name] == expected


@pytest.mark.shared
def test_every_single_flipped_byte_of_the_genuine_samples_is_refused(shared: Path) -> None:
    folder = shared / "attestation" / "evidence"
    tried = 0
    for kind, evidence, endorsements, at, verdict, _ in expectations(shared):
        if verdict == "refuse":
            continue
        given = Endorsements.parse([(folder / name).read_bytes() for name in endorsements.split() if name != "-"])
        content = (folder / evidence).read_bytes().strip()
        for offset in range(0, len(content), 1 if kind == "ear" else 7):
            damaged = bytearray(content)
            damaged[offset] ^= 1 << (offset % 7)
            with pytest.raises(Refused):
                verify(kind, bytes(damaged), given, read_time(at))
            tried += 1
    assert tried > 2000


@pytest.mark.shared
def test_the_genuine_nonces(shared: Path) -> None:
    folder = shared / "attestation" / "evidence"
    google = (folder / "gcp-confidential-space" / "token_with_nonce.jwt").read_bytes()
    google_keys = Endorsements.parse([(folder / "gcp-confidential-space" / "jwks.json").read_bytes()])
    at = read_time("2025-12-02T21:00:00Z")
    assert verify("gcp", google, google_keys, at, b"sp1-test-nonce-1764708636")["tee"] == "sev"
    with pytest.raises(Refused, match="nonce"):
        verify("gcp", google, google_keys, at, b"sp1-test-nonce-1764708637")
    azure = (folder / "azure-maa" / "maa_azureguest_sharedweu.jwt").read_bytes()
    azure_keys = Endorsements.parse([(folder / "azure-maa" / "maa_jwks_archived.json").read_bytes()])
    at = read_time("2023-03-30T12:00:00Z")
    claims = verify("maa", azure, azure_keys, at, b"ADE0101")
    # the vTPM's ephemeral key, not the paravisor's HCLAkPub, which the same token calls an encryption key
    runtime = claims["raw"]["x-ms-runtime"]["keys"][0]
    bound = serialization.load_der_public_key(base64.b64decode(claims["key_binding"]["spki"]))
    assert isinstance(bound, rsa.RSAPublicKey)
    assert bound.public_numbers().n == int.from_bytes(base64.urlsafe_b64decode(runtime["n"] + "=="), "big")
    with pytest.raises(Refused, match="nonce"):
        verify("maa", azure, azure_keys, at, b"ADE0102")


# --- nonces ---------------------------------------------------------------------------------------------------------------

NONCE_CLAIMS = [
    (verify_gcp, gcp_claims(eat_nonce=b64(NONCE))),
    (verify_gcp, gcp_claims(eat_nonce=["another-nonce", b64(NONCE)])),
    (verify_ear, ear_claims(eat_nonce=b64(NONCE))),
    (verify_jwt, jwt_claims(eat_nonce=b64(NONCE))),
    (verify_jwt, jwt_claims(nonce=b64(NONCE))),
    (verify_jwt, jwt_claims(nonce=NONCE.hex())),
    (verify_ita, ita_claims(eat_nonce=b64(NONCE))),
    (verify_ita, ita_claims(attester_held_data=base64.b64encode(NONCE).decode())),
    (verify_ita, ita_claims(attester_runtime_data={"nonce": b64(NONCE)})),
    (verify_maa, maa_claims(nonce=b64(NONCE))),
    (verify_maa, maa_claims(**{"x-ms-runtime": {"client-payload": {"nonce": base64.b64encode(NONCE).decode()}}})),
    (
        verify_maa,  # the client's payload is base64 of the text that the client chose
        maa_claims(**{"x-ms-runtime": {"client-payload": {"nonce": base64.b64encode(b64(NONCE).encode()).decode()}}}),
    ),
    (verify_ear, trustee_claims({"runtime_data_claims": {"nonce": base64.b64encode(NONCE).decode()}})),
]


@pytest.mark.parametrize(("verifier", "claims"), NONCE_CLAIMS)
def test_the_nonce_is_found_where_the_issuer_puts_it(verifier: Any, claims: dict[str, Any]) -> None:
    assert verifier(signed(claims), KEYS, NOW, NONCE)["raw"]
    assert verifier(signed(claims), KEYS, NOW, None)["raw"]
    for wrong in (NONCE[:-1], NONCE + b"\0", bytes(64), b64(NONCE)[:-1].encode()):
        with pytest.raises(Refused) as refused:
            verifier(signed(claims), KEYS, NOW, wrong)
        assert refused.value.step == "nonce"


@pytest.mark.parametrize(
    ("verifier", "claims"),
    [
        (verify_gcp, gcp_claims()),
        (verify_ear, ear_claims()),
        (verify_jwt, jwt_claims()),
        (verify_ita, ita_claims()),
        (verify_maa, maa_claims()),
        (verify_jwt, jwt_claims(eat_nonce=[])),
        (verify_jwt, jwt_claims(nonce=[b64(NONCE)])),
        (verify_jwt, jwt_claims(jti=b64(NONCE), sub=b64(NONCE))),
    ],
)
def test_a_token_without_the_nonce_is_refused_when_one_is_asked_for(verifier: Any, claims: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        verifier(signed(claims), KEYS, NOW, NONCE)
    assert refused.value.step == "nonce"


@pytest.mark.parametrize("value", ["short", "x" * 89, 5, ["12345678"] * 17, [12345678], {"a": "12345678"}])
def test_eat_nonces_of_a_wrong_form(value: Any) -> None:
    with pytest.raises(Refused) as refused:
        verify_gcp(signed(gcp_claims(eat_nonce=value)), KEYS, NOW, None)
    assert refused.value.step == "nonce"


# --- issuers --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verifier", "claims"),
    [
        (verify_gcp, gcp_claims(iss="https://confidentialcomputing.googleapis.com.evil.example")),
        (verify_gcp, gcp_claims(iss="https://accounts.google.com")),
        (verify_maa, maa_claims(iss="https://attest.azure.net")),
        (verify_maa, maa_claims(iss="https://mine.weu.attest.azure.net.evil.example")),
        (verify_maa, maa_claims(iss="http://mine.weu.attest.azure.net")),
        (verify_maa, maa_claims(iss="https://evil.example/mine.weu.attest.azure.net")),
        (verify_ita, ita_claims(iss="Intel Trust authority")),
        (verify_ita, ita_claims(iss="https://evil.example")),
        (verify_jwt, jwt_claims(iss=5)),
        (verify_jwt, jwt_claims(iss="")),
        (verify_ear, ear_claims(iss=["x"])),
    ],
)
def test_another_issuer_is_refused(verifier: Any, claims: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        verifier(signed(claims), KEYS, NOW, None)
    assert refused.value.step == "issuer"


def test_a_key_given_for_one_issuer_signs_for_no_other() -> None:
    bound = keys(jwk(EC, kid="k1", issuer="https://issuer.example/"))
    assert verify_jwt(signed(jwt_claims()), bound, NOW, None)["issuer"] == "https://issuer.example"
    assert verify_ear(signed(ear_claims()), bound, NOW, None)["issuer"] == "https://issuer.example/"
    for verifier, claims in (
        (verify_jwt, jwt_claims(iss="https://other.example")),
        (verify_maa, maa_claims()),
        (verify_ear, ear_claims(iss="https://other.example")),
    ):
        with pytest.raises(Refused) as refused:
            verifier(signed(claims), bound, NOW, None)
        assert refused.value.step == "issuer"


def test_a_key_set_given_for_one_issuer_binds_all_its_keys() -> None:
    def key_set(issuer: Any) -> Endorsements:
        return Endorsements.parse([json.dumps({"issuer": issuer, "keys": [jwk(EC, kid="k1")]}).encode()])

    assert verify_jwt(signed(jwt_claims()), key_set("https://issuer.example"), NOW, None)
    both = key_set("https://other.example") + keys(jwk(rsa_key(), kid="k2", issuer="https://issuer.example"))
    with pytest.raises(Refused) as refused:
        verify_jwt(signed(jwt_claims()), both, NOW, None)
    assert refused.value.step == "issuer"
    with pytest.raises(Refused):
        verify_jwt(signed(jwt_claims()), key_set(5), NOW, None)


@pytest.mark.parametrize(
    ("verifier", "claims", "missing"),
    [
        (verify_maa, maa_claims, "exp"),
        (verify_maa, maa_claims, "nbf"),
        (verify_gcp, gcp_claims, "exp"),
        (verify_gcp, gcp_claims, "aud"),
        (verify_ita, ita_claims, "exp"),
        (verify_jwt, jwt_claims, "exp"),
        (verify_ear, ear_claims, "iat"),
    ],
)
def test_claims_that_must_be_there(verifier: Any, claims: Any, missing: str) -> None:
    body = claims()
    del body[missing]
    with pytest.raises(Refused):
        verifier(signed(body), KEYS, NOW, None)


# --- Microsoft ------------------------------------------------------------------------------------------------------------


def certified(
    key: ec.EllipticCurvePrivateKey, name: str, issuer: tuple[str, Any] | None = None, ca: bool = False
) -> bytes:
    issued_by, signer = issuer or (name, key)
    day = datetime.timedelta(days=1)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, issued_by)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - day)
        .not_valid_after(NOW + day)
        .add_extension(x509.BasicConstraints(ca, None), critical=True)
    )
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def test_key_sets_that_hold_certificates_only() -> None:
    """Microsoft's key sets have x5c and no n, e; the certificate names the provider whose tokens it signs."""
    for issuer, good in (("https://mine.weu.attest.azure.net", True), ("https://other.weu.attest.azure.net", False)):
        chain = [base64.b64encode(certified(EC, issuer)).decode()]
        given = keys({"kty": "EC", "kid": "k1", "x5c": chain})
        if good:
            assert verify_maa(signed(maa_claims()), given, NOW, None)["tee"] == "snp"
        else:
            with pytest.raises(Refused, match="issuer"):
                verify_maa(signed(maa_claims()), given, NOW, None)


def test_maa_claims_flat_and_nested() -> None:
    flat = verify_maa(signed(maa_claims()), KEYS, NOW, None)
    assert (flat["tee"], flat["debug"], flat["measurement"], flat["tcb"]) == ("snp", False, "ab" * 48, {"snp": 8})
    virtual = maa_claims(**{"x-ms-attestation-type": "azurevm", "secureboot": True})
    assert "tee" not in verify_maa(signed(virtual), KEYS, NOW, None)
    virtual["x-ms-isolation-tee"] = {
        "x-ms-attestation-type": "tdxvm",
        "tdx_mrtd": "ef" * 48,
        "tdx_td_attributes_debug": True,
        "attester_tcb_status": "UpToDate",
    }
    nested = verify_maa(signed(virtual), KEYS, NOW, None)
    assert (nested["tee"], nested["debug"], nested["measurement"]) == ("tdx", True, "ef" * 48)
    assert nested["secure_boot"] is True
    assert nested["tcb_status"] == "UpToDate"


MAA_KEYS: list[tuple[list[Any], str]] = [
    ([], ""),
    ([jwk(rsa_key(), kid="a", key_ops=["encrypt"])], "a"),
    ([jwk(rsa_key(), kid="a", use="enc")], "a"),
    ([jwk(rsa_key(), kid="HCLAkPub", key_ops=["sign"])], ""),
    ([jwk(rsa_key(), kid="HCLAkPub", key_ops=["encrypt"])], ""),
    ([jwk(rsa_key(), kid="HCLAkPub", use="enc"), jwk(rsa_key(2048, 1), kid="b", use="enc")], "b"),
    ([jwk(rsa_key(), kid="s", use="sig"), jwk(rsa_key(2048, 1), kid="b", key_ops=["encrypt"])], "b"),
    ([jwk(rsa_key(2048, 1), kid="b", use="enc"), jwk(rsa_key(), kid="a", use="enc")], "b"),
    ([jwk(rsa_key(1024), kid="short", use="enc")], ""),
    ([{"kty": "RSA", "kid": "x", "use": "enc"}, "nonsense", 5], ""),
    ([{"kty": "oct", "k": "AAAA", "use": "enc"}], ""),
    ([jwk(rsa_key(), kid="a")], ""),
]


@pytest.mark.parametrize(("listed", "chosen"), MAA_KEYS)
def test_which_runtime_key_is_the_recipient(listed: list[Any], chosen: str) -> None:
    """Trap: x-ms-runtime can hold several keys, and the attestation key must never be picked."""
    claims = verify_maa(signed(maa_claims(**{"x-ms-runtime": {"keys": listed}})), KEYS, NOW, None)
    expected = {"a": spki(rsa_key()), "b": spki(rsa_key(2048, 1))}.get(chosen)
    assert claims.get("key_binding", {}).get("spki") == expected


# --- Google ---------------------------------------------------------------------------------------------------------------


def test_gcp_claims() -> None:
    claims = verify_gcp(signed(gcp_claims()), KEYS, NOW, None)
    assert (claims["tee"], claims["debug"], claims["secure_boot"]) == ("tdx", False, True)
    assert claims["measurement"] == "sha256:" + "ab" * 32
    assert verify_gcp(signed(gcp_claims(dbgstat="enabled")), KEYS, NOW, None)["debug"] is True
    odd = verify_gcp(signed(gcp_claims(dbgstat="new", hwmodel="GCP_NEW", submods=[])), KEYS, NOW, None)
    assert not {"tee", "debug", "measurement"} & set(odd)


def test_gcp_pki_tokens_by_their_chain() -> None:
    root_key, leaf_key = ec_key(number=10), ec_key(number=11)
    name = "Confidential Space Root CA"
    root = certified(root_key, name, ca=True)
    leaf = certified(leaf_key, "Confidential Space Leaf", (name, root_key))
    x5c = [base64.b64encode(part).decode() for part in (leaf, root)]
    made = token(leaf_key, gcp_claims(), header={"x5c": x5c})
    anchor = Endorsements.parse([root])
    assert verify_gcp(made, anchor, NOW, None)["trust_anchor"] == hashlib.sha256(root).hexdigest()
    forged_root = certified(leaf_key, name, ca=True)
    forged = [base64.b64encode(part).decode() for part in (certified(EC, "x", (name, leaf_key)), forged_root)]
    other = certified(root_key, "Some Device Root CA", ca=True)
    below = certified(leaf_key, "Confidential Space Leaf", ("Some Device Root CA", root_key))
    for evidence, given in (
        (made, Endorsements()),  # no anchor: x5c is not looked at, and there is no key
        (made, KEYS),
        (token(EC, gcp_claims(), header={"x5c": forged}), anchor),  # another root of the same name
        (token(EC, gcp_claims(), header={"x5c": x5c}), anchor),  # signed by another key
        (token(leaf_key, gcp_claims(), header={"x5c": "x"}), anchor),
        (token(leaf_key, gcp_claims(), header={"x5c": []}), anchor),
        # an anchor that was given for something else
        (
            token(leaf_key, gcp_claims(), header={"x5c": [base64.b64encode(below).decode()]}),
            Endorsements.parse([other]),
        ),
    ):
        with pytest.raises(Refused):
            verify_gcp(evidence, given, NOW, None)
    with pytest.raises(Refused, match="expired"):
        verify_gcp(made, anchor, NOW + datetime.timedelta(days=2), None)


@pytest.mark.parametrize("verifier", [verify_maa, verify_ita, verify_jwt, verify_ear])
def test_no_other_token_is_judged_by_its_x5c(verifier: Any) -> None:
    root = certified(ec_key(number=10), "Confidential Space Root CA", ca=True)
    claims = {verify_maa: maa_claims, verify_ita: ita_claims, verify_jwt: jwt_claims, verify_ear: ear_claims}[
        verifier
    ]()
    made = token(ec_key(number=10), claims, header={"x5c": [base64.b64encode(root).decode()]})
    with pytest.raises(Refused) as refused:
        verifier(made, Endorsements.parse([root]), NOW, None)
    assert refused.value.step == "key"


# --- Intel ----------------------------------------------------------------------------------------------------------------


def test_ita_claims_flat_and_nested() -> None:
    flat = verify_ita(signed(ita_claims()), KEYS, NOW, None)
    assert (flat["tee"], flat["debug"], flat["measurement"], flat["status"]) == ("tdx", False, "ab" * 48, "affirming")
    assert flat["tcb_date"] == 1710288000
    assert flat["advisory_ids"] == []
    body = ita_claims()
    section = {name: body.pop(name) for name in list(body) if name.startswith(("tdx", "attester"))}
    nested = verify_ita(signed({**body, "tdx": section}), KEYS, NOW, None)
    assert {**nested, "raw": None} == {**flat, "raw": None}


@pytest.mark.parametrize(
    ("policies", "status"),
    [
        ({"policy_ids_unmatched": [{"id": "q"}]}, "contraindicated"),
        ({"policy_ids_matched": []}, "none"),
        ({"policy_ids_matched": None}, "none"),
        ({"policy_ids_unmatched": None}, "affirming"),
        ({"policy_ids_unmatched": []}, "affirming"),
    ],
)
def test_a_relying_party_that_forgets_to_look_at_the_policies(policies: dict[str, Any], status: str) -> None:
    assert verify_ita(signed(ita_claims(**policies)), KEYS, NOW, None)["status"] == status


def test_debug_is_the_worst_of_its_names() -> None:
    body = ita_claims(tdx_td_attributes_debug=True)
    assert verify_ita(signed(body), KEYS, NOW, None)["debug"] is True
    with pytest.raises(Refused, match="more than one"):
        verify_ita(signed(ita_claims(tdx={}, sgx={})), KEYS, NOW, None)


# --- any issuer -----------------------------------------------------------------------------------------------------------


def test_jwt_claims_and_binding() -> None:
    x = x25519.X25519PrivateKey.generate()
    raw = x.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    cnf = {"jwk": {"kty": "OKP", "crv": "X25519", "x": b64(raw)}}
    claims = verify_jwt(signed(jwt_claims(cnf=cnf, tee="snp", dbgstat="disabled")), KEYS, NOW, None)
    assert claims["key_binding"] == {"spki": spki(x), "source": "cnf"}
    assert claims["debug"] is False
    assert "tee" not in claims  # an issuer of one's own says what it likes, under `raw`
    for bad in ({}, {"jwk": jwk(ed_key())}, {"jwk": {**jwk(EC), "d": "AAAA"}}, {"kid": "x"}, "x"):
        assert "key_binding" not in verify_jwt(signed(jwt_claims(cnf=bad)), KEYS, NOW, None)


def bundle(parts: dict[str, bytes], stated: dict[str, Any] | None = None, **claims: Any) -> bytes:
    digests = {name: ["DIGEST", ["SHA-256", hashlib.sha256(text).hexdigest()]] for name, text in parts.items()}
    main = signed(jwt_claims(submods=digests if stated is None else stated, **claims))
    return json.dumps([["JWT", main.decode()], {name: text.decode() for name, text in parts.items()}]).encode()


def test_a_detached_bundle_is_as_good_as_its_parts() -> None:
    """Trap: an overall token is only as good as the detached ones; their digests are over the token's text."""
    part = signed(jwt_claims(measres="success"))
    other = signed(jwt_claims(measres="fail"))
    claims = verify_jwt(bundle({"GPU-0": part}), KEYS, NOW, None)
    assert claims["raw"]["submods"]["GPU-0"]["measres"] == "success"
    encoded = ["DIGEST", ["SHA-256", b64(hashlib.sha256(part).digest())]]
    assert verify_jwt(bundle({"GPU-0": part}, {"GPU-0": encoded}), KEYS, NOW, None)["raw"]["submods"]["GPU-0"]
    good = ["DIGEST", ["SHA-256", hashlib.sha256(part).hexdigest()]]
    stranger = token(ec_key(number=1), jwt_claims())
    elsewhere = signed(jwt_claims(iss="https://other.example"))
    for evidence in (
        bundle({"GPU-0": other}, {"GPU-0": good}),  # another token than the one named
        bundle({"GPU-0": part}, {"GPU-0": good, "GPU-1": good}),  # one is missing
        bundle({"GPU-0": part, "GPU-1": part}, {"GPU-0": good}),  # one too many
        bundle({"GPU-0": part}, {"GPU-0": ["DIGEST", ["MD5", "x"]]}),
        bundle({"GPU-0": part}, {"GPU-0": ["DIGEST"]}),
        bundle({"GPU-0": part}, {}),
        bundle({"GPU-0": stranger}),
        bundle({"GPU-0": elsewhere}),
        bundle({"GPU-0": signed(jwt_claims(exp=SECONDS))}),
        bundle({}),
        b'[["JWT", 5], {"a": "b"}]',
        b'[["CBOR", "x"], {"a": "b"}]',
        b"[[[[",
    ):
        with pytest.raises(Refused):
            verify_jwt(evidence, KEYS, NOW, None)


@pytest.mark.shared
def test_a_nested_token_of_the_eat_examples_is_no_evidence(shared: Path) -> None:
    """The nested JWS of the EAT repository's example is HS256."""
    example = json.loads((shared / "attestation" / "evidence" / "eat" / "eat_submods.json").read_text())
    nested = example["submods"]["Subsystem J"][1].encode()
    with pytest.raises(Refused) as refused:
        verify_jwt(nested, KEYS, NOW, None)
    assert refused.value.step == "algorithm"


# --- the vocabulary -------------------------------------------------------------------------------------------------------


def test_token_verifiers_speak_the_common_vocabulary() -> None:
    runtime = {"x-ms-runtime": {"keys": [jwk(rsa_key(), use="enc")]}, "secureboot": True}
    for verifier, claims in (
        (verify_maa, maa_claims(**runtime)),
        (verify_gcp, gcp_claims()),
        (verify_ita, ita_claims()),
        (verify_jwt, jwt_claims(cnf={"jwk": jwk(EC)}, dbgstat="enabled")),
        (verify_ear, ear_claims(cnf={"jwk": jwk(EC)}, exp=SECONDS + 9, nbf=SECONDS)),
    ):
        assert set(verifier(signed(claims), KEYS, NOW, None)) <= VOCABULARY
