"""Approvals: M of N people who agree that this requester gets this object under this policy, until a date.

An approval is a statement (`statements.py`) of object, policy id, requester and expiry, signed with an approver's own
key. The gate verifies it each time it counts it, against the keys that were enrolled in the configuration: whoever
can write to the database can lose approvals, and forge none.

1. form        The four facts and a signature, nothing else.
2. approver    The approver is enrolled; an id that begins with `sha256:` is the hash of the key itself.
3. signature   The enrolled key signed exactly these facts.
4. scope       They name this object, this policy and this requester.
5. time        `now` is before the expiry.
"""

from __future__ import annotations

import binascii
import datetime
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from kmipsrv.release.canonical import Json, NotJson, dumps, loads
from kmipsrv.release.facts import read_time, write_time
from kmipsrv.release.refusal import Refused
from kmipsrv.release.statements import PrivateKey, PublicKey, key_id, sign, verify
from kmipsrv.release.verifiers.jws import base64url, encode_base64url

KIND: Final = "kmipsrv-release-approval-v1"
MAX_APPROVAL: Final = 8 * 1024
MAX_APPROVALS: Final = 256
"""More than this many are not looked at for one release."""

_MEMBERS: Final = frozenset(("object", "policy", "requester", "expiry", "approver", "signature"))


@dataclass(frozen=True, slots=True)
class Approval:
    """A signed approval. `policy` is the id of the release policy, or of the order that is approved."""

    object: str
    policy: str
    requester: str
    expiry: datetime.datetime
    approver: str
    signature: bytes

    def body(self) -> dict[str, Json]:
        """What is signed."""
        return _body(self.object, self.policy, self.requester, self.expiry)

    def encode(self) -> bytes:
        """The approval as it is kept and sent: canonical JSON."""
        return dumps({**self.body(), "approver": self.approver, "signature": encode_base64url(self.signature)})

    @classmethod
    def decode(cls, data: bytes) -> Approval:
        """Step 1. Raises Refused("form")."""
        try:
            body = loads(data, limit=MAX_APPROVAL)
            if not isinstance(body, dict) or set(body) != _MEMBERS:
                raise NotJson("not the members of an approval")
            texts = [body[name] for name in ("object", "policy", "requester", "approver", "signature")]
            if not all(isinstance(text, str) and text for text in texts):
                raise NotJson("a member is not a string, or empty")
            uid, policy, requester, approver, signature = texts
            expiry = read_time(body["expiry"]).replace(microsecond=0)  # as it was signed
            return cls(uid, policy, requester, expiry, approver, base64url(signature))
        except (NotJson, ValueError, binascii.Error):
            raise Refused("form", "not an approval") from None


def approve(
    key: PrivateKey,
    *,
    object_identifier: str,
    policy_id: str,
    requester: str,
    expiry: datetime.datetime,
    approver: str = "",
) -> Approval:
    """An approval signed with `key`. `approver` is the name the key is enrolled under; by default its own id."""
    if not object_identifier or not policy_id or not requester:
        raise ValueError("an approval names an object, a policy and a requester")
    body = _body(object_identifier, policy_id, requester, expiry)
    name = approver or key_id(key.public_key())
    return Approval(object_identifier, policy_id, requester, read_time(body["expiry"]), name, sign(key, KIND, body))


def verify_approval(
    approval: Approval,
    approvers: Mapping[str, PublicKey],
    *,
    object_identifier: str,
    policy_id: str,
    requester: str,
    now: datetime.datetime,
) -> None:
    """Steps 2 to 5. Raises Refused with the step's name."""
    key = approvers.get(approval.approver)  # 2.
    if key is None:
        raise Refused("approver", "not an enrolled approver")
    if approval.approver.startswith("sha256:") and approval.approver != key_id(key):
        raise Refused("approver", "the enrolled key is not the one that its id names")
    verify(key, KIND, approval.body(), approval.signature)  # 3.
    if (approval.object, approval.policy, approval.requester) != (object_identifier, policy_id, requester):  # 4.
        raise Refused("scope", "given for another object, policy or requester")
    if now >= approval.expiry:  # 5.
        raise Refused("time", "the approval has expired")


def count_approvals(
    approvals: Iterable[Approval],
    approvers: Mapping[str, PublicKey],
    *,
    object_identifier: str,
    policy_id: str,
    requester: str,
    now: datetime.datetime,
) -> frozenset[str]:
    """The approvers whose approval holds: what `Facts.approvals` wants. One key counts once, under however many
    names.
    """
    counted: dict[str, str] = {}
    for approval in list(approvals)[:MAX_APPROVALS]:
        try:
            verify_approval(
                approval,
                approvers,
                object_identifier=object_identifier,
                policy_id=policy_id,
                requester=requester,
                now=now,
            )
        except Refused:
            continue
        counted.setdefault(key_id(approvers[approval.approver]), approval.approver)
    return frozenset(counted.values())


def _body(object_identifier: str, policy_id: str, requester: str, expiry: datetime.datetime) -> dict[str, Json]:
    return {
        "object": object_identifier,
        "policy": policy_id,
        "requester": requester,
        "expiry": write_time(expiry.replace(microsecond=0)),
    }
