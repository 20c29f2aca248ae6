"""The vocabulary of the Verifier (RFC 9334 §2.1): what goes in, what comes out, how it is refused, who does it.

`verify(type, evidence, endorsements, now, nonce)` is the whole interface. It returns Claims: a mapping of JSON values
in one common vocabulary (docs/attestation-claims.md) with the vendor's own claims under "raw"; or it raises `Refused`.
Claims say what is authentic, never that it is good enough: debug modes, measurements and TCB levels are the policy's
business.

A nonce given must stand in the signed part of the evidence, in the field that the type has for it, at exactly its
length; nothing is padded, truncated or searched for. Where the field is shorter or longer than the value that was
handed out, the caller derives the value of the right length first (`NONCE_SIZES`).
"""

from __future__ import annotations

import datetime
import hmac
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from kmipsrv.release.canonical import MAX_SAFE_INTEGER, Json
from kmipsrv.release.endorsements import Endorsements
from kmipsrv.release.refusal import Refused
from kmipsrv.release.text import decoded, from_base64

__all__ = [
    "MAX_EVIDENCE",
    "NONCE_SIZES",
    "TYPES",
    "Claims",
    "Endorsements",
    "Json",
    "Refused",
    "bound_nonce",
    "decoded",
    "epoch",
    "from_base64",
    "verify",
    "whole",
]

Claims = dict[str, Json]
Verifier = Callable[[bytes, Endorsements, datetime.datetime, bytes | None], Claims]

KIB = 1024
MAX_EVIDENCE = 1024 * KIB


@dataclass(frozen=True, slots=True)
class EvidenceType:
    """One row of the registry: where the verifier is, and how much evidence it is willing to look at."""

    module: str
    function: str
    limit: int  # bytes, after the text form has been decoded
    text: bool = False  # the evidence is a text (a token): it is handed on as it came, without surrounding white space


# type -> verifier. The modules are imported on first use.
TYPES: dict[str, EvidenceType] = {
    "snp": EvidenceType("snp", "verify", 8 * KIB),
    "tdx": EvidenceType("dcap", "verify_tdx", 64 * KIB),
    "sgx": EvidenceType("dcap", "verify_sgx", 64 * KIB),
    "nitro": EvidenceType("nitro", "verify", 64 * KIB),
    "tpm": EvidenceType("tpm", "verify", 512 * KIB),
    "az-snp-vtpm": EvidenceType("azure_vtpm", "verify_snp", 256 * KIB),
    "az-tdx-vtpm": EvidenceType("azure_vtpm", "verify_tdx", 256 * KIB),
    "nvidia": EvidenceType("nvidia", "verify", MAX_EVIDENCE),
    "cca": EvidenceType("cca", "verify", 64 * KIB),
    "ear": EvidenceType("tokens", "verify_ear", 256 * KIB, text=True),
    "maa": EvidenceType("tokens", "verify_maa", 256 * KIB, text=True),
    "gcp": EvidenceType("tokens", "verify_gcp", 256 * KIB, text=True),
    "ita": EvidenceType("tokens", "verify_ita", 256 * KIB, text=True),
    "jwt": EvidenceType("tokens", "verify_jwt", 256 * KIB, text=True),
}

# The lengths that the nonce field of a type can have, best first; a type that is absent takes any length.
NONCE_SIZES: dict[str, tuple[int, ...]] = {
    "snp": (64,),
    "tdx": (64,),
    "sgx": (64,),
    "tpm": (64, 32),  # a TPM without SHA-512 takes 50 bytes at most
    "az-snp-vtpm": (64, 32),
    "az-tdx-vtpm": (64, 32),
    "nvidia": (32,),
    "cca": (64,),
    "gcp": (32,),  # eat_nonce of a Confidential Space token: 10 to 74 bytes of text
}


def verify(
    evidence_type: str,
    evidence: bytes,
    endorsements: Endorsements,
    now: datetime.datetime,
    nonce: bytes | None = None,
) -> Claims:
    """Verify evidence of a type of `TYPES` at the time `now` (aware).

    `evidence` is binary, or the same in hexadecimal or base64 text. Returns the claims, always with "evidence_type" and
    "raw". Raises Refused for everything that is wrong with the evidence, the endorsements or the binding of the nonce.
    """
    row = TYPES.get(evidence_type)
    if row is None:
        raise Refused("type", "unknown type of evidence")
    if now.tzinfo is None:
        raise ValueError("now must be an aware time")
    if nonce is not None and not nonce:
        raise Refused("nonce", "the nonce is empty")
    if len(evidence) > 2 * row.limit + KIB:  # hexadecimal doubles
        raise Refused("size", f"more than {row.limit} bytes")
    content = evidence.strip() if row.text and evidence.isascii() else decoded(evidence)
    if len(content) > row.limit:
        raise Refused("size", f"more than {row.limit} bytes")
    if not content:
        raise Refused("size", "the evidence is empty")
    try:
        module = importlib.import_module(f"kmipsrv.release.verifiers.{row.module}")
    except ModuleNotFoundError as error:
        raise Refused("type", "no verifier for this type is installed") from error
    verifier = cast(Verifier, getattr(module, row.function))
    try:
        claims = verifier(content, endorsements, now, nonce)
    except Refused:
        raise
    except Exception as error:  # the last fence: a parser met something that none of its checks had foreseen
        raise Refused("structure", f"malformed evidence ({type(error).__name__})") from error
    claims["evidence_type"] = evidence_type
    return claims


def bound_nonce(expected: bytes | None, found: bytes) -> None:
    """The value in the signed part must be the nonce, at exactly its length; raises Refused."""
    if expected is not None and not hmac.compare_digest(expected, found):
        raise Refused("nonce", "the nonce is not the one in the evidence")


def whole(value: int) -> int | str:
    """A number as a claim: JSON's readers hold integers up to 2^53-1 exactly (RFC 7493 §2.2); larger ones are text, 0x…"""
    return value if value <= MAX_SAFE_INTEGER else hex(value)


def epoch(time: datetime.datetime) -> int:
    """Seconds since 1970, the form that times have in claims."""
    return int(time.timestamp())
