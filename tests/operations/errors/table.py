"""The table's form, and how an error is provoked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kmipsrv.spec.enums import CryptographicAlgorithm as A
from kmipsrv.spec.enums import KeyFormatType, ObjectType
from kmipsrv.spec.enums import Operation as O  # noqa: N817
from kmipsrv.spec.enums import ResultReason as R
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V1_4
from kmipsrv.ttlv.codec import (
    ENUMERATION,
    INTEGER,
    LONG_INTEGER,
    STRUCTURE,
    Item,
)
from tests.harness import attribute_1x, name_value, uid_item
from tests.operations.cryptography import ACTIVE, KEY, block
from tests.operations.requests import (
    ALL,
    Bench,
    private_pkcs1,
    public_pkcs1,
)

Provoke = Callable[[Bench], R]


@dataclass(frozen=True)
class Row:
    """One way to an error. A reason that is None: those versions have no such row, or another way to it."""

    operation: O
    what: str
    classic: R | None
    modern: R | None
    provoke: Provoke

    def __str__(self) -> str:
        return f"{self.operation.camel}: {self.what}"


ROWS: list[Row] = []
LIMIT = 5  # Settings.attribute_instances and maximum_split_key_parts of the test's server


def row(operation: O, what: str, classic: R | None, modern: R | None, provoke: Provoke) -> None:
    ROWS.append(Row(operation, what, classic, modern, provoke))


def on(operation: O, of: Callable[[Bench], str], *more: Item) -> Provoke:
    """The operation on this object."""
    return lambda b: b.on(operation, of(b), *more)


def send(operation: O, payload: Callable[[Bench], list[Item]]) -> Provoke:
    """The operation with this payload."""
    return lambda b: b.refused(operation, *payload(b))


# -------------------------------------------------------------------------------------------------------- objects


def half(b: Bench, kind: ObjectType, *, active: bool = True, mask: int = int(ALL)) -> str:
    """A half of an RSA key pair that is linked to nothing."""
    material = private_pkcs1() if kind is ObjectType.PRIVATE_KEY else public_pkcs1()
    return registered(b, kind, block(KeyFormatType.PKCS_1, material, A.RSA, 2048), active=active, mask=mask)


def hmac_key(b: Bench, *, active: bool = True, mask: int = int(ALL)) -> str:
    body = block(KeyFormatType.RAW, bytes(32), A.HMAC_SHA256, 256)
    return registered(b, ObjectType.SYMMETRIC_KEY, body, active=active, mask=mask)


def registered(
    b: Bench, kind: ObjectType, body: list[Item], *more: Item, active: bool = True, mask: int = int(ALL)
) -> str:
    given = b.client.attributes((Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, mask), *([ACTIVE] if active else []), *more)
    payload = [(Tag.OBJECT_TYPE, ENUMERATION, int(kind)), given, (Tag[kind.name], STRUCTURE, body)]
    return b.client.ok(O.REGISTER, *payload).uid


def template(b: Bench, name: str = "template", *, archived: bool = False) -> str:
    """A Template object, made by a client of 1.4."""
    client = b.client.at(V1_4)
    content = [attribute_1x(Tag.CRYPTOGRAPHIC_ALGORITHM, ENUMERATION, 3)]
    given = client.attributes((Tag.NAME, STRUCTURE, name_value(name)))
    uid = client.ok(O.REGISTER, (Tag.OBJECT_TYPE, ENUMERATION, 6), given, (Tag.TEMPLATE, STRUCTURE, content)).uid
    if archived:
        client.ok(O.ARCHIVE, uid_item(uid))
    return uid


def limited(b: Bench) -> str:
    """A key with one use left."""
    limits: Item = (
        Tag.USAGE_LIMITS,
        STRUCTURE,
        [(Tag.USAGE_LIMITS_TOTAL, LONG_INTEGER, 1), (Tag.USAGE_LIMITS_UNIT, ENUMERATION, 2)],
    )
    return b.client.register_key(KEY, ACTIVE, limits, mask=int(ALL))
