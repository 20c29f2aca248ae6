"""Notices: what endpoints hear of an owner's objects (KMIP 2.1 §6.2.2 Notify, §6.2.3 Put; 1.4 §5.1, §5.2).

A notice is a record of the store, written in the transaction that makes or changes the object: if that is undone, so is the
notice. It holds the object's identifier and, for Notify, the attributes that changed, which lie in the object's own row in
the same form; never material. `client/delivery.py` sends notices and removes them.

What counts as a change, and why, is in docs/notifications.md.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from kmipsrv.domain.identity import Identity
from kmipsrv.domain.lifecycle import effective_state
from kmipsrv.domain.managed_object import ManagedObject
from kmipsrv.domain.ports import StoredObject, Work
from kmipsrv.domain.search import AllOf, AnyOf, Compare, Expression
from kmipsrv.spec.attribute_bag import AttributeBag
from kmipsrv.spec.attribute_codec import dump, load
from kmipsrv.spec.attributes import Key
from kmipsrv.spec.enums import LinkType, ObjectType
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V1_4, Version

NOTICE: Final = "notice"  # kinds of records
LOOK: Final = "notices of dates"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A client that hears of the objects of `owner` at an address of its own. `name` is unique and lasts."""

    name: str
    owner: str
    version: Version = V1_4
    notify: bool = True
    put: bool = False

    @property
    def identity(self) -> Identity:
        """Who the server acts for when it writes to the endpoint."""
        return Identity(domain="", name=self.name, owner=self.owner)


@dataclass(frozen=True, slots=True)
class Notice:
    """One message to an endpoint. `changed` None: the object is new (Put), and may replace another."""

    unique_identifier: str
    changed: AttributeBag | None = None
    deleted: tuple[tuple[Key, int], ...] = ()  # instances that are gone: attribute and index
    replaced: str | None = None

    def encode(self) -> bytes:
        """The record's value."""
        changed = None if self.changed is None else base64.b64encode(dump(self.changed)).decode()
        return json.dumps([self.unique_identifier, changed, self.deleted, self.replaced]).encode()

    @classmethod
    def decode(cls, record: bytes) -> Notice:
        """What `encode` wrote."""
        unique_identifier, changed, deleted, replaced = json.loads(record)
        bag = None if changed is None else load(base64.b64decode(changed))
        return cls(unique_identifier, bag, tuple((_key(key), index) for key, index in deleted), replaced)


def _key(written: int | list[str]) -> Key:
    return Tag(written) if isinstance(written, int) else (written[0], written[1])


@dataclass(frozen=True, slots=True)
class Outbox:
    """Writes the notices of one transaction. `kept`: seconds that a notice waits for its endpoint at most."""

    endpoints: tuple[Endpoint, ...]
    kept: int
    work: Work
    now: int
    random: Callable[[int], bytes]

    def made(self, obj: ManagedObject) -> None:
        """An object has been stored: Put."""
        links = (each for each in obj.attributes.values(Tag.LINK) if each.link_type is LinkType.REPLACED_OBJECT_LINK)
        replaced = next((str(each.linked_object_identifier) for each in links), None)
        for endpoint in self._of(obj.stored):
            if endpoint.put:
                self._write(endpoint, obj.stored, Notice(obj.unique_identifier, replaced=replaced))

    def changed(self, was: StoredObject, obj: ManagedObject) -> None:
        """An object has been written back; `was` is its row as it lay there before: Notify."""
        for endpoint in self._of(obj.stored):
            found = self._difference(was, obj, endpoint) if endpoint.notify else None
            if found is not None:
                self._write(endpoint, obj.stored, found)

    def reached(self, endpoint: Endpoint, since: int, most: int) -> int:
        """Notify of at most `most` objects whose state a date has changed after `since`. -> how many"""
        count = 0
        for stored in islice(self.work.scan(endpoint.owner, _reached(since, self.now)), most):
            obj = ManagedObject(stored)
            before = effective_state(stored, max(since, stored.last_change_date or 0))  # told by `changed` until then
            if obj.object_type is not ObjectType.TEMPLATE and before is not obj.state(self.now):
                bag = AttributeBag()
                bag.set(Tag.STATE, obj.state(self.now))
                bag.set(Tag.LAST_CHANGE_DATE, obj.attributes.get(Tag.LAST_CHANGE_DATE))
                self._write(endpoint, stored, Notice(stored.unique_identifier, bag))
            count += 1
        return count

    def _of(self, stored: StoredObject) -> Iterator[Endpoint]:
        return (each for each in self.endpoints if each.owner == stored.owner)

    def _difference(self, was: StoredObject, obj: ManagedObject, endpoint: Endpoint) -> Notice | None:
        before, after = load(was.attributes), obj.attributes
        bag, deleted = AttributeBag(), []
        for key in dict.fromkeys((*before, *after)):
            old, new = before.instances(key), after.instances(key)
            gone = {index for index, _ in old} - {index for index, _ in new}
            deleted += [(key, index) for index in sorted(gone)]
            for index, value in new:
                if gone or (index, value) not in old:  # 2.x does not number instances: those that are left say it all
                    bag.add(key, value, index)
        if obj.object_type is not ObjectType.TEMPLATE:
            told = max(last_look(self.work, endpoint) or 0, was.last_change_date or 0)
            if effective_state(was, min(told, self.now)) is not obj.state(self.now):
                bag.set(Tag.STATE, obj.state(self.now))
        if not deleted and set(bag) <= {Tag.LAST_CHANGE_DATE}:
            return None
        # "This includes at least the Last Change Date attribute."
        bag.set(Tag.LAST_CHANGE_DATE, after.get(Tag.LAST_CHANGE_DATE))
        return Notice(obj.unique_identifier, bag, tuple(deleted))

    def _write(self, endpoint: Endpoint, stored: StoredObject, notice: Notice) -> None:
        # Keys sort by time; within a second by the age of the object, and those of one object by its revision.
        key = f"{self.now:011x}-{stored.key or 0:016x}-{stored.revision:08x}-{self.random(4).hex()}"
        self.work.write(NOTICE, key, notice.encode(), owner=endpoint.name, expires=self.now + self.kept)


def last_look(work: Work, endpoint: Endpoint) -> int | None:
    """Up to when dates have been looked at for an endpoint; None: never."""
    record = work.read(LOOK, endpoint.name)
    return None if record is None else int(record)


def _reached(since: int, now: int) -> Expression:
    """Objects that live and have an Activation or Deactivation Date in ]since, now]: no other date changes the state."""
    within = [
        AllOf((Compare(column, "gt", since), Compare(column, "le", now)))
        for column in ("activation_date", "deactivation_date")
    ]
    return AllOf((Compare("destroy_date", "null"), Compare("compromise_date", "null"), AnyOf(tuple(within))))
