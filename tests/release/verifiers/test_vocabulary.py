"""The table of claims says what the verifiers say."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from kmipsrv.release.canonical import dumps
from kmipsrv.release.facts import VOCABULARY
from tests.release.verifiers import attesters, tpm_attesters
from tests.release.verifiers.conftest import accepted

TABLE = Path(__file__).parents[3] / "docs" / "attestation-claims.md"

MADE: dict[str, list[Callable[[], attesters.Made]]] = {
    "snp": [attesters.make_snp, lambda: attesters.make_snp(kind="VLEK", product="Turin", version=5, cpuid=(26, 2, 1))],
    "tdx": [attesters.make_quote, lambda: attesters.make_quote(version=5, long=True, attributes=1 << 63)],
    "sgx": [lambda: attesters.make_quote(tee=0, version=3)],
    "nitro": [attesters.make_nitro],
    "tpm": [tpm_attesters.make_tpm],
    "az-snp-vtpm": [tpm_attesters.make_azure],
    "az-tdx-vtpm": [lambda: tpm_attesters.make_azure("tdx")],
    "nvidia": [attesters.make_nvidia, lambda: attesters.make_nvidia(devices=2)],
    "cca": [attesters.make_cca, lambda: attesters.make_cca(profile=True)],
}


def documented() -> set[str]:
    rows = [line.split("|")[1] for line in TABLE.read_text().splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([a-z_]+)`", row)}


def test_the_table_is_the_vocabulary() -> None:
    assert documented() == VOCABULARY


@pytest.mark.parametrize("kind", MADE)
def test_every_claim_is_in_the_table(kind: str) -> None:
    for make in MADE[kind]:
        claims = accepted(kind, make())
        assert claims.keys() <= documented()
        assert claims["evidence_type"] == kind
        assert isinstance(claims["raw"], dict)


@pytest.mark.parametrize("kind", MADE)
def test_claims_have_a_canonical_form(kind: str) -> None:
    """The audit record holds them, hashed."""
    for make in MADE[kind]:
        claims = accepted(kind, make())
        assert json.loads(dumps(claims)) == claims
