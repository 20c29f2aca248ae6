"""Two engines on one store, as two worker processes have them: the one that is overtaken begins its group again."""

from __future__ import annotations

from pathlib import Path

from kmipsrv.domain.binding import Binding
from kmipsrv.domain.grant import Grant
from kmipsrv.domain.ports import Keyring
from kmipsrv.engine.call import Call, Peer
from kmipsrv.spec.enums import Operation, ResultStatus
from kmipsrv.spec.tags import Tag
from kmipsrv.ttlv.codec import BYTE_STRING, ENUMERATION, INTEGER, decode
from tests.harness import ALICE, Client, Clock, make_engine, uid_item


class Overtaken:
    """A keyring: when it opens an object for the first time, somebody else gets it meanwhile, and it is Fresh no longer."""

    def __init__(self, real: Keyring) -> None:
        self.real = real
        self.other: Client | None = None
        self.fresh = ""
        self.opened = 0

    def seal(self, plaintext: bytes, binding: Binding) -> bytes:
        return self.real.seal(plaintext, binding)

    def open(self, sealed: bytes, binding: Binding, grant: Grant) -> bytes:
        self.opened += binding.unique_identifier == self.fresh
        if self.other is not None and binding.unique_identifier == self.fresh and self.opened == 1:
            self.other.ok(Operation.GET, uid_item(self.fresh))
        return self.real.open(sealed, binding, grant)

    def reseal(self, sealed: bytes, old: Binding, new: Binding) -> bytes:
        return self.real.reseal(sealed, old, new)


def test_a_group_begins_again_and_nothing_is_done_twice(tmp_path: Path, keyring: Keyring, clock: Clock) -> None:
    overtaken = Overtaken(keyring)
    first, second = make_engine(tmp_path, overtaken, clock), make_engine(tmp_path, keyring, clock)
    client, overtaken.other = Client(first), Client(second)
    overtaken.fresh = fresh = client.create()
    clock.advance(1)
    requests = [
        client.frame([(Operation.GET, [uid_item(fresh)])]),
        client.frame([(Operation.CREATE, create_payload(client))]),
    ]
    answers = first.answer([Call(frame, Peer(ALICE, "127.0.0.1")) for frame in requests])
    assert overtaken.opened == 2
    for answer in answers:
        assert answer is not None
        _, _, (_, (_, _, item)) = decode(answer)
        assert {tag: value for tag, _, value in item}[Tag.RESULT_STATUS] == ResultStatus.SUCCESS
    assert len(client.locate()) == 2
    first.store.close()
    second.store.close()


def create_payload(client: Client) -> list[tuple[int, int, object]]:
    wanted = client.attributes(
        (Tag.CRYPTOGRAPHIC_ALGORITHM, ENUMERATION, 3),
        (Tag.CRYPTOGRAPHIC_LENGTH, INTEGER, 256),
        (Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, 12),
    )
    return [(Tag.OBJECT_TYPE, ENUMERATION, 2), wanted]


def test_the_streams_of_a_group_that_begins_again_are_over(tmp_path: Path, keyring: Keyring, clock: Clock) -> None:
    """Their parts cannot be taken back: a part that is repeated must not be counted twice."""
    overtaken = Overtaken(keyring)
    first, second = make_engine(tmp_path, overtaken, clock), make_engine(tmp_path, keyring, clock)
    client, overtaken.other = Client(first), Client(second)
    overtaken.fresh = fresh = client.create()
    begun = client.ok(Operation.HASH, hashing(), data(b"one"), (Tag.INIT_INDICATOR, 6, True))
    correlation = Tag.CORRELATION_VALUE, BYTE_STRING, begun.one(Tag.CORRELATION_VALUE)
    requests = [
        client.frame([(Operation.HASH, [hashing(), data(b"two"), correlation])]),
        client.frame([(Operation.GET, [uid_item(fresh)])]),
    ]
    first.answer([Call(frame, Peer(ALICE, "127.0.0.1")) for frame in requests])
    assert overtaken.opened == 2
    assert len(first.dispatcher.streams) == 0
    first.store.close()
    second.store.close()


def hashing() -> tuple[int, int, object]:
    return Tag.CRYPTOGRAPHIC_PARAMETERS, 1, [(Tag.HASHING_ALGORITHM, ENUMERATION, 6)]


def data(octets: bytes) -> tuple[int, int, object]:
    return Tag.DATA, BYTE_STRING, octets
