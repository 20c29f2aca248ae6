"""Everything a release policy may ask about, at one moment: the only input of an evaluation beside the policy.

Facts are data. What they hold has been verified before: the claims by a verifier, the approvals by `approvals.py`,
the counters by the store. They can be written as JSON and read again, so that a decision can be derived a second time
from its audit record.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from kmipsrv.release.canonical import Json, NotJson

MAX_RECENT: Final = 10_000
"""More releases than this in one period of a rate are never looked at; `conditions.rate.count` is bounded by it."""


_TIMES: Final = ("evidenceTime", "notBefore", "notAfter", "collateralTime")
_NAMES: Final = ("claims", "now", "evidenceType", "issuer", *_TIMES, "releases", "recentReleases", "approvals")


TOKENS: Final = frozenset(("ear", "maa", "gcp", "ita", "jwt"))
"""The types of evidence whose `raw` claims are those that an issuer names."""
# fmt: off
VOCABULARY: Final = frozenset((
    "advisory_ids", "attestation_key", "chip_id", "collateral_expires", "collateral_issued", "debug", "devices",
    "endorsements_not_after", "endorsements_not_before", "evidence_type", "expires_at", "fmspc", "host_data",
    "issued_at", "issuer", "key_binding", "lifecycle", "measurement", "measurements", "migratable", "nonce",
    "not_before", "owner", "pcrs", "platform", "policy", "policy_bits", "ppid", "product", "product_id",
    "profile", "raw", "report_data", "rtmrs", "secure_boot", "signer", "signing_key", "status", "svn", "tcb",
    "tcb_committed", "tcb_date", "tcb_evaluation_data_number", "tcb_launch", "tcb_status", "tee",
    "trust_anchor", "user_data", "versions", "vmpl",
))
# fmt: on
"""The names of docs/attestation-claims.md: what our verifiers say, and nobody else."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known when a release is asked for. None means "not known", which satisfies no condition."""

    claims: Mapping[str, Json]
    """The claims document: the vendor's own claims, and the common vocabulary beside them."""
    now: datetime.datetime
    evidence_type: str | None = None
    """Which verifier accepted the evidence: `snp`, `maa` …"""
    issuer: str | None = None
    """The issuer of a token, as the token says it; its signature was checked with a key pinned for that issuer."""
    evidence_time: datetime.datetime | None = None
    """When the evidence was made: a token's `iat`, or the time of the nonce that the evidence covers."""
    not_before: datetime.datetime | None = None
    not_after: datetime.datetime | None = None
    """The bounds that the evidence sets itself (`nbf`, `exp`); None where it sets none."""
    collateral_time: datetime.datetime | None = None
    """The age of the oldest collateral used: when it was issued."""
    releases: int | None = None
    """How often the object has been released under any policy before."""
    recent_releases: tuple[datetime.datetime, ...] | None = None
    """When it was released, at least as far back as the period of `conditions.rate`."""
    approvals: frozenset[str] = field(default_factory=frozenset)
    """The identifiers of the approvers whose approval was verified for this object, policy and requester, at this
    time.
    """

    def to_json(self) -> dict[str, Json]:
        """The facts as the audit record keeps them; `from_json` reads them back."""
        return {
            "claims": dict(self.claims),
            "now": write_time(self.now),
            "evidenceType": self.evidence_type,
            "issuer": self.issuer,
            "evidenceTime": _optional(self.evidence_time),
            "notBefore": _optional(self.not_before),
            "notAfter": _optional(self.not_after),
            "collateralTime": _optional(self.collateral_time),
            "releases": self.releases,
            "recentReleases": None if self.recent_releases is None else [write_time(t) for t in self.recent_releases],
            "approvals": sorted(self.approvals),
        }

    @classmethod
    def of(
        cls,
        claims: Mapping[str, Json],
        now: datetime.datetime,
        *,
        challenged: datetime.datetime | None = None,
        releases: int | None = None,
        recent_releases: tuple[datetime.datetime, ...] | None = None,
        approvals: frozenset[str] = frozenset(),
    ) -> Facts:
        """The facts around what a verifier returned.

        `challenged` is when the nonce was handed out that the evidence covers: evidence is no younger than that,
        whatever it says of itself, so the earlier of the two counts as its time.
        """
        issued = from_timestamp(claims.get("issued_at"))
        times = [moment for moment in (issued, challenged) if moment is not None]
        return cls(
            claims=claims_document(claims),
            now=now,
            evidence_type=_text(claims.get("evidence_type")),
            issuer=_text(claims.get("issuer")),
            evidence_time=min(times) if times else None,
            not_before=from_timestamp(claims.get("not_before")),
            not_after=from_timestamp(claims.get("expires_at")),
            collateral_time=from_timestamp(claims.get("collateral_issued")),
            releases=releases,
            recent_releases=recent_releases,
            approvals=approvals,
        )

    @classmethod
    def from_json(cls, body: Json) -> Facts:
        """The facts that `to_json` wrote. Raises `NotJson` when `body` is not that."""
        if not isinstance(body, dict) or set(body) != set(_NAMES):
            raise NotJson(f"facts are an object of {', '.join(_NAMES)}")
        claims, releases, recent, approvals = (body[n] for n in ("claims", "releases", "recentReleases", "approvals"))
        if not isinstance(claims, dict):
            raise NotJson("claims must be an object")
        if releases is not None and (not isinstance(releases, int) or isinstance(releases, bool)):
            raise NotJson("releases must be an integer or null")
        if not isinstance(approvals, list) or not all(isinstance(name, str) for name in approvals):
            raise NotJson("approvals must be an array of strings")
        if recent is not None and not isinstance(recent, list):
            raise NotJson("recentReleases must be an array or null")
        return cls(
            claims=claims,
            now=read_time(body["now"]),
            evidence_type=_text(body["evidenceType"]),
            issuer=_text(body["issuer"]),
            evidence_time=_read_optional(body["evidenceTime"]),
            not_before=_read_optional(body["notBefore"]),
            not_after=_read_optional(body["notAfter"]),
            collateral_time=_read_optional(body["collateralTime"]),
            releases=releases,
            recent_releases=None if recent is None else tuple(map(read_time, recent)),
            approvals=frozenset(approvals),
        )


