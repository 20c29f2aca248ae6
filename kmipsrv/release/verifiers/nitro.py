"""AWS Nitro Enclaves attestation documents ("Verifying the root of trust", AWS Nitro Enclaves User Guide; AWS NSM API).

1. structure  An untagged COSE_Sign1 whose payload is the document: the fields of the guide's §3.1 with their types, sizes
              and mandatory presence, and nothing twice. A NitroTPM's document has "nitrotpm_pcrs" for "pcrs".
2. chain      The document's certificate leads over its CA bundle to an anchor at `now` (in AWS's bundle the root stands
              first; a root that stands in a document is never an anchor for that).
3. signature  ES384 by that certificate's key.
4. nonce      The document's nonce is the nonce, where one is given.

The certificates of an enclave live about three hours: `now` must lie in them. An enclave in debug mode has PCRs of zeros.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any, Final

from kmipsrv.release.canonical import Json
from kmipsrv.release.endorsements import Endorsements
from kmipsrv.release.evidence import Claims, bound_nonce
from kmipsrv.release.refusal import Refused
from kmipsrv.release.verifiers import cose
from kmipsrv.release.verifiers.certificate import Certificate
from kmipsrv.release.verifiers.token_binding import bind_spki
from kmipsrv.release.verifiers.x509chain import build_path, path_claims

ES384: Final = -35
_MAX_BUNDLE: Final = 8
_PCR_SIZES: Final = (32, 48, 64)
_OPTIONAL: Final = {
    "public_key": 1024,
    "user_data": 1024,
    "nonce": 1024,
}  # bytes at most; NSM itself is stricter on some


def verify(evidence: bytes, endorsements: Endorsements, now: datetime.datetime, nonce: bytes | None = None) -> Claims:
    """The steps above."""
    try:  # 1.
        message = cose.parse_sign1(cose.decode(evidence))
        document = cose.decode(message.payload)
    except ValueError as error:
        raise Refused("structure", str(error)) from error
    if message.algorithm != ES384:
        raise Refused("structure", "the document is not signed with ES384")
    leaf, bundle = _check_document(document)
    candidates = (*bundle, *endorsements.certificates)
    path = build_path(leaf, candidates, endorsements.roots, now, endorsements.crls)  # 2.
    if leaf.is_ca:
        raise Refused("chain", "the document's certificate is not an enclave's")
    if (key := leaf.usable_key) is None:
        raise Refused("signature", "the certificate's key is of a kind that is not allowed")
    cose.verify_sign1(message, key, "signature")  # 3.
    if nonce is not None:  # 4.
        bound_nonce(nonce, document.get("nonce") or b"")
    return {**path_claims(path), **_claims(document)}


def _check_document(document: Any) -> tuple[Certificate, list[Certificate]]:
    """Step 1, the guide's §3.2.2 "syntactical validation"; -> the certificate and the bundle."""

    def demand(condition: bool, what: str) -> None:
        if not condition:
            raise Refused("structure", f"the document's {what} is missing or malformed")

    demand(isinstance(document, Mapping), "payload")
    demand(isinstance(document.get("module_id"), str) and bool(document["module_id"]), "module_id")
    demand(document.get("digest") == "SHA384", "digest")
    timestamp = document.get("timestamp")
    demand(type(timestamp) is int and 0 < timestamp < 1 << 53, "timestamp")
    pcrs = document.get("pcrs", document.get("nitrotpm_pcrs"))
    demand(isinstance(pcrs, Mapping) and 1 <= len(pcrs) <= 32, "pcrs")
    for index, value in pcrs.items():
        demand(type(index) is int and 0 <= index < 32, "pcrs")
        demand(isinstance(value, bytes) and len(value) in _PCR_SIZES, "pcrs")
    certificate, bundle = document.get("certificate"), document.get("cabundle")
    demand(isinstance(certificate, bytes), "certificate")
    demand(isinstance(bundle, list | tuple) and 1 <= len(bundle) <= _MAX_BUNDLE, "cabundle")
    demand(all(isinstance(member, bytes) for member in bundle), "cabundle")
    for name, size in _OPTIONAL.items():
        value = document.get(name)
        demand(value is None or (isinstance(value, bytes) and len(value) <= size), name)
    try:
        return Certificate(certificate), [Certificate(member) for member in bundle]
    except ValueError as error:
        raise Refused("structure", "a certificate in the document is malformed") from error


def _claims(document: Mapping[str, Any]) -> dict[str, Json]:
    enclave = "pcrs" in document
    values: Mapping[int, bytes] = document["pcrs" if enclave else "nitrotpm_pcrs"]
    pcrs = {str(index): value.hex() for index, value in sorted(values.items())}
    raw: dict[str, Json] = {
        "module_id": document["module_id"],
        "digest": document["digest"],
        "timestamp": document["timestamp"],
        "pcrs": pcrs,
    }
    for name in _OPTIONAL:
        if document.get(name) is not None:
            raw[name] = document[name].hex()
    claims: dict[str, Json] = {
        "tee": "nitro" if enclave else "nitrotpm",
        "pcrs": {"sha384": pcrs},
        "issued_at": document["timestamp"] // 1000,
        "raw": raw,
    }
    if enclave:
        # "If the enclave is launched in debug mode, all PCRs are zeros" (the guide, "Debug mode")
        claims["debug"] = not any(any(values.get(index, b"")) for index in (0, 1, 2))
        if 0 in values:
            claims["measurement"] = pcrs["0"]
        if any(values.get(8, b"")):
            claims["signer"] = pcrs["8"]
    if document.get("nonce") is not None:
        claims["nonce"] = document["nonce"].hex()
    if document.get("user_data") is not None:
        claims["user_data"] = document["user_data"].hex()
        claims["report_data"] = document["user_data"].hex()
    # any bytes may stand there; only a key can be released to
    if (binding := bind_spki(document.get("public_key") or b"", "public_key")) is not None:
        claims["key_binding"] = binding
    return claims
