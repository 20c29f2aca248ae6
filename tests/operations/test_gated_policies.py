"""How objects come under release policies, and that their owners do not get them out again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kmipsrv.domain.ports import Keyring
from kmipsrv.release.policy import parse
from kmipsrv.release.rules import Rule
from kmipsrv.spec.attribute_codec import RELEASE_POLICY
from kmipsrv.spec.enums import Operation as O  # noqa: N817
from kmipsrv.spec.enums import ResultReason as R
from kmipsrv.spec.enums import ResultStatus
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import Version
from kmipsrv.ttlv.codec import BOOLEAN, BYTE_STRING, ENUMERATION, INTEGER, STRUCTURE, TEXT_STRING, Item
from tests.attested import (
    ANYTHING,
    SNP,
    START,
    attested,
    gated,
    gated_engines,
    get_attested,
    release_policy,
    snp,
)
from tests.harness import Answer, Client, Clock, name_value, named_1x, uid_item, vendor_attribute
from tests.operations.requests import PAYLOAD, Bench

ID = parse(ANYTHING).id
OTHER = parse(SNP).id
DENIED = R.PERMISSION_DENIED


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


@pytest.fixture
def start(tmp_path: Path, keyring: Keyring, clock: Clock) -> Iterator[Callable[..., Client]]:
    with gated_engines(tmp_path, keyring, clock) as started:
        yield started


@pytest.fixture
def client(start: Callable[..., Client]) -> Client:
    return start()


def new(version: Version, value: str) -> Item:
    """The payload field of Add, Modify and Set Attribute that holds a Release Policy."""
    item = release_policy(version, value)
    return item if version < Version.V2_0 else (Tag.NEW_ATTRIBUTE, STRUCTURE, [item])


def shown(client: Client, uid: str) -> str | None:
    """The Release Policy that Get Attributes shows."""
    answer = client.ok(O.GET_ATTRIBUTES, uid_item(uid))
    for tag, _, value in answer.payload:
        for inner, _, fields in value if tag == Tag.ATTRIBUTES else ():
            found = {each: content for each, _, content in fields} if inner == Tag.ATTRIBUTE else {}
            if (found.get(Tag.VENDOR_IDENTIFICATION), found.get(Tag.ATTRIBUTE_NAME)) == RELEASE_POLICY:
                return str(found[Tag.ATTRIBUTE_VALUE])
    return None


def get(client: Client, uid: str) -> Answer:
    return client.call(O.GET, uid_item(uid))


# --------------------------------------------------------------------------------------------------------- attaching


@pytest.mark.parametrize("value", [ANYTHING, f" {ANYTHING}"])
def test_by_value_at_creation(client: Client, value: str) -> None:
    attributes = [
        (Tag.CRYPTOGRAPHIC_ALGORITHM, ENUMERATION, 3),
        (Tag.CRYPTOGRAPHIC_LENGTH, INTEGER, 256),
        (Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, 12),
        release_policy(client.version, value),
    ]
    uid = client.ok(O.CREATE, (Tag.OBJECT_TYPE, ENUMERATION, 2), (Tag.ATTRIBUTES, STRUCTURE, attributes)).uid
    assert shown(client, uid) == ID
    assert get(client, uid).reason is DENIED


def test_by_id_once_it_is_known(start: Callable[..., Client]) -> None:
    client = start()
    gated(client)  # brings the policy
    uid = gated(client, ID)
    assert shown(client, uid) == ID
    named = start(policies={OTHER: parse(SNP)})  # the operator's folder has it
    assert get(named, gated(named, OTHER)).reason is DENIED
    assert get(client, gated(client, OTHER)).reason is DENIED  # it is kept, whatever becomes of the folder


@pytest.mark.parametrize(
    "value",
    ["", "{", "{}", '{"anyOf": []}', "sha256:" + "0" * 64, "tpm", '{"anyOf": [{"claim": "a", "equals": 1}], "x": 1}'],
)
def test_what_is_no_policy_is_refused(client: Client, value: str) -> None:
    payload = client.key(bytes(32), release_policy(client.version, value))
    assert client.refused(O.REGISTER, *payload) is R.INVALID_ATTRIBUTE_VALUE


def test_a_policy_is_text(client: Client) -> None:
    payload = client.key(bytes(32), vendor_attribute(*RELEASE_POLICY, BYTE_STRING, ANYTHING.encode()))
    assert client.refused(O.REGISTER, *payload) is R.INVALID_MESSAGE


@pytest.mark.parametrize("version", [Version.V1_0, Version.V1_4])
def test_in_1_x_it_has_a_name_of_its_own(client: Client, version: Version) -> None:
    old = client.at(version)
    attributes = [
        named_1x("Cryptographic Algorithm", ENUMERATION, 3),
        named_1x("Cryptographic Length", INTEGER, 256),
        named_1x("Cryptographic Usage Mask", INTEGER, 12),
        release_policy(version, ANYTHING),
    ]
    uid = old.ok(O.CREATE, (Tag.OBJECT_TYPE, ENUMERATION, 2), (Tag.TEMPLATE_ATTRIBUTE, STRUCTURE, attributes)).uid
    assert old.ok(O.GET_ATTRIBUTES, uid_item(uid)).attributes()["x-kmipsrv-Release-Policy"] == ID
    assert shown(client, uid) == ID
    assert get(old, uid).reason is DENIED


@pytest.mark.parametrize("operation", [O.ADD_ATTRIBUTE, O.SET_ATTRIBUTE])
def test_later_by_the_owner_where_there_is_none(client: Client, operation: O) -> None:
    uid = client.register_key(bytes(32))
    assert get(client, uid).status is ResultStatus.SUCCESS
    client.ok(operation, uid_item(uid), new(client.version, ANYTHING))
    assert shown(client, uid) == ID
    assert get(client, uid).reason is DENIED  # the seals have followed
    assert get_attested(client, uid).status is ResultStatus.SUCCESS


def test_the_seal_tells_when_the_database_says_otherwise(client: Client) -> None:
    """Whoever can write to the database cannot take a policy away: the material is sealed to it."""
    uid = gated(client)
    store = client.engine.store
    with store.work() as work:
        stored = work.find(client.identity.owner, uid)
        assert stored is not None
        stored.policy = ""
        work.update(stored, index=False)
    assert get(client, uid).reason is R.CRYPTOGRAPHIC_FAILURE


# --------------------------------------------------------------------------------------- what the owner may not do


@pytest.mark.parametrize("version", [Version.V1_4, Version.V2_1, Version.V3_0])
@pytest.mark.parametrize("value", [ID, ANYTHING, OTHER, SNP, ""])
def test_the_owner_adds_no_other(client: Client, version: Version, value: str) -> None:
    uid = gated(client)
    gated(client, SNP)
    for operation in (O.ADD_ATTRIBUTE, O.MODIFY_ATTRIBUTE):
        assert client.at(version).call(operation, uid_item(uid), new(version, value)).status is not ResultStatus.SUCCESS
    if version >= Version.V2_0:
        assert client.at(version).refused(O.SET_ATTRIBUTE, uid_item(uid), new(version, value))
    assert shown(client, uid) == ID
    assert get(client, uid).reason is DENIED


@pytest.mark.parametrize("version", [Version.V1_4, Version.V2_1])
def test_the_owner_deletes_none(client: Client, version: Version) -> None:
    uid = gated(client)
    if version < Version.V2_0:
        payload: list[Item] = [(Tag.ATTRIBUTE_NAME, TEXT_STRING, "x-kmipsrv-Release-Policy")]
    else:
        vendor, name = RELEASE_POLICY
        fields = [(Tag.VENDOR_IDENTIFICATION, TEXT_STRING, vendor), (Tag.ATTRIBUTE_NAME, TEXT_STRING, name)]
        payload = [(Tag.ATTRIBUTE_REFERENCE, STRUCTURE, fields)]
    assert client.at(version).call(O.DELETE_ATTRIBUTE, uid_item(uid), *payload).status is not ResultStatus.SUCCESS
    current = Tag.CURRENT_ATTRIBUTE, STRUCTURE, [release_policy(Version.V2_1, ID)]
    assert client.call(O.DELETE_ATTRIBUTE, uid_item(uid), current).status is not ResultStatus.SUCCESS
    assert shown(client, uid) == ID


def test_the_owner_adjusts_none(client: Client) -> None:
    uid = gated(client)
    vendor, name = RELEASE_POLICY
    fields = [(Tag.VENDOR_IDENTIFICATION, TEXT_STRING, vendor), (Tag.ATTRIBUTE_NAME, TEXT_STRING, name)]
    payload: list[Item] = [(Tag.ATTRIBUTE_REFERENCE, STRUCTURE, fields), (Tag.ADJUSTMENT_TYPE, ENUMERATION, 1)]
    assert client.call(O.ADJUST_ATTRIBUTE, uid_item(uid), *payload).status is not ResultStatus.SUCCESS
    assert shown(client, uid) == ID


def test_other_attributes_of_a_gated_object_are_the_owner_s(client: Client) -> None:
    uid = gated(client)
    client.ok(O.ADD_ATTRIBUTE, uid_item(uid), (Tag.NEW_ATTRIBUTE, STRUCTURE, [(Tag.OBJECT_GROUP, TEXT_STRING, "g")]))
    sensitive = Tag.NEW_ATTRIBUTE, STRUCTURE, [(Tag.SENSITIVE, BOOLEAN, True)]
    client.ok(O.MODIFY_ATTRIBUTE, uid_item(uid), sensitive)  # resealed under the same policy
    assert shown(client, uid) == ID
    assert get(client, uid).reason is R.SENSITIVE


# ------------------------------------------------------------------------------------------------------- inheritance


def test_what_is_made_of_a_gated_object_is_gated(client: Client) -> None:
    bench = Bench(client)
    uid = bench.key
    client.ok(O.ADD_ATTRIBUTE, uid_item(uid), new(client.version, ANYTHING))
    derived = client.ok(O.DERIVE_KEY, *PAYLOAD[O.DERIVE_KEY](client, uid)).uid
    parts = bench.parts()
    kind, _, attributes = PAYLOAD[O.JOIN_SPLIT_KEY](client, "")
    joined = client.ok(O.JOIN_SPLIT_KEY, kind, *map(uid_item, parts[:2]), attributes).uid
    renewed = client.ok(O.RE_KEY, uid_item(uid)).uid
    for made in (derived, *parts, joined, renewed):
        assert shown(client, made) == ID
        assert get(client, made).reason is DENIED


def test_a_renewed_pair_is_gated(client: Client) -> None:
    private, public = Bench(client).pair
    client.ok(O.ADD_ATTRIBUTE, uid_item(private), new(client.version, ANYTHING))
    answer = client.ok(O.RE_KEY_KEY_PAIR, *PAYLOAD[O.RE_KEY_KEY_PAIR](client, private))
    renewed = answer.one(Tag.PRIVATE_KEY_UNIQUE_IDENTIFIER)
    assert shown(client, renewed) == ID
    assert get(client, renewed).reason is DENIED
    assert get(client, answer.one(Tag.PUBLIC_KEY_UNIQUE_IDENTIFIER)).status is ResultStatus.SUCCESS
    assert public


def test_the_new_object_s_attributes_do_not_loosen_what_it_inherits(client: Client) -> None:
    bench = Bench(client)
    client.ok(O.ADD_ATTRIBUTE, uid_item(bench.key), new(client.version, ANYTHING))
    gated(client, SNP)
    *head, (tag, kind, attributes) = PAYLOAD[O.DERIVE_KEY](client, bench.key)
    for value, accepted in ((SNP, False), (ANYTHING, True)):
        payload = [*head, (tag, kind, [*attributes, release_policy(client.version, value)])]
        answer = client.call(O.DERIVE_KEY, *payload)
        assert (answer.status is ResultStatus.SUCCESS) is accepted
        assert accepted or answer.reason is DENIED


def test_an_import_over_a_gated_object_is_gated(client: Client) -> None:
    uid = gated(client)
    (exported,) = attested(client, [(O.EXPORT, [uid_item(uid)])])
    key = next(item for item in exported.payload if item[0] == Tag.SYMMETRIC_KEY)
    (attributes,) = (item[2] for item in exported.payload if item[0] == Tag.ATTRIBUTES)
    kept = [item for item in attributes if item[0] not in (Tag.UNIQUE_IDENTIFIER, Tag.SHORT_UNIQUE_IDENTIFIER)]
    bare: Item = (Tag.ATTRIBUTES, STRUCTURE, [(Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, 12)])
    head: list[Item] = [uid_item(uid), (Tag.OBJECT_TYPE, ENUMERATION, 2), (Tag.REPLACE_EXISTING, BOOLEAN, True)]
    client.ok(O.IMPORT, *head, bare, key)
    assert shown(client, uid) == ID
    client.ok(
        O.IMPORT, uid_item("elsewhere"), head[1], (Tag.ATTRIBUTES, STRUCTURE, kept), key
    )  # the attributes bring it along
    assert shown(client, "elsewhere") == ID
    assert get(client, "elsewhere").reason is DENIED


# -------------------------------------------------------------------------------------------------------------- rules


@pytest.mark.parametrize(
    ("rule", "guarded", "free"),
    [
        (
            {"object_group": "disks"},
            [(Tag.OBJECT_GROUP, TEXT_STRING, "disks"), (Tag.OBJECT_GROUP, TEXT_STRING, "all")],
            [(Tag.OBJECT_GROUP, TEXT_STRING, "disks2")],
        ),
        (
            {"name": "vm-*"},
            [(Tag.NAME, STRUCTURE, name_value("vm-1"))],
            [(Tag.NAME, STRUCTURE, name_value("VM-1"))],
        ),
        ({"tenant": ""}, [], None),
    ],
)
def test_a_rule_guards_what_is_made_and_what_is_there(
    start: Callable[..., Client], rule: dict[str, str], guarded: list[Item], free: list[Item] | None
) -> None:
    before = start()
    old = before.register_key(bytes(32), *guarded)
    after = start(policies={ID: parse(ANYTHING)}, rules=(Rule(ID, **rule),))
    assert get(before, old).status is ResultStatus.SUCCESS
    assert get(after, old).reason is DENIED
    assert get_attested(after, old).status is ResultStatus.SUCCESS
    assert shown(after, old) == ID  # from its first opening on, for good
    if free is not None:
        assert get(after, after.register_key(bytes(32), *free)).status is ResultStatus.SUCCESS
    after.ok(O.DESTROY, uid_item(old))  # which frees its Name
    made = after.register_key(bytes(32), *guarded)
    assert shown(after, made) == ID
    assert get(before, made).reason is DENIED  # for good: the rule is gone and the policy stays


def test_a_rule_stands_beside_the_object_s_own_policy(start: Callable[..., Client]) -> None:
    client = start()
    uid = gated(client)
    both = start(policies={OTHER: parse(SNP)}, rules=(Rule(OTHER),))
    assert get_attested(client, uid).status is ResultStatus.SUCCESS
    assert get_attested(both, uid, kind="tpm").reason is DENIED
    assert get_attested(both, uid, kind="snp", make=snp).status is ResultStatus.SUCCESS


@pytest.mark.parametrize("operation", [O.DELETE_ATTRIBUTE, O.MODIFY_ATTRIBUTE])
def test_another_label_does_not_lead_out_of_a_rule(start: Callable[..., Client], operation: O) -> None:
    client = start()
    uid = client.register_key(bytes(32), (Tag.OBJECT_GROUP, TEXT_STRING, "disks"))
    after = start(policies={ID: parse(ANYTHING)}, rules=(Rule(ID, object_group="disks"),))
    change: Item = (Tag.ATTRIBUTE_REFERENCE, ENUMERATION, int(Tag.OBJECT_GROUP))
    if operation is O.MODIFY_ATTRIBUTE:
        change = (Tag.NEW_ATTRIBUTE, STRUCTURE, [(Tag.OBJECT_GROUP, TEXT_STRING, "others")])
    after.ok(operation, uid_item(uid), change)
    assert shown(after, uid) == ID
    assert get(after, uid).reason is DENIED


def test_what_is_made_under_a_rule_inherits_from_what_it_is_made_of(start: Callable[..., Client]) -> None:
    """The rule is about the base alone, and lets the server compute with it."""
    bench = Bench(start())
    uid = bench.key
    group = Tag.NEW_ATTRIBUTE, STRUCTURE, [(Tag.OBJECT_GROUP, TEXT_STRING, "disks")]
    bench.client.ok(O.ADD_ATTRIBUTE, uid_item(uid), group)
    after = start(policies={ID: parse(ANYTHING)}, rules=(Rule(ID, object_group="disks"),))
    derived = after.ok(O.DERIVE_KEY, *PAYLOAD[O.DERIVE_KEY](after, uid)).uid
    assert shown(after, derived) == ID
    assert get(after, derived).reason is DENIED


def named(text: str) -> Item:
    return Tag.NAME, STRUCTURE, name_value(text)


RELABELLED: dict[str, tuple[O, list[Item]]] = {
    "deleted": (O.DELETE_ATTRIBUTE, [(Tag.ATTRIBUTE_REFERENCE, ENUMERATION, int(Tag.NAME))]),
    "renamed": (
        O.MODIFY_ATTRIBUTE,
        [
            (Tag.CURRENT_ATTRIBUTE, STRUCTURE, [named("vm-1")]),
            (Tag.NEW_ATTRIBUTE, STRUCTURE, [named("free")]),
        ],
    ),
}


@pytest.mark.parametrize("how", RELABELLED)
def test_a_policy_of_the_owner_s_does_not_lead_out_of_a_rule(start: Callable[..., Client], how: str) -> None:
    """A rule that stands beside the object's own policy is not bound to it, so its labels stay."""
    before = start()
    old = before.register_key(bytes(32), named("vm-1"), release_policy(Version.V2_1, ANYTHING))
    bare = before.register_key(bytes(32), named("vm-2"))
    after = start(policies={OTHER: parse(SNP)}, rules=(Rule(OTHER, name="vm-*"),))
    operation, change = RELABELLED[how]
    assert after.refused(operation, uid_item(old), *change) is R.ATTRIBUTE_READ_ONLY
    assert after.refused(O.RE_KEY, uid_item(old)) is R.ATTRIBUTE_READ_ONLY  # which would take the name away
    assert get_attested(after, old).reason is DENIED  # the rule still asks for more than the owner's policy
    after.ok(O.ADD_ATTRIBUTE, uid_item(old), (Tag.NEW_ATTRIBUTE, STRUCTURE, [named("x")]))
    after.ok(O.DELETE_ATTRIBUTE, uid_item(old), (Tag.CURRENT_ATTRIBUTE, STRUCTURE, [named("x")]))
    after.ok(
        O.ADD_ATTRIBUTE, uid_item(bare), new(Version.V2_1, ANYTHING)
    )  # the owner is first, with a policy that asks less
    after.refused(O.DELETE_ATTRIBUTE, uid_item(bare), (Tag.ATTRIBUTE_REFERENCE, ENUMERATION, int(Tag.NAME)))
    assert get_attested(after, bare).reason is DENIED