def claims_document(claims: Mapping[str, Json]) -> dict[str, Json]:
    """The document that claim paths are resolved in: the common claims, all vendor's claims under `raw`, and a
    token's own top-level claims beside the common ones, so that policies written for the issuer find them by its
    names.

    A name of the common vocabulary always means the common claim: an issuer that puts `tee` into its tokens does not
    thereby say what this server's verifiers say. Such a claim is reached as `raw.tee`.
    """
    raw = claims.get("raw")
    if claims.get("evidence_type") not in TOKENS or not isinstance(raw, Mapping):
        return dict(claims)
    return {**{name: value for name, value in raw.items() if name not in VOCABULARY}, **claims}


def write_time(moment: datetime.datetime) -> str:
    """RFC 3339 in UTC, with microseconds only where there are any."""
    return moment.astimezone(datetime.UTC).isoformat().replace("+00:00", "Z")


def read_time(text: Json) -> datetime.datetime:
    """The moment that an RFC 3339 text with its offset names. Raises `NotJson`."""
    if not isinstance(text, str) or len(text) > 40 or "T" not in text:
        raise NotJson("a time must be a string such as 2026-11-23T08:00:00Z")
    try:
        moment = datetime.datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise NotJson("a time must say its offset, e.g. a final Z")
        return moment.astimezone(datetime.UTC)
    except NotJson:
        raise
    except (ValueError, OverflowError):
        raise NotJson("a time must be a string such as 2026-11-23T08:00:00Z") from None


def from_timestamp(seconds: Json) -> datetime.datetime | None:
    """The moment of a NumericDate (RFC 7519 §2), or None where it is not one that a datetime can hold."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _optional(moment: datetime.datetime | None) -> str | None:
    return None if moment is None else write_time(moment)


def _read_optional(text: Json) -> datetime.datetime | None:
    return None if text is None else read_time(text)


def _text(value: Json) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise NotJson("must be a string or null")
