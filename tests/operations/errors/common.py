"""Errors that many operations have in common."""

from __future__ import annotations

from collections.abc import Callable

from kmipsrv.spec.enums import ObjectType
from kmipsrv.spec.enums import Operation as O  # noqa: N817
from kmipsrv.spec.enums import ResultReason as R
from kmipsrv.spec.tags import Tag
from kmipsrv.ttlv.codec import (
    INTEGER,
)
from tests.operations.errors.table import (
    half,
    hmac_key,
    on,
    row,
    template,
)
from tests.operations.requests import (
    PAYLOAD,
    Bench,
)

# 2.1 calls a missing object Item Not Found in these tables.
_ITEM_NOT_FOUND = (O.CERTIFY, O.CREATE_SPLIT_KEY, O.ADJUST_ATTRIBUTE)
for each in PAYLOAD:
    missing = R.ITEM_NOT_FOUND if each in _ITEM_NOT_FOUND else R.OBJECT_NOT_FOUND
    row(each, "no such object", R.ITEM_NOT_FOUND, missing, on(each, lambda b: "nobody's"))
    if each not in (O.RECOVER, O.GET_ATTRIBUTES, O.GET_ATTRIBUTE_LIST):
        row(each, "archived", R.OBJECT_ARCHIVED, R.OBJECT_ARCHIVED, on(each, lambda b: b.archived))

# An object of the wrong type; for 1.x the reasons differ from one operation to the next.
_WRONG_TYPE: dict[O, R] = {
    O.CERTIFY: R.PERMISSION_DENIED,
    O.CREATE_SPLIT_KEY: R.INVALID_FIELD,
    O.DECRYPT: R.PERMISSION_DENIED,
    O.DERIVE_KEY: R.INVALID_FIELD,
    O.ENCRYPT: R.PERMISSION_DENIED,
    O.GET_USAGE_ALLOCATION: R.ILLEGAL_OPERATION,
    O.JOIN_SPLIT_KEY: R.INVALID_FIELD,
    O.MAC: R.PERMISSION_DENIED,
    O.MAC_VERIFY: R.PERMISSION_DENIED,
    O.RE_CERTIFY: R.PERMISSION_DENIED,
    O.RE_KEY: R.PERMISSION_DENIED,
    O.RE_KEY_KEY_PAIR: R.PERMISSION_DENIED,
    O.SIGN: R.PERMISSION_DENIED,
    O.SIGNATURE_VERIFY: R.PERMISSION_DENIED,
    O.VALIDATE: R.INVALID_FIELD,
}
for each, classic in _WRONG_TYPE.items():
    row(each, "an opaque object", classic, R.INVALID_OBJECT_TYPE, on(each, lambda b: b.opaque))
for each in (O.ACTIVATE, O.REVOKE, O.CHECK):
    modern = R.ILLEGAL_OBJECT_TYPE if each is O.CHECK else R.INVALID_OBJECT_TYPE
    row(each, "a template", R.ILLEGAL_OPERATION, modern, on(each, template))
for each in (O.DERIVE_KEY, O.ENCRYPT, O.DECRYPT, O.RE_KEY):
    row(each, "no Key Value", R.KEY_VALUE_NOT_PRESENT, R.KEY_VALUE_NOT_PRESENT, on(each, lambda b: b.absent))

# The object is not in the state for it; 1.4 calls that Permission Denied, and of Derive Key Invalid Field.
_STATE: dict[O, Callable[[Bench], str]] = {
    O.ACTIVATE: lambda b: b.key,
    O.DECRYPT: lambda b: b.pre_active,
    O.DERIVE_KEY: lambda b: b.pre_active,
    O.DESTROY: lambda b: b.key,
    O.ENCRYPT: lambda b: b.pre_active,
    O.MAC: lambda b: hmac_key(b, active=False),
    O.MAC_VERIFY: lambda b: hmac_key(b, active=False),
    O.REVOKE: lambda b: b.pre_active,
    O.SIGN: lambda b: half(b, ObjectType.PRIVATE_KEY, active=False),
    O.SIGNATURE_VERIFY: lambda b: half(b, ObjectType.PUBLIC_KEY, active=False),
}
for each, of in _STATE.items():
    classic = R.INVALID_FIELD if each is O.DERIVE_KEY else R.PERMISSION_DENIED
    row(each, "in the wrong state", classic, R.WRONG_KEY_LIFECYCLE_STATE, on(each, of))

_MASK: dict[O, Callable[[Bench], str]] = {
    O.DERIVE_KEY: lambda b: b.idle,
    O.ENCRYPT: lambda b: b.idle,
    O.DECRYPT: lambda b: b.idle,
    O.MAC: lambda b: hmac_key(b, mask=0),
    O.MAC_VERIFY: lambda b: hmac_key(b, mask=0),
    O.SIGN: lambda b: half(b, ObjectType.PRIVATE_KEY, mask=0),
    O.SIGNATURE_VERIFY: lambda b: half(b, ObjectType.PUBLIC_KEY, mask=0),
}
for each, of in _MASK.items():
    classic = R.INVALID_FIELD if each is O.DERIVE_KEY else R.PERMISSION_DENIED
    row(each, "not permitted by the mask", classic, R.INCOMPATIBLE_CRYPTOGRAPHIC_USAGE_MASK, on(each, of))
row(
    O.CHECK,
    "not permitted by the mask",
    R.PERMISSION_DENIED,
    R.INCOMPATIBLE_CRYPTOGRAPHIC_USAGE_MASK,
    on(O.CHECK, lambda b: b.idle, (Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, 4)),
)
