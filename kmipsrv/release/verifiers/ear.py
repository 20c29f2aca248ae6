"""EAT Attestation Results (draft-ietf-rats-ear), as JWT and as CWT.

The steps of `jws.py` or, for a CWT, of `cwt.py` (structure, header, key, signature, payload, time); then:

7. profile   `eat_profile` is one of those known here. The names of the members moved between them.
8. result    `iat`, the verifier's identity and at least one submodule with a status. A status claims "no higher trust
   than
             the worst" of its trustworthiness vector (AR4SI, draft-ietf-rats-ar4si, §3.2).
9. issuer    `iss`, where there is one, is the one the key was given for.
10. nonce    The nonce, where one is given, is the result's `eat_nonce`; or every submodule carries it.
11. claims   `status` is the worst of the submodules'. All claims as they came are under `raw`.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kmipsrv.release.canonical import Json
from kmipsrv.release.endorsements import Endorsements
from kmipsrv.release.evidence import Claims
from kmipsrv.release.issuers import normalise_issuer
from kmipsrv.release.refusal import Refused
from kmipsrv.release.text import decoded, from_base64
from kmipsrv.release.verifiers.cwt import verify_cwt
from kmipsrv.release.verifiers.jws import Token, require, verify_jws
from kmipsrv.release.verifiers.token_binding import bind_jwk, bind_spki, check_nonce, eat_nonces

MAX_SUBMODULES: Final = 64


@dataclass(frozen=True, slots=True)
class Names:
    """What a profile calls its members."""

    verifier: str
    status: str
    vector: str
    annotated: str
    keys: str


_DOTTED: Final = Names(
    verifier="ear.verifier-id",
    status="ear.status",
    vector="ear.trustworthiness-vector",
    annotated="ear.veraison.annotated-evidence",
    keys="ear.veraison.key-attestation",
)
_UNDERSCORED: Final = Names(
    verifier="ear_verifier_id",
    status="ear_status",
    vector="ear_trustworthiness_vector",
    annotated="ear_veraison_annotated_evidence",
    keys="ear_veraison_key_attestation",
)
PROFILES: Final[Mapping[str, Names]] = {
    "tag:github.com,2023:veraison/ear": _DOTTED,
    "tag:github.com,2024:confidential-containers/Trustee": _DOTTED,
    "tag:ietf.org,2026:rats/ear#03": _UNDERSCORED,
}

# AR4SI §3.2: the tiers, and their numbers
TIERS: Final = {"none": 0, "affirming": 2, "warning": 32, "contraindicated": 96}
_TIER_NAMES: Final = {number: name for name, number in TIERS.items()}
CATEGORIES: Final = (
    "instance-identity",
    "configuration",
    "executables",
    "file-system",
    "hardware",
    "runtime-opaque",
    "storage-opaque",
    "sourced-data",
)
# how much each tier is worth; what a verifier says nothing about is not worth an affirmation
_WORST_FIRST: Final = ("contraindicated", "warning", "none", "affirming")
# members of Trustee's annotated evidence -> tee
_TEES: Final = {
    "snp": "snp",
    "tdx": "tdx",
    "sgx": "sgx",
    "cca": "cca",
    "tpm": "tpm",
    "az-snp-vtpm": "snp",
    "azsnpvtpm": "snp",
    "az-tdx-vtpm": "tdx",
    "aztdxvtpm": "tdx",
    "sample": "sample",
}


def verify_ear(evidence: bytes, endorsements: Endorsements, now: datetime.datetime, nonce: bytes | None) -> Claims:
    """An EAR; the endorsements hold the verifier's public key. Raises Refused."""
    if b"." not in evidence:
        evidence = decoded(evidence)  # a CWT in hexadecimal or base64
    is_cwt = evidence[:1] in (b"\xd2", b"\xd8", b"\x84")  # COSE_Sign1 with its tag, CWT's tag, or neither
    token = verify_cwt(evidence, endorsements, now) if is_cwt else verify_jws(evidence, endorsements, now)
    raw = token.claims
    names = _profile(raw)  # 7.
    submodules = _submodules(raw, names)  # 8.
    statuses = {name: _status(body, names) for name, body in submodules.items()}
    issuer = _issuer(token)  # 9.
    _check_freshness(nonce, raw, submodules, names)  # 10.
    claims: Claims = {"status": min(statuses.values(), key=_WORST_FIRST.index)}  # 11.
    claims |= {"profile": raw["eat_profile"], "trust_anchor": token.key_id, "issued_at": raw["iat"], "raw": raw}
    claims |= {"issuer": issuer} if issuer is not None else {}
    claims |= {"expires_at": raw["exp"]} if raw.get("exp") is not None else {}
    claims |= {"not_before": raw["nbf"]} if raw.get("nbf") is not None else {}
    tees = {tee for body in submodules.values() for name in _annotated(body, names) if (tee := _TEES.get(name))}
    claims |= {"tee": tees.pop()} if len(tees) == 1 else {}
    binding = _binding(raw, submodules, names)
    return claims | ({"key_binding": binding} if binding else {})


