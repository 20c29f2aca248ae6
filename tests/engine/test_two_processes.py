"""What is read in order to be changed, by two worker processes at once: each counts what the other has counted.

The second process comes in between the first one's reading and its writing. Either it has to wait, which here it does not
do for long, or the first reads again what the second has left.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kmipsrv.domain import ticket as tickets
from kmipsrv.domain.ports import Keyring, Work
from kmipsrv.domain.ticket import Ticket as Kept
from kmipsrv.engine.engine import Engine
from kmipsrv.errors import KmipError, StoreConflict
from kmipsrv.identity import one_time
from kmipsrv.identity.authenticator import FREE_FAILURES, CredentialAuthenticator, HashedPassword, User
from kmipsrv.spec.enums import CancellationResult, CredentialType, HashingAlgorithm, Operation, ResultStatus, TicketType
from kmipsrv.spec.structures import Credential, CredentialValue, Ticket
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V2_1
from kmipsrv.ttlv.codec import BYTE_STRING, ENUMERATION, INTEGER, STRUCTURE, TEXT_STRING, Item
from tests.harness import ALICE, Client, Clock, make_engine

SEED = b"12345678901234567890"
HASHED = HashedPassword.of(HashingAlgorithm.SHA_256, "hashed", "pw")
USERS = [User("otp", owner="otp", seed=SEED), User("hashed", owner="hashed", hashed=HASHED)]
VALUE = bytes(tickets.SIZE)
Meanwhile = Callable[[], None]


class Interrupted:
    """A transaction: each time it has read records, somebody else gets his turn."""

    def __init__(self, real: Work, meanwhile: Meanwhile) -> None:
        self._real = real
        self._meanwhile = meanwhile

    def read(self, kind: str, key: str) -> bytes | None:
        found = self._real.read(kind, key)
        self._meanwhile()
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class InterruptedStore:
    """A store all of whose transactions are interrupted while there is a `meanwhile`."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self.meanwhile: Meanwhile = lambda: None

    @contextmanager
    def work(self) -> Iterator[Any]:
        with self._real.work() as work:
            yield Interrupted(work, lambda: self.meanwhile())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


Pair = tuple[Engine, Engine, InterruptedStore]


@pytest.fixture
def pair(tmp_path: Path, keyring: Keyring, clock: Clock) -> Iterator[Pair]:
    """The interrupted process, the one that interrupts it, and the former's store."""
    first, second = make_engine(tmp_path, keyring, clock), make_engine(tmp_path, keyring, clock)
    second.store._connection.execute("PRAGMA busy_timeout = 10").fetchall()  # type: ignore[attr-defined]
    interrupted = InterruptedStore(first.store)
    first.store = interrupted
    yield first, second, interrupted
    interrupted.close()
    second.store.close()


def tries(pair: Pair, attempt: Callable[[Engine], object]) -> int:
    """How often `attempt` succeeds where both processes make it once, the second between the first one's steps."""
    first, second, store = pair
    done = []

    def make(engine: Engine) -> None:
        try:
            attempt(engine)
        except StoreConflict:
            return
        except KmipError:
            done.append(False)
            return
        done.append(True)

    def meanwhile() -> None:
        if not done:
            make(second)

    store.meanwhile = meanwhile
    make(first)
    if len(done) == 1:
        make(second)  # it had to wait
    assert len(done) == 2
    return sum(done)


def authenticate(now: int, kind: CredentialType, **values: Any) -> Callable[[Engine], object]:
    authenticator = CredentialAuthenticator(USERS, [], bytes(32))
    given = [Credential(credential_type=kind, credential_value=CredentialValue(**values))]

    def attempt(engine: Engine) -> object:
        refused = None
        with engine.store.work() as work:
            try:
                return authenticator.authenticate(work, ALICE, given, now, None)
            except StoreConflict:
                raise
            except KmipError as error:
                refused = error  # what it has counted stays
        raise refused

    return attempt


def keep_ticket(pair: Pair, now: int, *, requests: int | None = None, operations: int | None = None) -> None:
    with pair[1].store.work() as work:
        tickets.keep(work, VALUE, Kept(ALICE.owner, "", "", "", requests, operations, now + 100))


def test_the_last_request_of_a_ticket_is_one(pair: Pair, clock: Clock) -> None:
    keep_ticket(pair, clock.now, requests=1)
    shown = Ticket(ticket_type=TicketType.LOGIN, ticket_value=VALUE)
    assert tries(pair, authenticate(clock.now, CredentialType.TICKET, ticket=shown)) == 1


