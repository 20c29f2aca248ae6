"""Attestation Results as tokens (RFC 9334 §8.4, the passport model): one verifier for each issuer.

Every token goes through the steps of `jws.py` (structure, header, key, signature, payload, time); then here:

7. issuer    `iss` is the one that this type of evidence has, and the one the key was given for.
8. nonce     The nonce, where one is given, stands in the claim that the issuer has for it.
9. claims    The issuer's claims, in the common vocabulary; all of them as they came under `raw`.

Sources: Microsoft Azure Attestation's claim sets and EAT profile for TDX; Google's Confidential Space token claims;
Intel Trust Authority's attestation token; RFC 9711. `verify_ear` is in `ear.py`.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Final

from kmipsrv.release.canonical import Json, NotJson
from kmipsrv.release.endorsements import Endorsements
from kmipsrv.release.evidence import Claims, epoch
from kmipsrv.release.facts import read_time
from kmipsrv.release.issuers import GCP_ISSUER, ITA_ISSUERS, MAA_ISSUER, normalise_issuer
from kmipsrv.release.refusal import Refused
from kmipsrv.release.verifiers.ear import verify_ear
from kmipsrv.release.verifiers.eat_bundle import open_bundle, verify_bundle
from kmipsrv.release.verifiers.jws import Token, require, verify_jws
from kmipsrv.release.verifiers.token_binding import bind_jwk, check_nonce, eat_nonces

__all__ = ["verify_ear", "verify_gcp", "verify_ita", "verify_jwt", "verify_maa"]

_GCP_ROOT: Final = "Confidential Space Root CA"

# RFC 9711 §4.2.9, the names that dbgstat has in JSON; Intel shortens one
_DEBUG_STATUS: Final = {
    "enabled": True,
    "disabled": False,
    "disabled-since-boot": False,
    "disabled-permanently": False,
    "disabled-fully-and-permanently": False,
}
# common name -> the issuer's names for it, by TEE
_MAA_CLAIMS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "snp": {
        "debug": ("x-ms-sevsnpvm-is-debuggable",),
        "measurement": ("x-ms-sevsnpvm-launchmeasurement",),
        "report_data": ("x-ms-sevsnpvm-reportdata",),
        "host_data": ("x-ms-sevsnpvm-hostdata",),
        "signer": ("x-ms-sevsnpvm-idkeydigest",),
        "svn": ("x-ms-sevsnpvm-guestsvn",),
        "vmpl": ("x-ms-sevsnpvm-vmpl",),
        "migratable": ("x-ms-sevsnpvm-migration-allowed",),
    },
    "tdx": {
        "debug": ("tdx_td_attributes_debug",),
        "measurement": ("tdx_mrtd", "x-ms-tdx-mrtd"),
        "report_data": ("tdx_report_data", "x-ms-tdx-report-data"),
        "tcb_status": ("attester_tcb_status",),
        "tcb_date": ("attester_tcb_date",),
        "svn": ("tdx_seamsvn",),
    },
    "sgx": {
        "debug": ("x-ms-sgx-is-debuggable",),
        "measurement": ("x-ms-sgx-mrenclave",),
        "report_data": ("x-ms-sgx-report-data",),
        "signer": ("x-ms-sgx-mrsigner",),
        "svn": ("x-ms-sgx-svn",),
    },
}
_MAA_TCB: Final = {
    "bootloader": "x-ms-sevsnpvm-bootloader-svn",
    "tee": "x-ms-sevsnpvm-tee-svn",
    "snp": "x-ms-sevsnpvm-snpfw-svn",
    "microcode": "x-ms-sevsnpvm-microcode-svn",
}
_MAA_TEES: Final = {"sevsnpvm": "snp", "tdxvm": "tdx", "sgx": "sgx"}
_GCP_TEES: Final = {
    "GCP_AMD_SEV": "sev",
    "GCP_AMD_SEV_ES": "sev-es",
    "GCP_AMD_SEV_SNP": "snp",
    "GCP_INTEL_TDX": "tdx",
    "GCP_SHIELDED_VM": "shielded-vm",
}
_ITA_CLAIMS: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "tdx": {
        "debug": ("tdx_is_debuggable", "tdx_td_attributes_debug"),
        "measurement": ("tdx_mrtd",),
        "report_data": ("tdx_report_data",),
        "tcb_status": ("attester_tcb_status",),
        "tcb_date": ("attester_tcb_date",),
        "advisory_ids": ("attester_advisory_ids",),
        "migratable": ("tdx_is_migratable",),
        "svn": ("tdx_seamsvn",),
    },
    "sgx": {
        "debug": ("sgx_is_debuggable",),
        "measurement": ("sgx_mrenclave",),
        "report_data": ("sgx_report_data",),
        "signer": ("sgx_mrsigner",),
        "tcb_status": ("attester_tcb_status",),
        "tcb_date": ("attester_tcb_date",),
        "advisory_ids": ("attester_advisory_ids",),
        "svn": ("sgx_isvsvn",),
    },
}


# --- Microsoft Azure Attestation ----------------------------------------------------------------------------------


def verify_maa(evidence: bytes, endorsements: Endorsements, now: datetime.datetime, nonce: bytes | None) -> Claims:
    """A token of Microsoft Azure Attestation. The endorsements hold the provider's key set.

    A confidential VM's token (`azurevm`) nests the TEE's claims in `x-ms-isolation-tee`; that of a container or
    enclave is flat. Raises Refused.
    """
    token = verify_jws(evidence, endorsements, now)
    raw = token.claims
    require(raw, "exp", "iat", "nbf", "x-ms-attestation-type")
    issuer = _issuer(token)  # 7.
    if not MAA_ISSUER.match(normalise_issuer(issuer)):
        raise Refused("issuer", "not an attestation provider of Microsoft Azure")
    runtime = _object(raw.get("x-ms-runtime"))
    payload = _object(runtime.get("client-payload"))
    check_nonce(nonce, (raw.get("nonce"), payload.get("nonce"), runtime.get("nonce")))  # 8.
    nested = raw["x-ms-attestation-type"] == "azurevm"  # 9.
    body = _object(raw.get("x-ms-isolation-tee")) if nested else raw
    kind = body.get("x-ms-attestation-type")
    tee = _MAA_TEES.get(kind) if isinstance(kind, str) else None
    claims = _common(token, issuer)
    if tee is not None:
        claims |= {"tee": tee, **_pick(body, _MAA_CLAIMS[tee])}
        if tee == "snp":
            levels = {name: body[source] for name, source in _MAA_TCB.items() if isinstance(body.get(source), int)}
            claims |= {"tcb": levels} if levels else {}
    if isinstance(raw.get("secureboot"), bool):
        claims["secure_boot"] = raw["secureboot"]
    binding = _maa_recipient(runtime.get("keys"))
    return claims | ({"key_binding": binding} if binding else {})


def _maa_recipient(keys: Json) -> dict[str, Json] | None:
    """The first key of the token's own `x-ms-runtime` that is meant for encryption, as Azure chooses it.

    Never the vTPM's attestation key: it signs, whatever `key_ops` says (in tokens of 2022 it says "encrypt"), and
    never a key from inside `x-ms-isolation-tee`, whose runtime claims are the paravisor's.
    """
    for jwk in keys if isinstance(keys, list) else ():
        if not isinstance(jwk, dict) or str(jwk.get("kid", "")).startswith("HCLAk"):
            continue
        operations = jwk.get("key_ops")
        encrypts = jwk.get("use") == "enc" or (isinstance(operations, list) and "encrypt" in operations)
        if encrypts and (binding := bind_jwk(jwk, "x-ms-runtime")) is not None:
            return binding
    return None


# --- Google Confidential Space ------------------------------------------------------------------------------------


def verify_gcp(evidence: bytes, endorsements: Endorsements, now: datetime.datetime, nonce: bytes | None) -> Claims:
    """A Confidential Space token: OIDC (a key of Google's key set) or PKI (`x5c` up to Google's root). Raises
    Refused.

    A PKI token is judged by its chain only when the endorsements hold Google's root as an anchor; it must then end
    there. An anchor that was given for something else vouches for no token.
    """
    roots = tuple(anchor for anchor in endorsements.anchors if anchor.common_name == _GCP_ROOT)
    pki = dataclasses.replace(endorsements, anchors=roots)
    token = verify_jws(evidence, pki, now, x5c=bool(roots))
    raw = token.claims
    require(raw, "exp", "iat", "aud")
    issuer = _issuer(token)  # 7.
    if issuer != GCP_ISSUER:
        raise Refused("issuer", "not Google's Confidential Space")
    check_nonce(nonce, eat_nonces(raw.get("eat_nonce")))  # 8.
    claims = _common(token, issuer)  # 9.
    model = raw.get("hwmodel")
    if isinstance(model, str) and model in _GCP_TEES:
        claims["tee"] = _GCP_TEES[model]
    claims |= _debug(raw)
    digest = _object(_object(raw.get("submods")).get("container")).get("image_digest")
    if isinstance(digest, str):
        claims["measurement"] = digest
    if isinstance(raw.get("secboot"), bool):
        claims["secure_boot"] = raw["secboot"]
    return claims


# --- Intel Trust Authority ----------------------------------------------------------------------------------------


def verify_ita(evidence: bytes, endorsements: Endorsements, now: datetime.datetime, nonce: bytes | None) -> Claims:
    """A token of Intel Trust Authority, flat or with one section for its attester (`tdx`, `sgx`). Raises Refused.

    Intel issues a token whether or not the appraisal policies matched. `status` is "affirming" only if at least one
    did and none did not; a policy that forgets to ask for it still has the measurements to judge.
    """
    token = verify_jws(evidence, endorsements, now)
    raw = token.claims
    require(raw, "exp", "iat")
    issuer = _issuer(token)  # 7.
    if normalise_issuer(issuer) not in ITA_ISSUERS:
        raise Refused("issuer", "not Intel Trust Authority")
    sections = [name for name in _ITA_CLAIMS if isinstance(raw.get(name), dict)]
    if len(sections) > 1:
        raise Refused("payload", "the token speaks of more than one attester")
    body = _object(raw[sections[0]]) if sections else raw
    runtime = _object(body.get("attester_runtime_data"))
    texts = [*eat_nonces(raw.get("eat_nonce")), body.get("attester_held_data"), runtime.get("nonce")]
    check_nonce(nonce, texts)  # 8.
    claims = _common(token, issuer)  # 9.
    kind = body.get("attester_type")
    tee = sections[0] if sections else str(kind).lower()
    if tee in _ITA_CLAIMS and (kind is None or kind == tee.upper()):
        claims |= {"tee": tee, **_pick(body, _ITA_CLAIMS[tee])}
    matched, unmatched = raw.get("policy_ids_matched"), raw.get("policy_ids_unmatched")
    if unmatched:
        claims["status"] = "contraindicated"
    elif isinstance(matched, list) and matched:
        claims["status"] = "affirming"
    else:
        claims["status"] = "none"
    return claims


# --- any issuer with a pinned key set -----------------------------------------------------------------------------


def verify_jwt(evidence: bytes, endorsements: Endorsements, now: datetime.datetime, nonce: bytes | None) -> Claims:
    """A JWT, or a Detached EAT Bundle (RFC 9711 §5), of any issuer whose key set was given. Raises Refused.

    Which issuers are good is the policy's business (`authority`); that this issuer signed is what the key set says.
    Where it holds keys of several issuers, each key names its own in the member `issuer`.
    """
    main, detached = open_bundle(evidence)
    token = verify_jws(main, endorsements, now)
    raw = token.claims
    require(raw, "exp", "iss")
    issuer = _issuer(token)  # 7.
    check_nonce(nonce, [*eat_nonces(raw.get("eat_nonce")), raw.get("nonce")])  # 8.
    claims = _common(token, issuer) | _debug(raw)  # 9.
    claims["raw"] = verify_bundle(token, detached, endorsements, now)
    binding = bind_jwk(_object(raw.get("cnf")).get("jwk"), "cnf")
    return claims | ({"key_binding": binding} if binding else {})


# --- common -------------------------------------------------------------------------------------------------------


def _issuer(token: Token) -> str:
    issuer = token.claims.get("iss")
    if not isinstance(issuer, str) or not 0 < len(issuer) <= 512:
        raise Refused("issuer", "iss is missing or not a string")
    if token.issuer is not None and normalise_issuer(token.issuer) != normalise_issuer(issuer):
        raise Refused("issuer", "the key was given for another issuer")
    return issuer


def _common(token: Token, issuer: str) -> Claims:
    raw = token.claims
    claims: Claims = {"issuer": issuer, "trust_anchor": token.key_id, "raw": raw}
    for name, source in (("issued_at", "iat"), ("not_before", "nbf"), ("expires_at", "exp")):
        if raw.get(source) is not None:
            claims[name] = raw[source]
    return claims


def _debug(raw: Mapping[str, Json]) -> Claims:
    status = raw.get("dbgstat")
    return {"debug": _DEBUG_STATUS[status]} if isinstance(status, str) and status in _DEBUG_STATUS else {}


def _pick(body: Mapping[str, Json], table: Mapping[str, tuple[str, ...]]) -> Claims:
    """The claims of `table` that are there; for `debug` and `migratable` the worst of the names that mean it."""
    claims: Claims = {}
    for name, sources in table.items():
        values = [body[source] for source in sources if body.get(source) is not None]
        if values:
            claims[name] = True if True in [v for v in values if isinstance(v, bool)] else values[0]
    if "tcb_date" in claims:
        claims |= _seconds(claims.pop("tcb_date"))
    return claims


def _seconds(date: Json) -> Claims:
    """`tcb_date` in seconds since 1970, as all times in claims; nothing where it is no date."""
    try:
        return {"tcb_date": epoch(read_time(date))}
    except NotJson:
        return {}


def _object(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}
