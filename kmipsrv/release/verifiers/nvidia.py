"""NVIDIA GPU and NVSwitch attestation reports (SPDM 1.1, DMTF DSP0274 §10.11 GET_MEASUREMENTS, and NVIDIA's opaque data).

1. structure  A GET_MEASUREMENTS request of 37 bytes and the MEASUREMENTS response, to the last byte.
2. chain      The device's certificate leads to an anchor at `now`. It comes with the evidence or with the endorsements.
3. signature  ECDSA P-384 with SHA-384 by that certificate's key over request and response up to the signature.
4. fwid       The firmware that the report names (opaque field 20) is the one for which the certificate was issued
              (TCG DICE TcbInfo/FWID extension, OID 2.23.133.5.4.1).
5. nonce      The request's nonce is the nonce, where one is given, and the one that the evidence says it is for.

Evidence is one report, binary or as text, or NVIDIA's JSON list [{"evidence", "certificate", "nonce"?, "arch"?}, ...],
bare or as the "evidence_list" of an object. In a list every device must verify; the claims beside "devices" are those
that all devices have in common.

What is not decided here, because it cannot be offline: whether the measurements are those of a released driver and VBIOS
(reference values: a matter for the policy), and revocation beyond the CRLs among the endorsements.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from kmipsrv.release.canonical import Json, loads
from kmipsrv.release.endorsements import Endorsements, certificates_of_pem
from kmipsrv.release.evidence import MAX_EVIDENCE, Claims, bound_nonce
from kmipsrv.release.refusal import Refused
from kmipsrv.release.text import decoded, from_base64
from kmipsrv.release.verifiers import der
from kmipsrv.release.verifiers.certificate import Certificate
from kmipsrv.release.verifiers.x509chain import Path, build_path, path_claims

SPDM_VERSION: Final = 0x11
GET_MEASUREMENTS, MEASUREMENTS = 0xE0, 0x60
REQUEST_SIZE: Final = 37
NONCE_SIZE: Final = 32
SIGNATURE_SIZE: Final = 96
_DMTF: Final = 0x01  # measurement specification
_MAX_DEVICES: Final = 32
_MAX_LEAVES: Final = 16
_FWID_EXTENSION: Final = "2.23.133.5.4.1"

# Opaque data: type -> name. Types that are absent here stay in the raw claims under their number.
OPAQUE: Final = {
    3: "driver_version",
    4: "gpu_info",
    6: "vbios_version",
    11: "nvdec0_status",
    12: "measurement_count",
    13: "cpr_info",
    14: "board_id",
    15: "chip_sku",
    16: "chip_sku_mod",
    17: "project",
    18: "project_sku",
    19: "project_sku_mod",
    20: "fwid",
    21: "protected_pcie_status",
    22: "switch_pdi",
    23: "floorswept_ports",
    24: "position_id",
    25: "lock_switch_status",
    26: "gpu_pdis",
    34: "opaque_data_version",
    36: "feature_flag",
}
_TEXTS: Final = {"driver_version", "chip_sku", "chip_sku_mod", "project", "project_sku"}


@dataclass(frozen=True, slots=True)
class Report:
    """One signed transcript."""

    nonce: bytes  # the requester's
    measurements: dict[int, bytes]
    record: bytes
    device_nonce: bytes
    opaque: dict[int, bytes]
    signed: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class Device:
    """One report with what the evidence says about it."""

    report: bytes
    chain: tuple[Certificate, ...] = ()
    nonce: bytes | None = None
    arch: str = ""


def verify(evidence: bytes, endorsements: Endorsements, now: datetime.datetime, nonce: bytes | None = None) -> Claims:
    """The steps above, for each device."""
    devices = [_verify_device(device, endorsements, now, nonce) for device in _read(evidence)]
    if len(devices) == 1:
        return devices[0]
    common = {name: value for name, value in devices[0].items() if all(device.get(name) == value for device in devices)}
    return common | {"devices": devices, "raw": {"count": len(devices)}}


def _read(evidence: bytes) -> list[Device]:
    if evidence.lstrip()[:1] not in (b"[", b"{"):
        return [Device(evidence)]
    try:
        value = loads(evidence, limit=MAX_EVIDENCE)
        if isinstance(value, dict):
            value = value.get("evidence_list", [value])
        entries = list(value)
        devices = [_device(entry) for entry in entries[: _MAX_DEVICES + 1]]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Refused("structure", "not a list of device evidence") from error
    if not 1 <= len(devices) <= _MAX_DEVICES:
        raise Refused("structure", "no device, or too many")
    return devices


def _device(entry: Json) -> Device:
    text = entry.get("certificate") or ""
    chain = certificates_of_pem(text.encode("ascii") if "-----BEGIN" in text else from_base64(text), 8) if text else []
    nonce = bytes.fromhex(entry["nonce"]) if entry.get("nonce") is not None else None
    return Device(decoded(entry["evidence"].encode("ascii")), tuple(chain), nonce, str(entry.get("arch", "")))


def _verify_device(
    device: Device, endorsements: Endorsements, now: datetime.datetime, nonce: bytes | None
) -> dict[str, Json]:
    report = parse(device.report)  # 1.
    path = _signer(report, device.chain, endorsements, now)  # 2. 3.
    _check_firmware(report, path[0])  # 4.
    bound_nonce(nonce, report.nonce)  # 5.
    if device.nonce is not None and not hmac.compare_digest(device.nonce, report.nonce):
        raise Refused("nonce", "the report was made for another nonce than the evidence says")
    return {**path_claims(path), **_claims(report, path, device.arch)}


def parse(content: bytes) -> Report:
    """Step 1. Raises Refused("structure")."""
    response = content[REQUEST_SIZE:]
    if len(response) < 8 or content[:2] != bytes((SPDM_VERSION, GET_MEASUREMENTS)):
        raise Refused("structure", "not a GET_MEASUREMENTS request")
    if response[:2] != bytes((SPDM_VERSION, MEASUREMENTS)):
        raise Refused("structure", "not a MEASUREMENTS response")
    blocks, size = response[4], int.from_bytes(response[5:8], "little")
    record, offset = response[8 : 8 + size], 8 + size
    device_nonce, offset = response[offset : offset + NONCE_SIZE], offset + NONCE_SIZE
    opaque_size, offset = int.from_bytes(response[offset : offset + 2], "little"), offset + 2
    opaque, offset = response[offset : offset + opaque_size], offset + opaque_size
    if len(response) != offset + SIGNATURE_SIZE:
        raise Refused("structure", "lengths inside the report do not meet")
    return Report(
        content[4 : 4 + NONCE_SIZE],
        _measurements(record, blocks),
        record,
        device_nonce,
        _opaque(opaque),
        content[:-SIGNATURE_SIZE],
        content[-SIGNATURE_SIZE:],
    )


def _measurements(record: bytes, blocks: int) -> dict[int, bytes]:
    """DSP0274 Table "Measurement block format": index, specification, size; inside it DMTF type, size, value."""
    measurements: dict[int, bytes] = {}
    offset = 0
    for _ in range(blocks):
        if len(record) - offset < 7:
            raise Refused("structure", "a measurement block is truncated")
        index, specification, size, _, length = struct.unpack_from("<BBHBH", record, offset)
        if specification != _DMTF or size != length + 3 or size > len(record) - offset - 4:
            raise Refused("structure", "a measurement block is malformed")
        if index in measurements:
            raise Refused("structure", "a measurement stands twice")
        measurements[index] = record[offset + 7 : offset + 4 + size]
        offset += 4 + size
    if offset != len(record):
        raise Refused("structure", "bytes follow the measurement blocks")
    return measurements


def _opaque(data: bytes) -> dict[int, bytes]:
    fields: dict[int, bytes] = {}
    offset = 0
    while offset < len(data):
        if len(data) - offset < 4:
            raise Refused("structure", "the opaque data is truncated")
        kind, size = struct.unpack_from("<HH", data, offset)
        if size > len(data) - offset - 4 or kind in fields:
            raise Refused("structure", "the opaque data is malformed")
        fields[kind] = data[offset + 4 : offset + 4 + size]
        offset += 4 + size
    return fields


def _signer(report: Report, chain: Sequence[Certificate], endorsements: Endorsements, now: datetime.datetime) -> Path:
    """Steps 2 and 3. A bag may hold the certificates of many devices: the one whose key fits is the device's."""
    leaves = list(chain[:1]) or [leaf for leaf in endorsements.certificates if _FWID_EXTENSION in leaf.extensions]
    leaves = [leaf for leaf in leaves if not leaf.is_ca]
    if not leaves:
        raise Refused("chain", "no device certificate has been given")
    for leaf in leaves[:_MAX_LEAVES]:
        key = leaf.usable_key
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
            continue
        try:
            _verify_signature(report, key)
        except InvalidSignature:
            continue
        candidates = (*chain, *endorsements.certificates)
        return build_path(leaf, candidates, endorsements.roots, now, endorsements.crls)
    raise Refused("signature", "the report's signature does not verify with a device certificate")