def test_the_last_operation_of_a_ticket_is_one(pair: Pair, clock: Clock) -> None:
    keep_ticket(pair, clock.now, operations=1)

    def attempt(engine: Engine) -> None:
        with engine.store.work() as work:
            tickets.count_operation(work, VALUE)

    assert tries(pair, attempt) == 1


def test_a_one_time_password_is_good_once(pair: Pair, clock: Clock) -> None:
    code = one_time.password(SEED, clock.now // one_time.STEP)
    attempt = authenticate(clock.now, CredentialType.ONE_TIME_PASSWORD, username="otp", one_time_password=code)
    assert tries(pair, attempt) == 1


def test_a_hashed_password_is_good_once(pair: Pair, clock: Clock) -> None:
    stamp = clock.now * 1_000_000
    octets = hashlib.sha256(HASHED.s1 + stamp.to_bytes(8, "big")).digest() + HASHED.s2
    attempt = authenticate(
        clock.now,
        CredentialType.HASHED_PASSWORD,
        username="hashed",
        timestamp=stamp,
        hashing_algorithm=HashingAlgorithm.SHA_256,
        hashed_password=octets,
    )
    assert tries(pair, attempt) == 1


def test_every_failure_is_counted(pair: Pair, clock: Clock) -> None:
    wrong = authenticate(clock.now, CredentialType.ONE_TIME_PASSWORD, username="otp", one_time_password="1")
    for _ in range(FREE_FAILURES - 2):
        with pytest.raises(KmipError):
            wrong(pair[1])
    assert tries(pair, wrong) == 0
    pair[2].meanwhile = lambda: None
    right = one_time.password(SEED, clock.now // one_time.STEP)
    with pytest.raises(KmipError, match="wait a while"):
        authenticate(clock.now, CredentialType.ONE_TIME_PASSWORD, username="otp", one_time_password=right)(pair[0])


def test_what_is_canceled_is_not_done(pair: Pair) -> None:
    first, second, store = pair
    client, other = Client(first, V2_1), Client(second, V2_1)
    pending = client.batch([(Operation.CREATE, key())], (Tag.ASYNCHRONOUS_INDICATOR, ENUMERATION, 1))[0]
    assert pending.status is ResultStatus.OPERATION_PENDING
    (value,) = _correlations(client)
    done: list[ResultStatus | None] = []

    def meanwhile() -> None:
        store.meanwhile = lambda: None
        try:
            done.append(other.call(Operation.POLL, value).status)
        except StoreConflict:
            done.append(None)

    store.meanwhile = meanwhile
    result = client.ok(Operation.CANCEL, value).one(Tag.CANCELLATION_RESULT)
    assert done
    canceled = result == CancellationResult.CANCELED
    assert len(client.locate()) == (0 if canceled else 1)
    assert canceled == (done == [None])


def _correlations(client: Client) -> list[Item]:
    found = client.ok(Operation.QUERY_ASYNCHRONOUS_REQUESTS).values(Tag.ASYNCHRONOUS_REQUEST)
    return [
        (Tag.ASYNCHRONOUS_CORRELATION_VALUE, BYTE_STRING, value)
        for request in found
        for tag, _, value in request
        if tag == Tag.ASYNCHRONOUS_CORRELATION_VALUE
    ]


def test_everybody_gets_another_member_of_a_group(pair: Pair, clock: Clock) -> None:
    members = set()
    for _ in range(2):
        members.add(Client(pair[1], V2_1).ok(Operation.CREATE, *key((Tag.OBJECT_GROUP, TEXT_STRING, "g"))).uid)
        clock.advance(1)
    served = []
    terms: list[Item] = [
        (Tag.OBJECT_GROUP_MEMBER, ENUMERATION, 2),
        (Tag.ATTRIBUTES, STRUCTURE, [(Tag.OBJECT_GROUP, TEXT_STRING, "g")]),
    ]
    assert set(Client(pair[0], V2_1).locate(*terms[1][2])) == members  # and the process's first tidying is done
    tries(pair, lambda engine: served.append(Client(engine, V2_1).ok(Operation.LOCATE, *terms).uid))
    assert set(served) == members


def key(*attributes: Item) -> list[Item]:
    described: list[Item] = [
        (Tag.CRYPTOGRAPHIC_ALGORITHM, ENUMERATION, 3),
        (Tag.CRYPTOGRAPHIC_LENGTH, INTEGER, 256),
        (Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, 12),
        *attributes,
    ]
    return [(Tag.OBJECT_TYPE, ENUMERATION, 2), (Tag.ATTRIBUTES, STRUCTURE, described)]
