"""Intel TDX and SGX quotes (Intel SGX ECDSA QuoteLibReference §A.3-4; Intel TDX DCAP Quoting Library API §A.3).

1. structure     TDX version 4 or 5, SGX version 3 to 5; attestation key type 2 (ECDSA P-256); all lengths meet exactly.
2. chain         The quote's PCK certificate leads over Intel's PCK CA to an anchor at `now`. Its validity may begin up to
                 `PCK_LEAD` later, but never have ended.
3. qe-signature  The PCK key signed the report of the Quoting Enclave (QE).
4. qe-binding    That report binds the attestation key: REPORTDATA is SHA-256(key || authentication data), then zeros.
5. signature     The attestation key signed header and body.
6. collateral    Where collateral was given: TCB level, QE identity and revocation are appraised at `now` (dcap-qvl), by
                 collateral for this platform and under the anchor of step 2; "tcb_status" is claimed. Where none was: the
                 QE is one that Intel signed, by its published identity, and is not a debug enclave; no TCB is claimed.
7. nonce         REPORTDATA of the body is the nonce, where one is given.

What follows a quote is no part of it and is not looked at further: zeros (hosts hand out fixed-size buffers) or, since a
quote ends in PEM, explanatory text as RFC 7468 §2 lets it follow PEM. Anything else after a TDX quote, and anything at
all after an SGX quote, is refused.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import dcap_qvl
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from kmipsrv.release.canonical import Json, loads
from kmipsrv.release.endorsements import MAX_FILE, Endorsements, certificates_of_pem
from kmipsrv.release.evidence import Claims, bound_nonce, whole
from kmipsrv.release.refusal import Refused
from kmipsrv.release.verifiers import der
from kmipsrv.release.verifiers.certificate import Certificate
from kmipsrv.release.verifiers.x509chain import Path, build_path, path_claims

TEE_SGX: Final = 0x00
TEE_TDX: Final = 0x81
ECDSA_P256: Final = 2
INTEL_QE_VENDOR: Final = bytes.fromhex("939a7233f79c4ca9940a0db3957f0607")
_MAX_CHAIN: Final = 8

# The key that a PCK certificate names is derived from the chip and is older than the certificate, which is dated when a
# host last asked Intel for it. Intel's own library compares only the end of validity with the time of verification;
# quotes whose certificate is dated some weeks after the time at which they are judged do occur. With collateral
# (step 6) the begin of validity counts to the second.
PCK_LEAD: Final = datetime.timedelta(days=35)

_HEADER: Final = struct.Struct("<HHI4s16s20s")  # version, key type, TEE type, QE/PCE SVN or reserved, vendor, user data
_BODY_DESCRIPTOR: Final = struct.Struct("<HI")  # version 5: body type, size
_SGX_BODY, _TD10_BODY, _TD15_BODY = 1, 2, 3

# name -> size, in order. A report is read by its table.
_SGX_FIELDS = (
    ("cpu_svn", 16),
    ("misc_select", 4),
    ("", 12),
    ("isv_ext_prod_id", 16),
    ("attributes", 16),
    ("mr_enclave", 32),
    ("", 32),
    ("mr_signer", 32),
    ("", 32),
    ("config_id", 64),
    ("isv_prod_id", 2),
    ("isv_svn", 2),
    ("config_svn", 2),
    ("", 42),
    ("isv_family_id", 16),
    ("report_data", 64),
)
_TD10_FIELDS = (
    ("tee_tcb_svn", 16),
    ("mr_seam", 48),
    ("mr_signer_seam", 48),
    ("seam_attributes", 8),
    ("td_attributes", 8),
    ("xfam", 8),
    ("mr_td", 48),
    ("mr_config_id", 48),
    ("mr_owner", 48),
    ("mr_owner_config", 48),
    ("rtmr0", 48),
    ("rtmr1", 48),
    ("rtmr2", 48),
    ("rtmr3", 48),
    ("report_data", 64),
)
_TD15_FIELDS = (*_TD10_FIELDS, ("tee_tcb_svn_2", 16), ("mr_service_td", 48))
BODIES: Final = {_SGX_BODY: _SGX_FIELDS, _TD10_BODY: _TD10_FIELDS, _TD15_BODY: _TD15_FIELDS}

# TEE type -> MRSIGNER and ISVPRODID of Intel's QE, as in the qe-identity that Intel publishes
QE_IDENTITIES: Final = {
    TEE_SGX: ("8c4f5775d796503e96137f77c68a829a0056ac8ded70140b081b094490c57bff", 1),
    TEE_TDX: ("dc9e2a7c6f948f17474e34a7fc43ed030f7c1563f1babddf6340c82e0e54a8c5", 2),
}

_SGX_DEBUG: Final = 1 << 1  # ATTRIBUTES.DEBUG
# TDX module ABI, ATTRIBUTES: bits 7:0 are TUD, "TD Under Debug": the TD is untrusted if any of them is set
_TD_UNDER_DEBUG: Final = 0xFF
TD_ATTRIBUTES: Final = {"sept_ve_disable": 28, "migratable": 29, "pks": 30, "key_locker": 31, "perfmon": 63}

_PCK = "1.2.840.113741.1.13.1"  # SGX extension of a PCK certificate (Intel PCK Certificate and CRL Profile §1.3.5)


@dataclass(frozen=True, slots=True)
class Quote:
    """The parts of a quote; `content` is the quote without what follows it."""

    version: int
    tee_type: int
    user_data: bytes
    body: Mapping[str, bytes]
    signed: bytes
    signature: bytes
    attestation_key: bytes
    qe_report_bytes: bytes
    qe_report: Mapping[str, bytes]
    qe_signature: bytes
    qe_authentication_data: bytes
    chain: tuple[Certificate, ...]
    content: bytes


def verify_tdx(
    evidence: bytes, endorsements: Endorsements, now: datetime.datetime, nonce: bytes | None = None
) -> Claims:
    """The steps above for a TDX quote of version 4 or 5."""
    quote, claims = verify_quote(evidence, TEE_TDX, endorsements, now)
    bound_nonce(nonce, quote.body["report_data"])  # 7.
    return claims


def verify_sgx(
    evidence: bytes, endorsements: Endorsements, now: datetime.datetime, nonce: bytes | None = None
) -> Claims:
    """The steps above for an SGX quote of version 3, or of the later versions with an enclave report inside."""
    quote, claims = verify_quote(evidence, TEE_SGX, endorsements, now)
    bound_nonce(nonce, quote.body["report_data"])  # 7.
    return claims


def verify_quote(
    evidence: bytes, tee_type: int, endorsements: Endorsements, now: datetime.datetime
) -> tuple[Quote, Claims]:
    """Steps 1 to 6."""
    quote = parse(evidence, tee_type)  # 1.
    if not quote.chain:
        raise Refused("chain", "the quote holds no PCK certificate")
    leaf = quote.chain[0]  # 2. leaf first (QuoteLibReference §A.4, certification data type 5)
    if leaf.is_ca:
        raise Refused("chain", "the quote's first certificate is not a PCK certificate")
    candidates = (*quote.chain[1:], *endorsements.certificates)
    path = build_path(leaf, candidates, endorsements.roots, now, endorsements.crls, PCK_LEAD)
    pck = pck_extension(leaf)
    key = leaf.usable_key
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise Refused("qe-signature", "the PCK is not a P-256 key")
    _verify(key, quote.qe_signature, quote.qe_report_bytes, "qe-signature")  # 3.
    bound = hashlib.sha256(quote.attestation_key + quote.qe_authentication_data).digest() + bytes(32)  # 4.
    if not hmac.compare_digest(bound, quote.qe_report["report_data"]):
        raise Refused("qe-binding", "the Quoting Enclave's report is about another attestation key")
    try:
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + quote.attestation_key)
    except ValueError as error:
        raise Refused("signature", "the attestation key is not a point of P-256") from error
    _verify(point, quote.signature, quote.signed, "signature")  # 5.
    claims = {**path_claims(path), **_claims(quote, pck)}
    if endorsements.collateral:  # 6.
        claims |= _appraise(quote, pck, path, endorsements, now)
    else:
        _check_quoting_enclave(quote)
    return quote, claims


class _Reader:
    """Takes bytes off the front; step 1 fails where there are too few."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.offset = 0

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.offset:
            raise Refused("structure", "the quote is truncated")
        self.offset += size
        return self.data[self.offset - size : self.offset]

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def part(self, size: int) -> _Reader:
        return _Reader(self.take(size))

    def end(self) -> None:
        if self.offset != len(self.data):
            raise Refused("structure", "lengths inside the quote do not meet")


