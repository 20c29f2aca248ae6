"""The gate: the only place where a Grant is made (a test over the syntax trees holds that).

Every plaintext that leaves the keyring, for use or for export, passes `Appraisal.authorize`: an object without a release
policy gets its Grant here too, so that no operation has a gated and an ungated branch. Ownership, state and usage have
been checked before. What guards an object is the policy it is bound to and those that rules of the configuration
lay on it; all of them must allow.

For one opening of a guarded object (KMIP 1.2 §11.1, 2.1 §8.2):

1. purpose    A policy that does not cover use lets the server compute with the key.
2. evidence   Without an Attestation credential: Permission Denied to a client that is not Attestation Capable, or has no type of
              evidence in common with the policies; Attestation Required to any other, with a nonce.
3. scope      The nonce was handed out for this object; if not, nothing was given for it, and it is as in step 2.
4. policy     One credential satisfies every policy (Permission Denied).
5. recipient  Where a policy or the client asks for it, the evidence binds a key to wrap to (Attestation Failed).
6. record     The decision is in the audit trail, whatever it is, and what is counted is counted.

Clients learn which of the three answers it is and no more; the records say why (`decisions.py`).
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NoReturn

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kmipsrv.domain.attestation import Attestation, Challenge
from kmipsrv.domain.binding import Binding
from kmipsrv.domain.grant import Grant, Purpose
from kmipsrv.domain.ports import Labels, StoredObject, Work
from kmipsrv.errors import Cause, KmipError
from kmipsrv.release import decisions, nonces
from kmipsrv.release import policy as policies
from kmipsrv.release.appraisal import Verified, digest_of, use_nonces, verify_credentials
from kmipsrv.release.approvals import Approval, count_approvals
from kmipsrv.release.evidence import TYPES, Endorsements
from kmipsrv.release.facts import Facts
from kmipsrv.release.policy import NotAPolicy, Policy
from kmipsrv.release.ports import Ledger
from kmipsrv.release.recipient import Context, release
from kmipsrv.release.refusal import Refused
from kmipsrv.release.rules import Rule
from kmipsrv.release.statements import PublicKey

KNOWN: Final = 1024  # parsed policies that a process remembers
REMEMBERED: Final = 100  # releases whose time is kept where no policy keeps a rate

NOT_SATISFIED: Final = "the object's release policy is not satisfied"
REQUIRED: Final = "the object is released against attestation"
FAILED: Final = "the attestation is not accepted"


@dataclass(frozen=True, slots=True)
class GateSettings:
    """What the operator decides."""

    policies: Mapping[str, Policy] = field(default_factory=dict)
    """Policies of the configuration, by id."""
    rules: Sequence[Rule] = ()
    endorsements: Mapping[str, Endorsements] = field(default_factory=dict)
    """What is pinned, by type of evidence; a type that nothing is pinned for is not verified at all."""
    approvers: Mapping[str, PublicKey] = field(default_factory=dict)
    nonce_lifetime: datetime.timedelta = datetime.timedelta(minutes=5)
    bare_nonce: bool = False
    """Whether evidence may cover the bare value of the nonce."""


class Gate:
    """Decides whether objects may be opened. `nonce_key` and `signing_key` are the deployment's, the same in every process;
    `ledger` makes the gate's memory out of a transaction; `random` yields random bytes.
    """

    def __init__(
        self,
        settings: GateSettings,
        *,
        nonce_key: bytes,
        signing_key: Ed25519PrivateKey,
        ledger: Callable[[Work], Ledger],
        random: Callable[[int], bytes],
    ) -> None:
        self.settings = settings  # replaced as a whole by a reload
        self.nonce_key = nonce_key
        self.signing_key = signing_key
        self.ledger = ledger
        self.random = random
        self._known: dict[str, Policy] = {}

    def appraise(self, message: Attestation) -> tuple[Verified, ...] | Refused:
        """See `domain.ports.Gate`. Nonces are looked at before the evidence, and used up later, in the message's turn."""
        settings = self.settings
        now = datetime.datetime.fromtimestamp(message.now, datetime.UTC)
        try:
            return verify_credentials(
                message, self.nonce_key, settings.endorsements, now, bare_nonce=settings.bare_nonce
            )
        except Refused as refused:
            return refused

    def appraisal(self, message: Attestation, work: Work) -> Appraisal:
        """See `domain.ports.Gate`."""
        return Appraisal(self, message, work)

    def own(self, binding: Binding) -> Grant:
        """See `domain.ports.Gate`."""
        return own_grant(binding)

    def policy(self, policy_id: str, ledger: Ledger) -> Policy:
        """The policy of an id. Raises Refused("policy") for one that is not known, or not what its id says."""
        found = self.settings.policies.get(policy_id) or self._known.get(policy_id)
        if found is not None:
            return found
        text = ledger.policy(policy_id)
        if text is None:
            raise Refused("policy", f"{policy_id} is not known")
        try:
            found = policies.parse(text)
        except NotAPolicy as error:
            raise Refused("policy", f"{policy_id}: {error}") from None
        if found.id != policy_id:
            raise Refused("policy", f"what is kept as {policy_id} is another policy")
        if len(self._known) >= KNOWN:
            self._known.clear()
        self._known[policy_id] = found
        return found


