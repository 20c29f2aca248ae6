"""The other files beside the table of real evidence, each as its description says."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kmipsrv.release.evidence import Endorsements, Refused, verify
from kmipsrv.release.verifiers import azure_vtpm, tpm

pytestmark = pytest.mark.shared


def at(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=datetime.UTC)


def bag(folder: Path, *names: str) -> Endorsements:
    return Endorsements.parse([(folder / name).read_bytes() for name in names])


def step(
    kind: str, content: bytes, endorsements: Endorsements, now: datetime.datetime, nonce: bytes | None = None
) -> str:
    with pytest.raises(Refused) as caught:
        verify(kind, content, endorsements, now, nonce)
    return caught.value.step


# --- SEV-SNP ----------------------------------------------------------------------------------------------------------


def test_the_host_data_of_a_container_group_is_its_policy(evidence: Path) -> None:
    endorsements = bag(evidence, "sev-snp/msft_aci_host_amd_cert.json", "sev-snp/ask_ark_milan.pem")
    report = (evidence / "sev-snp/msft_aci_snp_report.bin").read_bytes()
    claims = verify("snp", report, endorsements, at("2025-01-01"))
    policy = base64.b64decode((evidence / "sev-snp/msft_aci_security_policy.base64").read_bytes())
    assert claims["host_data"] == hashlib.sha256(policy).hexdigest()
    assert str(claims["host_data"]).startswith("cadd74f7")
    assert claims["tcb"] == {"bootloader": 3, "tee": 0, "snp": 8, "microcode": 115}


@pytest.mark.parametrize("file", ["sev-snp/msft_aci_host_amd_cert.json", "sev-snp/msft_aci_host_amd_cert.pem"])
def test_a_host_chain_alone_ends_in_the_well_known_root(evidence: Path, file: str) -> None:
    report = (evidence / "sev-snp/msft_aci_snp_report.bin").read_bytes()
    claims = verify("snp", report, bag(evidence, file), at("2025-01-01"))
    assert claims["trust_anchor"] == "69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd"


def test_the_other_amd_roots_do_not_vouch_for_milan(evidence: Path) -> None:
    report = (evidence / "sev-snp/trustee_report.bin").read_bytes()
    for chain in ("genoa", "genoa_vlek", "milan_vlek", "turin_vcek", "turin_vlek"):
        endorsements = bag(evidence, "sev-snp/trustee_vcek.der", f"sev-snp/ask_ark_{chain}.pem")
        assert step("snp", report, endorsements, at("2025-01-01")) == "chain"


# --- TDX and SGX ------------------------------------------------------------------------------------------------------


def test_the_nonce_of_the_padded_quote(evidence: Path) -> None:
    quote = (evidence / "tdx/gotdx_cos113_quote.dat").read_bytes()
    nonce = (evidence / "tdx/gotdx_cos113_nonce.dat").read_bytes()
    root = bag(evidence, "tdx/intel_sgx_root_ca.pem")
    assert verify("tdx", quote, root, at("2025-01-01"), nonce)["nonce"] == nonce.hex()
    assert step("tdx", quote, root, at("2025-01-01"), nonce[:32]) == "nonce"
    assert step("tdx", quote, root, at("2025-01-01"), b"\x01" * 64) == "nonce"


def test_no_tcb_status_without_collateral(evidence: Path) -> None:
    quote = (evidence / "tdx/phala_tdx_quote").read_bytes()
    claims = verify("tdx", quote, bag(evidence, "sgx/intel_sgx_root_ca.der"), at("2025-06-25"))
    assert "tcb_status" not in claims
    assert claims["fmspc"] == "b0c06f000000"


def test_the_tcb_that_no_level_matches_has_good_signatures(evidence: Path) -> None:
    quote = (evidence / "tdx/phala_tdx_quote_outdated").read_bytes()
    assert verify("tdx", quote, bag(evidence, "tdx/intel_sgx_root_ca.pem"), at("2026-02-20"))["tee"] == "tdx"
    collateral = bag(evidence, "tdx/phala_tdx_quote_outdated_collateral.json")
    for day in ("2026-02-20", "2026-03-10", "2026-03-25", "2026-05-01"):
        assert step("tdx", quote, collateral, at(day)) == "collateral"


def test_appraised_claims(evidence: Path) -> None:
    collateral = bag(evidence, "tdx/phala_tdx_quote_collateral.json", "tdx/intel_sgx_root_ca.pem")
    quote = (evidence / "tdx/phala_tdx_quote").read_bytes()
    claims = verify("tdx", quote, collateral, at("2025-07-10"))
    assert claims["tcb_status"] == "UpToDate"
    assert claims["collateral_issued"] == at("2025-06-19T10:16:03").timestamp()
    assert isinstance(claims["collateral_expires"], int)
    sgx = bag(evidence, "sgx/phala_sgx_quote_collateral.json")
    claims = verify("sgx", (evidence / "sgx/phala_sgx_quote").read_bytes(), sgx, at("2025-06-25"))
    assert claims["advisory_ids"] == ["INTEL-SA-00289", "INTEL-SA-00615"]
    assert bytes.fromhex(str(claims["report_data"])).rstrip(b"\0") == b"Hello, world!"


def test_collateral_of_another_platform_or_under_another_root(evidence: Path) -> None:
    quote = (evidence / "tdx/phala_tdx_quote").read_bytes()
    assert step("tdx", quote, bag(evidence, "sgx/phala_sgx_quote_collateral.json"), at("2025-06-25")) == "collateral"
    other = bag(evidence, "tdx/phala_tdx_quote_collateral.json", "nitro/aws_nitro_root.pem")
    assert step("tdx", quote, other, at("2025-06-25")) == "chain"


def test_a_revocation_list_that_is_no_longer_current(evidence: Path) -> None:
    quote = (evidence / "tdx/gotdx_quote_v4_spr_e4.dat").read_bytes()
    lists = bag(evidence, "tdx/intel_sgx_root_ca.pem", "tdx/gotdx_rootcrl.der", "tdx/gotdx_pckcrl")
    assert verify("tdx", quote, lists, at("2023-07-01"))["tee"] == "tdx"
    assert step("tdx", quote, lists, at("2024-07-01")) == "chain"


@pytest.mark.parametrize(
    ("sample", "debug", "product", "svn", "enclave"),
    [
        ("debug", True, 1, 1, "3e2df98f"),
        ("release", False, 1, 1, "d37d983a"),
        ("prodid", False, 9999, 1, "d37d983a"),
    ],
)
def test_azure_enclaves(evidence: Path, sample: str, debug: bool, product: int, svn: int, enclave: str) -> None:
    value = json.loads((evidence / f"sgx/azure_enclave.info.{sample}.json").read_text())
    root = bag(evidence, "sgx/intel_sgx_root_ca.der")
    held = bytes.fromhex(value["EnclaveHeldDataHex"])
    nonce = hashlib.sha256(held).digest().ljust(64, b"\0")
    claims = verify("sgx", value["QuoteHex"].encode(), root, at("2023-06-01"), nonce)
    assert (claims["debug"], claims["product_id"], claims["svn"]) == (debug, product, svn)
    assert str(claims["measurement"]) == value["MrEnclaveHex"].lower()
    assert str(claims["measurement"]).startswith(enclave)
    assert claims["signer"] == value["MrSignerHex"].lower()


# --- Nitro ------------------------------------------------------------------------------------------------------------


def test_nitro_documents(evidence: Path) -> None:
    root = bag(evidence, "nitro/aws_nitro_root.pem")
    debug = verify("nitro", (evidence / "nitro/debug_mode_attdoc.cbor").read_bytes(), root, at("2022-10-12T14:00:00"))
    assert "key_binding" not in debug  # 19 bytes of text are no key
    assert bytes.fromhex(str(debug["user_data"])) == b"hello, world!"
    content = (evidence / "nitro/valid_attdoc.cbor").read_bytes()
    now = at("2022-10-13T09:30:00")
    claims = verify("nitro", content, root, now)
    nonce = bytes.fromhex(str(claims["nonce"]))
    assert len(nonce) == 256
    assert verify("nitro", content, root, now, nonce) == claims
    assert step("nitro", content, root, now, nonce[:-1]) == "nonce"
    assert step("nitro", content, Endorsements(), now) == "chain"
    assert step("nitro", content, root, at("2022-10-13T08:00:00")) == "chain"


def test_a_certificate_with_a_document_inside_is_not_a_document(evidence: Path) -> None:
    root = bag(evidence, "nitro/aws_nitro_root.pem")
    for name in ("attested_tls_cert_debug.pem", "attested_tls_cert_non_debug.der"):
        content = (evidence / "nitro" / name).read_bytes()
        assert step("nitro", content, root, at("2023-01-18T12:00:00")) == "structure"


# --- TPM and Azure ----------------------------------------------------------------------------------------------------


def test_the_banks_of_a_shielded_vm(evidence: Path) -> None:
    """The attestation key of the sample is taken from the sample: a test may, an operator would enrol it."""
    content = (evidence / "tpm/gce-cos-85-no-nonce.pb").read_bytes()
    _, key, _ = tpm._read(content)
    assert key is not None
    enrolled = Endorsements.parse([key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)])
    claims = verify("tpm", content, enrolled, at("2025-01-01"))
    assert isinstance(claims["pcrs"], dict)
    assert claims["pcrs"].keys() == {"sha1", "sha256", "sha384"}
    assert step("tpm", content, Endorsements(), at("2025-01-01")) == "ak"
    assert step("tpm", content, bag(evidence, "tpm/trustee_tpm_ak.pem"), at("2025-01-01")) == "ak"
    assert step("tpm", content, enrolled, at("2025-01-01"), b"\x90\x09") == "nonce"


def test_an_event_log_is_not_a_quote(evidence: Path) -> None:
    content = (evidence / "tpm/cos-85-amd-sev.bin").read_bytes()
    assert step("tpm", content, bag(evidence, "tpm/trustee_tpm_ak.pem"), at("2025-01-01")) == "structure"


@pytest.mark.parametrize(
    ("kind", "file", "root"),
    [
        ("az-snp-vtpm", "az-snp-vtpm/evidence-v0.json", "sev-snp/ask_ark_milan.pem"),
        ("az-snp-vtpm", "az-snp-vtpm/evidence-v1.json", "sev-snp/ask_ark_milan.pem"),
        ("az-tdx-vtpm", "az-tdx-vtpm/evidence-v0.json", "tdx/intel_sgx_root_ca.pem"),
    ],
)
def test_azure_challenge(evidence: Path, kind: str, file: str, root: str) -> None:
    content = (evidence / file).read_bytes()
    claims = verify(kind, content, bag(evidence, root), at("2025-06-01"), b"challenge")
    assert bytes.fromhex(str(claims["nonce"])) == b"challenge"
    assert "key_binding" not in claims  # neither HCLAkPub nor HCLEkPub is a key to release to
    assert isinstance(claims["pcrs"], dict)
    assert len(claims["pcrs"]["sha256"]) == 24
    assert step(kind, content, bag(evidence, root), at("2025-06-01"), b"challengf") == "nonce"
    assert step(kind, content, bag(evidence, "nitro/aws_nitro_root.pem"), at("2025-06-01")) == "chain"


@pytest.mark.parametrize("kind", ["az-snp-vtpm", "az-tdx-vtpm"])
def test_azure_loose_parts_fit_together(evidence: Path, kind: str) -> None:
    """HCL report and quote of one machine in two folders: the AK of the report signed the quote."""
    number = 2 if kind == "az-snp-vtpm" else 4
    envelope = azure_vtpm.parse_envelope((evidence / kind / "hcl-report.bin").read_bytes(), number)
    key = azure_vtpm._attestation_key(envelope.runtime)
    quote = json.loads((evidence / kind / "tpm-quote-v1.json").read_text())
    message, signature, pcrs = tpm.quote_from_json(quote)
    attest = tpm.parse_attest(message)
    algorithm = tpm._SIGNING_HASHES[0x000B]()
    if kind == "az-tdx-vtpm":
        tpm.check_signature(message, tpm.Signature(tpm.RSASSA, algorithm, signature), key)
    assert tpm.check_pcrs(pcrs, attest, algorithm)["sha256"].keys() == set(range(24))
    assert attest.extra_data == b"challenge"


def test_a_mixture_of_two_machines(evidence: Path) -> None:
    first = json.loads((evidence / "az-snp-vtpm/evidence-v0.json").read_text())
    root = bag(evidence, "sev-snp/ask_ark_milan.pem")
    first["quote"] = json.loads((evidence / "az-snp-vtpm/tpm-quote-v1.json").read_text())
    assert step("az-snp-vtpm", json.dumps(first).encode(), root, at("2025-06-01")) == "signature"


# --- NVIDIA -----------------------------------------------------------------------------------------------------------


def test_the_claims_of_a_gpu(evidence: Path) -> None:
    endorsements = bag(evidence, "nvidia/hopper_cert_chain_case1.txt", "nvidia/nvidia_device_root.pem")
    claims = verify(
        "nvidia", (evidence / "nvidia/hopperAttestationReport.txt").read_bytes(), endorsements, at("2025-06-01")
    )
    expected = json.loads((evidence / "nvidia/hopperAttestationReport-claims.txt").read_text())
    assert claims["measurements"] == expected["measurements"]
    raw: Any = claims["raw"]
    for name in ("driver_version", "vbios_version", "board_id", "chip_sku", "project", "project_sku", "fwid"):
        assert raw["opaque"][name] == expected["config"][name]
    counts = {str(index): count for index, count in enumerate(raw["opaque"]["measurement_count"], 1)}
    assert counts == expected["config"]["measurement_count"]
    assert claims["nonce"] == "931d8dd0add203ac3d8b4fbde75e115278eefcdceac5b87671a748f32364dfcb"


@pytest.mark.parametrize(
    "file", ["hopper_evidence.json", "switch_evidence_ls10.json", "hopper_evidence_cert_hold.json"]
)
def test_device_lists(evidence: Path, file: str) -> None:
    content = (evidence / "nvidia" / file).read_bytes()
    root = bag(evidence, "nvidia/nvidia_device_root.pem")
    nonce = bytes.fromhex(json.loads(content)[0]["nonce"])
    claims = verify("nvidia", content, root, at("2025-06-01"), nonce)
    assert claims["nonce"] == nonce.hex()
    # the root in the evidence is no anchor
    assert step("nvidia", content, Endorsements(), at("2025-06-01")) == "chain"
    assert step("nvidia", content, root, at("2025-06-01"), bytes(32)) == "nonce"


def test_the_nvidia_chains(evidence: Path) -> None:
    report = (evidence / "nvidia/hopperAttestationReport.txt").read_bytes()
    case1 = bag(evidence, "nvidia/hopper_cert_chain_case1.txt")
    assert verify("nvidia", report, case1, at("2025-06-01"))["tee"] == "nvidia"  # its root is the well-known one
    leaf = bag(evidence, "nvidia/hopper_signing_cert.pem", "nvidia/nvidia_device_root.pem")
    assert step("nvidia", report, leaf, at("2025-06-01")) == "chain"
    other = bag(evidence, "nvidia/hopper_coco_certs1.txt", "nvidia/nvidia_device_root.pem")
    assert step("nvidia", report, other, at("2025-06-01")) == "signature"


def test_a_report_with_a_trailing_byte(evidence: Path) -> None:
    endorsements = bag(evidence, "nvidia/hopper_coco_certs1.txt", "nvidia/nvidia_device_root.pem")
    content = bytes.fromhex((evidence / "nvidia/hopper_coco_report1.txt").read_text().strip())
    assert step("nvidia", content, endorsements, at("2025-11-01")) == "structure"
    claims = verify("nvidia", content[:-1], endorsements, at("2025-11-01"))
    assert claims["versions"] == {"driver": "580.95.05", "vbios": "96.00.74.00.1a"}


# --- Arm CCA ----------------------------------------------------------------------------------------------------------


def test_cca_with_a_key_from_an_endorsement_file(evidence: Path) -> None:
    """The platform key stands in the manufacturer's CoRIM; an operator enrols it as what it is, a PEM key."""
    corim = (evidence / "cca/veraison_cca_endorsements.cbor").read_bytes()
    begin, end = b"-----BEGIN PUBLIC KEY-----", b"-----END PUBLIC KEY-----"
    pem = corim[corim.index(begin) : corim.index(end) + len(end)] + b"\n"
    content = (evidence / "cca/veraison_cca_evidence.cbor").read_bytes()
    claims = verify("cca", content, Endorsements.parse([pem]), at("2025-06-01"), b"AB" * 32)
    assert claims["debug"] is False
    assert claims["lifecycle"] == "secured"
    assert claims["measurement"] == (b"C" * 64).hex()
    assert step("cca", content, bag(evidence, "cca/tf_rmm_cca_platform_pub.pem"), at("2025-06-01")) == "platform"