def _verify_signature(report: Report, key: ec.EllipticCurvePublicKey) -> None:
    half = SIGNATURE_SIZE // 2
    r, s = int.from_bytes(report.signature[:half], "big"), int.from_bytes(report.signature[half:], "big")
    key.verify(encode_dss_signature(r, s), report.signed, ec.ECDSA(hashes.SHA384()))


def _check_firmware(report: Report, leaf: Certificate) -> None:
    named = report.opaque.get(20)
    if named is None:  # switches do not repeat it
        return
    certified = _firmware_id(leaf)
    if certified is None or not hmac.compare_digest(named, certified):
        raise Refused("fwid", "the certificate was issued for other firmware than the report names")


def _firmware_id(leaf: Certificate) -> bytes | None:
    """CompositeDeviceID ::= SEQUENCE { version INTEGER, deviceID SubjectPublicKeyInfo, fwid SEQUENCE { hashAlg OBJECT
    IDENTIFIER, fwid OCTET STRING } } (TCG DICE Certificate Profiles)."""
    raw = leaf.extension(_FWID_EXTENSION)
    if raw is None:
        return None
    _, _, fwid = der.read_all(raw).children()
    _, value = fwid.children()
    return value.value


def _claims(report: Report, path: Path, arch: str) -> dict[str, Json]:
    opaque: dict[str, Json] = {}
    for kind, value in report.opaque.items():
        name = OPAQUE.get(kind, str(kind))
        opaque[name] = _text(value) if name in _TEXTS else value.hex()
    if 6 in report.opaque:
        opaque["vbios_version"] = _vbios_version(report.opaque[6])
    if 14 in report.opaque:
        opaque["board_id"] = report.opaque[14].hex()
    if 12 in report.opaque and len(report.opaque[12]) % 4 == 0:
        counts = struct.unpack(f"<{len(report.opaque[12]) // 4}I", report.opaque[12])
        opaque["measurement_count"] = list(counts)
    measurements: dict[str, Json] = {str(index): value.hex() for index, value in report.measurements.items()}
    versions = {name: opaque[f"{name}_version"] for name in ("driver", "vbios") if f"{name}_version" in opaque}
    claims: dict[str, Json] = {
        "tee": "nvidia",
        "measurement": hashlib.sha384(report.record).hexdigest(),
        "measurements": measurements,
        "nonce": report.nonce.hex(),
        "report_data": report.nonce.hex(),
        "chip_id": f"{path[0].serial_number:x}",
        "product": path[1].common_name,
        "versions": versions,
        "raw": {"opaque": opaque, "measurements": measurements, "device_nonce": report.device_nonce.hex()},
    }
    if arch:
        claims["raw"] = {**claims["raw"], "arch": arch}
    return claims


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode("ascii", "replace")


def _vbios_version(value: bytes) -> str:
    """Switches write it as text; GPUs as two little-endian words, of which the second has the last part in its low byte."""
    if len(value) != 8:
        return _text(value)
    high, low = struct.unpack("<II", value)
    octets = (*high.to_bytes(4), low & 0xFF)
    return ".".join(f"{octet:02x}" for octet in octets)
