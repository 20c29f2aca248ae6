"""What the release gate costs: the verification of evidence on one core, and what an authorisation adds to a Get.

The evidence is made by the attesters of the tests, which sign as real hardware does: an SNP report with its chain of
certificates (RSA-4096 and P-384), a TPM quote by an RSA-2048 attestation key.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmark.floors import OWNER, rate
from kmipsrv.domain.grant import Purpose
from kmipsrv.release.endorsements import Endorsements
from kmipsrv.release.evidence import verify
from kmipsrv.release.gate import Gate
from tests.release.verifiers.attesters import Made, make_snp, make_tpm
from tests.release.verifiers.pki import NOW


def measure(seconds: float) -> dict[str, float]:
    """Milliseconds of processor time by name; `seconds` for each."""
    gate = Gate()
    return {
        "verify a TPM 2.0 quote": _verification("tpm", make_tpm(), seconds),
        "verify an SEV-SNP report": _verification("snp", make_snp(), seconds),
        "authorize, no release policy": _milliseconds(
            lambda: gate.authorize("0b8d3c4e-5b0c-4a43-9a35-0c84a4d1ef5e", OWNER, "", Purpose.EXPORT), seconds
        ),
    }


def _verification(kind: str, made: Made, seconds: float) -> float:
    endorsements = Endorsements.parse(made.endorsements)
    return _milliseconds(lambda: verify(kind, made.evidence, endorsements, NOW), seconds)


def _milliseconds(call: Callable[[], object], seconds: float) -> float:
    """Processor time of one call: other processes on the machine do not count."""
    calls = 0

    def counted() -> None:
        nonlocal calls
        calls += 1
        call()

    counted()  # imports and caches
    before, calls = time.process_time(), 0
    rate(counted, seconds)
    return 1000 * (time.process_time() - before) / calls
