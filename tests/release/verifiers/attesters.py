"""Attesters (RFC 9334 §2.1) with test keys: they make the evidence that real hardware would, under test roots.

Each `make_*` returns evidence and the endorsements it verifies with; keyword arguments change one thing each, so that a
test can say what is wrong with an otherwise good piece of evidence.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.release.verifiers.pki import (
    NOW,
    certificate,
    key,
    pem,
    raw_signature,
    root,
    sequence,
    spki,
    spki_pem,
    tlv,
    with_serial_zero,
)


@dataclass(frozen=True)
class Made:
    """Evidence with all the endorsements it needs."""

    evidence: bytes
    endorsements: tuple[bytes, ...]


# --- AMD SEV-SNP ----------------------------------------------------------------------------------------------------

AMD = "1.3.6.1.4.1.3704.1."


def make_snp(
    *,
    product: str = "Milan",
    version: int = 2,
    kind: str = "VCEK",
    signing_key: int | None = None,
    cpuid: tuple[int, int, int] = (0x19, 0x01, 0x01),
    tcb: Mapping[str, int] | None = None,
    certified_tcb: Mapping[str, int] | None = None,
    chip_id: bytes | None = None,
    certified_chip_id: bytes = bytes(range(64)),
    policy: int = 0x30000,
    report_data: bytes = b"\x11" * 64,
    algorithm: int = 1,
    tail: bytes = bytes(368),
    wrapped: bool = False,
    extensions: Mapping[str, bytes] | None = None,
    **leaf: Any,
) -> Made:
    """An SNP report; `tcb` names the components, `wrapped` puts the chip id in an OCTET STRING as some chips do."""
    turin = product == "Turin"
    at = (
        {"fmc": 0, "bootloader": 1, "tee": 2, "snp": 3, "microcode": 7}
        if turin
        else {"bootloader": 0, "tee": 1, "snp": 6, "microcode": 7}
    )
    levels = dict(tcb or {"bootloader": 3, "tee": 0, "snp": 8, "microcode": 115, "fmc": 1})
    packed = bytearray(8)
    for component, offset in at.items():
        packed[offset] = levels[component]
    hardware_id = certified_chip_id[:8] if turin else certified_chip_id
    if chip_id is None:
        chip_id = hardware_id.ljust(64, b"\0")
    signing = {"VCEK": 0, "VLEK": 1}[kind] if signing_key is None else signing_key
    signed = struct.pack(
        "<IIQ16s16sII8sQII64s48s32s48s48s32s32s8s3s21x64s8s3sx3sx8sQQ",
        version,
        7,
        policy,
        b"family".ljust(16, b"\0"),
        b"image".ljust(16, b"\0"),
        1,
        algorithm,
        bytes(packed),
        0b100101,
        signing << 2,
        0,
        report_data,
        b"\x22" * 48,
        b"\x33" * 32,
        b"\x44" * 48,
        b"\x55" * 48,
        b"\x66" * 32,
        b"\x77" * 32,
        bytes(packed),
        bytes(cpuid) if version >= 3 else b"\0\0\0",
        chip_id,
        bytes(packed),
        bytes((4, 55, 1)),
        bytes((3, 55, 1)),
        bytes(packed),
        5,
        6,
    ).ljust(0x2A0, b"\0")
    certified = dict(certified_tcb or levels)
    leaf_key = key(f"SEV-{kind}-{product}-{sorted(certified.items())}")  # each TCB version has a key of its own
    evidence = signed + raw_signature(leaf_key, signed, hashes.SHA384(), 72, "little") + tail
    arcs = {"bootloader": 1, "tee": 2, "snp": 3, "microcode": 8, "fmc": 9}
    stated = {f"{AMD}3.{arcs[component]}": integer(certified[component]) for component in at}
    stated[f"{AMD}2"] = tlv(0x16, f"{product}-B0".encode() if kind == "VCEK" else product.encode())
    if kind == "VCEK":
        stated[f"{AMD}4"] = tlv(0x04, hardware_id) if wrapped else hardware_id
    else:
        stated[f"{AMD}5"] = tlv(0x16, b"example")
    stated |= extensions or {}
    ark, ask = f"ARK-{product}", f"SEV-{product}" if kind == "VCEK" else f"SEV-VLEK-{product}"
    der = certificate(f"SEV-{kind}", leaf_key, ask, key(ask), extensions=stated, usage=False, **leaf)
    chain = pem(certificate(ask, key(ask), ark, key(ark), ca=True, path_length=0), root(ark))
    return Made(evidence, (with_serial_zero(der, key(ask)), chain))


def integer(value: int) -> bytes:
    """A DER INTEGER from 0 to 255."""
    return tlv(0x02, bytes((0, value)) if value > 127 else bytes((value,)))


# --- Intel TDX and SGX ----------------------------------------------------------------------------------------------

QE_SIGNERS = {
    0x00: ("8c4f5775d796503e96137f77c68a829a0056ac8ded70140b081b094490c57bff", 1),
    0x81: ("dc9e2a7c6f948f17474e34a7fc43ed030f7c1563f1babddf6340c82e0e54a8c5", 2),
}
VENDOR = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")


def sgx_report(
    *, report_data: bytes, attributes: int = 0x05, signer: bytes = b"\x88" * 32, product: int = 0, svn: int = 0
) -> bytes:
    """An enclave report of 384 bytes."""
    return struct.pack(
        "<16s4s12x16sQQ32s32x32s32x64sHHH42x16s64s",
        b"\x01" * 16,
        bytes(4),
        bytes(16),
        attributes,
        0xE7,
        b"\x99" * 32,
        signer,
        bytes(64),
        product,
        svn,
        0,
        bytes(16),
        report_data,
    )


def td_report(*, report_data: bytes, attributes: int = 1 << 28, long: bool = False) -> bytes:
    """A TD report body of 584 bytes, or of 648."""
    body = struct.pack(
        "<16s48s48sQQQ48s48s48s48s192s64s",
        b"\x06\x01\x03".ljust(16, b"\0"),
        b"\x5b" * 48,
        bytes(48),
        0,
        attributes,
        0x602E7,
        b"\x91" * 48,
        b"\xc0" * 48,
        bytes(48),
        bytes(48),
        b"".join(bytes((index,)) * 48 for index in range(1, 5)),
        report_data,
    )
    return body + (bytes(16) + b"\x5e" * 48 if long else b"")


def pck_extension(fmspc: bytes = bytes.fromhex("b0c06f000000")) -> bytes:
    """The SGX extension of a PCK certificate, with the members that identify a platform."""
    arcs = {1: tlv(0x04, b"\xaa" * 16), 3: tlv(0x04, bytes(2)), 4: tlv(0x04, fmspc), 5: tlv(0x0A, b"\0")}
    prefix = bytes.fromhex("2a864886f84d010d01")  # 1.2.840.113741.1.13.1
    return sequence(b"".join(sequence(tlv(0x06, prefix + bytes((arc,))) + value) for arc, value in arcs.items()))


def make_quote(
    *,
    tee: int = 0x81,
    version: int = 4,
    report_data: bytes = b"\x11" * 64,
    attributes: int | None = None,
    long: bool = False,
    body_type: int | None = None,
    key_type: int = 2,
    vendor: bytes = VENDOR,
    qe_attributes: int = 0x15,
    qe_signer: str = "",
    bound_key: bytes | None = None,
    certification_type: int = 5,
    rest: bytes = b"",
    own_root: bool = False,
    **leaf: Any,
) -> Made:
    """A TDX or SGX quote; `own_root` leaves the root out of the endorsements (it stands in the quote in any case)."""
    if tee == 0x81:
        body = td_report(report_data=report_data, attributes=1 << 28 if attributes is None else attributes, long=long)
    else:
        body = sgx_report(report_data=report_data, attributes=0x05 if attributes is None else attributes, svn=8)
    if version == 5:
        kind = body_type if body_type is not None else 1 if tee == 0 else 3 if long else 2
        body = struct.pack("<HI", kind, len(body)) + body
    named_tee = 0 if version == 3 else tee
    signed = struct.pack("<HHI4s16s20s", version, key_type, named_tee, bytes(4), vendor, b"\x0d" * 20) + body
    attestation = key("attestation key", ec.SECP256R1)
    point = attestation.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]
    authentication = bytes(range(32))
    signer, product = QE_SIGNERS[tee]
    qe_report = sgx_report(
        report_data=hashlib.sha256((bound_key or point) + authentication).digest() + bytes(32),
        attributes=qe_attributes,
        signer=bytes.fromhex(qe_signer or signer),
        product=product,
    )
    pck = key("PCK", ec.SECP256R1)
    ca, top = "Test PCK Platform CA", "Test SGX Root CA"
    extensions = {"1.2.840.113741.1.13.1": pck_extension()}
    chain = pem(
        certificate("Test PCK Certificate", pck, ca, key(ca, ec.SECP256R1), extensions=extensions, **leaf),
        certificate(ca, key(ca, ec.SECP256R1), top, key(top), ca=True, path_length=0),
        root(top),
    )
    inner = (
        qe_report
        + raw_signature(pck, qe_report, hashes.SHA256(), 32)
        + struct.pack("<H", len(authentication))
        + authentication
        + struct.pack("<HI", certification_type, len(chain) + 1)
        + chain
        + b"\0"
    )
    wrapped = inner if version == 3 else struct.pack("<HI", 6, len(inner)) + inner
    data = raw_signature(attestation, signed, hashes.SHA256(), 32) + point + wrapped
    return Made(signed + struct.pack("<I", len(data)) + data + rest, () if own_root else (root(top),))


# --- AWS Nitro ------------------------------------------------------------------------------------------------------


def sign1(signer: ec.EllipticCurvePrivateKey, payload: bytes, *, algorithm: int = -35, tagged: bool = False) -> bytes:
    """A COSE_Sign1 in CBOR."""
    sizes = {-7: (hashes.SHA256(), 32), -35: (hashes.SHA384(), 48), -36: (hashes.SHA512(), 66)}
    digest, size = sizes[algorithm]
    protected = cbor2.dumps({1: algorithm})
    signed = cbor2.dumps(["Signature1", protected, b"", payload])
    message = [protected, {}, payload, raw_signature(signer, signed, digest, size)]
    return cbor2.dumps(cbor2.CBORTag(18, message) if tagged else message)


def make_nitro(
    *,
    document: Mapping[str, Any] | None = None,
    without: Sequence[str] = (),
    algorithm: int = -35,
    payload: bytes | None = None,
    **leaf: Any,
) -> Made:
    """An attestation document; `document` replaces fields, `without` removes them."""
    top, ca = "test.nitro-enclaves", "zonal"
    leaf_key = key("i-1234-enc", ec.SECP384R1 if algorithm == -35 else ec.SECP256R1)
    fields: dict[str, Any] = {
        "module_id": "i-1234-enc5678",
        "digest": "SHA384",
        "timestamp": int(NOW.timestamp() * 1000),
        "pcrs": {index: bytes((index + 1,)) * 48 for index in range(3)} | {3: bytes(48)},
        "certificate": certificate("i-1234-enc", leaf_key, ca, key(ca), **leaf),
        "cabundle": [root(top), certificate(ca, key(ca), top, key(top), ca=True)],
        "public_key": None,
        "user_data": b"hello",
        "nonce": b"\x11" * 64,
    }
    fields |= document or {}
    for absent in without:
        del fields[absent]
    content = payload if payload is not None else cbor2.dumps(fields)
    return Made(sign1(leaf_key, content, algorithm=algorithm), (pem(root(top)),))


# --- NVIDIA ---------------------------------------------------------------------------------------------------------


def make_nvidia(
    *,
    nonce: bytes = b"\x11" * 32,
    fwid: bytes = b"\x0f" * 48,
    certified_fwid: bytes = b"\x0f" * 48,
    said_nonce: bytes | None = None,
    devices: int = 0,
    rest: bytes = b"",
    blocks: int = 3,
    own_root: bool = False,
    **leaf: Any,
) -> Made:
    """One report in binary with its chain as endorsement, or, with `devices`, NVIDIA's JSON list."""
    device, ca, top = key("GSP FMC LF"), "Test GPU ICA", "Test Device Identity CA"
    oid = sequence(bytes.fromhex("0609608648016503040202") + tlv(0x04, certified_fwid))
    extension = sequence(integer(1) + spki(device) + oid)
    chain = pem(
        certificate("GSP FMC LF", device, ca, key(ca), extensions={"2.23.133.5.4.1": extension}, **leaf),
        certificate(ca, key(ca), top, key(top), ca=True),
        root(top),
    )

    def report(number: int) -> bytes:
        record = b"".join(
            struct.pack("<BBHBH", index, 1, 51, 1, 48) + bytes((index, number)) * 24 for index in range(1, 4)
        )
        fields = {3: b"590.12\0", 6: struct.pack("<II", 0x9600A500, 1), 14: b"7\4\0\0", 20: fwid}
        opaque = b"".join(struct.pack("<HH", kind, len(value)) + value for kind, value in fields.items())
        signed = b"\x11\xe0\x01\xff" + nonce + b"\0\x11\x60\0\0" + bytes((blocks,)) + len(record).to_bytes(3, "little")
        signed += record + b"\x4e" * 32 + struct.pack("<H", len(opaque)) + opaque
        return signed + raw_signature(device, signed, hashes.SHA384(), 48) + rest

    anchors = () if own_root else (root(top),)
    if not devices:
        return Made(report(0), (chain, *anchors))
    value = [
        {
            "arch": "HOPPER",
            "certificate": base64.b64encode(chain).decode(),
            "evidence": base64.b64encode(report(number)).decode(),
            "nonce": (said_nonce or nonce).hex(),
        }
        for number in range(devices)
    ]
    return Made(json.dumps(value).encode(), anchors)


