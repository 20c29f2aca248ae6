"""Derive Key against published vectors, split keys there and back, and that neither is a way round Sensitive."""

from __future__ import annotations

import itertools

import pytest

from kmipsrv.domain.settings import Settings
from kmipsrv.engine.engine import Engine
from kmipsrv.spec.enums import CryptographicAlgorithm as A
from kmipsrv.spec.enums import LinkType, ResultReason, SecretDataType, SplitKeyMethod
from kmipsrv.spec.enums import Operation as O  # noqa: N817
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V1_2, V2_1
from kmipsrv.ttlv.codec import BIG_INTEGER, BOOLEAN, BYTE_STRING, ENUMERATION, INTEGER, STRUCTURE, Item
from tests.harness import BOB, Client, uid_item
from tests.operations.cryptography import ACTIVE, KEY, parameters
from tests.operations.requests import ALL, Bench, aes, derivation, split
from tests.operations.test_replacement import links, material

PRIME = (1 << 521) - 1  # a Mersenne prime, larger than any secret here


@pytest.fixture
def bench(client: Client) -> Bench:
    return Bench(client.at(V2_1))


def test_pbkdf2_is_that_of_rfc_6070(bench: Bench) -> None:
    """RFC 6070, second vector: P = "password", S = "salt", c = 2; the first 128 bits."""
    fields: list[Item] = [(Tag.SALT, BYTE_STRING, b"salt"), (Tag.ITERATION_COUNT, INTEGER, 2)]
    base = bench.secret()
    new = bench.client.ok(O.DERIVE_KEY, *derivation(base, *fields, method=1), aes(bench.client)).uid
    assert material(bench.client, new) == bytes.fromhex("ea6c014dc72d6f8ccd1ed92ace1d41f0")
    assert links(bench.client, new) == {LinkType.DERIVATION_BASE_OBJECT_LINK: base}
    assert links(bench.client, base) == {LinkType.DERIVED_KEY_LINK: new}


def test_two_key_pairs_agree(bench: Bench) -> None:
    client = bench.client
    given = [(Tag.CRYPTOGRAPHIC_ALGORITHM, ENUMERATION, int(A.EC)), (Tag.CRYPTOGRAPHIC_LENGTH, INTEGER, 256), ACTIVE]
    usage: Item = (Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, int(ALL))
    pairs = [client.ok(O.CREATE_KEY_PAIR, (Tag.COMMON_ATTRIBUTES, STRUCTURE, [*given, usage])) for _ in range(2)]
    secrets = []
    for ours, theirs in itertools.permutations(pairs):
        payload = [
            (Tag.OBJECT_TYPE, ENUMERATION, 2),
            uid_item(ours.one(Tag.PRIVATE_KEY_UNIQUE_IDENTIFIER)),
            uid_item(theirs.one(Tag.PUBLIC_KEY_UNIQUE_IDENTIFIER)),
            (Tag.DERIVATION_METHOD, ENUMERATION, 8),
            (Tag.DERIVATION_PARAMETERS, STRUCTURE, []),
        ]
        secrets.append(material(client, client.ok(O.DERIVE_KEY, *payload, aes(client, length=256)).uid))
    assert secrets[0] == secrets[1]


def test_derivation_data_may_be_secret_data(bench: Bench) -> None:
    client = bench.client
    by_value = client.ok(O.DERIVE_KEY, *derivation(bench.key), aes(client)).uid
    head, base, *rest = derivation(bench.key, parameters(hashing_algorithm=6))
    seed = uid_item(bench.secret(b"data", kind=SecretDataType.SEED))
    by_object = client.ok(O.DERIVE_KEY, head, base, seed, *rest, aes(client)).uid
    assert material(client, by_value) == material(client, by_object)


