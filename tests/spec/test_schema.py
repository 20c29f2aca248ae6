"""Every structure at every version: reading undoes writing, nothing newer is written, and what is wrong is refused."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kmipsrv.errors import Cause, KmipError
from kmipsrv.operations._registry import load_all
from kmipsrv.spec import messages, objects, structures
from kmipsrv.spec.attribute_bag import AttributeBag
from kmipsrv.spec.attribute_codec import Attributes, attribute_items, dump, load
from kmipsrv.spec.attributes import ATTRIBUTES
from kmipsrv.spec.schema import (
    AnyCodec,
    EnumCodec,
    IdentifierCodec,
    MaskCodec,
    PlainCodec,
    StructureCodec,
    bind,
    codec_for,
    plan,
    unbind,
)
from kmipsrv.spec.structures import CryptographicParameters, Name
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import NEWEST, V1_0, V1_4, V2_0, V2_1, Version
from kmipsrv.ttlv import codec
from kmipsrv.ttlv.codec import BOOLEAN, ENUMERATION, INTEGER, STRUCTURE, TEXT_STRING, Item, decode, encode

VALUES: dict[int, st.SearchStrategy[Any]] = {
    codec.INTEGER: st.integers(-(2**31), 2**31 - 1),
    codec.LONG_INTEGER: st.integers(-(2**63), 2**63 - 1),
    codec.BIG_INTEGER: st.integers(-(2**130), 2**130),
    codec.ENUMERATION: st.integers(0, 2**32 - 1),
    codec.BOOLEAN: st.booleans(),
    codec.TEXT_STRING: st.text(max_size=8),
    codec.BYTE_STRING: st.binary(max_size=8),
    codec.DATE_TIME: st.integers(-(2**63), 2**63 - 1),
    codec.DATE_TIME_EXTENDED: st.integers(-(2**63), 2**63 - 1),
    codec.INTERVAL: st.integers(0, 2**32 - 1),
}


def value_of(field_codec: Any, version: Version) -> st.SearchStrategy[Any]:
    """Some value that a codec can write."""
    match field_codec:
        case PlainCodec():
            return VALUES[field_codec.code]
        case EnumCodec():
            return st.sampled_from(list(field_codec.enumeration))
        case MaskCodec():
            return st.integers(0, 2**32 - 1).map(field_codec.mask)
        case IdentifierCodec():
            return st.text(max_size=8)
        case AnyCodec():
            return st.tuples(st.just(codec.TEXT_STRING), st.text(max_size=8))
        case StructureCodec():
            return instances(field_codec.cls, version)
    raise TypeError(field_codec)


def instances(cls: type[Any], version: Version) -> st.SearchStrategy[Any]:
    """Instances of a structure with fields of this version only."""
    fields: dict[str, st.SearchStrategy[Any]] = {}
    for field in plan(cls, version).writers:
        if field.custom is not None:
            continue
        one = value_of(field.codec, version)
        fields[field.name] = st.lists(one, max_size=2) if field.many else one if field.required else st.none() | one
    return st.fixed_dictionaries(fields).map(lambda given: cls(**given))


def structures_of(module: Any) -> list[type[Any]]:
    return [
        cls
        for _, cls in inspect.getmembers(module, inspect.isclass)
        if cls.__module__ == module.__name__ and hasattr(cls, "__dataclass_fields__")
    ]


CLASSES = [*structures_of(structures), *structures_of(objects), *structures_of(messages)]
CASES = [(cls, version) for cls in CLASSES for version in (V1_0, Version.V1_2, V1_4, V2_1, NEWEST)]


def required_custom(cls: type[Any], version: Version) -> bool:
    return any(field.custom is not None and field.required for field in plan(cls, version).writers)


@pytest.mark.parametrize(("cls", "version"), CASES, ids=lambda each: getattr(each, "__name__", str(each)))
def test_reading_undoes_writing(cls: type[Any], version: Version) -> None:
    if required_custom(cls, version):
        return

    @settings(max_examples=15, deadline=None)
    @given(instances(cls, version))
    def check(instance: Any) -> None:
        items = unbind(instance, version)
        _, _, fields = decode(encode((Tag.ATTRIBUTE_VALUE, STRUCTURE, items)))
        assert bind(cls, fields, version) == instance

    check()


@pytest.mark.parametrize("cls", [row.request for row in load_all().values()] + CLASSES, ids=lambda cls: cls.__name__)
def test_a_version_writes_only_fields_that_it_has(cls: type[Any]) -> None:
    for version in Version:
        tags = [field.tag for field in plan(cls, version).writers if field.custom is None]
        assert len(tags) == len(set(tags)), (cls, version)


def refused(check: Callable[[], Any]) -> Cause:
    with pytest.raises(KmipError) as caught:
        check()
    return caught.value.cause


NAME: list[Item] = [(Tag.NAME_VALUE, TEXT_STRING, "n"), (Tag.NAME_TYPE, ENUMERATION, 1)]


def test_order_does_not_matter_and_everything_else_does() -> None:
    assert bind(Name, NAME[::-1], V1_0) == bind(Name, NAME, V1_0)
    assert refused(lambda: bind(Name, NAME[:1], V1_0)) is Cause.MISSING_DATA
    assert refused(lambda: bind(Name, [*NAME, NAME[0]], V1_0)) is Cause.INVALID_MESSAGE
    assert refused(lambda: bind(Name, [*NAME, (Tag.OPERATION, ENUMERATION, 1)], V1_0)) is Cause.INVALID_FIELD
    assert refused(lambda: bind(Name, [(Tag.NAME_VALUE, INTEGER, 1), NAME[1]], V1_0)) is Cause.INVALID_DATA_TYPE
    assert refused(lambda: bind(Name, [NAME[0], (Tag.NAME_TYPE, ENUMERATION, 99)], V1_0)) is Cause.UNKNOWN_ENUMERATION


def test_a_field_of_a_later_version_is_unknown_and_left_out() -> None:
    items: list[Item] = [(Tag.RANDOM_IV, BOOLEAN, True)]
    assert bind(CryptographicParameters, items, Version.V1_2).random_iv is True
    assert refused(lambda: bind(CryptographicParameters, items, V1_0)) is Cause.INVALID_FIELD
    assert unbind(CryptographicParameters(random_iv=True, salt_length=1), V1_0) == []


SCALAR_ATTRIBUTES = [row for row in ATTRIBUTES.values() if not row.derived]


@st.composite
def bags(draw: st.DrawFn) -> AttributeBag:
    """Bags of any attributes with gaps in their indices, vendor attributes among them."""
    bag = AttributeBag()
    for row in draw(st.lists(st.sampled_from(SCALAR_ATTRIBUTES), max_size=6, unique_by=lambda row: row.tag)):
        index = 0
        for _ in range(draw(st.integers(1, 3)) if row.many else 1):
            index += draw(st.integers(0, 2)) if row.many else 0
            bag.add(row.tag, draw(value_of(codec_for(row.kind, NEWEST), NEWEST)), index)
            index += 1
    for name in draw(st.lists(st.text(max_size=5), max_size=2, unique=True)):
        bag.add(("x", name), (codec.TEXT_STRING, draw(st.text(max_size=5))))
    return bag


@given(bags())
@settings(deadline=None)
def test_the_canonical_form_keeps_every_attribute_and_index(bag: AttributeBag) -> None:
    assert load(dump(bag)) == bag


@given(bags(), st.sampled_from([V2_0, V2_1, NEWEST]))
@settings(deadline=None)
def test_2x_attributes_come_back_but_for_their_indices(bag: AttributeBag, version: Version) -> None:
    known = AttributeBag()
    for key, _, value in bag.items():
        if not isinstance(key, Tag) or ATTRIBUTES[key].exists_in(version):
            known.add(key, value)
    items = decode(encode((Tag.ATTRIBUTES, STRUCTURE, attribute_items(known, version))))[2]
    found = Attributes.from_items(items, version)
    assert set(found) <= set(known)
    for key in found:
        if key not in (Tag.NAME, Tag.LINK):  # 3.0 writes these two in a poorer form
            assert unbound(found.values(key), version) == unbound(known.values(key), version)


def unbound(values: list[Any], version: Version) -> list[Any]:
    """Values as the version writes them: what it does not know of a structure is gone."""
    return [unbind(each, version) if hasattr(each, "__dataclass_fields__") else each for each in values]
