"""Azure confidential VMs: a vTPM quote whose attestation key is bound to an SNP report or a TDX quote (HCL envelope).

1. structure   JSON with the HCL envelope ("HCLA", hardware report, runtime data) and a vTPM quote; everything to the
               last byte, the envelope's rest zero.
2. The hardware evidence is verified by the steps of `snp.py` (report inside the envelope, VCEK from the evidence or the
               endorsements) or `dcap.py` (TD quote beside the envelope); the names of its steps are kept.
3. runtime     REPORTDATA of the hardware evidence is the hash of the runtime data, then zeros.
4. ak          The runtime data names exactly one attestation key, "HCLAkPub", for signing.
5. signature   That key signed the quote (RSASSA with SHA-256).
6. pcrs        The PCR values hash to the attested digest.
7. nonce       extraData of the quote is the nonce, where one is given.

The other key in the runtime data, "HCLEkPub", is the vTPM's restricted endorsement key: it decrypts nothing but
credentials, so no key can be released to it and it is no key binding.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import struct
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from kmipsrv.release.canonical import Json, loads
from kmipsrv.release.endorsements import Endorsements, certificates_of_pem
from kmipsrv.release.evidence import MAX_EVIDENCE, Claims, bound_nonce
from kmipsrv.release.refusal import Refused
from kmipsrv.release.text import from_base64
from kmipsrv.release.verifiers import dcap, snp, tpm
from kmipsrv.release.verifiers.certificate import Certificate, checked_public_key, spki_of

_HEADER: Final = struct.Struct("<4sIIII12x")  # signature, version, size, request type, status
_HARDWARE_SIZE: Final = 1184
_RUNTIME: Final = struct.Struct("<IIIII")  # size, version, report type, hash type, size of the claims
_REPORT_SNP, _REPORT_TDX = 2, 4
_HASHES: Final = {1: "sha256", 2: "sha384", 3: "sha512"}
_AK: Final = "HCLAkPub"


@dataclass(frozen=True, slots=True)
class Envelope:
    """The HCL envelope: hardware report, and the runtime claims with their digest as report data has it."""

    version: int
    hardware_report: bytes
    runtime: dict[str, Json]
    report_data: bytes


def verify_snp(
    evidence: bytes, endorsements: Endorsements, now: datetime.datetime, nonce: bytes | None = None
) -> Claims:
    """az-snp-vtpm: {"hcl_report" (or "report"), "tpm_quote" (or "quote"), "vcek"?}."""
    value, envelope = _read(evidence, _REPORT_SNP)  # 1.
    leaves = (*_certificates(value.get("vcek")), *endorsements.certificates)
    report, claims = snp.verify_report(envelope.hardware_report, leaves, endorsements, now)  # 2.
    return _verify_vtpm(value, envelope, report.report_data, claims, nonce)


def verify_tdx(
    evidence: bytes, endorsements: Endorsements, now: datetime.datetime, nonce: bytes | None = None
) -> Claims:
    """az-tdx-vtpm: {"hcl_report", "tpm_quote", "td_quote"}."""
    value, envelope = _read(evidence, _REPORT_TDX)  # 1.
    try:
        td_quote = tpm.octets(value.get("td_quote"))
    except ValueError as error:
        raise Refused("structure", "the evidence holds no TD quote") from error
    quote, claims = dcap.verify_quote(td_quote, dcap.TEE_TDX, endorsements, now)  # 2.
    return _verify_vtpm(value, envelope, quote.body["report_data"], claims, nonce)


def _verify_vtpm(
    value: dict[str, Json], envelope: Envelope, report_data: bytes, claims: Claims, nonce: bytes | None
) -> Claims:
    if not hmac.compare_digest(report_data, envelope.report_data):  # 3.
        raise Refused("runtime", "the hardware evidence is about other runtime data")
    key = _attestation_key(envelope.runtime)  # 4.
    try:
        message, signature, pcrs = tpm.quote_from_json(value.get("tpm_quote", value.get("quote")))
    except (ValueError, TypeError) as error:
        raise Refused("structure", "the vTPM quote is malformed") from error
    attest = tpm.parse_attest(message)
    # 5. The vTPM's signature comes bare, its attestation key knows one scheme only
    bare = tpm.Signature(tpm.RSASSA, hashes.SHA256(), signature)
    parsed = bare if len(signature) == key.key_size // 8 else tpm.parse_signature(signature)
    tpm.check_signature(message, parsed, key)
    attested = tpm.check_pcrs(pcrs, attest, parsed.hash_algorithm)  # 6.
    bound_nonce(nonce, attest.extra_data)  # 7.
    claims |= tpm.pcr_claims(attested)
    claims["nonce"] = attest.extra_data.hex()
    claims["attestation_key"] = hashlib.sha256(spki_of(key)).hexdigest()
    configuration = envelope.runtime.get("vm-configuration")
    if isinstance(configuration, dict) and isinstance(configuration.get("secure-boot"), bool):
        claims["secure_boot"] = configuration["secure-boot"]
    user_data = envelope.runtime.get("user-data")
    if isinstance(user_data, str):
        claims["user_data"] = user_data.lower()
    raw = claims["raw"]
    claims["raw"] = {**raw, "tpm": tpm.attest_claims(attest), "runtime": envelope.runtime}
    return claims


def _read(evidence: bytes, report_type: int) -> tuple[dict[str, Json], Envelope]:
    try:
        value = loads(evidence, limit=MAX_EVIDENCE)
        if not isinstance(value, dict):
            raise ValueError("not an object")
        envelope = tpm.octets(value.get("hcl_report", value.get("report")))
    except (ValueError, TypeError) as error:
        raise Refused("structure", "not JSON with an HCL report") from error
    return value, parse_envelope(envelope, report_type)


def parse_envelope(content: bytes, report_type: int) -> Envelope:
    """Step 1 for the envelope. Raises Refused("structure")."""
    start = _HEADER.size + _HARDWARE_SIZE
    if len(content) < start + _RUNTIME.size:
        raise Refused("structure", "the HCL report is truncated")
    signature, version, _, _, _ = _HEADER.unpack_from(content)
    if signature != b"HCLA":
        raise Refused("structure", "not an HCL report")
    size, _, named_type, hash_type, length = _RUNTIME.unpack_from(content, start)
    if named_type != report_type:
        raise Refused("structure", "the HCL report is of another kind of TEE")
    algorithm = _HASHES.get(hash_type)
    if algorithm is None:
        raise Refused("structure", "unknown hash type of the runtime data")
    runtime = content[start + _RUNTIME.size : start + _RUNTIME.size + length]
    if len(runtime) != length or size != _RUNTIME.size + length:
        raise Refused("structure", "lengths inside the HCL report do not meet")
    if any(content[start + size :]):
        raise Refused("structure", "bytes follow the HCL report")
    try:
        claims = loads(runtime, limit=len(content))
    except ValueError as error:
        raise Refused("structure", "the runtime data is not JSON") from error
    if not isinstance(claims, dict):
        raise Refused("structure", "the runtime data is not an object")
    digest = hashlib.new(algorithm, runtime).digest()
    return Envelope(version, content[_HEADER.size : start], claims, digest.ljust(64, b"\0"))


def _attestation_key(runtime: dict[str, Json]) -> rsa.RSAPublicKey:
    """Step 4. Raises Refused("ak")."""
    keys = runtime.get("keys")
    named = [key for key in keys if isinstance(key, dict) and key.get("kid") == _AK] if isinstance(keys, list) else []
    if len(named) != 1 or named[0].get("kty") != "RSA" or named[0].get("key_ops") not in (["sign"], None):
        raise Refused("ak", "the runtime data does not name one attestation key")
    try:
        exponent, modulus = (int.from_bytes(from_base64(str(named[0].get(name)))) for name in ("e", "n"))
        key = checked_public_key(rsa.RSAPublicNumbers(exponent, modulus).public_key())
    except ValueError as error:
        raise Refused("ak", "the attestation key is malformed") from error
    if not isinstance(key, rsa.RSAPublicKey):
        raise Refused("ak", "the attestation key is not an RSA key")
    return key


def _certificates(value: Json) -> list[Certificate]:
    """The VCEK that came along, in PEM or DER: a candidate, no anchor."""
    if value is None:
        return []
    try:
        if isinstance(value, str) and "-----BEGIN" in value:
            return certificates_of_pem(value.encode("ascii"), 8)
        return [Certificate(tpm.octets(value))]
    except ValueError as error:
        raise Refused("signing-key", "the VCEK in the evidence is malformed") from error
