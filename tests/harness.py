"""A whole engine in this process, on a real SoftHSM token and a real SQLite file, and a client that speaks items to it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kmipsrv.domain.identity import Identity
from kmipsrv.domain.ports import Keyring
from kmipsrv.domain.settings import Settings
from kmipsrv.engine.call import Call, Peer
from kmipsrv.engine.engine import Engine
from kmipsrv.engine.gating import open_gate
from kmipsrv.engine.ports import Authenticator, CertificateOnly
from kmipsrv.release.gate import GateSettings
from kmipsrv.spec.enums import BatchErrorContinuationOption, Operation, ResultReason, ResultStatus
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V2_0, V3_0, Version
from kmipsrv.store.sqlite import SQLiteStore
from kmipsrv.ttlv.codec import (
    BOOLEAN,
    BYTE_STRING,
    ENUMERATION,
    INTEGER,
    STRUCTURE,
    TEXT_STRING,
    Item,
    decode,
    encode,
)

ALICE = Identity(domain="default", name="CN=alice", owner="default:CN=alice", common_name="alice")
BOB = Identity(domain="default", name="CN=bob", owner="default:CN=bob", common_name="bob")


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: int = 1_800_000_000) -> None:
        self.now = now

    def __call__(self) -> float:
        return float(self.now)

    def advance(self, seconds: int) -> None:
        self.now += seconds


def make_engine(
    folder: Path,
    keyring: Keyring,
    clock: Clock,
    settings: Settings | None = None,
    authenticator: Authenticator | None = None,
    release: GateSettings | None = None,
) -> Engine:
    """An engine on `folder`/objects.db."""
    store = SQLiteStore(folder / "objects.db")
    return Engine(
        store=store,
        keyring=keyring,
        gate=open_gate(release or GateSettings(), store, keyring, os.urandom),
        settings=settings or Settings(),
        authenticator=authenticator or CertificateOnly(),
        clock=clock,
        random=os.urandom,
    )


@dataclass
class Answer:
    """One batch item of a response."""

    operation: Operation | None
    status: ResultStatus
    reason: ResultReason | None
    message: str | None
    payload: list[Item]
    batch_id: bytes | None

    def values(self, tag: Tag) -> list[Any]:
        return [value for found, _, value in self.payload if found == tag]

    def one(self, tag: Tag) -> Any:
        (value,) = self.values(tag)
        return value

    @property
    def uid(self) -> str:
        value = self.one(Tag.UNIQUE_IDENTIFIER)
        assert isinstance(value, str)
        return value

    def attributes(self) -> dict[str, Any]:
        """Get Attributes' answer by name, the first instance of each."""
        found: dict[str, Any] = {}
        for tag, _, value in self.payload:
            if tag == Tag.ATTRIBUTE:
                fields = {inner: content for inner, _, content in value}
                found.setdefault(fields[Tag.ATTRIBUTE_NAME], fields[Tag.ATTRIBUTE_VALUE])
            elif tag == Tag.ATTRIBUTES:
                for inner, _, content in value:
                    found.setdefault(Tag(inner).text, content)
        return found


