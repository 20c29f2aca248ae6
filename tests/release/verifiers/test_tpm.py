"""TPM quotes made with test keys: schemes and banks, who is trusted as an attestation key, each step failing alone."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.release.verifiers.attesters import Made
from tests.release.verifiers.conftest import accepted, refused
from tests.release.verifiers.pki import DAY, NOW, certificate, key, pem, root, rsa_key, spki_pem
from tests.release.verifiers.tpm_attesters import make_tpm, make_tpm_protobuf, pcr_value, tpm2b, tpm_public, tpm_quote

EC_AK = key("EC AK", ec.SECP256R1)
AIK = "2.23.133.8.3"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"scheme": "rsapss"},
        {"scheme": "rsapss", "algorithm": "sha384"},
        {"algorithm": "sha384"},
        {"signer": EC_AK},
        {"signer": key("EC AK 384", ec.SECP384R1), "algorithm": "sha384"},
    ],
)
@pytest.mark.parametrize("bank", ["sha1", "sha256", "sha384"])
def test_schemes_and_banks(changes: dict[str, Any], bank: str) -> None:
    claims = accepted("tpm", make_tpm(selections=((bank, (0, 7, 23)),), **changes), b"\x11" * 64)
    assert claims["tee"] == "tpm"
    assert claims["pcrs"] == {bank: {str(index): pcr_value(bank, index).hex() for index in (0, 7, 23)}}


def test_several_banks_in_one_quote() -> None:
    claims = accepted("tpm", make_tpm(selections=(("sha1", (0,)), ("sha256", (1, 2)))))
    assert claims["pcrs"].keys() == {"sha1", "sha256"}
    assert claims["raw"]["clock"] == 1234


def with_quote(made: Made, **changes: Any) -> Made:
    value = json.loads(made.evidence)
    value["tpm_quote"] |= changes
    return Made(json.dumps(value).encode(), made.endorsements)


def test_only_selected_values_are_claims() -> None:
    values = {str(index): pcr_value("sha256", index).hex() for index in range(24)}
    claims = accepted("tpm", with_quote(make_tpm(), pcrs={"sha256": values}))
    assert claims["pcrs"]["sha256"].keys() == {"0", "1", "7"}
    listed = accepted("tpm", with_quote(make_tpm(), pcrs=[values[str(index)] for index in range(24)]))
    assert listed["pcrs"] == claims["pcrs"]
    assert "pcrs" not in accepted("tpm", with_quote(make_tpm(), pcrs=None))


@pytest.mark.parametrize(
    "pcrs",
    [
        [],
        {},
        {"sha256": {"0": "00"}},
        {"sha1": {"0": "00" * 20, "1": "00" * 20, "7": "00" * 20}},
        {"sha256": {"0": "00" * 32, "1": "00" * 32, "7": "00" * 32}},
    ],
)
def test_values_that_are_not_the_attested_ones(pcrs: Any) -> None:
    assert refused("tpm", with_quote(make_tpm(), pcrs=pcrs)) == "pcrs"


@pytest.mark.parametrize(
    ("step", "changes"),
    [
        ("structure", {"magic": 0xFF544346}),  # external data that a TPM would sign for anybody
        ("structure", {"kind": 0x8017}),  # a certification
        ("structure", {"rest": b"\0"}),
        ("structure", {"signer": rsa_key("AK"), "algorithm": "sha1", "selections": (("sha256", (0,)),)}),
    ],
)
def test_malformed(step: str, changes: dict[str, Any]) -> None:
    if changes.get("algorithm") == "sha1":  # the library signs with SHA-1 only where it is told to
        message, signature, values = tpm_quote(signer=rsa_key("AK"))
        weak = signature[:2] + b"\x00\x04" + signature[4:]
        made = with_quote(make_tpm(), message=message.hex(), signature=weak.hex(), pcrs=values)
        assert refused("tpm", made) == step
    else:
        assert refused("tpm", make_tpm(**changes)) == step


def test_signatures_that_do_not_fit() -> None:
    value = json.loads(make_tpm().evidence)["tpm_quote"]
    signature = base64.b64decode(value["signature"])
    for wrong in (signature + b"\0", signature[:-1], b"\x00\x05" + signature[2:], b"", signature[6:]):
        assert refused("tpm", with_quote(make_tpm(), signature=wrong.hex())) == "structure"
    pss = b"\x00\x16" + signature[2:]
    assert refused("tpm", with_quote(make_tpm(), signature=pss.hex())) == "signature"
    ecdsa = struct.pack(">HH", 0x18, 0x0B) + tpm2b(b"\x01" * 32) + tpm2b(b"\x01" * 32)
    assert refused("tpm", with_quote(make_tpm(), signature=ecdsa.hex())) == "signature"


# --- the attestation key ----------------------------------------------------------------------------------------------


def test_only_an_enrolled_key() -> None:
    made = make_tpm()
    assert refused("tpm", Made(made.evidence, ())) == "ak"
    assert refused("tpm", Made(made.evidence, (spki_pem(rsa_key("another")),))) == "ak"
    both = (spki_pem(rsa_key("another")), *made.endorsements)
    assert accepted("tpm", Made(made.evidence, both))["tee"] == "tpm"


def test_evidence_that_names_no_key_is_of_the_only_enrolled_one() -> None:
    made = make_tpm()
    value = json.loads(made.evidence)
    del value["ak_public"]
    unnamed = json.dumps(value).encode()
    assert accepted("tpm", Made(unnamed, made.endorsements))["tee"] == "tpm"
    assert refused("tpm", Made(unnamed, (*made.endorsements, spki_pem(rsa_key("another"))))) == "ak"
    assert refused("tpm", Made(unnamed, (spki_pem(rsa_key("another")),))) == "signature"


@pytest.mark.parametrize("sized", [False, True])
@pytest.mark.parametrize("signer", [rsa_key("AK"), EC_AK])
def test_a_key_in_the_form_of_a_tpm(sized: bool, signer: Any) -> None:
    area = tpm_public(signer)
    public = (tpm2b(area) if sized else area).hex()
    assert accepted("tpm", make_tpm(signer=signer, extra={"ak_public": public}))["tee"] == "tpm"
    text = spki_pem(signer).decode()
    assert accepted("tpm", make_tpm(signer=signer, extra={"ak_public": text}))["tee"] == "tpm"
    assert refused("tpm", make_tpm(signer=signer, extra={"ak_public": area[:-1].hex()})) == "structure"


@pytest.mark.parametrize("signer", [rsa_key("AK"), EC_AK])
def test_a_protocol_buffer(signer: Any) -> None:
    banks = [(bank, (0, 1, 23)) for bank in ("sha1", "sha256", "sha384")]
    made = make_tpm_protobuf(signer=signer, selections=banks)
    assert accepted("tpm", made, b"\x11" * 64)["pcrs"].keys() == {"sha1", "sha256", "sha384"}
    assert refused("tpm", Made(made.evidence, ())) == "ak"
    assert refused("tpm", Made(made.evidence[:-1], made.endorsements)) == "structure"
    assert refused("tpm", made, b"\x11" * 32) == "nonce"
    certificates = (certificate("AK", signer, "AK CA", key("AK CA")), root("AK CA"))
    named = make_tpm_protobuf(signer=signer, selections=banks, ak_certificate=certificates[0])
    assert accepted("tpm", Made(named.evidence, (certificates[1],)))["tee"] == "tpm"


def certified(**changes: Any) -> bytes:
    """A certificate for the attestation key "AK", issued by "AK CA"."""
    return certificate("AK", rsa_key("AK"), "AK CA", key("AK CA"), **changes)


def test_an_attestation_key_with_a_certificate() -> None:
    made = make_tpm(extra={"ak_certificate": base64.b64encode(certified(purposes=[AIK])).decode()})
    claims = accepted("tpm", Made(made.evidence, (root("AK CA"),)))
    assert isinstance(claims["trust_anchor"], str)
    assert accepted("tpm", Made(make_tpm().evidence, (root("AK CA"), certified())))["tee"] == "tpm"
    assert refused("tpm", Made(made.evidence, (root("other"),))) == "ak"
    assert refused("tpm", Made(make_tpm().evidence, (certified(),))) == "ak"


@pytest.mark.parametrize(
    "changes",
    [
        {"not_after": NOW - DAY, "not_before": NOW - 2 * DAY},
        {"not_before": NOW + DAY},
        {"purposes": ["2.23.133.8.1"]},  # an endorsement key does not sign
        {"purposes": ["1.3.6.1.5.5.7.3.1"]},  # nor does a web server's quote
        {"ca": True},
    ],
)
def test_certificates_that_are_not_for_an_attestation_key(changes: dict[str, Any]) -> None:
    text = pem(certified(**changes)).decode()
    made = make_tpm(extra={"ak_certificate": text})
    assert refused("tpm", Made(made.evidence, (root("AK CA"),))) == "ak"


def test_a_certificate_for_another_key() -> None:
    other = certificate("AK", rsa_key("another"), "AK CA", key("AK CA"))
    made = make_tpm(extra={"ak_certificate": base64.b64encode(other).decode()})
    assert refused("tpm", Made(made.evidence, (root("AK CA"),))) == "ak"


def test_nonce() -> None:
    short = make_tpm(nonce=b"\x22" * 32)
    assert accepted("tpm", short, b"\x22" * 32)["nonce"] == "22" * 32
    for wrong in (b"\x22" * 31, b"\x22" * 32 + bytes(32), b"\x11" * 32):
        assert refused("tpm", short, wrong) == "nonce"
    assert refused("tpm", make_tpm(nonce=b""), b"\x22" * 32) == "nonce"


@pytest.mark.parametrize("content", [b"{}", b"[]", b"null", b'{"tpm_quote": 1}', b'{"tpm_quote": {}, "tpm_quote": {}}'])
def test_json_that_is_no_quote(content: bytes) -> None:
    assert refused("tpm", Made(content, make_tpm().endorsements)) == "structure"
