"""Quotes of a TPM that is not ours: verified, judged, released to a key inside it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from kmipsrv.client.tpm import TpmAttester, TpmFailure
from kmipsrv.release.endorsements import Endorsements
from kmipsrv.release.evidence import verify
from kmipsrv.release.facts import Facts
from kmipsrv.release.policy import evaluate, parse
from kmipsrv.release.recipient import Context, open_release, release, report_data
from kmipsrv.release.refusal import Refused
from tests.release import swtpm, tokens
from tests.release.swtpm import ATTESTATION_KEY, RECIPIENT_KEY, SoftwareTpm

pytestmark = pytest.mark.skipif(bool(swtpm.missing()), reason=f"not installed: {', '.join(swtpm.missing())}")
PCRS = {"sha256": [0, 7, 16]}


@pytest.fixture(scope="module")
def tpm() -> Iterator[SoftwareTpm]:
    with SoftwareTpm() as running:
        yield running


def endorsements(tpm: SoftwareTpm) -> Endorsements:
    return Endorsements.parse([tpm.public_key(ATTESTATION_KEY, "pem")])


def test_a_quote_verifies_and_its_registers_are_claims(tpm: SoftwareTpm) -> None:
    data = os.urandom(64)
    claims = verify("tpm", tpm.quote(ATTESTATION_KEY, PCRS, data), endorsements(tpm), datetime.now(UTC), data)
    assert claims["pcrs"] == {"sha256": {str(index): tpm.pcr(index) for index in PCRS["sha256"]}}
    assert claims["nonce"] == data.hex()


def test_two_banks_in_one_quote(tpm: SoftwareTpm) -> None:
    quote = tpm.quote(ATTESTATION_KEY, {"sha1": [1, 0], "sha256": [4]}, b"\x01")
    claims = verify("tpm", quote, endorsements(tpm), datetime.now(UTC), b"\x01")
    assert {bank: sorted(row) for bank, row in claims["pcrs"].items()} == {"sha1": ["0", "1"], "sha256": ["4"]}


def test_another_challenge_and_another_key_are_refused(tpm: SoftwareTpm) -> None:
    quote = tpm.quote(ATTESTATION_KEY, PCRS, bytes(64))
    with pytest.raises(Refused, match="nonce"):
        verify("tpm", quote, endorsements(tpm), datetime.now(UTC), b"\x01" * 64)
    with pytest.raises(Refused, match="enrolled"):
        verify("tpm", quote, Endorsements.parse([tokens.pem(tokens.ec_key())]), datetime.now(UTC))


def test_extending_a_register_shuts_the_policy(tpm: SoftwareTpm) -> None:
    policy = parse(
        f'{{"allOf": [{{"authority": "tpm", "allOf": [{{"claim": "/pcrs/sha256/16", "equals": "{tpm.pcr(16)}"}}]}}]}}'
    )

    def allowed() -> bool:
        claims = verify("tpm", tpm.quote(ATTESTATION_KEY, PCRS, b"\x02"), endorsements(tpm), datetime.now(UTC))
        return evaluate(policy, Facts.of(claims, datetime.now(UTC))).allow

    assert allowed()
    tpm.extend(16, hashlib.sha256(b"something else").digest())
    assert not allowed()


def test_a_release_opens_inside_the_tpm_and_nowhere_else(tpm: SoftwareTpm) -> None:
    nonce, spki, server = os.urandom(32), tpm.public_key(RECIPIENT_KEY), tokens.ed_key()
    covered = report_data(nonce, spki, b"")
    evidence = TpmAttester(tpm, ATTESTATION_KEY, PCRS).evidence(nonce, covered)
    verify(evidence.type, evidence.content, endorsements(tpm), datetime.now(UTC), covered)
    context = Context(bytes(32), "sha256:" + "00" * 32, b"nonce id", "u-1", spki)
    key = os.urandom(32)
    released = release(key, context, server, os.urandom)
    assert key not in released
    opened = open_release(
        released, context, server.public_key(), lambda ciphertext: tpm.decrypt(RECIPIENT_KEY, ciphertext)
    )
    assert opened == key
    long = os.urandom(3000)  # does not fit into RSAES-OAEP: a key in between does
    again = release(long, context, server, os.urandom)
    assert open_release(again, context, server.public_key(), lambda c: tpm.decrypt(RECIPIENT_KEY, c)) == long


def test_what_a_tool_says_comes_through(tpm: SoftwareTpm) -> None:
    with pytest.raises(TpmFailure, match="tpm2_quote"):
        tpm.quote("0x81019999", PCRS, b"\x01")
    with pytest.raises(TpmFailure, match="tpm2_rsadecrypt"):
        tpm.decrypt(RECIPIENT_KEY, bytes(256))