@dataclass
class Client:
    """Speaks KMIP of one version to an engine as one identity."""

    engine: Engine
    version: Version = Version.V1_4
    identity: Identity = ALICE
    header: list[Item] = field(default_factory=list)
    public_key: bytes = b"the client's SubjectPublicKeyInfo"  # of its certificate
    extensions: list[Item] = field(default_factory=list)  # Message Extensions of every batch item

    def at(self, version: Version) -> Client:
        return replace(self, version=version)

    def as_(self, identity: Identity) -> Client:
        return replace(self, identity=identity)

    def frame(self, items: Sequence[tuple[int, list[Item]]], *header: Item) -> bytes:
        """The request message of these (operation, payload) batch items."""
        version = (
            Tag.PROTOCOL_VERSION,
            STRUCTURE,
            [
                (Tag.PROTOCOL_VERSION_MAJOR, INTEGER, self.version.major),
                (Tag.PROTOCOL_VERSION_MINOR, INTEGER, self.version.minor),
            ],
        )
        fields = [version, *self.header, *header]
        if self.version < V3_0:
            fields.append((Tag.BATCH_COUNT, INTEGER, len(items)))
        batch: list[Item] = []
        for number, (operation, payload) in enumerate(items):
            content: list[Item] = [(Tag.OPERATION, ENUMERATION, int(operation))]
            if len(items) > 1 and self.version < V3_0:
                content.append((Tag.UNIQUE_BATCH_ITEM_ID, BYTE_STRING, number.to_bytes(4, "big")))
            content.append((Tag.REQUEST_PAYLOAD, STRUCTURE, payload))
            content += self.extensions
            batch.append((Tag.BATCH_ITEM, STRUCTURE, content))
        return encode((Tag.REQUEST_MESSAGE, STRUCTURE, [(Tag.REQUEST_HEADER, STRUCTURE, fields), *batch]))

    def raw(self, frame: bytes) -> bytes | None:
        """What the engine answers to these bytes."""
        call = Call(frame, Peer(self.identity, "127.0.0.1", public_key=self.public_key))
        work = self.engine.prepare(call)
        if work is not None:
            call = replace(call, prepared=work())
        (answer,) = self.engine.answer([call])
        return answer

    def message(self, frame: bytes) -> tuple[list[Item], list[Answer]]:
        """-> (fields of the response header, answers)."""
        answer = self.raw(frame)
        assert answer is not None
        tag, _, (header, *items) = decode(answer)
        assert tag == Tag.RESPONSE_MESSAGE
        return header[2], [_answer(fields) for _, _, fields in items]

    def batch(self, items: Sequence[tuple[int, list[Item]]], *header: Item) -> list[Answer]:
        return self.message(self.frame(items, *header))[1]

    def call(self, operation: int, *payload: Item) -> Answer:
        """One operation's answer, whatever its status."""
        (answer,) = self.batch([(operation, list(payload))])
        return answer

    def ok(self, operation: int, *payload: Item) -> Answer:
        answer = self.call(operation, *payload)
        assert answer.status is ResultStatus.SUCCESS, (answer.reason, answer.message)
        return answer

    def refused(self, operation: int, *payload: Item) -> ResultReason:
        """The Result Reason of an operation that must fail."""
        answer = self.call(operation, *payload)
        assert answer.status is ResultStatus.OPERATION_FAILED, answer.payload
        assert answer.reason is not None
        return answer.reason

    # ------------------------------------------------------------------------------------------------ common requests

    def attributes(self, *attributes: Item, tag_1x: Tag = Tag.TEMPLATE_ATTRIBUTE) -> Item:
        """The Template-Attribute or Attributes of a request."""
        if self.version >= V2_0:
            wide = {
                Tag.TEMPLATE_ATTRIBUTE: Tag.ATTRIBUTES,
                Tag.COMMON_TEMPLATE_ATTRIBUTE: Tag.COMMON_ATTRIBUTES,
                Tag.PRIVATE_KEY_TEMPLATE_ATTRIBUTE: Tag.PRIVATE_KEY_ATTRIBUTES,
                Tag.PUBLIC_KEY_TEMPLATE_ATTRIBUTE: Tag.PUBLIC_KEY_ATTRIBUTES,
            }
            return wide[tag_1x], STRUCTURE, list(attributes)
        return tag_1x, STRUCTURE, [attribute_1x(*each) for each in attributes]

    def create(self, *attributes: Item, mask: int = 12, length: int = 256) -> str:
        """A new AES key's unique identifier."""
        given = [
            (Tag.CRYPTOGRAPHIC_ALGORITHM, ENUMERATION, 3),
            (Tag.CRYPTOGRAPHIC_LENGTH, INTEGER, length),
            (Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, mask),
            *attributes,
        ]
        return self.ok(Operation.CREATE, (Tag.OBJECT_TYPE, ENUMERATION, 2), self.attributes(*given)).uid

    def register_key(self, material: bytes, *attributes: Item, mask: int = 12) -> str:
        """A registered AES key's unique identifier."""
        return self.ok(Operation.REGISTER, *self.key(material, *attributes, mask=mask)).uid

    def key(self, material: bytes, *attributes: Item, mask: int = 12) -> list[Item]:
        """The payload of a Register of an AES key."""
        block: list[Item] = [
            (Tag.KEY_FORMAT_TYPE, ENUMERATION, 1),
            (Tag.KEY_VALUE, STRUCTURE, [(Tag.KEY_MATERIAL, BYTE_STRING, material)]),
            (Tag.CRYPTOGRAPHIC_ALGORITHM, ENUMERATION, 3),
            (Tag.CRYPTOGRAPHIC_LENGTH, INTEGER, 8 * len(material)),
        ]
        return [
            (Tag.OBJECT_TYPE, ENUMERATION, 2),
            self.attributes((Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, mask), *attributes),
            (Tag.SYMMETRIC_KEY, STRUCTURE, [(Tag.KEY_BLOCK, STRUCTURE, block)]),
        ]

    def state(self, uid: str) -> int:
        if self.version >= V2_0:
            wanted: Item = (Tag.ATTRIBUTE_REFERENCE, ENUMERATION, int(Tag.STATE))
        else:
            wanted = (Tag.ATTRIBUTE_NAME, TEXT_STRING, "State")
        value = self.ok(Operation.GET_ATTRIBUTES, uid_item(uid), wanted).attributes()["State"]
        assert isinstance(value, int)
        return value

    def locate(self, *terms: Item, more: Sequence[Item] = ()) -> list[str]:
        """Unique identifiers, in the order of the answer."""
        if self.version >= V2_0:
            payload: list[Item] = [(Tag.ATTRIBUTES, STRUCTURE, list(terms))]
        else:
            payload = [attribute_1x(*term) for term in terms]
        return self.ok(Operation.LOCATE, *more, *payload).values(Tag.UNIQUE_IDENTIFIER)


