"""AMD SEV-SNP attestation reports (SEV Secure Nested Paging Firmware ABI, AMD 56860, §7.3, "ATTESTATION_REPORT").

1. structure   1184 bytes, version 2 to 5, signature algorithm 1 (ECDSA P-384 with SHA-384), nothing after r and s.
2. signing-key The report names VCEK or VLEK as its signing key; a certificate of that kind, for this chip, is at hand.
3. signature   The certificate's key signed the bytes 0 to 0x29F.
4. chain       That certificate leads over AMD's ASK (or ASVK) to an anchor at `now`.
5. product     The processor that the report names (version 3 on) is of the product line that the certificate names.
6. tcb         The certificate was issued for exactly the TCB version that the report states (REPORTED_TCB).
7. nonce       REPORT_DATA is the nonce, where one is given.

VCEK: Versioned Chip Endorsement Key Certificate and KDS Interface Specification, AMD 57230, §3.1 (extensions).
"""

from __future__ import annotations

import datetime
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from kmipsrv.release.canonical import Json
from kmipsrv.release.endorsements import Endorsements
from kmipsrv.release.evidence import Claims, bound_nonce, whole
from kmipsrv.release.refusal import Refused
from kmipsrv.release.verifiers import der
from kmipsrv.release.verifiers.certificate import Certificate
from kmipsrv.release.verifiers.x509chain import build_path, path_claims

REPORT_SIZE: Final = 0x4A0
SIGNED_SIZE: Final = 0x2A0
VERSIONS: Final = range(2, 6)
ECDSA_P384_SHA384: Final = 1
_COMPONENT: Final = 72  # bytes of r and of s, little-endian, zero-extended
_MAX_LEAVES: Final = 64

_OID: Final = "1.3.6.1.4.1.3704.1."
_PRODUCT_NAME, _HARDWARE_ID, _CSP_ID = _OID + "2", _OID + "4", _OID + "5"
_SPL = {name: f"{_OID}3.{arc}" for name, arc in {"bootloader": 1, "tee": 2, "snp": 3, "microcode": 8, "fmc": 9}.items()}

# Where a component stands in the eight bytes of a TCB_VERSION (56860 §2.2, Tables "TCB_VERSION" of the two generations)
_TCB_MILAN_GENOA = {"bootloader": 0, "tee": 1, "snp": 6, "microcode": 7}
_TCB_TURIN = {"fmc": 0, "bootloader": 1, "tee": 2, "snp": 3, "microcode": 7}
TCB_LAYOUTS: Final = {"Milan": _TCB_MILAN_GENOA, "Genoa": _TCB_MILAN_GENOA, "Turin": _TCB_TURIN}

# What productName says -> product line. Siena and Bergamo have Genoa's keys.
PRODUCTS: Final = {"Milan": "Milan", "Genoa": "Genoa", "Bergamo": "Genoa", "Siena": "Genoa", "Turin": "Turin"}

# CPUID family and model (the extended fields included) -> product line
_PROCESSORS = (
    (0x19, range(0x10), "Milan"),
    (0x19, range(0x10, 0x20), "Genoa"),
    (0x19, range(0xA0, 0xB0), "Genoa"),
    (0x1A, range(0x20), "Turin"),
)

SIGNING_KEYS: Final = {0: "vcek", 1: "vlek"}  # bits 4:2 of the flags at 0x48

POLICY_BITS: Final = {
    "smt_allowed": 16,
    "migration_agent_allowed": 18,
    "debug_allowed": 19,
    "single_socket": 20,
    "cxl_allowed": 21,
    "mem_aes_256_xts": 22,
    "rapl_disabled": 23,
    "ciphertext_hiding": 24,
    "page_swap_disabled": 25,
}
PLATFORM_BITS: Final = {
    "smt_enabled": 0,
    "tsme_enabled": 1,
    "ecc_enabled": 2,
    "rapl_disabled": 3,
    "ciphertext_hiding_enabled": 4,
    "alias_check_complete": 5,
    "tio_enabled": 7,
}


@dataclass(frozen=True, slots=True)
class Report:
    """The signed fields of an ATTESTATION_REPORT, in the order of the table."""

    version: int
    guest_svn: int
    policy: int
    family_id: bytes
    image_id: bytes
    vmpl: int
    signature_algorithm: int
    current_tcb: bytes
    platform_info: int
    flags: int
    report_data: bytes
    measurement: bytes
    host_data: bytes
    id_key_digest: bytes
    author_key_digest: bytes
    report_id: bytes
    report_id_ma: bytes
    reported_tcb: bytes
    cpuid: bytes  # family, model, stepping; zero before version 3
    chip_id: bytes
    committed_tcb: bytes
    current_version: bytes  # build, minor, major
    committed_version: bytes
    launch_tcb: bytes
    launch_mitigations: int  # version 5 on
    current_mitigations: int


