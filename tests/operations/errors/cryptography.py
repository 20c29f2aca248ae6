"""Errors of the cryptographic operations."""

from __future__ import annotations

from kmipsrv.spec.enums import ObjectType
from kmipsrv.spec.enums import Operation as O  # noqa: N817
from kmipsrv.spec.enums import ResultReason as R
from kmipsrv.spec.tags import Tag
from kmipsrv.ttlv.codec import (
    BYTE_STRING,
    Item,
)
from tests.harness import uid_item
from tests.operations.cryptography import KEY, data, parameters
from tests.operations.errors.table import (
    half,
    row,
    send,
)
from tests.operations.requests import (
    ECB,
    PKCS1_SHA256,
)

# Cryptography
_STREAM: Item = (Tag.CORRELATION_VALUE, BYTE_STRING, b"nobody's")
for each in (O.ENCRYPT, O.DECRYPT, O.SIGN, O.SIGNATURE_VERIFY, O.MAC, O.MAC_VERIFY, O.HASH):
    head: list[Item] = [(Tag.DATA, BYTE_STRING, b"data")]
    row(
        each,
        "no such stream",
        R.ITEM_NOT_FOUND,
        R.INVALID_CORRELATION_VALUE,
        send(each, lambda b, h=tuple(head): [*h, _STREAM]),  # type: ignore[misc]
    )
UNPADDED = parameters(block_cipher_mode=2)
row(
    O.ENCRYPT,
    "half a block",
    R.CRYPTOGRAPHIC_FAILURE,
    R.CRYPTOGRAPHIC_FAILURE,
    send(O.ENCRYPT, lambda b: [uid_item(b.key), UNPADDED, data(b"half")]),
)
row(
    O.DECRYPT,
    "half a block",
    R.CRYPTOGRAPHIC_FAILURE,
    R.CRYPTOGRAPHIC_FAILURE,
    send(O.DECRYPT, lambda b: [uid_item(b.key), ECB, data(b"half")]),
)

WITH_A_HASH = parameters(block_cipher_mode=2, padding_method=3, hashing_algorithm=6)
WRONGLY_PADDED = parameters(block_cipher_mode=2, padding_method=2)
for each in (O.ENCRYPT, O.DECRYPT):
    row(
        each,
        "a hash for a cipher",
        None,
        R.UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS,
        send(each, lambda b: [uid_item(b.key), WITH_A_HASH, data(KEY)]),
    )
    row(
        each,
        "padded as RSA is",
        None,
        R.BAD_CRYPTOGRAPHIC_PARAMETERS,
        send(each, lambda b: [uid_item(b.key), WRONGLY_PADDED, data(KEY)]),
    )
MAC_DATA: Item = (Tag.MAC_DATA, BYTE_STRING, bytes(32))
SIGNATURE: Item = (Tag.SIGNATURE_DATA, BYTE_STRING, bytes(256))
for each, given in ((O.MAC, []), (O.MAC_VERIFY, [MAC_DATA])):
    row(
        each,
        "an AES key and no mode",
        None,
        R.BAD_CRYPTOGRAPHIC_PARAMETERS,
        send(each, lambda b, g=tuple(given): [uid_item(b.key), data(b"data"), *g]),  # type: ignore[misc]
    )
for each, kind, given in (
    (O.SIGN, ObjectType.PRIVATE_KEY, []),
    (O.SIGNATURE_VERIFY, ObjectType.PUBLIC_KEY, [SIGNATURE]),
):
    for what, reason, wrong in (
        (
            "a cipher's mode",
            R.UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS,
            [parameters(block_cipher_mode=1), data(b"data")],
        ),
        (
            "a digest of the wrong length",
            R.BAD_CRYPTOGRAPHIC_PARAMETERS,
            [PKCS1_SHA256, (Tag.DIGESTED_DATA, BYTE_STRING, b"short")],
        ),
    ):
        row(
            each,
            what,
            None,
            reason,
            send(each, lambda b, k=kind, g=(*wrong, *given): [uid_item(half(b, k)), *g]),  # type: ignore[misc]
        )