def test_of_two_rules_none_is_left(start: Callable[..., Client]) -> None:
    """The first is bound to the object, the second goes by its labels for ever."""
    uid = start().register_key(bytes(32), (Tag.OBJECT_GROUP, TEXT_STRING, "disks"))
    rules = Rule(ID, object_group="disks"), Rule(OTHER, object_group="disks")
    after = start(policies={ID: parse(ANYTHING), OTHER: parse(SNP)}, rules=rules)
    change: Item = (Tag.ATTRIBUTE_REFERENCE, ENUMERATION, int(Tag.OBJECT_GROUP))
    assert after.refused(O.DELETE_ATTRIBUTE, uid_item(uid), change) is R.ATTRIBUTE_READ_ONLY
    assert get_attested(after, uid).reason is DENIED


@pytest.mark.parametrize(
    ("vendor", "name"),
    [
        ("KMIPSRV", "Release Policy"),
        ("kmipsrv", "release policy"),
        ("kmipsrv ", "Release Policy"),
        ("x", "Release-Policy"),
        ("x", "kmipsrv-Release Policy"),
    ],
)
def test_a_misspelt_release_policy_is_refused_and_not_kept_as_something_else(
    client: Client, vendor: str, name: str
) -> None:
    client = client.at(Version.V2_1)
    uid = client.create()
    new: Item = (Tag.NEW_ATTRIBUTE, STRUCTURE, [vendor_attribute(vendor, name, TEXT_STRING, "{}")])
    assert client.refused(O.ADD_ATTRIBUTE, uid_item(uid), new) is R.INVALID_ATTRIBUTE