def parse(evidence: bytes, tee_type: int) -> Quote:
    """Step 1. Raises Refused("structure")."""
    reader = _Reader(evidence)
    version, key_type, named_tee, _, vendor, user_data = _HEADER.unpack(reader.take(_HEADER.size))
    if version not in ((4, 5) if tee_type == TEE_TDX else (3, 4, 5)):
        raise Refused("structure", "unknown version of the quote")
    if named_tee != (0 if version == 3 else tee_type):
        # version 3 has no TEE type: the bytes are reserved
        raise Refused("structure", "the quote is of another kind of TEE")
    if key_type != ECDSA_P256:
        raise Refused("structure", "unknown type of attestation key")
    if vendor != INTEL_QE_VENDOR:
        raise Refused("structure", "the Quoting Enclave is not Intel's")
    body_type = _SGX_BODY if tee_type == TEE_SGX else _TD10_BODY
    if version >= 5:
        body_type, size = _BODY_DESCRIPTOR.unpack(reader.take(_BODY_DESCRIPTOR.size))
        allowed = (_SGX_BODY,) if tee_type == TEE_SGX else (_TD10_BODY, _TD15_BODY)
        if body_type not in allowed or size != sum(length for _, length in BODIES[body_type]):
            raise Refused("structure", "unknown type of body")
    body = _fields(reader, BODIES[body_type])
    signed = evidence[: reader.offset]
    data = reader.part(reader.number(4))
    _check_rest(evidence[reader.offset :], tee_type)
    signature, attestation_key = data.take(64), data.take(64)
    certification_type, size = data.number(2), data.number(4)
    if version >= 4:
        if certification_type != 6:
            raise Refused("structure", "the certification data does not hold a QE report")
        outer, data = data, data.part(size)
        outer.end()
        qe_report_bytes, qe_signature = data.take(384), data.take(64)
        authentication = data.take(data.number(2))
        certification_type, size = data.number(2), data.number(4)
    else:
        # version 3 has the QE report first and one certification data at the end
        data.offset -= 6
        qe_report_bytes, qe_signature = data.take(384), data.take(64)
        authentication = data.take(data.number(2))
        certification_type, size = data.number(2), data.number(4)
    if certification_type != 5:
        raise Refused("structure", "the certification data is not a PCK certificate chain")
    pem = data.take(size)
    data.end()
    return Quote(
        version,
        tee_type,
        user_data,
        body,
        signed,
        signature,
        attestation_key,
        qe_report_bytes,
        _fields(_Reader(qe_report_bytes), _SGX_FIELDS),
        qe_signature,
        authentication,
        _chain(pem),
        evidence[: reader.offset],
    )