def uid_item(uid: str) -> Item:
    return Tag.UNIQUE_IDENTIFIER, TEXT_STRING, uid


def name_value(text: str) -> list[Item]:
    """The fields of a Name."""
    return [(Tag.NAME_VALUE, TEXT_STRING, text), (Tag.NAME_TYPE, ENUMERATION, 1)]


def attribute_1x(tag: int, kind: int, value: Any) -> Item:
    """An Attribute structure of 1.x."""
    return named_1x(Tag(tag).text, kind, value)


def named_1x(name: str, kind: int, value: Any) -> Item:
    return Tag.ATTRIBUTE, STRUCTURE, [(Tag.ATTRIBUTE_NAME, TEXT_STRING, name), (Tag.ATTRIBUTE_VALUE, kind, value)]


def vendor_attribute(vendor: str, name: str, kind: int, value: Any) -> Item:
    """An Attribute structure of 2.x."""
    return (
        Tag.ATTRIBUTE,
        STRUCTURE,
        [
            (Tag.VENDOR_IDENTIFICATION, TEXT_STRING, vendor),
            (Tag.ATTRIBUTE_NAME, TEXT_STRING, name),
            (Tag.ATTRIBUTE_VALUE, kind, value),
        ],
    )


def option(value: BatchErrorContinuationOption) -> Item:
    return Tag.BATCH_ERROR_CONTINUATION_OPTION, ENUMERATION, int(value)


def true(tag: Tag) -> Item:
    return tag, BOOLEAN, True


def _answer(fields: list[Item]) -> Answer:
    found = {tag: value for tag, _, value in fields}
    operation = found.get(Tag.OPERATION)
    reason = found.get(Tag.RESULT_REASON)
    return Answer(
        operation=Operation(operation) if operation in set(Operation) else None,
        status=ResultStatus(found[Tag.RESULT_STATUS]),
        reason=None if reason is None else ResultReason(reason),
        message=found.get(Tag.RESULT_MESSAGE),
        payload=found.get(Tag.RESPONSE_PAYLOAD, []),
        batch_id=found.get(Tag.UNIQUE_BATCH_ITEM_ID),
    )
