"""The readable encodings: what one writes the same one reads, and hostile text is refused (Message Encodings 1.0 §§4, 6)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kmipsrv.errors import TTLVError
from kmipsrv.spec.names import NAMES
from kmipsrv.spec.tags import Tag
from kmipsrv.ttlv import codec, json, xml
from kmipsrv.ttlv.codec import (
    BIG_INTEGER,
    BOOLEAN,
    BYTE_STRING,
    DATE_TIME,
    DATE_TIME_EXTENDED,
    ENUMERATION,
    INTEGER,
    INTERVAL,
    LONG_INTEGER,
    MAX_DEPTH,
    STRUCTURE,
    TEXT_STRING,
    Item,
)

Read = Callable[..., Item]
ENCODINGS = {"xml": (xml.encode, xml.decode), "json": (json.encode, json.decode)}

# XML 1.0 has no characters for most control codes.
TEXTS = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff") | st.sampled_from("\t\n\r")
)
TAGS = st.sampled_from([int(tag) for tag in Tag]) | st.integers(0x540000, 0x54FFFF)


def signed(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(1 << bits - 1), (1 << bits - 1) - 1)


VALUES: dict[int, st.SearchStrategy[Any]] = {
    INTEGER: signed(32),
    LONG_INTEGER: signed(64),
    BIG_INTEGER: signed(512),
    ENUMERATION: st.integers(0, 40) | st.integers(0, (1 << 32) - 1),
    BOOLEAN: st.booleans(),
    TEXT_STRING: TEXTS,
    BYTE_STRING: st.binary(),
    DATE_TIME: signed(64) | st.integers(-(10**11), 10**11),
    INTERVAL: st.integers(0, (1 << 32) - 1),
    DATE_TIME_EXTENDED: signed(64),
    codec.IDENTIFIER: TEXTS,
    codec.REFERENCE: TEXTS,
    codec.NAME_REFERENCE: TEXTS,
}
LEAVES = st.sampled_from(sorted(VALUES)).flatmap(lambda kind: st.tuples(TAGS, st.just(kind), VALUES[kind]))
ITEMS: st.SearchStrategy[Item] = st.recursive(
    LEAVES, lambda inner: st.tuples(TAGS, st.just(STRUCTURE), st.lists(inner, max_size=5)), max_leaves=20
)


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
@given(item=ITEMS)
@settings(max_examples=300)
def test_decode_undoes_encode(encoding: str, item: Item) -> None:
    write, read = ENCODINGS[encoding]
    assert read(write(item, NAMES), NAMES) == item
    assert codec.decode(codec.encode(read(write(item, NAMES), NAMES))) == item


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
@given(data=st.binary() | st.text('<>{}[]"/=:tagvluetypInr 0x4', max_size=60).map(str.encode))
@settings(max_examples=500)
def test_any_bytes_give_an_item_or_the_one_error(encoding: str, data: bytes) -> None:
    _, read = ENCODINGS[encoding]
    try:
        tag, kind, _ = read(data, NAMES)
    except TTLVError:
        return
    assert tag >> 16 in codec.TAG_SPACES
    assert kind in codec.TYPE_NAMES


# Every form that §4.1.6 and §6.1.6 show, with the item that it is.
SHOWN: list[tuple[str, Item]] = [
    (
        '<TTLV tag="0x420001" name="ActivationDate" type="DateTime" value="2001-01-01T10:00:00+10:00"/>',
        (0x420001, 9, 978307200),
    ),
    (
        '<ActivationDate xmlns="urn:oasis:tc:kmip:xmlns" type="DateTime" value="2001-01-01T00:00:00Z"/>',
        (0x420001, 9, 978307200),
    ),
    ('<TTLV tag="0x545352" name="Some" type="TextString" value="An &lt;extension"/>', (0x545352, 7, "An <extension")),
    ('<IVCounterNonce type="ByteString" value="a1b2C3d4"/>', (Tag.IV_COUNTER_NONCE, 8, bytes.fromhex("a1b2c3d4"))),
    ('<PrivateKeyTemplateAttribute type="Structure"/>', (Tag.PRIVATE_KEY_TEMPLATE_ATTRIBUTE, 1, [])),
    ('<BatchCount type="Integer" value="10"/>', (Tag.BATCH_COUNT, 2, 10)),
    ('<CryptographicUsageMask type="Integer" value="0x0000100c"/>', (Tag.CRYPTOGRAPHIC_USAGE_MASK, 2, 0x100C)),
    (
        '<CryptographicUsageMask type="Integer" value="Encrypt Decrypt CertificateSign"/>',
        (Tag.CRYPTOGRAPHIC_USAGE_MASK, 2, 0x100C),
    ),
    (
        '<CryptographicUsageMask type="Integer" value="Sign 0x00000004 0x0000008"/>',
        (Tag.CRYPTOGRAPHIC_USAGE_MASK, 2, 13),
    ),
    ('<x540001 type="LongInteger" value="-2"/>', (0x540001, 3, -2)),
    ('<X type="BigInteger" value="0000000000000000"/>', (Tag.X, 4, 0)),
    ('<ObjectType type="Enumeration" value="0x00000002"/>', (Tag.OBJECT_TYPE, 5, 2)),
    ('<ObjectType type="Enumeration" value="SymmetricKey"/>', (Tag.OBJECT_TYPE, 5, 2)),
    ('<BatchOrderOption type="Boolean" value="true"/>', (Tag.BATCH_ORDER_OPTION, 6, True)),
    ('<Offset type="Interval" value="27"/>', (Tag.OFFSET, 10, 27)),
    ('{"tag": "ActivationDate", "type":"DateTime", "value":"2001-01-01T10:00:00+10:00"}', (0x420001, 9, 978307200)),
    ('{"tag": "ArchiveDate", "type":"DateTime", "value":"0x000000003a505520"}', (Tag.ARCHIVE_DATE, 9, 978343200)),
    ('{"tag": "0x54FFFF", "name":"Some", "type":"Integer", "value":"0x00000001"}', (0x54FFFF, 2, 1)),
    ('{"tag": "BatchCount", "type":"Integer", "value":10}', (Tag.BATCH_COUNT, 2, 10)),
    ('{"tag": "BatchCount", "type":"Integer", "value":"0xffffffff"}', (Tag.BATCH_COUNT, 2, -1)),
    (
        '{"tag": "CryptographicUsageMask", "type":"Integer", "value": "Sign|0x0000000c"}',
        (Tag.CRYPTOGRAPHIC_USAGE_MASK, 2, 13),
    ),
    ('{"tag": "0x540001", "type":"LongInteger", "value":"0xfffffffffffffffe"}', (0x540001, 3, -2)),
    ('{"tag": "X", "type":"BigInteger", "value":0}', (Tag.X, 4, 0)),
    ('{"tag": "X", "type":"BigInteger", "value":"0xffffffffffffffff"}', (Tag.X, 4, -1)),
    ('{"tag": "0x420057", "type":"Enumeration", "value":2}', (Tag.OBJECT_TYPE, 5, 2)),
    ('{"tag": "BatchOrderOption", "type":"Boolean", "value":"0x0000000000000001"}', (Tag.BATCH_ORDER_OPTION, 6, True)),
    ('{"tag": "PrivateKeyTemplateAttribute", "value":null}', (Tag.PRIVATE_KEY_TEMPLATE_ATTRIBUTE, 1, [])),
]


@pytest.mark.parametrize(("text", "item"), SHOWN)
def test_the_forms_of_the_text(text: str, item: Item) -> None:
    read = xml.decode if text.startswith("<") else json.decode
    assert read(text.encode(), NAMES) == item


@pytest.mark.parametrize("encoding", sorted(ENCODINGS))
def test_attribute_name_chooses_the_enumeration(encoding: str) -> None:
    write, read = ENCODINGS[encoding]
    item: Item = (
        Tag.ATTRIBUTE,
        STRUCTURE,
        [(Tag.ATTRIBUTE_NAME, TEXT_STRING, "Cryptographic Algorithm"), (Tag.ATTRIBUTE_VALUE, ENUMERATION, 3)],
    )
    text = write(item, NAMES)
    assert b'"AES"' in text
    assert read(text, NAMES) == item


BOMB = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><BatchCount type="Integer" value="&b;"/>'
HOSTILE = [
    BOMB,
    '<!DOCTYPE a SYSTEM "file:///etc/passwd"><BatchCount type="Integer" value="1"/>',
    '<?xml version="1.0" encoding="no-such"?><BatchCount type="Integer" value="1"/>',
    '<BatchCount type="Integer" value="1">text</BatchCount>',
    '<BatchCount type="Integer" value="1"><BatchCount type="Integer" value="1"/></BatchCount>',
    '<BatchCount type="Integer" value="2147483648"/>',
    '<BatchCount type="Integer"/>',
    '<BatchCount type="Float" value="1"/>',
    '<BatchCount type="Integer" value="1" other="1"/>',
    '<BatchCount xmlns="urn:other" type="Integer" value="1"/>',
    '<BatchCount tag="0x42000D" type="Integer" value="1"/>',
    '<TTLV tag="0x410001" type="Integer" value="1"/>',
    '<RequestMessage value="1"/>',
    '<ObjectType type="Enumeration" value="Nonsense"/>',
    '<MACSignature type="ByteString" value="abc"/>',
    '<X type="BigInteger" value="00"/>',
    '<ArchiveDate type="DateTime" value="2001-02-30T00:00:00Z"/>',
    '<BatchOrderOption type="Boolean" value="yes"/>',
    "<RequestMessage>" * 100_000,
    "<RequestMessage>" * 60 + "</RequestMessage>" * 60,
    '{"tag":"RequestMessage","value":[' * 60 + "]}" * 60,
    '{"tag":"RequestMessage","value":[' * 100_000,
    '{"tag":"BatchCount","tag":"BatchCount","type":"Integer","value":1}',
    '{"tag":"BatchCount","type":"Integer","value":1.0}',
    '{"tag":"BatchCount","type":"Integer","value":NaN}',
    '{"tag":"BatchCount","type":"Integer","value":true}',
    '{"tag":"BatchCount","type":"Integer","value":' + "9" * 5000 + "}",
    '{"tag":"BatchCount","type":["Integer"],"value":1}',
    '{"tag":5,"type":"Integer","value":1}',
    '{"tag":"BatchCount","type":"Integer","value":1,"more":1}',
    '{"tag":"MACSignature","type":"ByteString","value":5}',
    '{"tag":"RequestMessage","value":5}',
    '{"tag":"RequestMessage","value":[5]}',
    "[]",
    "",
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:60])
def test_hostile_text_is_refused(text: str) -> None:
    read = xml.decode if text.startswith("<") else json.decode
    with pytest.raises(TTLVError) as caught:
        read(text.encode(), NAMES)
    assert len(caught.value.message) < 200


def test_too_many_items_are_refused() -> None:
    one = b'<BatchItem type="Structure"/>'
    with pytest.raises(TTLVError, match="too many"):
        xml.decode(b"<RequestMessage>" + one * 20 + b"</RequestMessage>", NAMES, max_items=20)
    leaf = '{"tag":"BatchItem"}'
    with pytest.raises(TTLVError, match="too many"):
        json.decode(f'{{"tag":"RequestMessage","value":[{",".join([leaf] * 20)}]}}'.encode(), NAMES, max_items=20)


def test_the_depth_that_ttlv_takes_is_taken() -> None:
    item: Item = (Tag.BATCH_COUNT, INTEGER, 1)
    for _ in range(MAX_DEPTH):
        item = (Tag.BATCH_ITEM, STRUCTURE, [item])
    assert codec.decode(codec.encode(item)) == item
    for write, read in ENCODINGS.values():
        assert read(write(item, NAMES), NAMES) == item
        with pytest.raises(TTLVError, match="nested"):
            read(write((Tag.BATCH_ITEM, STRUCTURE, [item]), NAMES), NAMES)


def test_text_that_xml_cannot_hold_is_an_error_of_the_encoder() -> None:
    with pytest.raises(TTLVError, match="characters"):
        xml.encode((Tag.COMMENT, TEXT_STRING, "a\x00b"), NAMES)
    item: Item = (Tag.COMMENT, TEXT_STRING, "a\x00b")
    assert json.decode(json.encode(item, NAMES), NAMES) == item


def test_the_committees_wire_forms(shared: Path) -> None:
    """The JSON of the published cases is the TTLV that stands beside it."""
    found = 0
    for path in sorted((shared / "oasis" / "hex" / "msgenc").glob("MSGENC-JSON-*")):
        text = path.read_text()
        for part in text.split("@@ # TIME")[1:]:
            start = part.find("{")
            if start < 0:
                continue
            body = part[start:].split("@@")[0]
            item = json.decode(body.encode(), NAMES)
            assert item[0] == Tag.REQUEST_MESSAGE
            assert json.decode(json.encode(item, NAMES), NAMES) == item
            found += 1
    assert found
