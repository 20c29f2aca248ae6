"""A managed object: its row in the store, its attributes, and what the rules let happen to it.

The attributes (an AttributeBag, decoded from the row when first asked for) are the truth; the row's date, algorithm and
flag columns mirror them for the hot path and for Locate, and `StoredObject` is brought up to date by `mirror`.

The seals bind the row's columns that guard the material, not the attributes. So attributes that do not agree with them are
somebody's who has written to the database: the object cannot be opened then, before `mirror` would believe them.
"""

from __future__ import annotations

import enum
import hashlib
from typing import Any

from kmipsrv.domain.binding import Binding
from kmipsrv.domain.lifecycle import DESTROYED, Event, effective_state, transition
from kmipsrv.domain.ports import IndexRow, StoredObject
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.attribute_bag import AttributeBag
from kmipsrv.spec.attribute_codec import RELEASE_POLICY, dump, load
from kmipsrv.spec.attributes import ATTRIBUTES, Key
from kmipsrv.spec.enums import CryptographicUsageMask, ObjectClass, ObjectType, RevocationReasonCode, State
from kmipsrv.spec.schema import unbind
from kmipsrv.spec.structures import DeactivationReason, RevocationReason
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import NEWEST
from kmipsrv.ttlv.codec import STRUCTURE, TEXT_STRING, Item

COMPROMISED = frozenset((RevocationReasonCode.KEY_COMPROMISE, RevocationReasonCode.CA_COMPROMISE))


class Flag(enum.IntEnum):
    """The Boolean attributes that decide whether material may leave: bits of one column (plain integers: every Get tests a
    few)."""

    SENSITIVE = 1
    ALWAYS_SENSITIVE = 2
    EXTRACTABLE = 4
    NEVER_EXTRACTABLE = 8
    FRESH = 16


GUARDS = (Tag.SENSITIVE, Tag.EXTRACTABLE)  # the Booleans that the seals bind
_FLAGS = {Tag[flag.name]: flag for flag in Flag}
_COLUMNS = {row.tag: row.column for row in ATTRIBUTES.values() if row.column and not row.derived}


class ManagedObject:
    """One object while a request works on it."""

    __slots__ = ("_attributes", "stored")

    def __init__(self, stored: StoredObject, attributes: AttributeBag | None = None) -> None:
        self.stored = stored
        self._attributes = attributes

    def __repr__(self) -> str:
        return f"<{self.object_type.text} {self.unique_identifier}>"

    @property
    def unique_identifier(self) -> str:
        return self.stored.unique_identifier

    @property
    def object_type(self) -> ObjectType:
        """Raises KmipError(CRYPTOGRAPHIC_FAILURE) for a row that says what is no Object Type."""
        try:
            return ObjectType(self.stored.object_type)
        except ValueError as error:
            raise _changed() from error

    @property
    def attributes(self) -> AttributeBag:
        """Raises KmipError(CRYPTOGRAPHIC_FAILURE) where the row's cannot be decoded or do not agree with its guards."""
        if self._attributes is None:
            self._attributes = _load(self.stored)
        return self._attributes

    @property
    def usage_mask(self) -> CryptographicUsageMask:
        return CryptographicUsageMask(self.stored.cryptographic_usage_mask or 0)

    def flag(self, flag: Flag) -> bool:
        return bool(self.stored.flags & flag)

    @property
    def archived(self) -> bool:
        return self.stored.archive_date is not None

    @property
    def binding(self) -> Binding:
        """What the seals of this object authenticate."""
        stored = self.stored
        return Binding(
            unique_identifier=stored.unique_identifier,
            object_type=stored.object_type,
            tenant=stored.tenant,
            owner=stored.owner,
            policy=stored.policy,
            sensitive=self.flag(Flag.SENSITIVE),
            extractable=self.flag(Flag.EXTRACTABLE),
        )

    def labels(self) -> tuple[list[str], list[str]]:
        """See `domain.ports.Labels`."""
        bag = self.attributes
        return [name.name_value for name in bag.values(Tag.NAME)], bag.values(Tag.OBJECT_GROUP)

    def state(self, now: int) -> State:
        return effective_state(self.stored, now)

    # ------------------------------------------------------------------------------------------------ attributes

    def derived(self, key: Key, now: int) -> Any:
        """The value of an attribute that is worked out, not kept; None for any other."""
        match key:
            case Tag.UNIQUE_IDENTIFIER:
                return self.unique_identifier
            case Tag.SHORT_UNIQUE_IDENTIFIER:
                return short_unique_identifier(self.unique_identifier)
            case Tag.OBJECT_TYPE:
                return self.object_type
            case Tag.OBJECT_CLASS:
                return ObjectClass.USER  # the server keeps no objects of its own among those of clients
            case Tag.STATE if self.object_type is not ObjectType.TEMPLATE:
                return self.state(now)
        return None

    def all_attributes(self, now: int) -> AttributeBag:
        """Every attribute the object has, derived ones included."""
        bag = AttributeBag()
        for row in ATTRIBUTES.values():
            if row.derived:
                bag.set(row.tag, self.derived(row.tag, now))
        bag.update(self.attributes)
        return bag

    def touch(self, now: int) -> None:
        """Last Change Date: "the date of the last change of the contents or attributes" (2.1 §4.29)."""
        self.attributes.set(Tag.LAST_CHANGE_DATE, now)

    def mirror(self) -> StoredObject:
        """Bring the row up to date with the attributes. -> the row, its index rows and names included."""
        stored, bag = self.stored, self.attributes
        values = bag.firsts()
        for tag, column in _COLUMNS.items():
            value = values.get(tag)
            setattr(stored, column, None if value is None else int(value))
        stored.flags = sum([flag for tag, flag in _FLAGS.items() if values.get(tag)])
        stored.attributes = dump(bag)
        stored.index = list(index_rows(bag))
        destroyed = stored.destroy_date is not None
        # "Names […] freed at Destroy": another object may then have the name.
        stored.names = [] if destroyed else list({name.name_value: None for name in bag.values(Tag.NAME)})
        return stored

    # ------------------------------------------------------------------------------------------------- lifecycle

    def activate(self, now: int) -> None:
        """2.1 §6.1.1 Activate. Raises KmipError(WRONG_KEY_LIFECYCLE_STATE)."""
        transition(self.state(now), Event.ACTIVATE)
        self.attributes.set(Tag.ACTIVATION_DATE, now)
        self.touch(now)

    def revoke(self, reason: RevocationReason, occurrence: int | None, now: int) -> None:
        """2.1 §6.1.44 Revoke; `occurrence`: Compromise Occurrence Date. Raises KmipError."""
        compromised = reason.revocation_reason_code in COMPROMISED
        transition(self.state(now), Event.REVOKE_COMPROMISED if compromised else Event.REVOKE)
        bag = self.attributes
        bag.set(Tag.REVOCATION_REASON, reason)
        if compromised:
            bag.set(Tag.COMPROMISE_DATE, now)
            # "SHALL be set […] to the Initial Date of the object if unknown" (2.1 §4.11).
            bag.set(Tag.COMPROMISE_OCCURRENCE_DATE, occurrence if occurrence is not None else bag.get(Tag.INITIAL_DATE))
        else:
            bag.set(Tag.DEACTIVATION_DATE, now)
        self.touch(now)

    def deactivate(self, reason: DeactivationReason, now: int) -> None:
        """3.0 Deactivate. Raises KmipError(WRONG_KEY_LIFECYCLE_STATE)."""
        transition(self.state(now), Event.REVOKE)
        self.attributes.set(Tag.DEACTIVATION_DATE, now)
        self.attributes.set(Tag.DEACTIVATION_REASON, reason)
        self.touch(now)

    def destroy(self, now: int) -> None:
        """2.1 §6.1.15 Destroy: the material goes, the attributes stay. Raises KmipError."""
        transition(self.state(now), Event.DESTROY)
        self.attributes.set(Tag.DESTROY_DATE, now)
        self.touch(now)
        self.stored.sealed = None

    def require_alive(self, now: int) -> None:
        if self.state(now) in DESTROYED:
            raise KmipError(Cause.OBJECT_DESTROYED, "the object has been destroyed")


