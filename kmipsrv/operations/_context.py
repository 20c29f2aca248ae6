"""What a handler sees of the world: who asks, when, in which version, and the objects that are theirs."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from kmipsrv.crypto.rng import Seeded
from kmipsrv.domain import ticket as tickets
from kmipsrv.domain.attestation import Attestation
from kmipsrv.domain.binding import Binding
from kmipsrv.domain.creation import NewObject, combined
from kmipsrv.domain.grant import Grant, Purpose
from kmipsrv.domain.identity import Identity
from kmipsrv.domain.link_credentials import Desk
from kmipsrv.domain.managed_object import Flag, ManagedObject
from kmipsrv.domain.notices import Outbox
from kmipsrv.domain.ports import Gate, Keyring, Work
from kmipsrv.domain.settings import Settings
from kmipsrv.domain.streams import Stream, Streams
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations import _factory_rules
from kmipsrv.operations._effort import Effort
from kmipsrv.operations._factory_rules import Rules
from kmipsrv.operations._outputs import Outputs
from kmipsrv.spec.attested_release import releasable, released_block
from kmipsrv.spec.attribute_bag import AttributeBag
from kmipsrv.spec.attribute_codec import RELEASE_POLICY, Attributes, load
from kmipsrv.spec.defaults import Constraint, ObjectDefaults
from kmipsrv.spec.enums import ObjectType, Operation, ResultStatus, UniqueIdentifier
from kmipsrv.spec.objects import AnyObject, KeyBlock, decode_object
from kmipsrv.spec.structures import Name, Right
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import Version
from kmipsrv.ttlv.codec import TEXT_STRING, Item

Reference = str | int | UniqueIdentifier | None


class Context:
    """One request message at work. `operation` and `prepared` change from batch item to batch item."""

    __slots__ = (
        "_bound",
        "_rules",
        "appraisal",
        "certificates",
        "effort",
        "gate",
        "generator",
        "identity",
        "kept",
        "keyring",
        "made",
        "now",
        "operation",
        "outputs",
        "placeholder",
        "prepared",
        "process",
        "random",
        "recipient",
        "refusal",
        "rights",
        "settings",
        "streams",
        "version",
        "work",
    )

    def __init__(
        self,
        *,
        identity: Identity,
        version: Version,
        now: int,
        work: Work,
        keyring: Keyring,
        gate: Gate,
        settings: Settings,
        random: Callable[[int], bytes],
        streams: Streams,
        generator: Seeded,
        process: Callable[[Context, list[Item]], tuple[ResultStatus, list[Item]]],
        refusal: KmipError | None = None,
        attestation: Attestation | None = None,
        certificates: Desk | None = None,
    ) -> None:
        self.identity = identity
        self.certificates = certificates  # Re-Provision; None: nobody knows which certificate is in use
        self.process = process  # the dispatcher: a batch item -> its status and its answer, for asynchronous requests
        self.refusal = refusal  # why the Credentials were not accepted: every batch item's answer
        self.rights: list[Right] | None = None  # those of a delegated ticket that speak of this operation
        self.version = version
        self.now = now
        self.work = work
        self.keyring = keyring
        self.gate = gate
        self.appraisal = gate.appraisal(attestation or Attestation(now, requester=identity.owner), work)
        self.recipient = b"" if attestation is None else attestation.recipient  # whom released keys are wrapped to
        self._bound: dict[str, Grant] = {}  # what this item has opened and has to wrap before it leaves
        self.settings = settings
        self.random = random
        self.streams = streams
        self.kept: list[bytes] = []  # Correlation Values of the streams that this message went on with
        self.generator = generator  # the client's RNG (RNG Retrieve), which clients may seed
        self.effort = Effort(settings)
        self.outputs = Outputs(settings.maximum_output_bytes)
        self.operation: Operation | None = None
        self.prepared: Any = None
        self.placeholder: str | None = None
        # What the batch made so far: 2.x names it by Unique Identifier Enumeration or counts it by Integer (2.1 §4.58).
        self.made: list[tuple[UniqueIdentifier, str]] = []
        self._rules: Rules | None = None

    def of(self, identity: Identity, version: Version) -> Context:
        """The same work for another request: an asynchronous one, whose turn has come."""
        return Context(
            identity=identity,
            version=version,
            now=self.now,
            work=self.work,
            keyring=self.keyring,
            gate=self.gate,
            settings=self.settings,
            random=self.random,
            streams=self.streams,
            generator=self.generator,
            process=self.process,
        )

    # ------------------------------------------------------------------------------------------------ identifiers

    def resolve(self, reference: Reference) -> str:
        """A payload's Unique Identifier -> text. "If omitted, then the ID Placeholder value is used."

        Raises KmipError(OBJECT_NOT_FOUND) when there is nothing to refer to.
        """
        if isinstance(reference, str):
            return reference
        found: str | None = None
        if reference is None or reference is UniqueIdentifier.ID_PLACEHOLDER:
            found = self.placeholder
        elif isinstance(reference, UniqueIdentifier):
            found = next((uid for kind, uid in reversed(self.made) if kind is reference), None)
        elif -len(self.made) <= reference < len(self.made):
            found = self.made[reference][1]
        if found is None:
            raise KmipError(Cause.OBJECT_NOT_FOUND, "no Unique Identifier is given and the ID Placeholder is empty")
        return found

    def new_identifier(self) -> str:
        return str(uuid.UUID(bytes=self.random(16), version=4))

    def remember(self, kind: UniqueIdentifier, unique_identifier: str, *, placeholder: bool = True) -> None:
        """An operation made or found an object that later batch items may refer to."""
        self.made.append((kind, unique_identifier))
        if placeholder:
            self.placeholder = unique_identifier

    # ---------------------------------------------------------------------------------------------------- streams

    def keep_stream(self, stream: Stream) -> bytes:
        """Keep a multi-part operation until its next part. -> its Correlation Value."""
        correlation = self.streams.keep(stream, self.now)
        self.kept.append(correlation)
        return correlation

    def end_streams(self) -> None:
        """The request is undone: the parts that it brought to its streams cannot be taken out of them again."""
        for correlation in self.kept:
            self.streams.end(correlation)

    # ------------------------------------------------------------------------------------------------------ rights

    def require_right(self, request: Any) -> None:
        """Whether a delegated ticket allows the operation: "only […] operations allowed by at least one of the contained
        Right structures" (2.1 §6.1.12). Raises KmipError(NOT_AUTHORISED | TICKET_USED_UP)."""
        if self.identity.ticket:
            tickets.count_operation(self.work, self.identity.ticket)
        rights = self.identity.rights
        if rights is None:
            return
        self.rights = [r for r in rights if r.operations is None or self.operation in r.operations.operation]
        # A right to certain objects is none to an operation that names no object (Locate, Create).
        named = hasattr(request, "unique_identifier")
        if not any(named or (r.objects is None and r.object_groups is None) for r in self.rights):
            raise KmipError(Cause.NOT_AUTHORISED, "the ticket does not allow this operation")

    def _require_right_to(self, obj: ManagedObject) -> None:
        uid, groups = obj.unique_identifier, set(obj.attributes.values(Tag.OBJECT_GROUP))
        for right in self.rights or ():
            objects = None if right.objects is None else right.objects.unique_identifier
            wanted = None if right.object_groups is None else right.object_groups.object_group
            if (objects is None or uid in objects) and (wanted is None or not groups.isdisjoint(wanted)):
                return
        raise KmipError(Cause.NOT_AUTHORISED, "the ticket does not allow this operation on this object")

    # ------------------------------------------------------------------------------------------------- attestation

    def begin(self, request: Any) -> None:
        """A batch item begins. Raises KmipError when the message's Attestation credentials do not hold."""
        self._bound.clear()
        self.appraisal.operation = "" if self.operation is None else self.operation.text
        named = getattr(request, "unique_identifier", None)
        self.appraisal.check(named if isinstance(named, str) else "")

    def finish(self) -> None:
        """The item is done. Raises KmipError(PERMISSION_DENIED) when something was opened for an attested key and has not
        been wrapped to it: nothing of that leaves."""
        if self._bound:
            raise KmipError(Cause.PERMISSION_DENIED, "the object leaves only wrapped to the attested key")

    def released(self, obj: ManagedObject, shown: AnyObject) -> AnyObject:
        """The object as it may leave: wrapped to the attested key where its grant says so. Raises KmipError."""
        grant = self._bound.get(obj.unique_identifier)
        if grant is None:
            return shown
        body = decode_object(shown.body) if isinstance(shown.body, bytes) else shown.body
        block: KeyBlock | None = getattr(body, "key_block", None)
        if block is None:
            raise KmipError(Cause.ILLEGAL_OPERATION, f"a {shown.kind.text} cannot be wrapped to an attested key")
        if block.key_wrapping_data is not None:
            raise KmipError(Cause.ILLEGAL_OPERATION, "a key that goes to an attested key is not wrapped in another way")
        encoding, plaintext = releasable(block)
        release = self.appraisal.wrap(grant, plaintext)
        del self._bound[obj.unique_identifier]
        return AnyObject(shown.kind, replace(body, key_block=released_block(block, grant.recipient, release, encoding)))

    # ---------------------------------------------------------------------------------------------------- objects

    def object(self, reference: Reference, *, archived: bool = False) -> ManagedObject:
        """The caller's object. Raises KmipError(OBJECT_NOT_FOUND | OBJECT_ARCHIVED): not yours is not there.

        An archived object is refused unless the operation can deal with one (`archived`)."""
        uid = self.resolve(reference)
        stored = self.work.find(self.identity.owner, uid)
        if stored is None:
            # TC-111 and TC-112: users and devices that one operator keeps in one configuration are told that an object is
            # another's. Everybody else is told what he would be told if it were not there.
            if any(self.work.find(owner, uid) is not None for owner in self.identity.neighbours):
                raise KmipError(Cause.PERMISSION_DENIED, "the object is another user's")
            raise KmipError(Cause.OBJECT_NOT_FOUND, "no object has this Unique Identifier")
        obj = ManagedObject(stored)
        if self.identity.rights is not None:
            self._require_right_to(obj)
        if obj.archived and not archived:
            raise KmipError(Cause.OBJECT_ARCHIVED, "the object is archived")
        return obj

    def open(self, obj: ManagedObject, purpose: Purpose) -> bytes:
        """The encoded object, through the gate. Raises KmipError."""
        stored = obj.stored
        if stored.sealed is None:
            obj.require_alive(self.now)
            raise KmipError(Cause.KEY_VALUE_NOT_PRESENT, "the Key Value is not on this server")
        grant = self.appraisal.authorize(stored, purpose, obj.labels)
        if grant.recipient:
            self._bound[stored.unique_identifier] = grant
        plaintext = self.keyring.open(stored.sealed, obj.binding, grant)
        if not stored.policy and self.appraisal.rule(stored.tenant, obj.labels):
            self.save(obj)  # which gives it the rule's policy: what is made of it inherits that
        return plaintext

    def authorize(self, obj: ManagedObject, purpose: Purpose) -> None:
        """Ask the gate for an object that is open already. Raises KmipError."""
        self.appraisal.authorize(obj.stored, purpose, obj.labels)

    def open_record(self, sealed: bytes, binding: Binding) -> bytes:
        """What the server has sealed for itself and is no managed object. Raises KmipError."""
        return self.keyring.open(sealed, binding, self.gate.own(binding))

    def body(self, obj: ManagedObject, purpose: Purpose) -> Any:
        """The object itself (an instance of its class in spec/objects.py), through the gate."""
        return decode_object(self.open(obj, purpose))

    def save(self, obj: ManagedObject) -> None:
        """Write a changed object back; the seals follow what they authenticate."""
        before = obj.binding
        guarding = self._rules_before(obj)
        self._keep_policy(obj)
        if guarding - self.appraisal.rules(obj.stored.tenant, obj.labels) - {obj.stored.policy}:
            # A rule goes by names and groups, which are the owner's to change; what it guards, it goes on to guard.
            raise KmipError(Cause.ATTRIBUTE_READ_ONLY, "a release rule goes by what the object is called")
        was = replace(obj.stored) if self.settings.endpoints else None
        stored = obj.mirror()
        after = obj.binding
        if stored.sealed is not None and before != after:
            stored.sealed = self.keyring.reseal(stored.sealed, before, after)
        self.work.update(stored, index=True)
        if was is not None:
            self.outbox.changed(was, obj)

    def served(self, obj: ManagedObject) -> None:
        """The object goes to a client: it is not Fresh any longer (2.1 §4.24). Costs nothing the second time."""
        if obj.flag(Flag.FRESH):
            obj.attributes.set(Tag.FRESH, False)
            self.work.update(obj.mirror(), index=False)

    def insert(self, new: NewObject, unique_identifier: str | None = None) -> ManagedObject:
        """Seal and store a new object of the caller's. Raises KmipError(NON_UNIQUE_NAME_ATTRIBUTE | …)."""
        obj = new.build(unique_identifier or self.new_identifier(), self.identity.owner, self.identity.tenant, self.now)
        if self.identity.rights is not None:
            self._require_right_to(obj)  # a right to certain objects is none to others that do not exist yet
        if self.rules.constraints:
            _factory_rules.check_constraints(self.rules, obj.attributes, obj.object_type)
        self._set_policy(obj)
        stored = obj.mirror()
        if new.encoded is not None:
            stored.sealed = self.keyring.seal(new.encoded, obj.binding)
        self.work.insert(stored)
        if self.settings.endpoints:
            self.outbox.made(obj)
        return obj

    @property
    def outbox(self) -> Outbox:
        """What endpoints are to hear of this transaction."""
        settings = self.settings
        return Outbox(settings.endpoints, settings.notice_time, self.work, self.now, self.random)

    def _set_policy(self, obj: ManagedObject) -> None:
        """Put an object under the release policy that it inherits (`NewObject.policy`), that its attributes give it, or that
        a rule has for it. Raises KmipError(PERMISSION_DENIED | INVALID_ATTRIBUTE_VALUE | INVALID_DATA_TYPE)."""
        stored, bag = obj.stored, obj.attributes
        found = {stored.policy} if stored.policy else set()
        for kind, value in bag.values(RELEASE_POLICY):
            if kind != TEXT_STRING:
                raise KmipError(Cause.INVALID_DATA_TYPE, "Release Policy is a Text String")
            found.add(self.appraisal.attach(value))
        if len(found) > 1:
            raise KmipError(Cause.PERMISSION_DENIED, "the object is under another release policy, which stays")
        stored.policy = found.pop() if found else self.appraisal.rule(stored.tenant, obj.labels)
        bag.set(RELEASE_POLICY, (TEXT_STRING, stored.policy) if stored.policy else None)

    def _rules_before(self, obj: ManagedObject) -> frozenset[str]:
        """The policies of the rules that are about the object as it lies in the store."""
        row = replace(obj.stored)  # whose attributes are those before the change
        return self.appraisal.rules(row.tenant, lambda: ManagedObject(row).labels())

    def _keep_policy(self, obj: ManagedObject) -> None:
        """A release policy is set where there is none; once set, no attribute operation changes it.

        Raises KmipError(ATTRIBUTE_READ_ONLY | INVALID_ATTRIBUTE_VALUE | INVALID_DATA_TYPE)."""
        given, policy = obj.attributes.values(RELEASE_POLICY), obj.stored.policy
        if policy:
            if given != [(TEXT_STRING, policy)]:
                raise KmipError(
                    Cause.ATTRIBUTE_READ_ONLY, "a release policy is changed by an administrator's order only"
                )
        elif given:
            self._set_policy(obj)
        elif rule := self.appraisal.rule(obj.stored.tenant, lambda: ManagedObject(replace(obj.stored)).labels()):
            # What it was called before is what counts: its owner does not get it out of a rule by another label.
            obj.stored.policy = rule
            obj.attributes.set(RELEASE_POLICY, (TEXT_STRING, rule))

    # ------------------------------------------------------------------------------------------------- attributes

    @property
    def rules(self) -> Rules:
        """The caller's Object Defaults and Constraints."""
        if self._rules is None:
            self._rules = _factory_rules.read(self)
        return self._rules

    def set_rules(
        self, *, defaults: list[ObjectDefaults] | None = None, constraints: list[Constraint] | None = None
    ) -> None:
        """Replace the caller's Object Defaults, Constraints or both."""
        self.work.lock()  # or another process's half would be lost
        old = _factory_rules.read(self)
        new = Rules(
            old.defaults if defaults is None else defaults, old.constraints if constraints is None else constraints
        )
        _factory_rules.write(self, new)
        self._rules = new

    def apply_defaults(self, bag: AttributeBag, kind: ObjectType) -> None:
        """Complete the attributes of an object that is about to be made."""
        if self.rules.defaults:
            _factory_rules.apply_defaults(self.rules, bag, kind)

    def requested(self, attributes: AttributeBag | None) -> AttributeBag:
        """The attributes of a creating request: those of its Templates (1.x), overruled by its own.

        Raises KmipError when one of them is not a client's to set."""
        bag = AttributeBag()
        for name in attributes.templates if isinstance(attributes, Attributes) else ():
            bag = combined(bag, self._template(name))
        return combined(bag, attributes)

    def _template(self, name: Name) -> AttributeBag:
        """The attributes that a registered Template bestows on new objects (1.4 §2.2.6)."""
        uid = self.work.named(self.identity.owner, name.name_value)
        obj = None if uid is None else self.object(uid)
        if obj is None or obj.object_type is not ObjectType.TEMPLATE:
            raise KmipError(Cause.OBJECT_NOT_FOUND, "no Template has this Name")
        content = self.template_content(obj)
        content.remove(Tag.NAME)  # a Template's own, where 1.0 puts it into the content
        return content

    def template_content(self, obj: ManagedObject) -> AttributeBag:
        """The content of a Template object, which is not the Template's own attributes."""
        return load(self.open(obj, Purpose.EXPORT))
