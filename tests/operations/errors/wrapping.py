"""Errors of Import, Get and Export."""

from __future__ import annotations

from collections.abc import Callable

from kmipsrv.spec.enums import KeyFormatType, ObjectType
from kmipsrv.spec.enums import Operation as O  # noqa: N817
from kmipsrv.spec.enums import ResultReason as R
from kmipsrv.spec.tags import Tag
from kmipsrv.ttlv.codec import (
    ENUMERATION,
    INTEGER,
    STRUCTURE,
    TEXT_STRING,
    Item,
)
from tests.harness import uid_item
from tests.operations.cryptography import ACTIVE, KEY, parameters
from tests.operations.errors.making import (
    importing,
    making,
)
from tests.operations.errors.table import (
    Provoke,
    hmac_key,
    on,
    registered,
    row,
)
from tests.operations.requests import (
    ALL,
    HMAC_SHA256,
    Bench,
)

# Import, Get, Export


def existing(b: Bench) -> R:
    return b.refused(O.IMPORT, *importing(b.client, b.key))


row(O.IMPORT, "an identifier that is taken", R.OBJECT_ALREADY_EXISTS, R.OBJECT_ALREADY_EXISTS, existing)
row(
    O.IMPORT,
    "an attribute of the server's vendor",
    None,
    R.ATTRIBUTE_READ_ONLY,
    making(
        O.IMPORT,
        (
            Tag.ATTRIBUTE,
            STRUCTURE,
            [
                (Tag.VENDOR_IDENTIFICATION, TEXT_STRING, "y"),
                (Tag.ATTRIBUTE_NAME, TEXT_STRING, "mine"),
                (Tag.ATTRIBUTE_VALUE, INTEGER, 1),
            ],
        ),
    ),
)


def wrapping(uid: str, *more: Item, method: int = 1) -> Item:
    """Key Wrapping Specification; 1 Encrypt, 2 MAC/sign."""
    tag = Tag.ENCRYPTION_KEY_INFORMATION if method == 1 else Tag.MAC_SIGNATURE_KEY_INFORMATION
    information: list[Item] = [uid_item(uid), *(each for each in more if each[0] == Tag.CRYPTOGRAPHIC_PARAMETERS)]
    rest = [each for each in more if each[0] != Tag.CRYPTOGRAPHIC_PARAMETERS]
    fields = [(Tag.WRAPPING_METHOD, ENUMERATION, method), (tag, STRUCTURE, information), *rest]
    return Tag.KEY_WRAPPING_SPECIFICATION, STRUCTURE, fields


def wrapped_by(operation: O, of: Callable[[Bench], str], *more: Item, method: int = 1) -> Provoke:
    return lambda b: b.on(operation, b.key, wrapping(of(b), *more, method=method))


for each in (O.GET, O.EXPORT):
    row(
        each,
        "no Key Value to wrap",
        None,
        R.KEY_VALUE_NOT_PRESENT,
        lambda b, o=each: b.on(o, b.absent, wrapping(b.key)),  # type: ignore[misc]
    )
    row(each, "no wrapping key", R.ITEM_NOT_FOUND, R.WRAPPING_OBJECT_NOT_FOUND, wrapped_by(each, lambda b: "none"))
    away = R.WRAPPING_OBJECT_ARCHIVED
    row(each, "an archived wrapping key", None, away, wrapped_by(each, lambda b: b.archived))
    gone = R.WRAPPING_OBJECT_DESTROYED
    row(each, "a destroyed wrapping key", None, gone, wrapped_by(each, lambda b: b.destroyed))
    row(each, "wrapped by no key", R.ILLEGAL_OPERATION, R.INVALID_OBJECT_TYPE, wrapped_by(each, lambda b: b.opaque))
    forbidden = R.INCOMPATIBLE_CRYPTOGRAPHIC_USAGE_MASK
    row(each, "a key that may not wrap", R.PERMISSION_DENIED, forbidden, wrapped_by(each, lambda b: b.idle))
    row(
        each,
        "a key that may not authenticate",
        R.PERMISSION_DENIED,
        forbidden,
        wrapped_by(each, lambda b: hmac_key(b, mask=0), HMAC_SHA256, method=2),
    )
    row(
        each,
        "wrapping parameters that are none",
        R.ITEM_NOT_FOUND,
        R.BAD_CRYPTOGRAPHIC_PARAMETERS,
        wrapped_by(each, lambda b: b.key, parameters(block_cipher_mode=9)),
    )
    row(
        each,
        "attributes and no encoding",
        R.ENCODING_OPTION_ERROR,
        R.ENCODING_OPTION_ERROR,
        lambda b, o=each: b.on(  # type: ignore[misc]
            o,
            b.key,
            wrapping(
                b.key,
                (Tag.ATTRIBUTE_NAME, TEXT_STRING, "Object Group"),
                (Tag.ENCODING_OPTION, ENUMERATION, 1),
            ),
        ),
    )
    form: Item = (Tag.KEY_FORMAT_TYPE, ENUMERATION, int(KeyFormatType.PKCS_1))
    unformed = R.KEY_FORMAT_TYPE_NOT_SUPPORTED
    row(each, "a form the key has not", unformed, unformed, on(each, lambda b: b.key, form))
    pressed: Item = (Tag.KEY_COMPRESSION_TYPE, ENUMERATION, 2)
    loose = R.KEY_COMPRESSION_TYPE_NOT_SUPPORTED
    row(each, "a compressed AES key", loose, loose, on(each, lambda b: b.key, pressed))


def rewrapped(b: Bench) -> str:
    """A key that was registered wrapped."""
    own: Item = parameters(block_cipher_mode=13)  # NIST Key Wrap
    wrapper = b.client.register_key(KEY, ACTIVE, own, mask=int(ALL))
    block_of = b.client.ok(O.GET, uid_item(b.key), wrapping(wrapper)).one(Tag.SYMMETRIC_KEY)
    return registered(b, ObjectType.SYMMETRIC_KEY, block_of)


for each in (O.GET, O.EXPORT):
    row(
        each,
        "as registered and wrapped anew",
        None,
        R.KEY_WRAP_TYPE_NOT_SUPPORTED,
        lambda b, o=each: b.on(o, rewrapped(b), wrapping(b.key), (Tag.KEY_WRAP_TYPE, ENUMERATION, 2)),  # type: ignore[misc]
    )
row(
    O.GET,
    "Sensitive",
    R.SENSITIVE,
    R.SENSITIVE,
    on(O.GET, lambda b: b.client.create((Tag.SENSITIVE, 6, True))),
)
row(
    O.GET,
    "not Extractable",
    R.NOT_EXTRACTABLE,
    R.NOT_EXTRACTABLE,
    on(O.GET, lambda b: b.client.create((Tag.EXTRACTABLE, 6, False))),
)