# --- Arm CCA --------------------------------------------------------------------------------------------------------


def make_cca(
    *,
    collection: int = 399,
    profile: bool = False,
    nonce: bytes = b"\x11" * 64,
    challenge: bytes | None = None,
    realm_signer: str = "RAK",
    lifecycle: int = 0x3003,
    platform: Mapping[int, Any] | None = None,
    realm: Mapping[int, Any] | None = None,
    platform_curve: type[ec.EllipticCurve] = ec.SECP384R1,
) -> Made:
    """A CCA token; `profile` writes the realm key as COSE_Key, as RMM 1.0 does, `collection` 907 is the CMW form."""
    rak, cpak = key("RAK"), key("CPAK", platform_curve)
    point = rak.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    public = cbor2.dumps({1: 2, -1: 2, -2: point[1:49], -3: point[49:]}) if profile else point
    realm_claims: dict[int, Any] = {
        10: nonce,
        44235: b"\x50" * 64,
        44236: "sha-256",
        44237: public,
        44238: b"\x22" * 32,
        44239: [bytes(32)] * 4,
        44240: "sha-256",
    }
    if profile:
        realm_claims[265] = "tag:arm.com,2023:realm#1.0.0"
    platform_claims: dict[int, Any] = {
        265: "http://arm.com/CCA-SSD/1.0.0",
        10: challenge if challenge is not None else hashlib.sha256(public).digest(),
        2396: b"\x7f" * 32,
        256: b"\x01" + b"\x07" * 32,
        2401: b"\x01\x02",
        2395: lifecycle,
        2402: "sha-256",
        2399: [{1: "BL", 2: b"\x07" * 32, 4: "3.4.2", 5: b"\x08" * 32}],
    }
    algorithm = -35 if platform_curve is ec.SECP384R1 else -7
    tokens: dict[int, Any] = {
        44234: sign1(cpak, cbor2.dumps(platform_claims | dict(platform or {})), algorithm=algorithm, tagged=True),
        44241: sign1(key(realm_signer), cbor2.dumps(realm_claims | dict(realm or {})), tagged=True),
    }
    if collection == 907:
        tokens = {label: [263, token] for label, token in tokens.items()}
    return Made(cbor2.dumps(cbor2.CBORTag(collection, tokens)), (spki_pem(cpak),))
