"""Two engines on one store, as two worker processes have them: the one that is overtaken begins its group again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kmipsrv.domain.binding import Binding
from kmipsrv.domain.grant import Grant
from kmipsrv.domain.ports import Keyring
from kmipsrv.engine.call import Call, Peer
from kmipsrv.errors import StoreConflict
from kmipsrv.spec.enums import Operation, ResultStatus
from kmipsrv.spec.tags import Tag
from kmipsrv.ttlv.codec import BYTE_STRING, ENUMERATION, INTEGER, Item, decode
from tests.harness import ALICE, Client, Clock, make_engine, uid_item


class Overtaken:
    """A keyring: whenever it opens one certain object, somebody else does something meanwhile."""

    def __init__(self, real: Keyring) -> None:
        self.real = real
        self.meanwhile: Callable[[], None] = lambda: None
        self.fresh = ""
        self.opened = 0

    def seal(self, plaintext: bytes, binding: Binding) -> bytes:
        return self.real.seal(plaintext, binding)

    def open(self, sealed: bytes, binding: Binding, grant: Grant) -> bytes:
        if binding.unique_identifier == self.fresh:
            self.opened += 1
            self.meanwhile()
        return self.real.open(sealed, binding, grant)

    def reseal(self, sealed: bytes, old: Binding, new: Binding) -> bytes:
        return self.real.reseal(sealed, old, new)


@pytest.fixture
def engines(tmp_path: Path, keyring: Keyring, clock: Clock) -> Iterator[tuple[Client, Client, Overtaken]]:
    """Two clients of two engines on one store; the second engine does not wait long for the first."""
    overtaken = Overtaken(keyring)
    first, second = make_engine(tmp_path, overtaken, clock), make_engine(tmp_path, keyring, clock)
    second.store._connection.execute("PRAGMA busy_timeout = 10").fetchall()  # type: ignore[attr-defined]
    client = Client(first)
    overtaken.fresh = client.create()
    yield client, Client(second), overtaken
    first.store.close()
    second.store.close()


def test_a_group_begins_again_and_nothing_is_done_twice(engines: tuple[Client, Client, Overtaken]) -> None:
    client, other, overtaken = engines
    kept: list[bool] = []

    def meanwhile() -> None:
        """Somebody else would get the object, which then is Fresh no longer, and would make another."""
        try:
            other.ok(Operation.GET, uid_item(overtaken.fresh))
            other.create()
            kept.append(True)
        except StoreConflict:
            kept.append(False)

    overtaken.meanwhile = meanwhile
    requests = [client.frame(get(overtaken.fresh)), client.frame([(Operation.CREATE, create_payload(client))])]
    answers = client.engine.answer([Call(frame, Peer(ALICE, "127.0.0.1")) for frame in requests])
    for answer in answers:
        assert answer is not None
        _, _, (_, (_, _, item)) = decode(answer)
        assert {tag: value for tag, _, value in item}[Tag.RESULT_STATUS] == ResultStatus.SUCCESS
    assert kept == [True, False], "overtaken once; then the others wait"
    assert len(client.locate()) == 3


def create_payload(client: Client) -> list[tuple[int, int, object]]:
    wanted = client.attributes(
        (Tag.CRYPTOGRAPHIC_ALGORITHM, ENUMERATION, 3),
        (Tag.CRYPTOGRAPHIC_LENGTH, INTEGER, 256),
        (Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, 12),
    )
    return [(Tag.OBJECT_TYPE, ENUMERATION, 2), wanted]


def test_streams_outlive_what_overtakes_others(engines: tuple[Client, Client, Overtaken]) -> None:
    """A part of a stream cannot be taken back: no call beside it may make the group begin again."""
    client, other, overtaken = engines
    begun = client.ok(Operation.HASH, hashing(), data(b"one"), (Tag.INIT_INDICATOR, 6, True))
    correlation = Tag.CORRELATION_VALUE, BYTE_STRING, begun.one(Tag.CORRELATION_VALUE)
    kept: list[bool] = []

    def meanwhile() -> None:
        with pytest.raises(StoreConflict):
            other.ok(Operation.GET, uid_item(overtaken.fresh))
        kept.append(False)

    overtaken.meanwhile = meanwhile
    requests = [
        client.frame([(Operation.HASH, [hashing(), data(b"two"), correlation])]),
        client.frame(get(overtaken.fresh)),
    ]
    client.engine.answer([Call(frame, Peer(ALICE, "127.0.0.1")) for frame in requests])
    assert kept == [False]
    ended = client.ok(Operation.HASH, hashing(), data(b"three"), correlation, (Tag.FINAL_INDICATOR, 6, True))
    assert ended.one(Tag.DATA) == hashlib.sha256(b"onetwothree").digest()


def get(uid: str) -> list[tuple[int, list[Item]]]:
    return [(Operation.GET, [uid_item(uid)])]


def hashing() -> tuple[int, int, object]:
    return Tag.CRYPTOGRAPHIC_PARAMETERS, 1, [(Tag.HASHING_ALGORITHM, ENUMERATION, 6)]


def data(octets: bytes) -> tuple[int, int, object]:
    return Tag.DATA, BYTE_STRING, octets