def test_the_two_tokens_belong_together(evidence: Path) -> None:
    first = cbor2.loads((evidence / "cca/tf_rmm_cca_token.cbor").read_bytes())
    second = cbor2.loads((evidence / "cca/veraison_cca_evidence.cbor").read_bytes())
    mixed = {44234: first.value[44234], 44241: second.value[44241]}
    content = cbor2.dumps(cbor2.CBORTag(399, mixed))
    assert step("cca", content, bag(evidence, "cca/tf_rmm_cca_platform_pub.pem"), at("2025-06-01")) == "binding"


def test_a_psa_token_is_not_a_cca_token(evidence: Path) -> None:
    content = (evidence / "cca/veraison_psa_evidence.cbor").read_bytes()
    assert step("cca", content, bag(evidence, "cca/tf_rmm_cca_platform_pub.pem"), at("2025-06-01")) == "structure"


def test_nothing_is_a_thing_of_another_type(evidence: Path) -> None:
    """Each kind's sample, as each other kind: refused, and by a step."""
    samples = {
        "snp": "sev-snp/trustee_report.bin",
        "tdx": "tdx/phala_tdx_quote",
        "sgx": "sgx/phala_sgx_quote",
        "nitro": "nitro/valid_attdoc.cbor",
        "tpm": "tpm/trustee_tpm_evidence.json",
        "az-snp-vtpm": "az-snp-vtpm/evidence-v0.json",
        "az-tdx-vtpm": "az-tdx-vtpm/evidence-v0.json",
        "nvidia": "nvidia/hopper_evidence.json",
        "cca": "cca/tf_rmm_cca_token.cbor",
    }
    anchors = bag(evidence, "sev-snp/ask_ark_milan.pem", "tdx/intel_sgx_root_ca.pem", "nitro/aws_nitro_root.pem")
    anchors += bag(evidence, "nvidia/nvidia_device_root.pem", "tpm/trustee_tpm_ak.pem")
    steps: dict[tuple[str, str], str] = {}
    for sample, file in samples.items():
        content = (evidence / file).read_bytes()
        for kind in samples:
            if kind != sample:
                steps[kind, sample] = step(kind, content, anchors, at("2025-06-25"))
    assert len(steps) == len(samples) * (len(samples) - 1)
