"""SEV-SNP reports made with test keys: what is accepted, and each step of the verification failing alone."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from kmipsrv.release.evidence import Endorsements, Refused, verify
from tests.release.verifiers.attesters import Made, make_snp
from tests.release.verifiers.conftest import accepted, refused
from tests.release.verifiers.pki import DAY, NOW

GENOA, TURIN = (0x19, 0x11, 1), (0x1A, 0x02, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"kind": "VLEK"},
        {"wrapped": True},
        {"version": 3, "cpuid": (0x19, 0x01, 0x01)},
        {"product": "Genoa", "version": 3, "cpuid": GENOA},
        {"product": "Genoa", "version": 3, "cpuid": (0x19, 0xA0, 2)},
        {"product": "Genoa", "version": 3, "kind": "VLEK", "cpuid": GENOA},
        {"product": "Genoa", "version": 3, "cpuid": GENOA, "extensions": {"1.3.6.1.4.1.3704.1.2": b"\x16\x08Siena-B1"}},
        {"product": "Turin", "version": 3, "cpuid": TURIN},
        {"product": "Turin", "version": 5, "cpuid": TURIN},
        {"product": "Turin", "version": 5, "kind": "VLEK", "cpuid": TURIN},
        {"chip_id": bytes(64)},  # the host masks it
        {"tcb": {"bootloader": 255, "tee": 128, "snp": 127, "microcode": 219, "fmc": 0}},
    ],
)
def test_accepted(changes: dict[str, Any]) -> None:
    claims = accepted("snp", make_snp(**changes), b"\x11" * 64)
    assert claims["tee"] == "snp"
    assert claims["product"] == changes.get("product", "Milan")
    assert claims["signing_key"] == changes.get("kind", "VCEK").lower()
    assert claims["measurement"] == "22" * 48


def test_claims() -> None:
    claims = accepted("snp", make_snp(product="Turin", version=5, cpuid=TURIN, policy=0x30000 | 1 << 19 | 1 << 18))
    assert claims["debug"] is True
    assert claims["migratable"] is True
    assert claims["vmpl"] == 1
    assert claims["svn"] == 7
    assert claims["host_data"] == "33" * 32
    assert claims["signer"] == "44" * 48
    assert claims["chip_id"] == bytes(range(8)).hex()
    assert claims["tcb"] == {"fmc": 1, "bootloader": 3, "tee": 0, "snp": 8, "microcode": 115}
    assert claims["versions"] == {"report": 5, "firmware": "1.55.4", "firmware_committed": "1.55.3"}
    assert claims["raw"]["cpuid"] == {"family": 0x1A, "model": 2, "stepping": 1}
    assert (claims["raw"]["launch_mitigation_vector"], claims["raw"]["current_mitigation_vector"]) == (5, 6)
    assert accepted("snp", make_snp(kind="VLEK"))["raw"]["csp_id"] == "example"
    assert accepted("snp", make_snp())["debug"] is False


@pytest.mark.parametrize(
    ("step", "changes"),
    [
        ("structure", {"version": 1}),
        ("structure", {"version": 6}),
        ("structure", {"algorithm": 2}),
        ("structure", {"tail": bytes(367) + b"\x01"}),
        ("structure", {"tail": bytes(367)}),
        ("structure", {"tail": bytes(369)}),
        ("signing-key", {"signing_key": 7}),
        ("signing-key", {"signing_key": 1}),  # the report says VLEK, the certificate is a VCEK
        ("signing-key", {"kind": "VLEK", "signing_key": 0}),
        ("signing-key", {"chip_id": b"\x01" * 64}),
        ("signing-key", {"chip_id": bytes(range(63)) + b"\0"}),
        ("chain", {"not_after": NOW - DAY, "not_before": NOW - 2 * DAY}),
        ("chain", {"not_before": NOW + DAY}),
        ("chain", {"ca": False, "critical": ["1.3.6.1.4.1.3704.1.2"]}),
        ("product", {"version": 3, "cpuid": GENOA}),
        ("product", {"product": "Turin", "version": 5, "cpuid": GENOA}),
        ("product", {"extensions": {"1.3.6.1.4.1.3704.1.2": b"\x16\x06Naples"}}),
        ("tcb", {"certified_tcb": {"bootloader": 3, "tee": 0, "snp": 7, "microcode": 115, "fmc": 1}}),
        ("tcb", {"extensions": {"1.3.6.1.4.1.3704.1.3.8": b"\x02\x01\x74"}}),
    ],
)
def test_refused(step: str, changes: dict[str, Any]) -> None:
    assert refused("snp", make_snp(**changes)) == step


def test_the_nonce_is_the_whole_report_data() -> None:
    made = make_snp(report_data=b"\x11" * 32 + bytes(32))
    assert accepted("snp", made, b"\x11" * 32 + bytes(32))["nonce"] == made.evidence[0x50:0x90].hex()
    for wrong in (b"\x11" * 32, b"\x11" * 32 + bytes(31), b"\x12" + b"\x11" * 31 + bytes(32), b"\x11" * 32 + bytes(33)):
        assert refused("snp", made, wrong) == "nonce"
    assert refused("snp", made, b"") == "nonce"


def test_endorsements_that_do_not_fit() -> None:
    milan, genoa = make_snp(), make_snp(product="Genoa")
    vcek, chain = milan.endorsements
    assert refused("snp", Made(milan.evidence, ())) == "signing-key"
    assert refused("snp", Made(milan.evidence, (vcek,))) == "chain"
    assert refused("snp", Made(milan.evidence, (chain,))) == "signing-key"
    assert refused("snp", Made(milan.evidence, (vcek, genoa.endorsements[1]))) == "chain"
    assert accepted("snp", Made(milan.evidence, (*genoa.endorsements, chain, vcek)))["product"] == "Milan"


def test_of_several_vceks_of_a_chip_the_one_for_the_tcb_is_taken() -> None:
    older = make_snp(tcb={"bootloader": 2, "tee": 0, "snp": 5, "microcode": 68})
    newer = make_snp()
    both = (*older.endorsements, *newer.endorsements)
    assert accepted("snp", Made(newer.evidence, both))["tcb"] == {"bootloader": 3, "tee": 0, "snp": 8, "microcode": 115}
    assert accepted("snp", Made(older.evidence, both))["tcb"] == {"bootloader": 2, "tee": 0, "snp": 5, "microcode": 68}


def test_a_chain_that_came_from_the_device_is_no_anchor() -> None:
    """VCEK, ASK and a root of the device's own in one file: nobody gave that root as an anchor."""
    made = make_snp()
    vcek, chain = made.endorsements
    one_file = b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(vcek) + b"-----END CERTIFICATE-----\n" + chain
    with pytest.raises(Refused) as caught:
        verify("snp", made.evidence, Endorsements.parse([one_file]), NOW)
    assert caught.value.step == "chain"
    assert verify("snp", made.evidence, Endorsements.parse([one_file, chain]), NOW)["tee"] == "snp"


@pytest.mark.parametrize("form", ["hex", "0x", "base64", "base64url", "lines"])
def test_text_forms(form: str) -> None:
    made = make_snp()
    raw = made.evidence
    text = {
        "hex": raw.hex().upper().encode(),
        "0x": b"0x" + raw.hex().encode() + b"\n",
        "base64": base64.b64encode(raw),
        "base64url": base64.urlsafe_b64encode(raw).rstrip(b"="),
        "lines": base64.encodebytes(raw),
    }[form]
    assert accepted("snp", Made(text, made.endorsements))["tee"] == "snp"
    assert refused("snp", Made(text[:-3], made.endorsements)) == "structure"
