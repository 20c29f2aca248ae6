"""Login, Delegated Login, Logout through the engine (KMIP 2.1 §§6.1.12, 6.1.30, 6.1.31)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kmipsrv.domain.ports import Keyring
from kmipsrv.engine.engine import Engine
from kmipsrv.identity.authenticator import CredentialAuthenticator, User
from kmipsrv.identity.password import hash_password
from kmipsrv.spec.enums import CredentialType, Operation, QueryFunction, ResultReason, ResultStatus, TicketType
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V1_4, V2_0, V2_1
from kmipsrv.ttlv.codec import (
    BOOLEAN,
    BYTE_STRING,
    DATE_TIME,
    ENUMERATION,
    INTEGER,
    INTERVAL,
    LONG_INTEGER,
    STRUCTURE,
    TEXT_STRING,
    Item,
)
from tests.harness import BOB, Client, Clock, make_engine, uid_item

USERS = [
    User("Fred", owner="Fred", record=hash_password("password1", b"f" * 16)),
    User("Barney", owner="Barney", record=hash_password("secret2", b"b" * 16)),
]
QUERY: Item = (Tag.QUERY_FUNCTION, ENUMERATION, int(QueryFunction.QUERY_OPERATIONS))
LENGTH: Item = (Tag.ATTRIBUTE_REFERENCE, ENUMERATION, int(Tag.CRYPTOGRAPHIC_LENGTH))


@pytest.fixture
def engine(tmp_path: Path, keyring: Keyring, clock: Clock) -> Iterator[Engine]:
    made = make_engine(tmp_path, keyring, clock, authenticator=CredentialAuthenticator(USERS, [], bytes(32)))
    yield made
    made.store.close()


@pytest.fixture
def alice(engine: Engine) -> Client:
    return Client(engine, V2_0)


def authentication(kind: CredentialType, *value: Item) -> Item:
    credential: list[Item] = [
        (Tag.CREDENTIAL_TYPE, ENUMERATION, int(kind)),
        (Tag.CREDENTIAL_VALUE, STRUCTURE, list(value)),
    ]
    return Tag.AUTHENTICATION, STRUCTURE, [(Tag.CREDENTIAL, STRUCTURE, credential)]


def with_ticket(client: Client, ticket: Item) -> Client:
    return replace(client, header=[authentication(CredentialType.TICKET, ticket)])


def with_password(client: Client, user: str, password: str) -> Client:
    value = (Tag.USERNAME, TEXT_STRING, user), (Tag.PASSWORD, TEXT_STRING, password)
    return replace(client, header=[authentication(CredentialType.USERNAME_AND_PASSWORD, *value)])


def login(client: Client, *limits: Item) -> Item:
    return Tag.TICKET, STRUCTURE, client.ok(Operation.LOGIN, *limits).one(Tag.TICKET)


def delegated(client: Client, *rights: Item, limits: tuple[Item, ...] = ()) -> Item:
    payload = *limits, (Tag.RIGHTS, STRUCTURE, list(rights))
    return Tag.TICKET, STRUCTURE, client.ok(Operation.DELEGATED_LOGIN, *payload).one(Tag.TICKET)


def right(*operations: Operation, objects: tuple[str, ...] = (), group: str = "") -> Item:
    fields: list[Item] = []
    if operations:
        fields.append((Tag.OPERATIONS, STRUCTURE, [(Tag.OPERATION, ENUMERATION, int(each)) for each in operations]))
    if objects:
        fields.append((Tag.OBJECTS, STRUCTURE, [uid_item(each) for each in objects]))
    if group:
        fields.append((Tag.OBJECT_GROUPS, STRUCTURE, [(Tag.OBJECT_GROUP, TEXT_STRING, group)]))
    return Tag.RIGHT, STRUCTURE, fields


def test_a_ticket_is_good_for_so_many_requests(alice: Client) -> None:
    ticket = login(alice, (Tag.LEASE_TIME, INTERVAL, 0), (Tag.REQUEST_COUNT, INTEGER, 2))
    assert {tag: value for tag, _, value in ticket[2]}[Tag.TICKET_TYPE] == TicketType.LOGIN
    holder = with_ticket(alice, ticket)
    holder.ok(Operation.QUERY, QUERY)
    holder.ok(Operation.QUERY, QUERY)
    answer = holder.call(Operation.QUERY, QUERY)  # the whole message is refused
    assert (answer.operation, answer.reason) == (None, ResultReason.USAGE_LIMIT_EXCEEDED)


def test_a_delegated_ticket_is_good_for_so_many_requests(alice: Client) -> None:
    holder = with_ticket(alice, delegated(alice, right(), limits=((Tag.REQUEST_COUNT, INTEGER, 1),)))
    holder.ok(Operation.QUERY, QUERY)
    answer = holder.call(Operation.QUERY, QUERY)
    assert (answer.operation, answer.reason) == (Operation.QUERY, ResultReason.USAGE_LIMIT_EXCEEDED)


def test_logout_ends_a_ticket(alice: Client) -> None:
    ticket = login(alice)
    holder = with_ticket(alice, ticket)
    assert holder.ok(Operation.LOGOUT, ticket).payload == []
    answer = holder.call(Operation.QUERY, QUERY)
    assert (answer.operation, answer.reason) == (Operation.QUERY, ResultReason.INVALID_TICKET)
    assert alice.refused(Operation.LOGOUT, ticket) is ResultReason.INVALID_TICKET
    assert alice.as_(BOB).refused(Operation.LOGOUT, login(alice)) is ResultReason.INVALID_TICKET


def test_lease_times_end(alice: Client, clock: Clock) -> None:
    by_interval = with_ticket(alice, login(alice, (Tag.LEASE_TIME, INTERVAL, 10)))
    by_date = with_ticket(alice, login(alice, (Tag.LEASE_TIME, DATE_TIME, clock.now + 20)))
    clock.advance(10)
    assert by_interval.refused(Operation.QUERY, QUERY) is ResultReason.INVALID_TICKET
    by_date.ok(Operation.QUERY, QUERY)
    clock.advance(10)
    assert by_date.refused(Operation.QUERY, QUERY) is ResultReason.INVALID_TICKET


def test_usage_limits_count_operations(alice: Client) -> None:
    limits: Item = (
        Tag.USAGE_LIMITS,
        STRUCTURE,
        [(Tag.USAGE_LIMITS_TOTAL, LONG_INTEGER, 3), (Tag.USAGE_LIMITS_UNIT, ENUMERATION, 2)],
    )
    holder = with_ticket(alice, login(alice, limits))
    answers = holder.batch([(Operation.QUERY, [QUERY])] * 2)
    assert [each.status for each in answers] == [ResultStatus.SUCCESS] * 2
    holder.ok(Operation.QUERY, QUERY)
    assert holder.refused(Operation.QUERY, QUERY) is ResultReason.USAGE_LIMIT_EXCEEDED


@pytest.mark.parametrize(
    "limit",
    [
        (Tag.REQUEST_COUNT, INTEGER, -1),
        (Tag.LEASE_TIME, DATE_TIME, 1_000_000_000),
        (
            Tag.USAGE_LIMITS,
            STRUCTURE,
            [(Tag.USAGE_LIMITS_TOTAL, LONG_INTEGER, 3), (Tag.USAGE_LIMITS_UNIT, ENUMERATION, 1)],
        ),
    ],
)
def test_limits_that_make_no_sense(alice: Client, limit: Any) -> None:
    assert alice.refused(Operation.LOGIN, limit) is ResultReason.INVALID_FIELD


def test_a_ticket_is_the_certificates_own(alice: Client) -> None:
    assert with_ticket(alice.as_(BOB), login(alice)).refused(Operation.QUERY, QUERY) is ResultReason.INVALID_TICKET


def test_a_ticket_begets_no_ticket(alice: Client) -> None:
    holder = with_ticket(alice, delegated(alice, right()))
    assert holder.refused(Operation.LOGIN) is ResultReason.PERMISSION_DENIED


def test_a_delegated_ticket_is_limited_to_its_rights(alice: Client) -> None:
    first, second = alice.create(), alice.create()
    ticket = delegated(alice, right(Operation.QUERY), right(Operation.GET_ATTRIBUTES, objects=(first,)))
    holder = with_ticket(alice.as_(BOB), ticket)
    holder.ok(Operation.QUERY, QUERY)
    holder.ok(Operation.GET_ATTRIBUTES, uid_item(first), LENGTH)
    for operation, uid in (
        (Operation.GET_ATTRIBUTES, second),
        (Operation.GET, first),
        (Operation.DESTROY, first),
        (Operation.LOCATE, ""),
    ):
        payload = [uid_item(uid)] if uid else [(Tag.ATTRIBUTES, STRUCTURE, [])]
        assert holder.refused(operation, *payload) is ResultReason.NOT_AUTHORISED
    assert alice.as_(BOB).refused(Operation.GET_ATTRIBUTES, uid_item(first)) is ResultReason.OBJECT_NOT_FOUND


def test_rights_to_groups(alice: Client) -> None:
    red = alice.create((Tag.OBJECT_GROUP, TEXT_STRING, "red"))
    plain = alice.create()
    holder = with_ticket(alice.as_(BOB), delegated(alice, right(group="red")))
    holder.ok(Operation.GET, uid_item(red))
    assert holder.refused(Operation.GET, uid_item(plain)) is ResultReason.NOT_AUTHORISED


def test_a_right_to_objects_makes_no_others(alice: Client) -> None:
    """Import and Re-Key name an object; what they make has to be among the right's objects too."""
    alice = alice.at(V2_1)
    mine, red = alice.create(), (Tag.OBJECT_GROUP, TEXT_STRING, "red")
    holder = with_ticket(alice.as_(BOB), delegated(alice, right(objects=(mine,))))
    imported = alice.key(bytes(32))
    replace_it: Item = (Tag.REPLACE_EXISTING, BOOLEAN, True)

    def fields(uid: str, *more: Item) -> list[Item]:
        return [uid_item(uid), imported[0], *more, *imported[1:]]

    assert holder.refused(Operation.IMPORT, *fields("free")) is ResultReason.NOT_AUTHORISED
    assert holder.refused(Operation.RE_KEY, uid_item(mine)) is ResultReason.NOT_AUTHORISED
    assert holder.refused(Operation.REGISTER, *imported) is ResultReason.NOT_AUTHORISED
    assert alice.locate() == [mine]
    holder.ok(Operation.IMPORT, *fields(mine, replace_it))
    free = with_ticket(alice.as_(BOB), delegated(alice, right(Operation.IMPORT)))
    free.ok(Operation.IMPORT, *fields("free"))
    group = with_ticket(alice.as_(BOB), delegated(alice, right(group="red")))
    assert group.refused(Operation.IMPORT, *fields("another")) is ResultReason.NOT_AUTHORISED
    imported = alice.key(bytes(32), red)
    group.ok(Operation.IMPORT, *fields("another"))
    assert set(alice.locate()) == {mine, "free", "another"}


