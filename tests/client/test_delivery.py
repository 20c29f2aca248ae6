"""Notify and Put from an engine to a real TLS endpoint: content, order, restarts, endpoints that are away or are not theirs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from kmipsrv.client.connection import Connection
from kmipsrv.client.delivery import Delivery
from kmipsrv.domain.notices import NOTICE, Endpoint
from kmipsrv.domain.ports import Keyring
from kmipsrv.domain.settings import Settings
from kmipsrv.engine.engine import Engine
from kmipsrv.engine.own_keys import own_keys
from kmipsrv.engine.post import Post
from kmipsrv.release.gate import GateSettings
from kmipsrv.release.policy import parse
from kmipsrv.release.rules import Rule
from kmipsrv.spec.attribute_codec import RELEASE_POLICY
from kmipsrv.spec.enums import (
    BatchErrorContinuationOption,
    Operation,
    PutFunction,
    QueryFunction,
    ResultReason,
    ResultStatus,
    State,
)
from kmipsrv.spec.objects import key_material
from kmipsrv.spec.structures import Name
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V1_0, V1_2, V1_4, V2_0, V2_1, V3_0, Version
from kmipsrv.store.sqlite import SQLiteStore
from kmipsrv.ttlv.codec import BOOLEAN, DATE_TIME, ENUMERATION, INTEGER, STRUCTURE, TEXT_STRING, Item
from tests.client.endpoint import HOST, Waiting
from tests.harness import (
    ALICE,
    BOB,
    Client,
    Clock,
    make_engine,
    name_value,
    named_1x,
    option,
    uid_item,
    vendor_attribute,
)
from tests.server.pki import authority

MATERIAL = bytes(range(0x60, 0x80))
CONTACT: Item = (Tag.CONTACT_INFORMATION, TEXT_STRING, "night shift")


@dataclass
class World:
    """An engine, an endpoint, and the way between them."""

    folder: Path
    keyring: Keyring
    clock: Clock
    waiting: Waiting
    endpoint: Endpoint
    release: GateSettings | None = None
    most: int = 100
    attempts: int = 3
    keep: int = 86400
    engines: list[Engine] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)

    def open(self) -> Engine:
        settings = Settings(endpoints=(self.endpoint,), notice_time=self.keep)
        self.engines.append(make_engine(self.folder, self.keyring, self.clock, settings, release=self.release))
        return self.engines[-1]

    def client(self, version: Version = V1_4) -> Client:
        return Client(self.open(), version)

    def deliver(self, post: Post | None = None) -> Delivery:
        certificate, key = self.waiting.ca.issue("CN=kmipsrv").save(self.folder, "kmipsrv")
        post = post or Post(self.open(), self.most)

        def connect() -> Connection:
            return Connection.open(HOST, self.waiting.port, certificate, key, self.folder / "ca.pem", 5)

        made = Delivery(
            post, self.endpoint, connect, attempts=self.attempts, longest_pause=0.2, poll=0.02, first_pause=0.05
        )
        self.deliveries.append(made)
        made.start()
        return made

    def notices(self) -> list[bytes]:
        store = SQLiteStore(self.folder / "objects.db")
        own_keys(store, self.keyring, os.urandom)
        try:
            with store.work() as work:
                return [value for _, value in work.records(NOTICE, self.endpoint.name)]
        finally:
            store.close()

    def emptied(self) -> None:
        self.waiting.until(lambda: not self.notices())

    def close(self) -> None:
        for delivery in self.deliveries:
            assert delivery.stop(10)
        for engine in self.engines:
            engine.store.close()


@pytest.fixture
def waiting(tmp_path: Path) -> Iterator[Waiting]:
    ca = authority()
    (tmp_path / "ca.pem").write_bytes(ca.pem)
    one = Waiting(ca, tmp_path, ca.issue(f"CN={HOST}", server=True))
    one.start()
    yield one
    one.stop()


@pytest.fixture
def world(tmp_path: Path, keyring: Keyring, clock: Clock, waiting: Waiting) -> Iterator[World]:
    made = World(tmp_path, keyring, clock, waiting, Endpoint("the endpoint", ALICE.owner, V1_4, notify=True, put=True))
    yield made
    made.close()


def revoke(client: Client, uid: str) -> None:
    reason: Item = (Tag.REVOCATION_REASON, STRUCTURE, [(Tag.REVOCATION_REASON_CODE, ENUMERATION, 1)])
    client.ok(Operation.REVOKE, uid_item(uid), reason)


def changes(message: Any) -> dict[Any, list[Any]]:
    bag = message.payload.changes
    return {key: bag.values(key) for key in bag}


# -------------------------------------------------------------------------------------------------- what is sent


@pytest.mark.parametrize("version", list(Version))
def test_the_conversation_of_tc_np_2(world: World, clock: Clock, version: Version) -> None:
    world.endpoint = replace(world.endpoint, version=version)
    client = world.client(V1_2)
    world.deliver()
    uid = client.register_key(MATERIAL)
    (put,) = world.waiting.await_messages(1)
    assert (put.operation, put.version) == (Operation.PUT, version)
    assert put.payload.put_function is PutFunction.NEW
    assert put.payload.replaced_unique_identifier is None
    assert put.payload.unique_identifier == uid
    assert key_material(put.payload.managed_object.body.key_block) == MATERIAL
    sent = put.payload.attributes
    assert sent.get(Tag.STATE) is State.PRE_ACTIVE
    assert sent.get(Tag.CRYPTOGRAPHIC_LENGTH) == 256
    assert (Tag.FRESH in sent) == (version >= Version.V1_1)  # no Get has served it yet

    clock.advance(1)
    provider = named_1x("x-provider", TEXT_STRING, "unknown")
    client.ok(Operation.ADD_ATTRIBUTE, uid_item(uid), provider)
    notify = world.waiting.await_messages(2)[1]
    assert (notify.operation, notify.payload.unique_identifier) == (Operation.NOTIFY, uid)
    key = ("x", "provider")
    assert changes(notify) == {key: [(TEXT_STRING, "unknown")], Tag.LAST_CHANGE_DATE: [clock.now]}

    client.ok(Operation.MODIFY_ATTRIBUTE, uid_item(uid), named_1x("x-provider", TEXT_STRING, "third party"))
    assert changes(world.waiting.await_messages(3)[2])[key] == [(TEXT_STRING, "third party")]

    client.ok(Operation.DELETE_ATTRIBUTE, uid_item(uid), (Tag.ATTRIBUTE_NAME, TEXT_STRING, "x-provider"))
    deleted = world.waiting.await_messages(4)[3]
    assert deleted.payload.changes.deleted == [(key, 0)]
    assert list(changes(deleted)) == [Tag.LAST_CHANGE_DATE]

    client.ok(Operation.DESTROY, uid_item(uid))
    destroyed = changes(world.waiting.await_messages(5)[4])
    assert destroyed[Tag.STATE] == [State.DESTROYED]
    assert destroyed[Tag.DESTROY_DATE] == [clock.now]
    for message in world.waiting.received:
        # "the Maximum Response Size, Asynchronous Indicator, Batch Error Continuation Option, and Batch Order Option fields are
        # not allowed" (1.4 §5.1).
        header = message.header
        assert header.maximum_response_size is header.asynchronous is header.asynchronous_indicator is None
        assert header.batch_error_continuation_option is header.batch_order_option is None
    world.emptied()


def test_a_replacement_is_put_as_one_and_the_old_key_is_notified(world: World) -> None:
    client = world.client()
    old = client.create((Tag.NAME, STRUCTURE, name_value("disk")))
    new = client.ok(Operation.RE_KEY, uid_item(old)).uid
    world.deliver()
    first, retired, replaced = world.waiting.await_messages(3)
    assert retired.operation is Operation.NOTIFY
    assert (first.payload.unique_identifier, first.payload.put_function) == (old, PutFunction.NEW)
    assert retired.payload.unique_identifier == old
    assert retired.payload.changes.deleted == [(Tag.NAME, 0)]
    assert Tag.LINK in changes(retired)
    assert (replaced.payload.unique_identifier, replaced.payload.put_function) == (new, PutFunction.REPLACE)
    assert replaced.payload.replaced_unique_identifier == old
    assert replaced.payload.attributes.get(Tag.NAME).name_value == "disk"
    material = [key_material(each.payload.managed_object.body.key_block) for each in (first, replaced)]
    assert material[0] != material[1]


@pytest.mark.parametrize("version", [V1_0, V2_1])
def test_one_of_several_instances_is_deleted(world: World, version: Version) -> None:
    """1.x numbers instances; 2.x does not, so those that are left are listed and the attribute is no deleted one."""
    world.endpoint = replace(world.endpoint, version=version, put=False)
    client = world.client()
    uid = client.create((Tag.NAME, STRUCTURE, name_value("a")), (Tag.NAME, STRUCTURE, name_value("b")))
    client.ok(
        Operation.DELETE_ATTRIBUTE,
        uid_item(uid),
        (Tag.ATTRIBUTE_NAME, TEXT_STRING, "Name"),
        (Tag.ATTRIBUTE_INDEX, INTEGER, 0),
    )
    world.deliver()
    (message,) = world.waiting.await_messages(1)
    (name,) = changes(message)[Tag.NAME]
    assert isinstance(name, Name)
    assert name.name_value == "b"
    assert message.payload.changes.deleted == ([(Tag.NAME, 0)] if version is V1_0 else [])


def test_a_date_that_is_reached_changes_the_state_once(world: World, clock: Clock) -> None:
    world.endpoint = replace(world.endpoint, put=False)
    client = world.client()
    post = Post(world.open(), 100)
    post.look(world.endpoint)  # from here on
    due = client.create((Tag.ACTIVATION_DATE, DATE_TIME, clock.now + 100))
    touched = client.create((Tag.ACTIVATION_DATE, DATE_TIME, clock.now + 100))
    client.create((Tag.ACTIVATION_DATE, DATE_TIME, clock.now - 5))  # it has never been anything else
    client.as_(BOB).create((Tag.ACTIVATION_DATE, DATE_TIME, clock.now + 100))
    clock.advance(101)
    client.ok(Operation.ADD_ATTRIBUTE, uid_item(touched), named_1x("Contact Information", *CONTACT[1:]))
    post = Post(world.open(), 100)
    post.look(world.endpoint)
    world.deliver(post)
    by_date, by_change = world.waiting.await_messages(2)
    assert by_change.payload.unique_identifier == touched
    assert changes(by_change)[Tag.STATE] == [State.ACTIVE]
    assert by_date.payload.unique_identifier == due
    assert changes(by_date) == {Tag.STATE: [State.ACTIVE], Tag.LAST_CHANGE_DATE: [clock.now - 101]}
    revoke(client, due)
    assert changes(world.waiting.await_messages(3)[2])[Tag.STATE] == [State.DEACTIVATED]
    Post(world.open(), 100).look(world.endpoint)
    clock.advance(100)
    Post(world.open(), 100).look(world.endpoint)
    world.emptied()
    assert len(world.waiting.received) == 3


def test_what_an_endpoint_does_not_hear_of(world: World) -> None:
    client = world.client()
    client.as_(BOB).create()
    uid = client.create()
    client.batch(
        [
            (Operation.ADD_ATTRIBUTE, [uid_item(uid), named_1x("Contact Information", *CONTACT[1:])]),
            (Operation.DESTROY, [uid_item("no such object")]),
        ],
        option(BatchErrorContinuationOption.UNDO),
    )
    client.ok(Operation.GET, uid_item(uid))
    assert len(world.notices()) == 1  # the Put of Alice's key: what was undone did not happen
    assert client.refused(Operation.DESTROY, uid_item("no such object")) is ResultReason.ITEM_NOT_FOUND
    assert len(world.notices()) == 1


# ------------------------------------------------------------------------------------------------ what does not leave


def test_keys_that_may_not_leave_are_not_put(world: World) -> None:
    policy = parse('{"anyOf": [{"allOf": [{"claim": "a", "equals": 1}]}]}')
    world.release = GateSettings(
        policies={policy.id: policy}, rules=[Rule(policy.id, object_group="guarded")], endorsements={}
    )
    client = world.client(V2_1)
    guarded = client.create((Tag.OBJECT_GROUP, TEXT_STRING, "guarded"))
    own = client.create((Tag.ATTRIBUTE, STRUCTURE, vendor_attribute(*RELEASE_POLICY, TEXT_STRING, policy.id)[2]))
    sensitive = client.create((Tag.SENSITIVE, BOOLEAN, True))
    fixed = client.create((Tag.EXTRACTABLE, BOOLEAN, False))
    gone = client.create()
    client.ok(Operation.DESTROY, uid_item(gone))
    last = client.create()
    world.deliver()
    world.emptied()
    put = [each.payload.unique_identifier for each in world.waiting.received if each.operation is Operation.PUT]
    assert put == [last]
    told = {each.payload.unique_identifier for each in world.waiting.received}
    assert told.isdisjoint({guarded, own, sensitive, fixed})


def test_nothing_of_a_key_is_kept_with_its_notice(world: World) -> None:
    world.waiting.stop()
    client = world.client()
    client.register_key(MATERIAL)
    assert len(world.notices()) == 1
    world.deliver()
    time.sleep(0.3)  # several attempts, none of which reaches anybody
    assert len(world.notices()) == 1
    for file in world.folder.glob("objects.db*"):
        assert MATERIAL not in file.read_bytes()
    world.waiting.start()


# ------------------------------------------------------------------------------------------------- when it goes wrong


def test_delivery_after_a_restart(world: World) -> None:
    world.waiting.stop()
    client = world.client()
    uid = client.create()
    world.deliver()
    time.sleep(0.15)
    world.close()
    world.engines.clear()
    world.deliveries.clear()
    world.waiting.start()
    world.deliver()
    (put,) = world.waiting.await_messages(1)
    assert put.payload.unique_identifier == uid
    world.emptied()


def test_a_dead_endpoint_does_not_hurt_the_server(world: World) -> None:
    world.waiting.stop()
    client = world.client()
    world.deliver()
    begun = time.monotonic()
    for _ in range(20):
        client.ok(Operation.GET, uid_item(client.create()))
    assert time.monotonic() - begun < 5
    assert len(world.notices()) == 20
    world.waiting.start()
    assert len(world.waiting.await_messages(20)) == 20
    world.emptied()


def test_a_certificate_of_somebody_else_is_sent_nothing(world: World) -> None:
    world.waiting.stop()
    world.waiting.server = authority("CN=Another CA").issue(f"CN={HOST}", server=True)
    world.waiting.start()
    world.client().create()
    world.deliver()
    world.waiting.until(lambda: len(world.waiting.handshakes) > 1)
    world.waiting.stop()
    world.waiting.server = world.waiting.ca.issue("CN=elsewhere", server=True)  # theirs, but for another host
    world.waiting.start()
    seen = len(world.waiting.handshakes)
    world.waiting.until(lambda: len(world.waiting.handshakes) > seen + 1)
    assert world.waiting.received == []
    assert len(world.notices()) == 1


def test_a_message_that_is_refused_is_given_up_and_the_next_has_its_turn(world: World) -> None:
    world.waiting.refuse = world.attempts
    client = world.client()
    first, second = client.create(), client.create()
    world.deliver()
    world.waiting.await_messages(world.attempts + 1)
    assert [each.payload.unique_identifier for each in world.waiting.received] == [first] * world.attempts + [second]
    world.emptied()


def test_the_outbox_is_bounded_in_number_and_time(world: World, clock: Clock) -> None:
    world.keep, world.most = 60, 5
    client = world.client()
    made = []
    for _ in range(8):
        clock.advance(1)
        made.append(client.create())
    post = Post(world.open(), world.most)
    assert len(post.waiting(world.endpoint)) == 5
    assert len(world.notices()) == 5
    clock.advance(58)
    post.look(world.endpoint)
    left = [post.compose(world.endpoint, key, record) for key, record in post.waiting(world.endpoint)]
    assert [each[1].unique_identifier for each in left if each is not None] == made[-2:]  # those before are 60 s old
    clock.advance(60)
    Post(world.open(), world.most).look(world.endpoint)
    assert world.notices() == []


# ---------------------------------------------------------------------------------------------------- the other way


@pytest.mark.parametrize("version", [V1_0, V1_4, V2_0, V3_0])
def test_query_lists_them_and_clients_may_not_send_them(world: World, version: Version) -> None:
    function: Item = (Tag.QUERY_FUNCTION, ENUMERATION, int(QueryFunction.QUERY_OPERATIONS))
    client = world.client(version)
    listed = client.ok(Operation.QUERY, function).values(Tag.OPERATION)
    assert {Operation.NOTIFY, Operation.PUT} <= set(listed)
    world.endpoint = replace(world.endpoint, put=False)
    assert Operation.PUT not in world.client(version).ok(Operation.QUERY, function).values(Tag.OPERATION)
    for operation in (Operation.NOTIFY, Operation.PUT):
        answer = client.call(operation, uid_item("x"))
        assert answer.status is ResultStatus.OPERATION_FAILED
        assert answer.reason is ResultReason.OPERATION_NOT_SUPPORTED
