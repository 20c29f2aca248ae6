"""What an owner has laid down for objects to be made: Object Defaults and Constraints (KMIP 2.1 §§6.1.52, 6.1.53, 7.6, 7.22).

Both are one record for each owner: set by Set Defaults and Set Constraints, told by Query and Get Constraints, obeyed
wherever an object is made. One client's rules are not another's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.attribute_bag import AttributeBag
from kmipsrv.spec.attributes import key_name
from kmipsrv.spec.defaults import Constraint, Constraints, DefaultsInformation, ObjectDefaults
from kmipsrv.spec.enums import ObjectType
from kmipsrv.spec.schema import bind, structure, unbind
from kmipsrv.spec.structures import ObjectGroups
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V2_1
from kmipsrv.ttlv.codec import STRUCTURE, decode, encode

if TYPE_CHECKING:
    from kmipsrv.operations._context import Context

RECORD = "factory rules"
_STORED = V2_1  # the version that the record is written in


@structure
class FactoryRules:
    defaults_information: DefaultsInformation = field(default_factory=DefaultsInformation)
    constraints: Constraints = field(default_factory=Constraints)


@dataclass(slots=True)
class Rules:
    """The caller's rules during one request message."""

    defaults: list[ObjectDefaults]
    constraints: list[Constraint]


def read(ctx: Context) -> Rules:
    record = ctx.work.read(RECORD, ctx.identity.owner)
    kept = FactoryRules() if record is None else bind(FactoryRules, decode(record)[2], _STORED)
    return Rules(kept.defaults_information.object_defaults, kept.constraints.constraint)


def write(ctx: Context, rules: Rules) -> None:
    owner = ctx.identity.owner
    if not rules.defaults and not rules.constraints:
        ctx.work.remove(RECORD, owner)
        return
    kept = FactoryRules(
        defaults_information=DefaultsInformation(object_defaults=rules.defaults),
        constraints=Constraints(constraint=rules.constraints),
    )
    items = unbind(kept, _STORED)
    ctx.work.write(RECORD, owner, encode((Tag.REQUEST_PAYLOAD, STRUCTURE, items)), owner=owner)


def apply_defaults(rules: Rules, bag: AttributeBag, kind: ObjectType) -> None:
    """ "default attributes that will be applied […] if the client does not supply values" (§6.1.53)."""
    groups = set(bag.values(Tag.OBJECT_GROUP))
    for each in rules.defaults:
        types = each.object_types.object_type if each.object_types is not None else []
        if kind in (each.object_type, *types) and of_groups(each.object_groups, groups):
            for key in each.attributes:
                if key not in bag:
                    for index, value in each.attributes.instances(key):
                        bag.add(key, value, index)


def check_constraints(rules: Rules, bag: AttributeBag, kind: ObjectType) -> None:
    """Whether a new object has what is demanded. Constraints that name one of its groups stand before those that name
    none; all of the foremost must be met. Raises KmipError(CONSTRAINT_VIOLATION)."""
    groups = set(bag.values(Tag.OBJECT_GROUP))
    about = [each for each in rules.constraints if each.object_types is None or kind in each.object_types.object_type]
    special = [each for each in about if each.object_groups is not None and of_groups(each.object_groups, groups)]
    for each in special or [each for each in about if each.object_groups is None]:
        for key, _, value in each.attributes.items() if each.attributes is not None else ():
            if value not in bag.values(key):
                raise KmipError(Cause.CONSTRAINT_VIOLATION, f"{key_name(key)} is not what the constraints demand")


def of_groups(named: ObjectGroups | None, groups: set[str]) -> bool:
    """Whether a rule for these groups (None: for all objects) is about an object of `groups`."""
    return named is None or not named.object_group or not groups.isdisjoint(named.object_group)
