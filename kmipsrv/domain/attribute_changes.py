"""Changes of a managed object's attributes by its owner: Add, Modify, Set, Delete (KMIP 2.1 §4, tables "Attribute Rules").

Each function changes the object's bag or raises KmipError; what an attribute's row forbids never happens.
"""

from __future__ import annotations

from typing import Any

from kmipsrv.domain.creation import check_client_attribute, check_dates, check_value
from kmipsrv.domain.managed_object import ManagedObject
from kmipsrv.domain.settings import Settings
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.attributes import ATTRIBUTES, Key, key_name
from kmipsrv.spec.enums import State
from kmipsrv.spec.structures import UsageLimits
from kmipsrv.spec.tags import Tag

_LIVING = frozenset((State.PRE_ACTIVE, State.ACTIVE))
# "Yes, only while in Pre-Active [or Active] state": §§4.1, 4.18, 4.40, 4.41.
_STATES = {
    Tag.ACTIVATION_DATE: frozenset((State.PRE_ACTIVE,)),
    Tag.PROCESS_START_DATE: _LIVING,
    Tag.PROTECT_STOP_DATE: _LIVING,
    Tag.DEACTIVATION_DATE: _LIVING,
}
# "…and as long as the Process Start Date has been not reached": §§4.40, 4.41.
_UNTIL_REACHED = frozenset((Tag.PROCESS_START_DATE, Tag.PROTECT_STOP_DATE))


def add(obj: ManagedObject, key: Key, value: Any, settings: Settings, now: int) -> int:
    """A new instance. -> its index. "Existing attribute values SHALL NOT be changed by this operation" (§6.1.2)."""
    check_client_attribute(key, obj.object_type, "S")
    bag = obj.attributes
    if isinstance(key, Tag):
        row = ATTRIBUTES[key]
        if not row.many and key in bag:
            raise KmipError(Cause.ATTRIBUTE_SINGLE_VALUED, f"{row.name} has a value already")
        check_value(key, value)
        _check_state(obj, key, now)
    if any(existing == value for existing in bag.values(key)):
        # Two equal instances could not be told apart by 2.x, whose Current Attribute names an instance by its value.
        # BL-M-8 of 3.0: a Name twice is Non Unique Name Attribute, though it is the same object's.
        cause = Cause.NON_UNIQUE_NAME_ATTRIBUTE if key is Tag.NAME else Cause.INVALID_FIELD
        raise KmipError(cause, f"{key_name(key)} has that value already")
    if len(bag.values(key)) >= settings.attribute_instances:
        raise KmipError(Cause.SERVER_LIMIT_EXCEEDED, f"too many instances of {key_name(key)}")
    index = bag.add(key, _settled(key, value))
    _follow(obj, key, now)
    return index


def modify(obj: ManagedObject, key: Key, index: int, value: Any, now: int) -> None:
    """Another value for one instance. "Only existing attributes MAY be changed" (§6.1.34)."""
    bag = obj.attributes
    check_client_attribute_change(obj, key, "M")
    if key not in bag:
        raise KmipError(Cause.ATTRIBUTE_NOT_FOUND, f"the object has no {key_name(key)}")
    if isinstance(key, Tag):
        check_value(key, value)
        _check_state(obj, key, now)
        if key is Tag.USAGE_LIMITS:
            value = _modified_limits(bag.get(key), value)
    if not bag.replace(key, index, value):
        raise KmipError(Cause.ATTRIBUTE_INSTANCE_NOT_FOUND, f"{key_name(key)} has no such instance")
    _follow(obj, key, now)


def delete(obj: ManagedObject, key: Key, index: int | None, now: int) -> None:
    """One instance, or with None all of them (§6.1.13)."""
    check_client_attribute_change(obj, key, "D")
    bag = obj.attributes
    if key not in bag:
        raise KmipError(Cause.ATTRIBUTE_NOT_FOUND, f"the object has no {key_name(key)}")
    if key is Tag.USAGE_LIMITS:
        _require_untouched(bag.get(key))
    if not bag.remove(key, index):
        raise KmipError(Cause.ATTRIBUTE_INSTANCE_NOT_FOUND, f"{key_name(key)} has no such instance")
    obj.touch(now)


def check_client_attribute_change(obj: ManagedObject, key: Key, rule: str) -> None:
    """Whether a client may modify (M) or delete (D) this attribute. Raises KmipError(ATTRIBUTE_READ_ONLY)."""
    check_client_attribute(key, obj.object_type, rule)


def _check_state(obj: ManagedObject, key: Tag, now: int) -> None:
    allowed = _STATES.get(key)
    if allowed is None:
        return
    if obj.state(now) not in allowed:
        raise KmipError(Cause.WRONG_KEY_LIFECYCLE_STATE, f"{key.text} cannot be changed in this state")
    current = obj.attributes.get(key)
    if key in _UNTIL_REACHED and current is not None and current <= now:
        raise KmipError(Cause.WRONG_KEY_LIFECYCLE_STATE, f"{key.text} has been reached")


def _settled(key: Key, value: Any) -> Any:
    """What the server completes in a client's value."""
    if key is Tag.USAGE_LIMITS:
        return UsageLimits(
            usage_limits_total=value.usage_limits_total,
            usage_limits_count=value.usage_limits_total,
            usage_limits_unit=value.usage_limits_unit,
        )
    return value


def _require_untouched(limits: UsageLimits) -> None:
    if limits.usage_limits_count != limits.usage_limits_total:
        raise KmipError(Cause.ATTRIBUTE_READ_ONLY, "the Usage Limits have been drawn on")


def _modified_limits(current: UsageLimits | None, value: UsageLimits) -> Any:
    """ "Usage Limits Total and/or Usage Limits Unit only, as long as Get Usage Allocation has not been performed"."""
    if current is not None:
        _require_untouched(current)
        if value.usage_limits_count not in (None, current.usage_limits_count, value.usage_limits_total):
            raise KmipError(Cause.ATTRIBUTE_READ_ONLY, "Usage Limits Count is the server's")
    return _settled(Tag.USAGE_LIMITS, value)


def _follow(obj: ManagedObject, key: Key, now: int) -> None:
    """What another attribute says after this one has changed."""
    bag = obj.attributes
    if key is Tag.SENSITIVE and not bag.get(Tag.SENSITIVE):
        bag.set(Tag.ALWAYS_SENSITIVE, False)  # "has always been True" (§4.3)
    if key is Tag.EXTRACTABLE and bag.get(Tag.EXTRACTABLE):
        bag.set(Tag.NEVER_EXTRACTABLE, False)  # §4.33
    if key in _STATES:
        check_dates(bag)
    obj.touch(now)