def _profile(raw: Mapping[str, Json]) -> Names:
    profile = raw.get("eat_profile")
    if not isinstance(profile, str) or profile not in PROFILES:
        raise Refused("profile", "not a profile of EAR that is known here")
    return PROFILES[profile]


def _submodules(raw: Mapping[str, Json], names: Names) -> dict[str, dict[str, Json]]:
    require(raw, "iat")
    verifier = raw.get(names.verifier)
    if not isinstance(verifier, dict) or not all(isinstance(verifier.get(n), str) for n in ("developer", "build")):
        raise Refused("result", "the verifier does not say who it is")
    submodules = raw.get("submods")
    if not isinstance(submodules, dict) or not 1 <= len(submodules) <= MAX_SUBMODULES:
        raise Refused("result", f"not a result of 1 to {MAX_SUBMODULES} submodules")
    if not all(isinstance(body, dict) for body in submodules.values()):
        raise Refused("result", "a submodule is not an appraisal")
    return submodules


def _status(body: Mapping[str, Json], names: Names) -> str:
    """The tier of one appraisal, by name or number. Raises Refused("result")."""
    value = body.get(names.status)
    status = _TIER_NAMES.get(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(status, str) or status not in TIERS:
        raise Refused("result", "a submodule has no status")
    vector = body.get(names.vector, {})
    if not isinstance(vector, dict):
        raise Refused("result", "a trustworthiness vector is not an object")
    for category in CATEGORIES:
        if category in vector and TIERS[_tier(vector[category])] > max(TIERS[status], TIERS["affirming"]):
            raise Refused("result", "a status claims more trust than its trustworthiness vector")
    return status


def _tier(value: Json) -> str:
    """AR4SI §3.2: the tier of a trustworthiness claim, a signed byte."""
    if isinstance(value, bool) or not isinstance(value, int) or not -128 <= value <= 127:
        raise Refused("result", "a trustworthiness claim is not a signed byte")
    if -1 <= value <= 1:
        return "none"
    magnitude = (
        value if value > 0 else -value - 1
    )  # -2 to -32 mirror 2 to 31, and so on: each range has one more below zero
    return "affirming" if magnitude < 32 else "warning" if magnitude < 96 else "contraindicated"


def _issuer(token: Token) -> str | None:
    """`iss`, or else the issuer that the key was given for: an EAR names none of itself."""
    issuer = token.claims.get("iss")
    if issuer is None:
        return token.issuer
    if not isinstance(issuer, str) or not 0 < len(issuer) <= 512:
        raise Refused("issuer", "iss is not a string")
    if token.issuer is not None and normalise_issuer(token.issuer) != normalise_issuer(issuer):
        raise Refused("issuer", "the key was given for another issuer")
    return issuer


def _check_freshness(
    nonce: bytes | None, raw: Mapping[str, Json], submodules: Mapping[str, Mapping[str, Json]], names: Names
) -> None:
    if raw.get("eat_nonce") is not None:
        check_nonce(nonce, eat_nonces(raw["eat_nonce"]))
        return
    for body in submodules.values():
        runtime = _runtime(body, names)
        check_nonce(nonce, [*eat_nonces(body.get("eat_nonce")), runtime.get("nonce")])


def _annotated(body: Mapping[str, Json], names: Names) -> dict[str, Json]:
    value = body.get(names.annotated)
    return value if isinstance(value, dict) else {}


def _runtime(body: Mapping[str, Json], names: Names) -> dict[str, Json]:
    """Trustee's runtime data: the verifier compared its digest with the evidence's report data."""
    value = _annotated(body, names).get("runtime_data_claims")
    return value if isinstance(value, dict) else {}


def _binding(
    raw: Mapping[str, Json], submodules: Mapping[str, Mapping[str, Json]], names: Names
) -> dict[str, Json] | None:
    """`cnf` of the result; or the one key that a submodule binds: Trustee's `tee-pubkey`, Veraison's `akpub`."""
    confirmation = raw.get("cnf")
    if confirmation is not None:
        return bind_jwk(confirmation.get("jwk"), "cnf") if isinstance(confirmation, dict) else None
    found: list[dict[str, Json]] = []
    for body in submodules.values():
        if (binding := bind_jwk(_runtime(body, names).get("tee-pubkey"), "tee-pubkey")) is not None:
            found.append(binding)
        attested = body.get(names.keys)
        public = attested.get("akpub") if isinstance(attested, dict) else None
        if isinstance(public, str) and (binding := _bind_text(public)) is not None:
            found.append(binding)
    # Two submodules that bind two keys leave open which of them asks: then none does.
    return found[0] if found and all(binding["spki"] == found[0]["spki"] for binding in found) else None


def _bind_text(public: str) -> dict[str, Json] | None:
    try:
        return bind_spki(from_base64(public), "akpub")
    except ValueError:
        return None
