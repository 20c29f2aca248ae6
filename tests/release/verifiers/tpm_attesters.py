"""Attesters with a TPM: the TPM itself, and the vTPM of Azure's confidential machines. As `attesters`, with test keys."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.release.verifiers.attesters import Made, make_quote, make_snp
from tests.release.verifiers.pki import (
    Key,
    rsa_key,
    spki,
    spki_pem,
)

# --- TPM ------------------------------------------------------------------------------------------------------------

TPM_HASHES: dict[str, tuple[int, hashes.HashAlgorithm]] = {
    "sha1": (0x0004, hashes.SHA1()),
    "sha256": (0x000B, hashes.SHA256()),
    "sha384": (0x000C, hashes.SHA384()),
}


def tpm2b(value: bytes) -> bytes:
    return struct.pack(">H", len(value)) + value


def pcr_value(bank: str, index: int) -> bytes:
    return hashlib.new(bank, f"{bank} {index}".encode()).digest()


def tpm_quote(
    *,
    signer: Key,
    scheme: str = "rsassa",
    algorithm: str = "sha256",
    selections: Sequence[tuple[str, Sequence[int]]] = (("sha256", (0, 1, 7)),),
    nonce: bytes = b"\x11" * 64,
    magic: int = 0xFF544347,
    kind: int = 0x8018,
    rest: bytes = b"",
) -> tuple[bytes, bytes, dict[str, dict[str, str]]]:
    """-> TPMS_ATTEST, TPMT_SIGNATURE and the PCR values by bank."""
    values: dict[str, dict[str, str]] = {}
    digest = hashlib.new(algorithm)
    selected = b""
    for bank, indices in selections:
        bitmap = sum(1 << index for index in indices).to_bytes(3, "little")
        selected += struct.pack(">HB", TPM_HASHES[bank][0], 3) + bitmap
        for index in sorted(indices):
            digest.update(pcr_value(bank, index))
            values.setdefault(bank, {})[str(index)] = pcr_value(bank, index).hex()
    message = (
        struct.pack(">IH", magic, kind)
        + tpm2b(b"\x00\x0b" + bytes(32))
        + tpm2b(nonce)
        + struct.pack(">QIIB", 1234, 5, 6, 1)
        + struct.pack(">Q", 0x20240101)
        + struct.pack(">I", len(selections))
        + selected
        + tpm2b(digest.digest())
        + rest
    )
    identifier, chosen = TPM_HASHES[algorithm]
    if isinstance(signer, rsa.RSAPrivateKey):
        pss = padding.PSS(padding.MGF1(chosen), chosen.digest_size)
        scheme_padding = pss if scheme == "rsapss" else padding.PKCS1v15()
        value = signer.sign(message, scheme_padding, chosen)
        number = {"rsassa": 0x0014, "rsapss": 0x0016}[scheme]
        return message, struct.pack(">HH", number, identifier) + tpm2b(value), values
    r, s = decode_dss_signature(signer.sign(message, ec.ECDSA(chosen)))
    size = signer.key_size // 8
    value = tpm2b(r.to_bytes(size)) + tpm2b(s.to_bytes(size))
    return message, struct.pack(">HH", 0x0018, identifier) + value, values


def make_tpm(*, signer: Key | None = None, extra: Mapping[str, Any] | None = None, **changes: Any) -> Made:
    """Quote evidence in JSON; the endorsement is the attestation key."""
    signer = signer or rsa_key("AK")
    message, signature, values = tpm_quote(signer=signer, **changes)
    value = {
        "ak_public": base64.b64encode(spki(signer)).decode(),
        "tpm_quote": {
            "message": base64.b64encode(message).decode(),
            "signature": base64.b64encode(signature).decode(),
            "pcrs": values,
        },
        **(extra or {}),
    }
    return Made(json.dumps(value).encode(), (spki_pem(signer),))


def tpm_public(of: Key) -> bytes:
    """A TPMT_PUBLIC of a restricted signing key."""
    public = of.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        scheme = struct.pack(">HHH", 0x0010, 0x0014, 0x000B)
        modulus = public.public_numbers().n.to_bytes(public.key_size // 8)
        return (
            struct.pack(">HHI", 0x0001, 0x000B, 0x00050072)
            + tpm2b(b"")
            + scheme
            + struct.pack(">HI", 2048, 0)
            + tpm2b(modulus)
        )
    numbers = public.public_numbers()
    scheme = struct.pack(">HHHHH", 0x0010, 0x0018, 0x000B, 0x0003, 0x0010)
    point = tpm2b(numbers.x.to_bytes(32)) + tpm2b(numbers.y.to_bytes(32))
    return struct.pack(">HHI", 0x0023, 0x000B, 0x00050072) + tpm2b(b"") + scheme + point


def field(number: int, value: bytes | int) -> bytes:
    """A field of a protocol buffer."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def varint(value: int) -> bytes:
    octets = b""
    while value > 0x7F:
        octets += bytes((value & 0x7F | 0x80,))
        value >>= 7
    return octets + bytes((value,))