def _load(stored: StoredObject) -> AttributeBag:
    """The attributes of a row, which have to say what the columns say that its seals bind."""
    try:
        bag = load(stored.attributes)
    except Exception as error:  # whatever somebody has written there
        raise _changed() from error
    # What `mirror` would make of them: it tells true from false by the first instance.
    agree = all(bool(bag.get(tag)) == bool(stored.flags & _FLAGS[tag]) for tag in GUARDS)
    if not agree or bag.values(RELEASE_POLICY) != ([(TEXT_STRING, stored.policy)] if stored.policy else []):
        raise _changed()
    return bag


def _changed() -> KmipError:
    """The same answer as for a seal that does not fit."""
    return KmipError(Cause.CRYPTOGRAPHIC_FAILURE, "the object cannot be opened")


def short_unique_identifier(unique_identifier: str) -> bytes:
    """Short Unique Identifier (2.1 §4.56): 16 octets that depend on the Unique Identifier alone."""
    return hashlib.sha256(unique_identifier.encode()).digest()[:16]


# --------------------------------------------------------------------------------------------------------- index


def key_text(key: Key) -> str:
    """The name under which the store keeps an attribute's index rows."""
    return f"{key:06X}" if isinstance(key, Tag) else f"{len(key[0])}:{key[0]}:{key[1]}"


def leaves(kind: int, value: Any, path: str = "") -> list[tuple[str, int | str | bytes]]:
    """An item value -> [(path, scalar)]: a structure's fields are told apart by their tags."""
    if kind != STRUCTURE:
        if isinstance(value, bool):
            return [(path, int(value))]
        if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
            return [(path, value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True))]
        return [(path, int(value) if isinstance(value, int) else value)]
    found: list[tuple[str, int | str | bytes]] = []
    for tag, inner, content in value:
        found += leaves(inner, content, f"{path}.{tag:06X}" if path else f"{tag:06X}")
    return found


def value_leaves(key: Key, value: Any) -> list[tuple[str, int | str | bytes]]:
    """The leaves of an attribute's value, standard or vendor."""
    if not isinstance(key, Tag):
        return leaves(*value)
    if hasattr(value, "__dataclass_fields__"):
        items: list[Item] = unbind(value, NEWEST)
        return leaves(STRUCTURE, items)
    return leaves(0, value)


def index_rows(bag: AttributeBag) -> list[IndexRow]:
    """The index rows of an object's attributes: those whose row says so, and every vendor attribute."""
    rows = []
    for key, instance, value in bag.items():
        if isinstance(key, Tag) and not ATTRIBUTES[key].indexed:
            continue
        name = key_text(key)
        rows += [IndexRow(name, instance, path, leaf) for path, leaf in value_leaves(key, value)]
    return rows
