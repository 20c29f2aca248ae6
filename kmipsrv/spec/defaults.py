"""Defaults and Constraints of creating operations (KMIP 2.1 §§7.6, 7.7, 7.11, 7.22): structures that hold attributes."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated

from kmipsrv.spec.attribute_codec import Attributes
from kmipsrv.spec.enums import ObjectType
from kmipsrv.spec.schema import structure
from kmipsrv.spec.structures import ObjectGroups, ObjectTypes
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import since, wire
from kmipsrv.spec.versions import V2_0, V2_1


@structure
class ObjectDefaults:
    """Object Defaults: attributes for one object type, or several, of these groups (none given: of any)."""

    object_type: ObjectType | None = None
    object_types: Annotated[ObjectTypes | None, since(V2_1)] = None
    attributes: Annotated[Attributes, wire(Tag.ATTRIBUTES, V2_0)]
    object_groups: Annotated[ObjectGroups | None, since(V2_1)] = None


@structure
class DefaultsInformation:
    """Defaults Information."""

    object_defaults: list[ObjectDefaults] = field(default_factory=list)


@structure
class Constraint:
    """Constraint: the attributes that objects of these types and groups (none given: any) have to have."""

    object_types: ObjectTypes | None = None
    object_groups: ObjectGroups | None = None
    attributes: Annotated[Attributes | None, wire(Tag.ATTRIBUTES, V2_0)] = None


@structure
class Constraints:
    """Constraints."""

    constraint: list[Constraint] = field(default_factory=list)
