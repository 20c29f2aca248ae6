"""One changed byte in the signed part is never accepted: every offset for one sample of each kind, some for the rest."""

from __future__ import annotations

import base64
import datetime
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from kmipsrv.release.evidence import Endorsements
from kmipsrv.release.text import decoded
from kmipsrv.release.verifiers import tpm
from tests.release.verifiers import attesters, tpm_attesters
from tests.release.verifiers.conftest import survivors
from tests.release.verifiers.pki import NOW

MASKS = (0x01, 0x80)


def made(kind: str) -> attesters.Made:
    """Small evidence of each kind, made with test keys."""
    makers: dict[str, Callable[[], attesters.Made]] = {
        "snp": attesters.make_snp,
        "tdx": attesters.make_quote,
        "sgx": lambda: attesters.make_quote(tee=0, version=3),
        "nitro": attesters.make_nitro,
        "nvidia": attesters.make_nvidia,
        "cca": attesters.make_cca,
    }
    return makers[kind]()


def signed_part(kind: str, content: bytes) -> range:
    """All that a signature covers, the signatures, and the keys and reports between them."""
    if kind == "snp":
        return range(0x330)
    if kind in ("tdx", "sgx"):
        chain = content.index(b"-----BEGIN")
        return range(chain)
    return range(len(content))


@pytest.mark.parametrize("kind", ["snp", "tdx", "sgx", "nitro", "nvidia", "cca"])
def test_every_byte_of_made_evidence(kind: str) -> None:
    sample = made(kind)
    endorsements = Endorsements.parse(sample.endorsements)
    offsets = signed_part(kind, sample.evidence)
    assert survivors(kind, sample.evidence, endorsements, NOW, offsets) == []


def test_every_byte_of_a_made_tpm_quote() -> None:
    sample = tpm_attesters.make_tpm()
    value = json.loads(sample.evidence)
    endorsements = Endorsements.parse(sample.endorsements)
    for member in ("message", "signature"):
        content = base64.b64decode(value["tpm_quote"][member])

        def embed(changed: bytes, member: str = member) -> bytes:
            return json.dumps({**value, "tpm_quote": {**value["tpm_quote"], member: changed.hex()}}).encode()

        found = survivors("tpm", content, endorsements, NOW, range(len(content)), MASKS, embed)
        assert found == []


# --- real evidence ----------------------------------------------------------------------------------------------------

MILAN, INTEL, AWS = "sev-snp/ask_ark_milan.pem", "tdx/intel_sgx_root_ca.pem", "nitro/aws_nitro_root.pem"
HOPPER = "nvidia/hopper_cert_chain_case1.txt nvidia/nvidia_device_root.pem"
CPAK = "cca/tf_rmm_cca_platform_pub.pem"

