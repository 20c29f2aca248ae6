"""Records of decisions: what the audit trail keeps of each, enough to derive it again without the server.

A record is canonical JSON: who asked for what, with which evidence and nonce; what came of it, and the step that failed; and
where a policy was judged, the facts, the approvals and every leaf's finding. `replay` judges the facts of a record again by
the policy of its id: time and claims are in the facts, so the answer is the same forever.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

from kmipsrv.release.approvals import Approval, count_approvals
from kmipsrv.release.canonical import Json, NotJson, dumps, loads
from kmipsrv.release.facts import Facts, read_time, write_time
from kmipsrv.release.policy import Decision, Policy, evaluate
from kmipsrv.release.refusal import Refused
from kmipsrv.release.statements import PublicKey
from kmipsrv.release.verifiers.jws import encode_base64url

KIND: Final = "release"
GRANTED: Final = "granted"
CHALLENGED: Final = "challenged"  # Attestation Required
DENIED: Final = "denied"  # Permission Denied
FAILED: Final = "failed"  # Attestation Failed
MAX_RECORD: Final = 16 * 1024 * 1024

Find = Callable[[str], Policy | None]

_COLLATERAL: Final = (
    "collateral_issued",
    "collateral_expires",
    "endorsements_not_before",
    "endorsements_not_after",
    "trust_anchor",
)


@dataclass(frozen=True, slots=True)
class Judgement:
    """One policy's decision, what it was made of, and the approvals that were looked at."""

    facts: Facts
    decision: Decision
    approvals: tuple[Approval, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """Its part of a record."""
        return {
            "facts": self.facts.to_json(),
            "decision": self.decision.to_json(),
            "approvals": [loads(each.encode(), limit=MAX_RECORD) for each in self.approvals],
        }


def body(
    *,
    outcome: str,
    now: datetime.datetime,
    operation: str,
    purpose: str | None,
    unique_identifier: str,
    requester: str,
    client: str,
    request: str,
    evidence: Iterable[tuple[str, str]],
    nonce: bytes,
    verifier: str | None,
    step: Refused | None,
    judged: Sequence[Judgement],
    policy_ids: Sequence[str],
    recipient: bytes,
) -> dict[str, Json]:
    """The record of one decision. `facts`, `decision` and `approvals` are those of the object's own policy; `beside` holds
    those of other policies that a rule asks for."""
    claims: Mapping[str, Json] = judged[0].facts.claims if judged else {}
    record: dict[str, Json] = {
        "kind": KIND,
        "time": write_time(now),
        "outcome": outcome,
        "operation": operation,
        "purpose": purpose,
        "object": unique_identifier,
        "requester": requester,
        "client": client,
        "request": request,
        "policies": list(policy_ids),
        "evidence": [{"type": kind, "sha256": digest} for kind, digest in evidence],
        "nonce": encode_base64url(nonce),
        "verifier": verifier,
        "collateral": {name: claims[name] for name in _COLLATERAL if name in claims},
        "step": None if step is None else step.step,
        "reason": None if step is None else step.reason,
        "recipient": sha256(recipient).hexdigest() if recipient else None,
    }
    if judged:
        record |= judged[0].to_json()
        record["beside"] = [each.to_json() for each in judged[1:]]
    return record


class NotReplayed(Exception):
    """The record cannot be judged again, or not with the same result."""


def parse(data: bytes) -> dict[str, Any]:
    """A record as it lies in the trail. Raises NotReplayed."""
    try:
        record = loads(data, limit=MAX_RECORD)
    except NotJson as error:
        raise NotReplayed(f"not a record: {error}") from None
    if not isinstance(record, dict):
        raise NotReplayed("not a record")
    return record


def replay(record: Mapping[str, Any], find: Find, approvers: Mapping[str, PublicKey] | None = None) -> list[Decision]:
    """The decisions of a record, derived again from its facts; `find` knows policies by their ids. With `approvers`, the
    approvals are verified again too.

    An empty list where no policy was judged. Raises NotReplayed where the outcome is not the one recorded.
    """
    if record.get("kind") != KIND:
        raise NotReplayed("not the record of a release")
    if "decision" not in record:
        if record.get("outcome") == GRANTED:
            raise NotReplayed("granted, and no policy was judged")
        return []
    decisions = [_replay(record, each, find, approvers) for each in (record, *record["beside"])]
    allowed = all(decision.allow for decision in decisions)
    outcome = record["outcome"]
    if (outcome == GRANTED and not allowed) or (outcome == DENIED and allowed):
        raise NotReplayed(f"recorded as {outcome}, but the policies {'allow' if allowed else 'refuse'}")
    return decisions


def _replay(
    record: Mapping[str, Any],
    part: Mapping[str, Any],
    find: Find,
    approvers: Mapping[str, PublicKey] | None,
) -> Decision:
    stated = part["decision"]
    policy = find(stated["policy"])
    if policy is None:
        raise NotReplayed(f"the policy {stated['policy']} is not at hand")
    try:
        facts = Facts.from_json(part["facts"])
    except NotJson as error:
        raise NotReplayed(f"the facts cannot be read: {error}") from None
    if facts.now != read_time(record["time"]):
        raise NotReplayed("the facts are of another time than the record")
    if approvers is not None:
        given = [Approval.decode(dumps(each)) for each in part["approvals"]]
        counted = count_approvals(
            given,
            approvers,
            object_identifier=record["object"],
            policy_id=policy.id,
            requester=record["requester"],
            now=facts.now,
        )
        if not facts.approvals <= counted:
            raise NotReplayed("approvals were counted that do not verify")
    decision = evaluate(policy, facts)
    if decision.to_json() != stated:
        raise NotReplayed("the decision comes out in another way")
    return decision