def make_tpm_protobuf(
    *, signer: Key, selections: Sequence[tuple[str, Sequence[int]]], ak_certificate: bytes = b""
) -> Made:
    """go-tpm-tools' form: one quote for each bank."""
    content = field(1, tpm_public(signer))
    for bank, indices in selections:
        message, signature, values = tpm_quote(signer=signer, selections=((bank, indices),))
        pcrs = field(1, TPM_HASHES[bank][0])
        for index, value in values[bank].items():
            pcrs += field(2, field(1, int(index)) + field(2, bytes.fromhex(value)))
        content += field(2, field(1, message) + field(2, signature) + field(3, pcrs))
    if ak_certificate:
        content += field(6, ak_certificate)
    return Made(content, (spki_pem(signer),))


# --- Azure vTPM -----------------------------------------------------------------------------------------------------


def runtime_keys(ak: rsa.RSAPrivateKey) -> list[dict[str, Any]]:
    numbers = ak.public_key().public_numbers()
    modulus = base64.urlsafe_b64encode(numbers.n.to_bytes(256)).rstrip(b"=").decode()
    named = {"kty": "RSA", "e": "AQAB", "n": modulus}
    return [
        {"kid": "HCLAkPub", "key_ops": ["sign"], **named},
        {"kid": "HCLEkPub", "key_ops": ["encrypt"], **named},
    ]


def make_azure(
    tee: str = "snp",
    *,
    runtime: Mapping[str, Any] | None = None,
    other_runtime: bool = False,
    report_type: int | None = None,
    hash_type: int = 1,
    rest: bytes = bytes(20),
    nonce: bytes = b"challenge",
    signer: rsa.RSAPrivateKey | None = None,
    version: int = 1,
) -> Made:
    """az-snp-vtpm or az-tdx-vtpm evidence; version 0 writes arrays of numbers, version 1 text."""
    ak = rsa_key("vTPM AK")
    content = {"keys": runtime_keys(ak), "vm-configuration": {"secure-boot": True}, "user-data": "AB" * 64}
    claims = json.dumps(content | dict(runtime or {})).encode()
    digest = hashlib.new({1: "sha256", 2: "sha384", 3: "sha512"}[hash_type], claims).digest().ljust(64, b"\0")
    if other_runtime:
        digest = bytes(64)
    hardware = make_snp(report_data=digest) if tee == "snp" else make_quote(report_data=digest)
    number = report_type if report_type is not None else 2 if tee == "snp" else 4
    envelope = struct.pack("<4sIIII12x", b"HCLA", 2, 32 + 1184 + 20 + len(claims), 2, 0)
    envelope += hardware.evidence if tee == "snp" else bytes(1184)
    envelope += struct.pack("<IIIII", 20 + len(claims), 1, number, hash_type, len(claims)) + claims + rest
    message, signature, values = tpm_quote(signer=signer or ak, nonce=nonce, selections=(("sha256", range(24)),))
    signature = signature[6:]  # the vTPM's comes without scheme and hash

    def octets(value: bytes) -> Any:
        return list(value) if version == 0 else value.hex()

    quote = {
        "message": octets(message),
        "signature": octets(signature),
        "pcrs": [octets(bytes.fromhex(values["sha256"][str(index)])) for index in range(24)],
    }
    vcek, *anchors = hardware.endorsements
    if tee == "snp":
        if version == 0:
            value = {"report": octets(envelope), "quote": quote, "vcek": armoured(vcek)}
        else:
            value = {"version": 1, "hcl_report": octets(envelope), "tpm_quote": quote}
            value["vcek"] = base64.b64encode(vcek).decode()
        return Made(json.dumps(value).encode(), tuple(anchors))
    value = {"hcl_report": octets(envelope), "tpm_quote": quote, "td_quote": octets(hardware.evidence)}
    return Made(json.dumps(value).encode(), hardware.endorsements)


def armoured(der: bytes) -> str:
    """PEM by hand: the library does not write certificates with serial number 0."""
    return f"-----BEGIN CERTIFICATE-----\n{base64.encodebytes(der).decode()}-----END CERTIFICATE-----\n"
