"""Adjust Attribute (KMIP 2.1 §6.1.3, §11.1): count an attribute up or down, or turn its sign."""

from __future__ import annotations

from typing import Annotated, Any

from kmipsrv.domain import attribute_changes
from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._context import Context
from kmipsrv.operations._registry import operation
from kmipsrv.spec.attribute_codec import AttributeReferences
from kmipsrv.spec.attributes import Key, attribute, key_name
from kmipsrv.spec.enums import AdjustmentType, Operation
from kmipsrv.spec.schema import PlainCodec, codec_for, structure
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import AnyItem, Identifier, wire
from kmipsrv.spec.versions import NEWEST, V2_0
from kmipsrv.ttlv.codec import (
    BIG_INTEGER,
    BOOLEAN,
    DATE_TIME,
    DATE_TIME_EXTENDED,
    INTEGER,
    INTERVAL,
    LONG_INTEGER,
)

_NUMBERS = frozenset((INTEGER, LONG_INTEGER, BIG_INTEGER, INTERVAL))
_DATES = frozenset((DATE_TIME, DATE_TIME_EXTENDED))
_SIGNED = frozenset((INTEGER, LONG_INTEGER, BIG_INTEGER))
_RANGES = {
    INTEGER: (-(1 << 31), (1 << 31) - 1),
    LONG_INTEGER: (-(1 << 63), (1 << 63) - 1),
    BIG_INTEGER: (-(1 << 4095), (1 << 4095) - 1),
    INTERVAL: (0, (1 << 32) - 1),
    DATE_TIME: (0, (1 << 63) - 1),
    DATE_TIME_EXTENDED: (0, (1 << 63) - 1),
}


@structure
class AdjustAttributeRequest:
    unique_identifier: Identifier | None = None
    attribute_reference: Annotated[AttributeReferences, wire(Tag.ATTRIBUTE_REFERENCE, V2_0)]
    adjustment_type: AdjustmentType
    adjustment_value: AnyItem | None = None


@structure
class AdjustAttributeResponse:
    unique_identifier: Identifier


@operation(Operation.ADJUST_ATTRIBUTE, since=V2_0)
def adjust_attribute(ctx: Context, request: AdjustAttributeRequest) -> AdjustAttributeResponse:
    obj = ctx.object(request.unique_identifier)
    key = _referenced(request.attribute_reference)
    found = obj.attributes.instances(key)
    if len(found) > 1:
        raise KmipError(Cause.MULTI_VALUED_ATTRIBUTE, f"{key_name(key)} has several instances")
    kind, value = _current(key, found[0][1] if found else None)
    adjusted = _adjusted(key, kind, value, request.adjustment_type, request.adjustment_value)
    new = adjusted if isinstance(key, Tag) else (kind, adjusted)
    if found:
        attribute_changes.modify(obj, key, found[0][0], new, ctx.now)
    else:
        attribute_changes.add(obj, key, new, ctx.settings, ctx.now)
    ctx.save(obj)
    return AdjustAttributeResponse(unique_identifier=obj.unique_identifier)


def _referenced(references: AttributeReferences) -> Key:
    if len(references.keys) + len(references.unknown) != 1:
        raise KmipError(Cause.INVALID_FIELD, "one Attribute Reference is adjusted at a time")
    if references.unknown:
        raise KmipError(Cause.UNSUPPORTED_ATTRIBUTE, f"{references.unknown[0]} is not supported")
    return references.keys[0]


def _current(key: Key, value: Any) -> tuple[int, Any]:
    """The item type and value of the attribute. "the previous value is assumed to be a 0 for numeric types and intervals,
    or false for Boolean, otherwise an error is raised"."""
    if isinstance(key, Tag):
        codec = codec_for(attribute(key).kind, NEWEST)
        kind = codec.code if isinstance(codec, PlainCodec) else 0
    elif value is None:
        raise KmipError(Cause.ATTRIBUTE_NOT_FOUND, f"the object has no {key_name(key)}")
    else:
        kind, value = value
    if kind not in _NUMBERS and kind not in _DATES and kind != BOOLEAN:
        raise KmipError(Cause.INVALID_DATA_TYPE, f"{key_name(key)} cannot be adjusted")
    if value is None:
        if kind in _DATES:
            raise KmipError(Cause.ATTRIBUTE_NOT_FOUND, f"the object has no {key_name(key)}")
        return kind, False if kind == BOOLEAN else 0
    return kind, value


def _adjusted(key: Key, kind: int, value: Any, adjustment: AdjustmentType, by: tuple[int, Any] | None) -> Any:
    if adjustment is AdjustmentType.NEGATE:
        if by is not None:
            raise KmipError(Cause.INVALID_FIELD, "Negate has no Adjustment Value")
        if kind == BOOLEAN:
            return not value
        if kind not in _SIGNED:
            raise KmipError(Cause.INVALID_DATA_TYPE, f"{key_name(key)} has no sign")
        new = -value
    else:
        if kind == BOOLEAN:
            raise KmipError(Cause.INVALID_DATA_TYPE, f"{key_name(key)} is not counted")
        if by is not None and by[0] not in _NUMBERS and by[0] != kind:
            raise KmipError(Cause.INVALID_DATA_TYPE, "Adjustment Value is not a number")
        step = 1 if by is None else by[1]
        new = value + step if adjustment is AdjustmentType.INCREMENT else value - step
    low, high = _RANGES[kind]
    if not low <= new <= high:
        raise KmipError(Cause.NUMERIC_RANGE, f"{key_name(key)} would be out of range")
    return new
