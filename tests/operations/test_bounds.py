"""Bounds on what is registered, shifted and searched for, and the head of an empty audit trail."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

from kmipsrv.audit.chain import Broken
from kmipsrv.audit.journal import HEAD, verify_trail
from kmipsrv.engine.own_keys import own_keys
from kmipsrv.spec.enums import KeyFormatType, ObjectClass, ObjectType, Operation, ResultReason
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V2_1, V3_0
from kmipsrv.ttlv.codec import BYTE_STRING, DATE_TIME, ENUMERATION, INTEGER, INTERVAL, STRUCTURE
from tests.harness import Client, uid_item


def test_the_longest_modulus_holds_for_registration_too(client: Client) -> None:
    key = RSAPublicNumbers(65537, (1 << 8191) + 1).public_key()
    material = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    block = [
        (Tag.KEY_FORMAT_TYPE, ENUMERATION, int(KeyFormatType.PKCS_1)),
        (Tag.KEY_VALUE, STRUCTURE, [(Tag.KEY_MATERIAL, BYTE_STRING, material)]),
    ]
    reason = client.at(V2_1).refused(
        Operation.REGISTER,
        (Tag.OBJECT_TYPE, ENUMERATION, int(ObjectType.PUBLIC_KEY)),
        client.at(V2_1).attributes((Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, 2)),
        (Tag.PUBLIC_KEY, STRUCTURE, [(Tag.KEY_BLOCK, STRUCTURE, block)]),
    )
    assert reason is ResultReason.SERVER_LIMIT_EXCEEDED


def test_an_offset_cannot_move_a_date_out_of_its_range(client: Client) -> None:
    client = client.at(V2_1)
    uid = client.create((Tag.ACTIVATION_DATE, DATE_TIME, 1), (Tag.DEACTIVATION_DATE, DATE_TIME, (1 << 63) - 1))
    reason = client.refused(Operation.RE_KEY, uid_item(uid), (Tag.OFFSET, INTERVAL, 5))
    assert reason is ResultReason.INVALID_FIELD
    assert client.locate() == [uid]


def test_everybody_sees_objects_of_class_user(client: Client) -> None:
    client = client.at(V3_0)
    uid = client.create()
    assert client.locate((Tag.OBJECT_CLASS, ENUMERATION, int(ObjectClass.USER))) == [uid]
    assert client.locate((Tag.OBJECT_CLASS, ENUMERATION, int(ObjectClass.SYSTEM))) == []


def test_a_trail_that_has_lost_its_head_is_broken_even_when_it_is_empty(client: Client) -> None:
    store = client.engine.store
    keys = own_keys(store, client.engine.dispatcher.keyring, client.engine.random)
    with store.work() as work:
        assert verify_trail(work, keys.signing.public_key()).number == 0
        work.remove(HEAD, "")
        with pytest.raises(Broken, match="no head"):
            verify_trail(work, keys.signing.public_key())