def test_iterations_are_bounded(engine: Engine) -> None:
    bench = Bench(Client(engine, V2_1))
    fields: list[Item] = [
        (Tag.SALT, BYTE_STRING, b"salt"),
        (Tag.ITERATION_COUNT, INTEGER, Settings().maximum_pbkdf2_iterations + 1),
    ]
    reason = bench.refused(O.DERIVE_KEY, *derivation(bench.secret(), *fields, method=1), aes(bench.client))
    assert reason is ResultReason.SERVER_LIMIT_EXCEEDED


def test_the_id_placeholder_is_not_derived_from(bench: Bench) -> None:
    head, _, *rest = derivation(bench.key)
    placeholder: Item = (Tag.UNIQUE_IDENTIFIER, ENUMERATION, 1)
    assert bench.refused(O.DERIVE_KEY, head, placeholder, *rest, aes(bench.client)) is ResultReason.INVALID_FIELD


@pytest.mark.parametrize("method", SplitKeyMethod)
def test_enough_parts_make_the_key_again(bench: Bench, method: SplitKeyMethod) -> None:
    client = bench.client.at(V1_2)
    threshold = 4 if method is SplitKeyMethod.XOR else 3
    field: list[Item] = []
    if method is SplitKeyMethod.POLYNOMIAL_SHARING_PRIME_FIELD:
        field = [(Tag.PRIME_FIELD_SIZE, BIG_INTEGER, PRIME)]
    head = split(bench.key, parts=4, threshold=threshold, method=int(method))
    parts = client.ok(O.CREATE_SPLIT_KEY, *head, *field, client.attributes()).values(Tag.UNIQUE_IDENTIFIER)
    kind: Item = (Tag.OBJECT_TYPE, ENUMERATION, 2)
    joined = client.ok(O.JOIN_SPLIT_KEY, kind, *map(uid_item, parts[:threshold]), aes(client)).uid
    assert material(client, joined) == KEY
    few = map(uid_item, parts[: threshold - 1])
    assert client.refused(O.JOIN_SPLIT_KEY, kind, *few, aes(client)) is ResultReason.CRYPTOGRAPHIC_FAILURE
    assert client.as_(BOB).refused(O.JOIN_SPLIT_KEY, kind, uid_item(parts[0])) is ResultReason.ITEM_NOT_FOUND


def test_the_placeholder_is_the_first_part(bench: Bench) -> None:
    client = bench.client
    answers = client.batch([(O.CREATE_SPLIT_KEY, [*split(bench.key), client.attributes()]), (O.GET_ATTRIBUTES, [])])
    assert answers[1].uid == answers[0].values(Tag.UNIQUE_IDENTIFIER)[0]


def test_a_private_key_is_split_and_joined(bench: Bench) -> None:
    client = bench.client
    parts = client.ok(O.CREATE_SPLIT_KEY, *split(bench.private), client.attributes()).values(Tag.UNIQUE_IDENTIFIER)
    kind: Item = (Tag.OBJECT_TYPE, ENUMERATION, 4)
    usage = client.attributes((Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, 1))
    joined = client.ok(O.JOIN_SPLIT_KEY, kind, *map(uid_item, parts[1:]), usage).uid
    same = [client.ok(O.GET, uid_item(uid)).one(Tag.PRIVATE_KEY) for uid in (bench.private, joined)]
    assert same[0] == same[1]


def test_parts_and_whole_of_a_sensitive_key_are_sensitive(bench: Bench) -> None:
    client = bench.client
    whole = client.create((Tag.SENSITIVE, BOOLEAN, True))
    parts = client.ok(O.CREATE_SPLIT_KEY, *split(whole), client.attributes()).values(Tag.UNIQUE_IDENTIFIER)
    assert client.refused(O.GET, uid_item(parts[0])) is ResultReason.SENSITIVE
    kind: Item = (Tag.OBJECT_TYPE, ENUMERATION, 2)
    joined = client.ok(O.JOIN_SPLIT_KEY, kind, *map(uid_item, parts[:2]), aes(client, length=256)).uid
    assert client.refused(O.GET, uid_item(joined)) is ResultReason.SENSITIVE