def test_users_of_one_configuration_are_told_that_an_object_is_anothers(alice: Client) -> None:
    old = alice.at(V1_4)
    fred, barney = with_password(old, "Fred", "password1"), with_password(old, "Barney", "secret2")
    uid = fred.create()
    fred.ok(Operation.GET, uid_item(uid))
    assert barney.refused(Operation.GET, uid_item(uid)) is ResultReason.PERMISSION_DENIED
    assert barney.refused(Operation.GET, uid_item("absent")) is ResultReason.ITEM_NOT_FOUND
    assert old.refused(Operation.GET, uid_item(uid)) is ResultReason.ITEM_NOT_FOUND


def test_a_wrong_password_fails_every_item(alice: Client) -> None:
    fred = with_password(alice.at(V2_1), "Fred", "wrong")
    answer = fred.call(Operation.QUERY, QUERY)
    assert (answer.operation, answer.reason) == (Operation.QUERY, ResultReason.AUTHENTICATION_NOT_SUCCESSFUL)
    assert alice.ok(Operation.QUERY, QUERY).payload
    none: Item = (Tag.TICKET, STRUCTURE, [(Tag.TICKET_TYPE, ENUMERATION, 1), (Tag.TICKET_VALUE, BYTE_STRING, b"")])
    assert with_ticket(alice, none).refused(Operation.QUERY, QUERY) is ResultReason.INVALID_TICKET


def test_records_pass_away(alice: Client, clock: Clock) -> None:
    login(alice, (Tag.LEASE_TIME, INTERVAL, 10))
    with_password(alice, "Fred", "wrong").call(Operation.QUERY, QUERY)

    def kept() -> int:
        with alice.engine.store.work() as work:
            return len(work.records("ticket", alice.identity.owner)) + len(work.records("failed logins", ""))

    assert kept() == 2
    clock.advance(4000)
    alice.ok(Operation.QUERY, QUERY)
    assert kept() == 0