_LAYOUT = struct.Struct("<IIQ16s16sII8sQI4x64s48s32s48s48s32s32s8s3s21x64s8s3sx3sx8sQQ")


def verify(evidence: bytes, endorsements: Endorsements, now: datetime.datetime, nonce: bytes | None = None) -> Claims:
    """The steps above; `evidence` is the report alone. VCEK or VLEK, ASK and ARK come from the endorsements."""
    report, claims = verify_report(evidence, endorsements.certificates, endorsements, now)
    bound_nonce(nonce, report.report_data)  # 7.
    return claims


def verify_report(
    evidence: bytes, leaves: Iterable[Certificate], endorsements: Endorsements, now: datetime.datetime
) -> tuple[Report, Claims]:
    """Steps 1 to 6. `leaves` may hold certificates that came with the evidence: they are candidates, never anchors."""
    report = parse(evidence)  # 1.
    kind = SIGNING_KEYS.get(report.flags >> 2 & 0b111)  # 2.
    if kind is None:
        raise Refused("signing-key", "the report is not signed by a VCEK or VLEK")
    leaf = _signer(evidence, _candidates(report, kind, leaves))  # 3.
    path = build_path(leaf, endorsements.certificates, endorsements.roots, now, endorsements.crls)  # 4.
    product = _product(report, leaf)  # 5.
    for component, offset in TCB_LAYOUTS[product].items():  # 6.
        if _spl(leaf, component) != report.reported_tcb[offset]:
            raise Refused("tcb", "the certificate was issued for another TCB version than the report states")
    return report, {**path_claims(path), **_claims(report, leaf, kind, product)}


def parse(evidence: bytes) -> Report:
    """Step 1. Raises Refused("structure")."""
    if len(evidence) != REPORT_SIZE:
        raise Refused("structure", f"a report has {REPORT_SIZE} bytes")
    report = Report(*_LAYOUT.unpack_from(evidence))
    if report.version not in VERSIONS:
        raise Refused("structure", "unknown version of the report")
    if report.signature_algorithm != ECDSA_P384_SHA384:
        raise Refused("structure", "unknown signature algorithm")
    if any(evidence[SIGNED_SIZE + 2 * _COMPONENT :]):
        raise Refused("structure", "bytes after the signature are not zero")
    return report


def _candidates(report: Report, kind: str, leaves: Iterable[Certificate]) -> list[Certificate]:
    """Step 2: the certificates that can belong to the report. A chip has one VCEK for each TCB version, a provider one
    VLEK for each product line and TCB version."""
    of_kind = [leaf for leaf in leaves if leaf.common_name == f"SEV-{kind.upper()}" and not leaf.is_ca][:_MAX_LEAVES]
    if not of_kind:
        raise Refused("signing-key", f"no {kind.upper()} certificate has been given")
    fitting = [leaf for leaf in of_kind if kind == "vlek" or _is_for_chip(leaf, report.chip_id)]
    if not fitting:
        raise Refused("signing-key", "the VCEK certificates are for other chips")
    return fitting


def _is_for_chip(leaf: Certificate, chip_id: bytes) -> bool:
    """hwID is CHIP_ID (57230 §3.1), on Turin its first eight bytes. A host may mask CHIP_ID to zero (MASK_CHIP_ID): the
    key itself is the chip's own, so its signature still tells."""
    hardware_id = _octets(leaf.extension(_HARDWARE_ID) or b"")
    if len(hardware_id) not in (8, 64):
        return False
    return chip_id.startswith(hardware_id) or not any(chip_id)


def _product_line(leaf: Certificate) -> str:
    """productName is an IA5String such as "Milan-B0" in a VCEK and "Milan" in a VLEK; "" for an unknown one."""
    raw = leaf.extension(_PRODUCT_NAME) or b""
    try:
        raw = der.read_all(raw).value
    except ValueError:
        pass  # some certificates carry the bare string
    return PRODUCTS.get(raw.decode("ascii", "replace").partition("-")[0], "")


def _product(report: Report, leaf: Certificate) -> str:
    product = _product_line(leaf)
    if not product:
        raise Refused("product", "the certificate names no product line that is known here")
    if report.version >= 3:
        family, model, _ = report.cpuid
        named = next((line for known, models, line in _PROCESSORS if family == known and model in models), None)
        if named is not None and named != product:
            raise Refused("product", "the report and the certificate are of different product lines")
    return product


