"""An owner's Object Defaults (KMIP 2.1 §§6.1.53, 7.11): kept by Set Defaults, told by Query, applied where objects are made."""

from __future__ import annotations

from kmipsrv.operations._context import Context
from kmipsrv.spec.defaults import DefaultsInformation, ObjectDefaults
from kmipsrv.spec.schema import bind, unbind
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V2_1
from kmipsrv.ttlv.codec import STRUCTURE, decode, encode

RECORD = "object defaults"  # kind of the record, one for each owner
_STORED = V2_1  # the version that the record is written in


def object_defaults(ctx: Context) -> list[ObjectDefaults]:
    """The caller's defaults, as they were set."""
    record = ctx.work.read(RECORD, ctx.identity.owner)
    return [] if record is None else bind(DefaultsInformation, decode(record)[2], _STORED).object_defaults


def keep_defaults(ctx: Context, information: DefaultsInformation) -> None:
    owner = ctx.identity.owner
    if not information.object_defaults:
        ctx.work.remove(RECORD, owner)
        return
    items = unbind(information, _STORED)
    ctx.work.write(RECORD, owner, encode((Tag.DEFAULTS_INFORMATION, STRUCTURE, items)), owner=owner)


def of_groups(defaults: ObjectDefaults, groups: set[str]) -> bool:
    """Whether the defaults are for objects of one of these groups; those that name no group are for all."""
    named = defaults.object_groups.object_group if defaults.object_groups is not None else []
    return not named or not groups.isdisjoint(named)
