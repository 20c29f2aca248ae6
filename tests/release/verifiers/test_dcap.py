"""TDX and SGX quotes made with test keys: what is accepted, and each step of the verification failing alone."""

from __future__ import annotations

from typing import Any

import pytest

from kmipsrv.release.verifiers import dcap
from tests.release.verifiers.attesters import Made, make_quote
from tests.release.verifiers.conftest import accepted, refused
from tests.release.verifiers.pki import DAY, NOW

SGX = {"tee": 0, "version": 3}


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("tdx", {}),
        ("tdx", {"version": 5}),
        ("tdx", {"version": 5, "long": True}),
        ("sgx", SGX),
        ("sgx", {"tee": 0, "version": 4}),
        ("sgx", {"tee": 0, "version": 5}),
        ("tdx", {"rest": bytes(70)}),
        ("tdx", {"rest": b"\nexplanatory text\n"}),
        ("tdx", {"not_before": NOW + dcap.PCK_LEAD, "not_after": NOW + 100 * DAY}),
    ],
)
def test_accepted(kind: str, changes: dict[str, Any]) -> None:
    claims = accepted(kind, make_quote(**changes), b"\x11" * 64)
    assert claims["tee"] == kind
    assert claims["report_data"] == "11" * 64
    assert claims["fmspc"] == "b0c06f000000"
    assert "tcb_status" not in claims  # no collateral


def test_claims() -> None:
    tdx = accepted("tdx", make_quote(version=5, long=True, attributes=1 << 28 | 1 << 29))
    assert (tdx["measurement"], tdx["debug"], tdx["migratable"]) == ("91" * 48, False, True)
    assert tdx["rtmrs"] == {str(index): f"0{index + 1}" * 48 for index in range(4)}
    assert tdx["policy"]["sept_ve_disable"] is True
    assert tdx["raw"]["mr_service_td"] == "5e" * 48
    sgx = accepted("sgx", make_quote(tee=0, version=3))
    assert (sgx["measurement"], sgx["signer"], sgx["debug"], sgx["svn"]) == ("99" * 32, "88" * 32, False, 8)


@pytest.mark.parametrize("bit", range(8))
def test_a_td_under_debug(bit: int) -> None:
    assert accepted("tdx", make_quote(attributes=1 << bit))["debug"] is True


def test_a_debug_enclave() -> None:
    assert accepted("sgx", make_quote(tee=0, version=3, attributes=0x07))["debug"] is True


@pytest.mark.parametrize(
    ("kind", "step", "changes"),
    [
        ("tdx", "structure", {"version": 3}),
        ("tdx", "structure", {"version": 6}),
        ("tdx", "structure", {"key_type": 3}),
        ("tdx", "structure", {"vendor": bytes(16)}),
        ("tdx", "structure", {"version": 5, "body_type": 1}),
        ("tdx", "structure", {"version": 5, "body_type": 3}),
        ("tdx", "structure", {"version": 5, "body_type": 9}),
        ("tdx", "structure", {"certification_type": 1}),
        ("tdx", "structure", {"rest": b"\x01"}),
        ("tdx", "structure", {"rest": bytes(70) + b"x"}),
        ("tdx", "structure", SGX),
        ("sgx", "structure", {}),
        ("sgx", "structure", {**SGX, "rest": bytes(1)}),
        ("sgx", "structure", {**SGX, "rest": b"\n"}),
        ("tdx", "chain", {"not_after": NOW - DAY, "not_before": NOW - 2 * DAY}),
        ("tdx", "chain", {"not_before": NOW + dcap.PCK_LEAD + DAY, "not_after": NOW + 100 * DAY}),
        ("tdx", "chain", {"own_root": True}),  # the root in the quote is no anchor
        ("tdx", "chain", {"ca": True}),
        ("tdx", "qe-binding", {"bound_key": bytes(64)}),
        ("tdx", "collateral", {"qe_signer": "ab" * 32}),
        ("tdx", "collateral", {"qe_attributes": 0x17}),
        ("sgx", "collateral", {**SGX, "qe_signer": dcap.QE_IDENTITIES[0x81][0]}),
    ],
)
def test_refused(kind: str, step: str, changes: dict[str, Any]) -> None:
    assert refused(kind, make_quote(**changes)) == step


def test_every_truncation() -> None:
    made = make_quote()
    lengths = [*range(0, len(made.evidence), 41), len(made.evidence) - 1]
    steps = {refused("tdx", Made(made.evidence[:length], made.endorsements)) for length in lengths}
    assert steps <= {"structure", "size"}


def test_the_nonce_is_the_whole_report_data() -> None:
    made = make_quote(report_data=b"\x11" * 32 + bytes(32))
    assert accepted("tdx", made, b"\x11" * 32 + bytes(32))["tee"] == "tdx"
    assert refused("tdx", made, b"\x11" * 32) == "nonce"


def test_no_endorsements() -> None:
    assert refused("tdx", Made(make_quote().evidence, ())) == "chain"
