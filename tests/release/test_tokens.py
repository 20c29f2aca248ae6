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

from kmipsrv.release.canonical import dumps
from kmipsrv.release.evidence import Endorsements, Refused, verify
from kmipsrv.release.facts import VOCABULARY, read_time
from kmipsrv.release.verifiers.tokens import verify_ear, verify_gcp, verify_ita, verify_jwt, verify_maa
from tests.release.tokens import (
    NOW,
    SECONDS,
    b64,
    cwt,
    ear_claims,
    ear_cwt_claims,
    ec_key,
    ed_key,
    gcp_claims,
    ita_claims,
    jwk,
    jwt_claims,
    keys,
    maa_claims,
    rsa_key,
    token,
    trustee_claims,
)

EC = ec_key()
KEYS = keys(jwk(EC, kid="k1"))
NONCE = bytes(range(64))


def spki(key: Any) -> str:
    der: bytes = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return base64.b64encode(der).decode()


def signed(claims: dict[str, Any], **header: Any) -> bytes:
    return token(EC, claims, header={"kid": "k1", **header})


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