class Appraisal:
    """One request message before the gate; see `domain.ports.Appraisal`."""

    __slots__ = (
        "_challenge",
        "_gate",
        "_ledger",
        "_message",
        "_reached",
        "_refused",
        "_satisfied",
        "_settings",
        "_types",
        "_verified",
        "_work",
        "operation",
    )

    def __init__(self, gate: Gate, message: Attestation, work: Work) -> None:
        self.operation = ""
        self._gate = gate
        self._settings = gate.settings
        self._message = message
        self._work = work
        self._ledger: Ledger | None = None
        self._verified: tuple[Verified, ...] | None = None
        self._refused: Refused | None = None
        self._reached: dict[str, None] = {}  # scopes of the guarded objects that the message has come to
        self._types: list[
            frozenset[str]
        ] = []  # what could satisfy, for each that Attestation Required was answered for
        self._challenge: Challenge | None = None
        self._satisfied: dict[str, str] = {}  # unique identifier -> the policy that let it pass

    @property
    def ledger(self) -> Ledger:
        if self._ledger is None:
            self._ledger = self._gate.ledger(self._work)
        return self._ledger

    @property
    def now(self) -> datetime.datetime:
        return datetime.datetime.fromtimestamp(self._message.now, datetime.UTC)

    # ------------------------------------------------------------------------------------------- the whole message

    def check(self, unique_identifier: str) -> None:
        """See `domain.ports.Appraisal`: "they must ALL be satisfied" (2.1 §9.4), also where nothing is guarded."""
        message = self._message
        if not message.presented:
            return
        if self._verified is None and self._refused is None:
            try:
                if not message.capable:
                    raise Refused("capable", "a credential from a client that is not Attestation Capable")
                use_nonces(message, self._gate.nonce_key, self.now, self.ledger.consume)
                found = self._gate.appraise(message) if message.appraised is None else message.appraised
                if isinstance(found, Refused):
                    raise found
                self._verified = found
            except Refused as refused:
                self._refused = refused
        if self._refused is not None:
            outcome = decisions.DENIED if self._refused.step == "capable" else decisions.FAILED
            self._record(outcome, unique_identifier, step=self._refused)
            if self._refused.step == "capable":
                raise KmipError(Cause.PERMISSION_DENIED, "an Attestation credential without the Capable Indicator")
            raise KmipError(Cause.ATTESTATION_FAILED, FAILED)

    def challenge(self) -> Challenge | None:
        """See `domain.ports.Appraisal`. The header has room for one nonce, so it is for every object that the message has
        reached or names: whoever comes back with evidence over it gets at least one object further."""
        if self._challenge is None and self._types:
            owner = self._message.requester
            scopes = [*self._reached, *(scope_of(owner, each) for each in self._message.named)]
            nonce = nonces.issue(
                self._gate.nonce_key,
                identity=self._message.client,
                scopes=list(dict.fromkeys(scopes))[: nonces.MAX_SCOPES],
                now=self.now,
                lifetime=self._settings.nonce_lifetime,
                random=self._gate.random,
            )
            types = frozenset.intersection(*self._types) or frozenset().union(*self._types)
            self._challenge = Challenge(nonce.id, nonce.value, tuple(name for name in TYPES if name in types))
        return self._challenge

    # --------------------------------------------------------------------------------------------------- decisions

    def authorize(self, obj: StoredObject, purpose: Purpose, labels: Labels) -> Grant:
        """See `domain.ports.Appraisal`."""
        guarding = self._guarding(obj, purpose, labels) if obj.policy or self._settings.rules else ()
        if guarding:
            return self._judge(obj, purpose, guarding)
        recipient = b""
        if self._message.recipient and purpose is Purpose.EXPORT:
            recipient = next((each.recipient for each in self._verified or () if each.recipient), b"")
            if not recipient:
                raise KmipError(Cause.INVALID_FIELD, "no evidence binds a key that this object could be wrapped to")
        return Grant(obj.unique_identifier, obj.owner, purpose, obj.policy, recipient)

    def _guarding(self, obj: StoredObject, purpose: Purpose, labels: Labels) -> tuple[Policy, ...]:
        """The policies to be satisfied for this purpose, the object's own first. Raises KmipError(PERMISSION_DENIED)."""
        ids = [obj.policy] if obj.policy else []
        ids += [rule.policy for rule in self._settings.rules if rule.matches(obj.tenant, labels)]
        try:
            found = [self._gate.policy(each, self.ledger) for each in dict.fromkeys(ids)]
        except Refused as refused:
            self._refuse(decisions.DENIED, obj, purpose, refused)
        return tuple(each for each in found if purpose is Purpose.EXPORT or each.use)  # 1.

    def _judge(self, obj: StoredObject, purpose: Purpose, guarding: tuple[Policy, ...]) -> Grant:
        self._reached[scope_of(obj.owner, obj.unique_identifier)] = None
        if not self._message.presented:
            self._ask(obj, purpose, guarding, Refused("evidence", "no evidence was given"))
        if self._verified is None:
            raise RuntimeError("the credentials of a message are checked before its items")
        self.ledger.lock()
        scope = scope_of(obj.owner, obj.unique_identifier)
        count, recent = self.ledger.releases(scope)
        for verified in self._verified:
            try:
                verified.of_scope(self._gate.nonce_key, self._message, scope, self.now)  # 3.
            except Refused as refused:
                self._ask(obj, purpose, guarding, refused)
            judged = [self._evaluate(policy, verified, obj, count, recent) for policy in guarding]  # 4.
            if all(judgement.decision.allow for judgement in judged):
                break
        else:
            unsatisfied = Refused("policy", "no credential satisfies the policy")
            self._refuse(decisions.DENIED, obj, purpose, unsatisfied, verified=verified, judged=judged)
        demanded = bool(self._message.recipient) or any(policy.requires_key_binding for policy in guarding)
        if demanded and not verified.recipient:  # 5.
            unbound = Refused("recipient", "the evidence binds no key that anything is wrapped to")
            self._refuse(decisions.FAILED, obj, purpose, unbound, verified=verified, judged=judged)
        recipient = verified.recipient if demanded and purpose is Purpose.EXPORT else b""
        kept = max([REMEMBERED, *(policy.rate.count for policy in guarding if policy.rate)])
        self.ledger.released(scope, self.now, recent[1 - kept :])  # 6.
        uid = obj.unique_identifier
        self._record(decisions.GRANTED, uid, purpose=purpose, verified=verified, judged=judged, recipient=recipient)
        self._satisfied[uid] = guarding[0].id
        return Grant(uid, obj.owner, purpose, obj.policy, recipient)

    def _ask(self, obj: StoredObject, purpose: Purpose, guarding: tuple[Policy, ...], why: Refused) -> NoReturn:
        """Steps 2 and 3 for a message whose credentials, if it has any, say nothing about this object."""
        message = self._message
        types = frozenset(self._settings.endorsements).intersection(*(each.evidence_types() for each in guarding))
        if message.types is not None:
            types &= frozenset(message.types)
        if not message.capable:
            incapable = Refused("capable", "the client is not Attestation Capable")
            self._refuse(decisions.DENIED, obj, purpose, incapable, guarding=guarding)
        if not types:
            nothing = Refused("types", "no type of evidence that policies, server and client have in common")
            self._refuse(decisions.DENIED, obj, purpose, nothing, guarding=guarding)
        self._types.append(types)
        self._refuse(decisions.CHALLENGED, obj, purpose, why, guarding=guarding)

    def _evaluate(
        self, policy: Policy, verified: Verified, obj: StoredObject, count: int, recent: tuple[datetime.datetime, ...]
    ) -> decisions.Judgement:
        given: list[Approval] = []
        if policy.approvals is not None:
            for data in self.ledger.approvals(obj.unique_identifier):
                try:
                    given.append(Approval.decode(data))
                except Refused:
                    continue  # not an approval: it counts for nothing
        counted = count_approvals(
            given,
            self._settings.approvers,
            object_identifier=obj.unique_identifier,
            policy_id=policy.id,
            requester=self._message.requester,
            now=self.now,
        )
        facts = Facts.of(
            verified.claims,
            self.now,
            challenged=verified.nonce.issued,
            releases=count,
            recent_releases=recent,
            approvals=counted,
        )
        return decisions.Judgement(facts, policies.evaluate(policy, facts), tuple(given) if counted else ())

    # ------------------------------------------------------------------------------------------------------ release

    def wrap(self, grant: Grant, plaintext: bytes) -> bytes:
        """See `domain.ports.Appraisal`."""
        verified = next((each for each in self._verified or () if each.recipient == grant.recipient), None)
        if verified is None or not grant.recipient:
            raise KmipError(Cause.PERMISSION_DENIED, NOT_SATISFIED)
        context = Context(
            request=hashlib.sha256(self._message.frame).digest(),
            policy=self._satisfied.get(grant.unique_identifier, ""),
            nonce=verified.nonce.id,
            object=grant.unique_identifier,
            recipient=grant.recipient,
        )
        try:
            return release(plaintext, context, self._gate.signing_key, self._gate.random)
        except (Refused, ValueError) as error:
            raise KmipError(Cause.CRYPTOGRAPHIC_FAILURE, "the object cannot be wrapped to the attested key") from error

    # -------------------------------------------------------------------------------------------- policies of objects

    def attach(self, value: str) -> str:
        """See `domain.ports.Appraisal`."""
        try:
            given = value.lstrip().startswith("{")
            found = policies.parse(value) if given else self._gate.policy(value, self.ledger)
            self.ledger.keep_policy(found.id, found.canonical())
        except (NotAPolicy, Refused) as error:
            raise KmipError(Cause.INVALID_ATTRIBUTE_VALUE, f"not a release policy: {error}") from error
        return found.id

    def rule(self, tenant: str, labels: Labels) -> str:
        """See `domain.ports.Appraisal`."""
        for rule in self._settings.rules:
            if rule.matches(tenant, labels):
                return self.attach(rule.policy)
        return ""

    def rules(self, tenant: str, labels: Labels) -> frozenset[str]:
        """See `domain.ports.Appraisal`."""
        return frozenset(rule.policy for rule in self._settings.rules if rule.matches(tenant, labels))

    # ------------------------------------------------------------------------------------------------------- records

    def _refuse(
        self,
        outcome: str,
        obj: StoredObject,
        purpose: Purpose,
        refused: Refused,
        *,
        verified: Verified | None = None,
        judged: Sequence[decisions.Judgement] = (),
        guarding: Sequence[Policy] = (),
    ) -> NoReturn:
        own = (obj.policy,) if obj.policy else ()
        ids = tuple(policy.id for policy in guarding) or tuple(each.decision.policy_id for each in judged) or own
        self._record(
            outcome,
            obj.unique_identifier,
            purpose=purpose,
            step=refused,
            verified=verified,
            judged=judged,
            policy_ids=ids,
        )
        cause, text = _ANSWERS[outcome]
        raise KmipError(cause, text)

    def _record(
        self,
        outcome: str,
        unique_identifier: str,
        *,
        purpose: Purpose | None = None,
        step: Refused | None = None,
        verified: Verified | None = None,
        judged: Sequence[decisions.Judgement] = (),
        policy_ids: Sequence[str] = (),
        recipient: bytes = b"",
    ) -> None:
        message = self._message
        self.ledger.record(
            decisions.body(
                outcome=outcome,
                now=self.now,
                operation=self.operation,
                purpose=None if purpose is None else purpose.value,
                unique_identifier=unique_identifier,
                requester=message.requester,
                client=message.client,
                request=hashlib.sha256(message.frame).hexdigest(),
                evidence=[(each.type, digest_of(each)) for each in message.presented],
                nonce=verified.nonce.id if verified else message.presented[0].nonce_id if message.presented else b"",
                verifier=verified.type if verified else None,
                step=step,
                judged=judged,
                policy_ids=policy_ids or tuple(each.decision.policy_id for each in judged),
                recipient=recipient,
            )
        )


_ANSWERS: Final = {
    decisions.CHALLENGED: (Cause.ATTESTATION_REQUIRED, REQUIRED),
    decisions.DENIED: (Cause.PERMISSION_DENIED, NOT_SATISFIED),
    decisions.FAILED: (Cause.ATTESTATION_FAILED, FAILED),
}


def scope_of(owner: str, unique_identifier: str) -> str:
    """What nonces and counters name an object by: unique identifiers are unique for each owner."""
    return f"{len(owner)}:{owner}{unique_identifier}"


def own_grant(binding: Binding) -> Grant:
    """See `domain.ports.Gate.own`. Object types start at 1: what is bound to 0 is nothing that clients can name."""
    if binding.object_type != 0:
        raise ValueError("a managed object is opened by an appraisal")
    return Grant(binding.unique_identifier, binding.owner, Purpose.USE, binding.policy)