def _fields(reader: _Reader, table: tuple[tuple[str, int], ...]) -> dict[str, bytes]:
    values = {}
    for name, size in table:
        value = reader.take(size)
        if name:
            values[name] = value
    return values


_TEXT: Final = re.compile(rb"[\t\n\r -~]*")


def _check_rest(rest: bytes, tee_type: int) -> None:
    if rest and (tee_type == TEE_SGX or (any(rest) and not _TEXT.fullmatch(rest))):
        raise Refused("structure", "bytes follow the quote")


def _chain(pem: bytes) -> tuple[Certificate, ...]:
    try:
        chain = certificates_of_pem(pem.rstrip(b"\0"), _MAX_CHAIN)
    except ValueError as error:
        raise Refused("chain", "the quote's certificates are malformed") from error
    return tuple(chain)


def _verify(key: ec.EllipticCurvePublicKey, signature: bytes, message: bytes, step: str) -> None:
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    try:
        key.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as error:
        raise Refused(step, "the signature does not verify") from error


def _check_quoting_enclave(quote: Quote) -> None:
    """Without collateral nobody else asks whose enclave it was that the PCK vouched for."""
    signer, product = QE_IDENTITIES[quote.tee_type]
    report = quote.qe_report
    if report["mr_signer"].hex() != signer or int.from_bytes(report["isv_prod_id"], "little") != product:
        raise Refused("collateral", "the report is not of Intel's Quoting Enclave")
    if report["attributes"][0] & _SGX_DEBUG:
        raise Refused("collateral", "the Quoting Enclave is a debug enclave")


def pck_extension(leaf: Certificate) -> dict[str, bytes]:
    """The members of the SGX extension that identify a platform. Raises Refused("chain")."""
    names = {f"{_PCK}.1": "ppid", f"{_PCK}.3": "pce_id", f"{_PCK}.4": "fmspc", f"{_PCK}.5": "sgx_type"}
    names |= {f"{_PCK}.6": "platform_instance_id"}
    raw = leaf.extension(_PCK)
    if raw is None:
        raise Refused("chain", "the leaf is not a PCK certificate")
    found: dict[str, bytes] = {}
    try:
        for member in der.read_all(raw).children():
            oid, value = member.children()
            if name := names.get(der.object_identifier(oid)):
                found[name] = value.value
    except ValueError as error:
        raise Refused("chain", "the PCK certificate's SGX extension is malformed") from error
    if not found.keys() >= {"ppid", "pce_id", "fmspc"}:
        raise Refused("chain", "the PCK certificate does not name its platform")
    return found


