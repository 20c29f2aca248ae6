"""Azure's envelope made with test keys: the binding of quote, attestation key, runtime data and hardware evidence."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.release.verifiers.attesters import Made
from tests.release.verifiers.conftest import accepted, refused
from tests.release.verifiers.pki import rsa_key
from tests.release.verifiers.tpm_attesters import make_azure, runtime_keys

TEES = ("snp", "tdx")
AK, EK = runtime_keys(rsa_key("vTPM AK"))


@pytest.mark.parametrize("tee", TEES)
@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("hash_type", [1, 2, 3])
def test_accepted(tee: str, version: int, hash_type: int) -> None:
    made = make_azure(tee, version=version, hash_type=hash_type)
    claims = accepted(f"az-{tee}-vtpm", made, b"challenge")
    assert claims["tee"] == tee
    assert claims["evidence_type"] == f"az-{tee}-vtpm"
    assert claims["nonce"] == b"challenge".hex()
    assert claims["secure_boot"] is True
    assert claims["user_data"] == "ab" * 64
    assert len(claims["pcrs"]["sha256"]) == 24
    assert "key_binding" not in claims
    assert claims["raw"]["runtime"]["keys"][0]["kid"] == "HCLAkPub"


@pytest.mark.parametrize("tee", TEES)
@pytest.mark.parametrize(
    ("step", "changes"),
    [
        ("structure", {"report_type": 3}),
        ("structure", {"hash_type": 1, "rest": b"\0\1"}),
        ("runtime", {"other_runtime": True}),
        ("signature", {"signer": rsa_key("another")}),
        ("ak", {"runtime": {"keys": []}}),
        ("ak", {"runtime": {"keys": None}}),
        ("ak", {"runtime": {"keys": [EK]}}),
        ("ak", {"runtime": {"keys": [AK, AK]}}),
        ("ak", {"runtime": {"keys": [{**AK, "key_ops": ["encrypt"]}]}}),
        ("ak", {"runtime": {"keys": [{**AK, "kty": "oct"}]}}),
        ("ak", {"runtime": {"keys": [{**AK, "n": "AQAB"}]}}),
        ("ak", {"runtime": {"keys": [{**AK, "n": "*"}]}}),
    ],
)
def test_refused(tee: str, step: str, changes: dict[str, Any]) -> None:
    assert refused(f"az-{tee}-vtpm", make_azure(tee, **changes)) == step


def changed(made: Made, **members: Any) -> Made:
    return Made(json.dumps(json.loads(made.evidence) | members).encode(), made.endorsements)


def test_parts_of_two_machines() -> None:
    one = make_azure("snp")
    two = json.loads(make_azure("snp", runtime={"user-data": "CD" * 64}).evidence)
    envelope = bytes.fromhex(json.loads(one.evidence)["hcl_report"])
    other = bytes.fromhex(two["hcl_report"])
    spliced = envelope[: 32 + 1184] + other[32 + 1184 :]
    assert refused("az-snp-vtpm", changed(one, hcl_report=spliced.hex())) == "runtime"


def test_the_kinds_are_not_interchangeable() -> None:
    assert refused("az-tdx-vtpm", make_azure("snp")) == "structure"
    assert refused("az-snp-vtpm", make_azure("tdx")) == "structure"


def test_the_hardware_is_verified() -> None:
    made = make_azure("snp")
    assert refused("az-snp-vtpm", Made(made.evidence, ())) == "chain"
    assert refused("az-snp-vtpm", changed(made, vcek=None)) == "signing-key"
    assert refused("az-snp-vtpm", changed(made, vcek="AAAA")) == "signing-key"
    tdx = make_azure("tdx")
    assert refused("az-tdx-vtpm", Made(tdx.evidence, ())) == "chain"
    assert refused("az-tdx-vtpm", changed(tdx, td_quote=None)) == "structure"


def test_pcrs() -> None:
    made = make_azure("snp")
    quote = json.loads(made.evidence)["tpm_quote"]
    quote["pcrs"][3] = "00" * 32
    assert refused("az-snp-vtpm", changed(made, tpm_quote=quote)) == "pcrs"
    assert refused("az-snp-vtpm", changed(made, tpm_quote={})) == "structure"
    assert refused("az-snp-vtpm", changed(made, hcl_report="00" * 1300)) == "structure"
    assert refused("az-snp-vtpm", changed(made, hcl_report=[256])) == "structure"


def test_nonce() -> None:
    assert refused("az-snp-vtpm", make_azure("snp"), b"challenge\0") == "nonce"
    assert refused("az-tdx-vtpm", make_azure("tdx"), b"challeng") == "nonce"
