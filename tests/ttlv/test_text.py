"""The pretty-printer: complete, and silent about secrets unless asked."""

from __future__ import annotations

from kmipsrv.spec.names import NAMES
from kmipsrv.spec.tags import Tag
from kmipsrv.ttlv.codec import BYTE_STRING, ENUMERATION, INTEGER, STRUCTURE, TEXT_STRING, Item
from kmipsrv.ttlv.text import pretty

MATERIAL = bytes(range(16))
REQUEST: Item = (
    Tag.REQUEST_MESSAGE,
    STRUCTURE,
    [
        (
            Tag.CREDENTIAL_VALUE,
            STRUCTURE,
            [(Tag.USERNAME, TEXT_STRING, "Fred"), (Tag.PASSWORD, TEXT_STRING, "password1")],
        ),
        (Tag.KEY_VALUE, STRUCTURE, [(Tag.KEY_MATERIAL, STRUCTURE, [(Tag.KEY, BYTE_STRING, MATERIAL)])]),
        (Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, 12),
        (Tag.OBJECT_TYPE, ENUMERATION, 2),
        (Tag.COMMENT, TEXT_STRING, 'a"\x1b[2J'),
        (0x540001, INTEGER, -1),
    ],
)


def test_secrets_are_hidden() -> None:
    shown = pretty(REQUEST, NAMES)
    assert MATERIAL.hex() not in shown
    assert "password1" not in shown
    assert shown.splitlines() == [
        "RequestMessage",
        "  CredentialValue",
        '    Username (TextString): "Fred"',
        "    Password (TextString): <hidden>",
        "  KeyValue",
        "    KeyMaterial",
        "      Key (ByteString): <16 bytes hidden>",
        "  CryptographicUsageMask (Integer): Encrypt | Decrypt",
        "  ObjectType (Enumeration): SymmetricKey",
        '  Comment (TextString): "a\\"\\x1b[2J"',
        "  0x540001 (Integer): -1",
    ]


def test_secrets_are_shown_when_asked_for() -> None:
    shown = pretty(REQUEST, NAMES, show_secrets=True)
    assert MATERIAL.hex() in shown
    assert '"password1"' in shown