# kind, evidence, endorsements, time, the signed part: every offset for one sample of each kind, some for the others
SAMPLES = [
    ("snp", "sev-snp/trustee_report.bin", f"sev-snp/trustee_vcek.der {MILAN}", "2025-01-01", slice(0x330)),
    (
        "snp",
        "sev-snp/gosev_milan_v2_report.bin",
        f"sev-snp/gosev_milan_vcek.der {MILAN}",
        "2025-01-01",
        slice(0, 0x330, 13),
    ),
    (
        "snp",
        "sev-snp/msft_aci_snp_report.bin",
        "sev-snp/msft_aci_host_amd_cert.json",
        "2025-01-01",
        slice(0, 0x330, 13),
    ),
    ("tdx", "tdx/phala_tdx_quote", INTEL, "2025-06-25", slice(1258)),
    ("tdx", "tdx/gotdx_quote_v5_sample.dat", INTEL, "2026-02-03", slice(0, 1328, 17)),
    ("tdx", "tdx/gotdx_cos113_quote.dat", INTEL, "2025-02-03", slice(0, 1258, 17)),
    ("tdx", "tdx/phala_tdx-quote.hex", INTEL, "2025-06-25", slice(0, 1258, 17)),
    ("sgx", "sgx/phala_sgx_quote", INTEL, "2025-06-25", slice(1046)),
    ("nitro", "nitro/valid_attdoc.cbor", AWS, "2022-10-13T09:30:00", slice(None)),
    ("nitro", "nitro/debug_mode_attdoc.cbor", AWS, "2022-10-12T14:00:00", slice(0, None, 37)),
    ("nvidia", "nvidia/hopperAttestationReport.txt", HOPPER, "2025-06-01", slice(None)),
    ("cca", "cca/tf_rmm_cca_token.cbor", CPAK, "2025-06-01", slice(None)),
]


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize(("kind", "file", "endorsements", "at", "part"), SAMPLES)
def test_bytes_of_real_evidence(evidence: Path, kind: str, file: str, endorsements: str, at: str, part: slice) -> None:
    content = decoded((evidence / file).read_bytes())
    given = Endorsements.parse([(evidence / endorsement).read_bytes() for endorsement in endorsements.split()])
    now = datetime.datetime.fromisoformat(at).replace(tzinfo=datetime.UTC)
    offsets = range(len(content))[part]
    assert len(offsets) > 40
    assert survivors(kind, content, given, now, offsets) == []


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "file", "root", "paths"),
    [
        (
            "tpm",
            "tpm/trustee_tpm_evidence.json",
            "tpm/trustee_tpm_ak.pem",
            [("tpm_quote", "message"), ("tpm_quote", "signature")],
        ),
        (
            "az-snp-vtpm",
            "az-snp-vtpm/evidence-v0.json",
            "sev-snp/ask_ark_milan.pem",
            [("quote", "message"), ("quote", "signature"), ("report",)],
        ),
        (
            "az-tdx-vtpm",
            "az-tdx-vtpm/evidence-v0.json",
            "tdx/intel_sgx_root_ca.pem",
            [("tpm_quote", "message"), ("tpm_quote", "signature")],
        ),
    ],
)
def test_bytes_inside_json(evidence: Path, kind: str, file: str, root: str, paths: Iterable[tuple[str, ...]]) -> None:
    value = json.loads((evidence / file).read_text())
    given = Endorsements.parse([(evidence / root).read_bytes()])
    now = datetime.datetime(2025, 6, 1, tzinfo=datetime.UTC)
    for path in paths:
        content = tpm.octets(inside(value, path))
        offsets = range(len(content))
        if path == ("report",):  # the SNP report inside the envelope; the rest is the next test's
            offsets = range(32, 32 + 0x2A0)

        def embed(changed: bytes, path: tuple[str, ...] = path) -> bytes:
            copy = json.loads(json.dumps(value))
            inside(copy, path[:-1])[path[-1]] = changed.hex()
            return json.dumps(copy).encode()

        assert survivors(kind, content, given, now, offsets, embed=embed) == []


def inside(value: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        value = value[name]
    return value


@pytest.mark.shared
def test_the_runtime_data_of_azure(evidence: Path) -> None:
    """Every byte of the runtime data, the key among it, is bound by the hardware report."""
    value = json.loads((evidence / "az-snp-vtpm/evidence-v1.json").read_text())
    content = tpm.octets(value["hcl_report"])
    given = Endorsements.parse([(evidence / "sev-snp/ask_ark_milan.pem").read_bytes()])
    now = datetime.datetime(2025, 6, 1, tzinfo=datetime.UTC)

    def embed(changed: bytes) -> bytes:
        return json.dumps({**value, "hcl_report": changed.hex()}).encode()

    # all but the two version words, which say nothing, from the sizes to the zero padding at the end
    start = 32 + 1184
    offsets = [*range(start, start + 4), *range(start + 8, len(content), 7)]
    assert survivors("az-snp-vtpm", content, given, now, offsets, embed=embed) == []