def _spl(leaf: Certificate, component: str) -> int:
    """A security patch level: an INTEGER, in some certificates a bare octet."""
    raw = leaf.extension(_SPL[component])
    if raw is None:
        raise Refused("tcb", "the certificate does not state its TCB version")
    return raw[0] if len(raw) == 1 else der.integer(der.read_all(raw))


def _octets(raw: bytes) -> bytes:
    """An extension that is an OCTET STRING in some certificates and bare octets in others."""
    if len(raw) in (10, 66) and raw[0] == der.OCTET_STRING and raw[1] == len(raw) - 2:
        return raw[2:]
    return raw


def _signer(evidence: bytes, candidates: Iterable[Certificate]) -> Certificate:
    """Step 3: the one of the candidates whose key made the signature. Raises Refused("signature")."""
    r = int.from_bytes(evidence[SIGNED_SIZE : SIGNED_SIZE + _COMPONENT], "little")
    s = int.from_bytes(evidence[SIGNED_SIZE + _COMPONENT : SIGNED_SIZE + 2 * _COMPONENT], "little")
    signature, signed = encode_dss_signature(r, s), evidence[:SIGNED_SIZE]
    for candidate in candidates:
        key = candidate.usable_key
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
            continue
        try:
            key.verify(signature, signed, ec.ECDSA(hashes.SHA384()))
        except InvalidSignature:
            continue
        return candidate
    raise Refused("signature", "the report's signature does not verify")


def _claims(report: Report, leaf: Certificate, kind: str, product: str) -> dict[str, Json]:
    layout = TCB_LAYOUTS[product]

    def tcb(value: bytes) -> dict[str, Json]:
        return {component: value[offset] for component, offset in layout.items()}

    def version(value: bytes) -> str:
        return f"{value[2]}.{value[1]}.{value[0]}"

    policy: dict[str, Json] = {name: bool(report.policy >> bit & 1) for name, bit in POLICY_BITS.items()}
    policy |= {"abi_minor": report.policy & 0xFF, "abi_major": report.policy >> 8 & 0xFF}
    platform: dict[str, Json] = {name: bool(report.platform_info >> bit & 1) for name, bit in PLATFORM_BITS.items()}
    hardware_id = _octets(leaf.extension(_HARDWARE_ID) or b"")
    versions: dict[str, Json] = {
        "report": report.version,
        "firmware": version(report.current_version),
        "firmware_committed": version(report.committed_version),
    }
    raw: dict[str, Json] = {
        "version": report.version,
        "guest_svn": report.guest_svn,
        "policy": whole(report.policy),
        "family_id": report.family_id.hex(),
        "image_id": report.image_id.hex(),
        "vmpl": report.vmpl,
        "platform_info": whole(report.platform_info),
        "flags": report.flags,
        "report_data": report.report_data.hex(),
        "measurement": report.measurement.hex(),
        "host_data": report.host_data.hex(),
        "id_key_digest": report.id_key_digest.hex(),
        "author_key_digest": report.author_key_digest.hex(),
        "report_id": report.report_id.hex(),
        "report_id_ma": report.report_id_ma.hex(),
        "chip_id": report.chip_id.hex(),
        "current_tcb": tcb(report.current_tcb),
        "reported_tcb": tcb(report.reported_tcb),
        "committed_tcb": tcb(report.committed_tcb),
        "launch_tcb": tcb(report.launch_tcb),
    }
    if report.version >= 3:
        raw["cpuid"] = {"family": report.cpuid[0], "model": report.cpuid[1], "stepping": report.cpuid[2]}
    if report.version >= 5:
        raw["launch_mitigation_vector"] = whole(report.launch_mitigations)
        raw["current_mitigation_vector"] = whole(report.current_mitigations)
    if csp := leaf.extension(_CSP_ID):
        raw["csp_id"] = (csp[2:] if csp[:1] in (b"\x16", b"\x0c") else csp).decode("ascii", "replace")
    claims: dict[str, Json] = {
        "tee": "snp",
        "measurement": report.measurement.hex(),
        "debug": policy["debug_allowed"],
        "report_data": report.report_data.hex(),
        "nonce": report.report_data.hex(),
        "host_data": report.host_data.hex(),
        "signer": report.id_key_digest.hex(),
        "svn": report.guest_svn,
        "vmpl": report.vmpl,
        "migratable": policy["migration_agent_allowed"],
        "policy_bits": whole(report.policy),
        "policy": policy,
        "platform": platform,
        "product": product,
        "signing_key": kind,
        "tcb": tcb(report.reported_tcb),
        "tcb_committed": tcb(report.committed_tcb),
        "tcb_launch": tcb(report.launch_tcb),
        "versions": versions,
        "raw": raw,
    }
    if kind == "vcek":
        claims["chip_id"] = hardware_id.hex()
    return claims
