"""From the terms of a Locate request to a search expression, and the rest that no index holds (KMIP 2.1 §6.1.28).

An attribute with a column becomes a comparison, one with index rows an `Indexed`; the few others (Digest, Lease Time and
their like) are compared with the decoded attributes of what the rest of the expression has found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kmipsrv.domain.lifecycle import state_expression
from kmipsrv.domain.managed_object import Flag, ManagedObject, key_text, leaves, short_unique_identifier, value_leaves
from kmipsrv.domain.search import AllOf, AnyOf, Compare, Expression, Indexed, Not
from kmipsrv.spec.attributes import ATTRIBUTES, Key
from kmipsrv.spec.enums import ObjectClass, ObjectType, State, StorageStatusMask
from kmipsrv.spec.search_codec import Term
from kmipsrv.spec.tags import Tag
from kmipsrv.ttlv.codec import DATE_TIME, DATE_TIME_EXTENDED

Rest = Callable[[ManagedObject], bool]
NOTHING = AnyOf(())


def search(terms: Sequence[Term], storage: StorageStatusMask | None, now: int) -> tuple[Expression, list[Rest]]:
    """-> (what the store can find, what is left to compare). All terms must hold."""
    parts: list[Expression] = [storage_expression(storage)]
    rest: list[Rest] = []
    groups: dict[Key, list[Term]] = {}
    for term in terms:
        groups.setdefault(term.key, []).append(term)
    for key, group in groups.items():
        if len(group) == 2 and all(term.kind in (DATE_TIME, DATE_TIME_EXTENDED) for term in group):
            # "If two instances of the same Date attribute are used […] inside or at a limit of the range".
            low, high = sorted(term.value for term in group)
            _range(key, low, high, parts, rest)
            continue
        for term in group:
            _equal(term, now, parts, rest)
    return AllOf(tuple(parts)), rest


def storage_expression(mask: StorageStatusMask | None) -> Expression:
    """Storage Status Mask: on-line (neither archived nor destroyed) objects unless it says otherwise."""
    mask = StorageStatusMask.ON_LINE_STORAGE if mask is None else mask
    alive, here = Compare("destroy_date", "null"), Compare("archive_date", "null")
    kinds: list[Expression] = []
    if mask & StorageStatusMask.ON_LINE_STORAGE:
        kinds.append(AllOf((alive, here)))
    if mask & StorageStatusMask.ARCHIVAL_STORAGE:
        kinds.append(AllOf((alive, Compare("archive_date", "not_null"))))
    if mask & StorageStatusMask.DESTROYED_STORAGE:
        kinds.append(Compare("destroy_date", "not_null"))
    return AnyOf(tuple(kinds))


def _equal(term: Term, now: int, parts: list[Expression], rest: list[Rest]) -> None:
    key, value = term.key, term.value
    if key is Tag.STATE:
        # A Template has no state.
        parts += [state_expression(State(value), now), Compare("object_type", "ne", int(ObjectType.TEMPLATE))]
    elif key is Tag.SHORT_UNIQUE_IDENTIFIER:
        rest.append(lambda obj: short_unique_identifier(obj.unique_identifier) == value)
    elif key is Tag.OBJECT_CLASS:
        if value != ObjectClass.USER:
            parts.append(NOTHING)  # every object that a client can see is of class User
    elif key is Tag.CRYPTOGRAPHIC_USAGE_MASK:
        parts.append(Compare("cryptographic_usage_mask", "mask", int(value)))
    elif key is Tag.USAGE_LIMITS:
        rest.append(lambda obj: _limits_suffice(obj, term))
    elif isinstance(key, Tag) and key.name in Flag.__members__:
        bit = int(Flag[key.name])
        parts.append(Compare("flags", "mask", bit) if value else _without(bit))
        rest.append(lambda obj: key in obj.attributes)
    elif isinstance(key, Tag) and (column := ATTRIBUTES[key].column):
        parts.append(Compare(column, "eq", int(value) if isinstance(value, int) else value))
    elif not isinstance(key, Tag) or ATTRIBUTES[key].indexed:
        parts.append(Indexed(key_text(key), tuple(leaves(term.kind, value))))
    else:
        wanted = leaves(term.kind, value)
        rest.append(lambda obj: _has(obj, key, wanted))


def _without(bit: int) -> Expression:
    """The objects whose flag is off."""
    return Not(Compare("flags", "mask", bit))


def _range(key: Key, low: int, high: int, parts: list[Expression], rest: list[Rest]) -> None:
    column = ATTRIBUTES[key].column if isinstance(key, Tag) else ""
    if column:
        parts += [Compare(column, "ge", low), Compare(column, "le", high)]
    elif not isinstance(key, Tag) or ATTRIBUTES[key].indexed:
        parts.append(Indexed(key_text(key), low=low, high=high))
    else:
        rest.append(lambda obj: any(low <= value <= high for value in obj.attributes.values(key)))


def _has(obj: ManagedObject, key: Key, wanted: list[tuple[str, Any]]) -> bool:
    """Whether some instance of the attribute has all these leaves."""
    return any(set(wanted) <= set(value_leaves(key, value)) for value in obj.attributes.values(key))


def _limits_suffice(obj: ManagedObject, term: Term) -> bool:
    """ "matching candidate objects SHALL have a Usage Limits Count and Usage Limits Total equal to or larger than the
    values specified in the request"."""
    limits = obj.attributes.get(Tag.USAGE_LIMITS)
    if limits is None:
        return False
    for tag, _, value in term.value:
        if tag == Tag.USAGE_LIMITS_UNIT and limits.usage_limits_unit != value:
            return False
        if tag == Tag.USAGE_LIMITS_TOTAL and limits.usage_limits_total < value:
            return False
        if tag == Tag.USAGE_LIMITS_COUNT and (limits.usage_limits_count or 0) < value:
            return False
    return True