def _appraise(
    quote: Quote, pck: Mapping[str, bytes], path: Path, endorsements: Endorsements, now: datetime.datetime
) -> dict[str, Json]:
    """Step 6. Of several collaterals for the platform the most recently issued one that can be used counts."""
    kind = "TDX" if quote.tee_type == TEE_TDX else "SGX"
    fitting = []
    for collateral in endorsements.collateral:
        info = _collateral_member(collateral, "tcb_info")
        if info.get("id") == kind and str(info.get("fmspc")).lower() == pck["fmspc"].hex():
            fitting.append((str(info.get("issueDate")), collateral, info))
    if not fitting:
        raise Refused("collateral", "the collateral given is for other platforms")
    problem = ""
    for _, collateral, info in sorted(fitting, key=lambda row: row[0], reverse=True):
        try:
            return _appraise_with(quote, collateral, info, path[-1], now)
        except ValueError as error:
            problem = problem or str(error).removeprefix("Verification failed: ")
    raise Refused("collateral", problem)


def _collateral_member(collateral: Mapping[str, str], name: str) -> dict[str, Any]:
    try:
        member = loads(collateral[name], limit=MAX_FILE)
    except ValueError as error:
        raise Refused("collateral", f"{name} is not JSON") from error
    if not isinstance(member, dict):
        raise Refused("collateral", f"{name} is not an object")
    return member


def _appraise_with(
    quote: Quote, collateral: Mapping[str, str], info: Mapping[str, Any], anchor: Certificate, now: datetime.datetime
) -> dict[str, Json]:
    """dcap-qvl's verdict on one collateral, as claims. Raises ValueError with its reason."""
    seconds = int(now.timestamp())
    report = json.loads(
        dcap_qvl.QuoteVerifier(anchor.der)
        .verify_with_policy(
            quote.content,
            dcap_qvl.QuoteCollateralV3.from_json(json.dumps(dict(collateral))),
            seconds,
            dcap_qvl.QuotePolicy.claims_only(seconds),  # what status is good enough is our own policy's business
        )
        .to_json()
    )
    status = report["tcb"]["status"]
    if status == "Revoked":
        raise ValueError("the platform's TCB level is revoked")
    identity = _collateral_member(collateral, "qe_identity")
    issued = min(_time(info, "issueDate"), _time(identity, "issueDate"))
    return {
        "tcb_status": status,
        "tcb_date": int(report["platform"]["tcb_date_tag"]),
        "advisory_ids": sorted(report["tcb"]["advisory_ids"]),
        "tcb_evaluation_data_number": report["tcb"]["eval_data_number"],
        "collateral_issued": issued,
        "collateral_expires": int(min(report["earliest_expiration_date"], report["qe_iden_earliest_expiration_date"])),
    }


def _time(member: Mapping[str, Any], name: str) -> int:
    return int(datetime.datetime.fromisoformat(str(member.get(name))).timestamp())


def _claims(quote: Quote, pck: Mapping[str, bytes]) -> dict[str, Json]:
    body = quote.body
    raw: dict[str, Json] = {name: value.hex() for name, value in body.items()}
    for name in ("isv_prod_id", "isv_svn", "config_svn"):
        if name in body:
            raw[name] = int.from_bytes(body[name], "little")
    raw |= {"user_data": quote.user_data.hex(), "pck": {name: value.hex() for name, value in pck.items()}}
    raw["qe"] = {
        "mr_enclave": quote.qe_report["mr_enclave"].hex(),
        "mr_signer": quote.qe_report["mr_signer"].hex(),
        "isv_prod_id": int.from_bytes(quote.qe_report["isv_prod_id"], "little"),
        "isv_svn": int.from_bytes(quote.qe_report["isv_svn"], "little"),
    }
    report_data = body["report_data"].hex()
    claims: dict[str, Json] = {
        "report_data": report_data,
        "nonce": report_data,
        "ppid": pck["ppid"].hex(),
        "fmspc": pck["fmspc"].hex(),
        "versions": {"quote": quote.version},
        "raw": raw,
    }
    if "platform_instance_id" in pck:
        claims["chip_id"] = pck["platform_instance_id"].hex()
    if quote.tee_type == TEE_SGX:
        flags = int.from_bytes(body["attributes"][:8], "little")
        return claims | {
            "tee": "sgx",
            "measurement": body["mr_enclave"].hex(),
            "signer": body["mr_signer"].hex(),
            "debug": bool(flags & _SGX_DEBUG),
            "product_id": raw["isv_prod_id"],
            "svn": raw["isv_svn"],
            "policy_bits": whole(flags),
        }
    attributes = int.from_bytes(body["td_attributes"], "little")
    return claims | {
        "tee": "tdx",
        "measurement": body["mr_td"].hex(),
        "debug": bool(attributes & _TD_UNDER_DEBUG),
        "migratable": bool(attributes >> TD_ATTRIBUTES["migratable"] & 1),
        "host_data": body["mr_config_id"].hex(),
        "owner": body["mr_owner"].hex(),
        "rtmrs": {str(index): body[f"rtmr{index}"].hex() for index in range(4)},
        "policy_bits": whole(attributes),
        "policy": {name: bool(attributes >> bit & 1) for name, bit in TD_ATTRIBUTES.items()},
    }
