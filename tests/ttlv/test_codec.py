"""The TTLV encoding: the examples of KMIP 1.4 §9.1.2, properties, and hostile bytes."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kmipsrv.errors import TTLVError
from kmipsrv.ttlv import codec
from kmipsrv.ttlv.codec import Item, decode, decode_all, encode

TAG = 0x420020

# Facts of the specification's examples: the item and its octets (KMIP 1.4 §9.1.2).
EXAMPLES: list[tuple[int, Any, str]] = [
    (codec.INTEGER, 8, "42002002000000040000000800000000"),
    (codec.LONG_INTEGER, 123456789000000000, "420020030000000801b69b4ba5749200"),
    (
        codec.BIG_INTEGER,
        1234567890000000000000000000,
        "42002004000000100000000003fd35eb6bc2df4618080000",
    ),
    (codec.ENUMERATION, 255, "4200200500000004000000ff00000000"),
    (codec.BOOLEAN, True, "42002006000000080000000000000001"),
    (codec.TEXT_STRING, "Hello World", "420020070000000b48656c6c6f20576f726c640000000000"),
    (codec.BYTE_STRING, bytes([1, 2, 3]), "42002008000000030102030000000000"),
    (codec.DATE_TIME, 1205495800, "4200200900000008" + "0000000047da67f8"),
    (codec.INTERVAL, 864000, "4200200a00000004000d2f0000000000"),
    (
        codec.STRUCTURE,
        [(0x420004, codec.ENUMERATION, 254), (0x420005, codec.INTEGER, 255)],
        "42002001000000204200040500000004000000fe000000004200050200000004000000ff00000000",
    ),
]


@pytest.mark.parametrize(("kind", "value", "octets"), EXAMPLES)
def test_the_specifications_examples_both_ways(kind: int, value: Any, octets: str) -> None:
    assert encode((TAG, kind, value)).hex() == octets
    assert decode(bytes.fromhex(octets)) == (TAG, kind, value)


TAGS = st.one_of(st.integers(0x420000, 0x42FFFF), st.integers(0x540000, 0x54FFFF))
LEAVES = st.one_of(
    st.tuples(TAGS, st.just(codec.INTEGER), st.integers(-(1 << 31), (1 << 31) - 1)),
    st.tuples(TAGS, st.just(codec.LONG_INTEGER), st.integers(-(1 << 63), (1 << 63) - 1)),
    st.tuples(TAGS, st.just(codec.BIG_INTEGER), st.integers(-(1 << 200), 1 << 200)),
    st.tuples(TAGS, st.just(codec.ENUMERATION), st.integers(0, (1 << 32) - 1)),
    st.tuples(TAGS, st.just(codec.BOOLEAN), st.booleans()),
    st.tuples(TAGS, st.sampled_from([7, 12, 13, 14]), st.text()),
    st.tuples(TAGS, st.just(codec.BYTE_STRING), st.binary(max_size=40)),
    st.tuples(TAGS, st.sampled_from([9, 11]), st.integers(-(1 << 63), (1 << 63) - 1)),
    st.tuples(TAGS, st.just(codec.INTERVAL), st.integers(0, (1 << 32) - 1)),
)
ITEMS = st.recursive(LEAVES, lambda inner: st.tuples(TAGS, st.just(1), st.lists(inner, max_size=5)), max_leaves=20)


@given(ITEMS)
def test_decode_undoes_encode(item: Item) -> None:
    assert decode(encode(item)) == item


@given(st.binary(max_size=300))
@settings(max_examples=500)
def test_any_bytes_give_an_item_or_a_ttlv_error(data: bytes) -> None:
    try:
        item = decode(data)
    except TTLVError:
        return
    assert encode(item) == data or item[1] == codec.BIG_INTEGER


@given(ITEMS, st.data())
def test_a_changed_byte_gives_an_item_or_a_ttlv_error(item: Item, data: st.DataObject) -> None:
    octets = bytearray(encode(item))
    at = data.draw(st.integers(0, len(octets) - 1))
    octets[at] ^= data.draw(st.integers(1, 255))
    try:
        changed = decode(bytes(octets))
    except TTLVError:
        return
    assert decode(encode(changed)) == changed


def test_what_was_encoded_already_is_copied() -> None:
    inner = encode((0x420001, codec.INTEGER, 7))
    assert encode((TAG, codec.STRUCTURE, [(0x420001, codec.ENCODED, inner)])) == encode(
        (TAG, codec.STRUCTURE, [(0x420001, codec.INTEGER, 7)])
    )


def header(kind: int, length: int, tag: int = TAG) -> bytes:
    return struct.pack(">II", tag << 8 | kind, length)


@pytest.mark.parametrize(
    ("octets", "says"),
    [
        (b"", "0 items"),
        (b"\x42\x00\x20", "truncated"),
        (header(2, 4) + bytes(4), "padding"),
        (header(2, 4), "beyond"),
        (header(2, 8) + bytes(8), "Integer of 8 bytes"),
        (header(2, 4) + b"\0\0\0\1" + b"\0\0\0\1", "padding"),
        (header(6, 8) + b"\0\0\0\0\0\0\0\2", "Boolean"),
        (header(6, 8) + b"\1\0\0\0\0\0\0\1", "Boolean"),
        (header(7, 1) + b"\xff" + bytes(7), "UTF-8"),
        (header(4, 0), "Big Integer"),
        (header(4, 4) + bytes(8), "Big Integer"),
        (header(0, 0), "unknown item type"),
        (header(15, 0), "unknown item type"),
        (header(1, 0, 0x430000), "no tag"),
        (header(1, 16) + header(2, 4) + bytes(4), "beyond"),
        (header(1, 8) + header(1, 8) + bytes(8), "beyond"),
        (header(2, 4) + bytes(8) + b"\0", "truncated"),
        (header(2, 4) + bytes(8) + header(2, 4) + bytes(8), "2 items"),
        (header(1, 0xFFFFFFFF), "beyond"),
    ],
)
def test_hostile_bytes_are_told_apart(octets: bytes, says: str) -> None:
    with pytest.raises(TTLVError, match=says):
        decode(octets)


def test_nesting_is_bounded() -> None:
    octets = b""
    for _ in range(codec.MAX_DEPTH + 2):
        octets = header(1, len(octets)) + octets
    with pytest.raises(TTLVError, match="deeply"):
        decode(octets)


def test_the_number_of_items_is_bounded() -> None:
    octets = header(2, 4) + bytes(8)
    with pytest.raises(TTLVError, match="too many"):
        decode_all(octets * 11, max_items=10)
    assert len(decode_all(octets * 10, max_items=10)) == 10
