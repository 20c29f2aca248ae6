"""Multi-part operations: equal to the whole, bound to client, operation and object, and over when something goes wrong."""

from __future__ import annotations

import hashlib
import hmac
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kmipsrv.domain.ports import Keyring
from kmipsrv.domain.settings import Settings
from kmipsrv.domain.streams import LIFETIME
from kmipsrv.spec.enums import (
    BatchErrorContinuationOption,
    BlockCipherMode,
    HashingAlgorithm,
    KeyFormatType,
    ObjectType,
    Operation,
    PaddingMethod,
    ResultStatus,
    RevocationReasonCode,
    UsageLimitsUnit,
    ValidityIndicator,
)
from kmipsrv.spec.enums import CryptographicAlgorithm as A
from kmipsrv.spec.enums import CryptographicUsageMask as M
from kmipsrv.spec.enums import ResultReason as R
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V1_2, V1_3, V1_4, V2_1, V3_0, Version
from kmipsrv.ttlv.codec import BYTE_STRING, ENUMERATION, STRUCTURE, Item
from tests.harness import ALICE, BOB, Answer, Client, Clock, make_engine, option, uid_item
from tests.operations.cryptography import (
    FINAL,
    INIT,
    KEY,
    active_key,
    block,
    correlation,
    data,
    iv,
    parameters,
    register,
    rsa_pair,
    usage_limits,
)

CBC = parameters(block_cipher_mode=BlockCipherMode.CBC, padding_method=PaddingMethod.PKCS5)
GCM = parameters(block_cipher_mode=BlockCipherMode.GCM, tag_length=16)
CCM = parameters(block_cipher_mode=BlockCipherMode.CCM, tag_length=16)
HMAC = parameters(cryptographic_algorithm=A.HMAC_SHA256)
SHA256 = parameters(hashing_algorithm=HashingAlgorithm.SHA_256)
PKCS1 = parameters(padding_method=PaddingMethod.PKCS1_V1_5, hashing_algorithm=HashingAlgorithm.SHA_256)


def stream(client: Client, code: Operation, first: list[Item], parts: list[bytes]) -> list[Answer]:
    """All the answers of a stream; `first` is what only its first part has."""
    answers: list[Answer] = []
    for number, part in enumerate(parts):
        payload = [data(part)] if part else []
        if number == 0:
            payload = [*first, *payload, INIT]
        else:
            payload.append(correlation(answers[-1].one(Tag.CORRELATION_VALUE)))
        if number == len(parts) - 1:
            payload.append(FINAL)
        answers.append(client.ok(code, *payload))
    assert answers[-1].values(Tag.CORRELATION_VALUE) == []
    return answers


def begin(client: Client, uid: str) -> bytes:
    """A stream of Encrypt that has begun. -> its Correlation Value."""
    made = client.ok(Operation.ENCRYPT, uid_item(uid), CBC, data(b"0123"), iv(bytes(16)), INIT)
    value = made.one(Tag.CORRELATION_VALUE)
    assert isinstance(value, bytes)
    return value


def joined(answers: list[Answer]) -> bytes:
    return b"".join(value for answer in answers for value in answer.values(Tag.DATA))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(parts=st.lists(st.binary(max_size=50), min_size=1, max_size=6), mode=st.sampled_from([CBC, GCM, CCM]))
def test_parts_are_the_whole(client: Client, parts: list[bytes], mode: Item) -> None:
    uid = active_key(client)
    first = [uid_item(uid), mode, iv(bytes(16 if mode is CBC else 12))]
    whole = client.ok(Operation.ENCRYPT, *first, data(b"".join(parts)))
    answers = stream(client, Operation.ENCRYPT, first, parts)
    assert joined(answers) == whole.one(Tag.DATA)
    tags: list[Item] = [
        (Tag.AUTHENTICATED_ENCRYPTION_TAG, BYTE_STRING, tag) for tag in whole.values(Tag.AUTHENTICATED_ENCRYPTION_TAG)
    ]
    assert answers[-1].values(Tag.AUTHENTICATED_ENCRYPTION_TAG) == [value for _, _, value in tags]
    sealed = joined(answers)
    back = stream(client, Operation.DECRYPT, [*first, *tags], [sealed[:20], sealed[20:33], sealed[33:]])
    assert joined(back) == b"".join(parts)


@pytest.mark.parametrize("version", [V1_3, V1_4, V2_1, V3_0])
def test_hash_mac_and_signature_in_parts(client: Client, version: Version) -> None:
    client = client.at(version)
    parts = [b"one ", b"", b"two ", b"three"]
    whole = b"".join(parts)
    assert stream(client, Operation.HASH, [SHA256], parts)[-1].one(Tag.DATA) == hashlib.sha256(whole).digest()
    uid = active_key(client)
    made = stream(client, Operation.MAC, [uid_item(uid), HMAC], parts)[-1].one(Tag.MAC_DATA)
    assert made == hmac.digest(KEY, whole, "sha256")
    expected: Item = (Tag.MAC_DATA, BYTE_STRING, made)
    answers = stream(client, Operation.MAC_VERIFY, [uid_item(uid), HMAC, expected], parts)
    assert [answer.values(Tag.VALIDITY_INDICATOR) for answer in answers[:-1]] == [[]] * 3
    assert answers[-1].one(Tag.VALIDITY_INDICATOR) == ValidityIndicator.VALID
    private, public = rsa_pair(client, rsa.generate_private_key(65537, 2048), masks=(M.SIGN, M.VERIFY))
    signed = stream(client, Operation.SIGN, [uid_item(private), PKCS1], parts)[-1].one(Tag.SIGNATURE_DATA)
    signature: Item = (Tag.SIGNATURE_DATA, BYTE_STRING, signed)
    for text, validity in ((parts, ValidityIndicator.VALID), ([*parts, b"!"], ValidityIndicator.INVALID)):
        found = stream(client, Operation.SIGNATURE_VERIFY, [uid_item(public), PKCS1, signature], text)
        assert found[-1].one(Tag.VALIDITY_INDICATOR) == validity


def test_1_2_has_no_streams(client: Client) -> None:
    client = client.at(V1_2)
    assert client.refused(Operation.HASH, SHA256, data(b"x"), INIT) is R.INVALID_FIELD


def test_one_part_may_be_first_and_last(client: Client) -> None:
    made = client.ok(Operation.HASH, SHA256, data(b"abc"), INIT, FINAL)
    assert made.one(Tag.DATA) == hashlib.sha256(b"abc").digest()
    assert made.values(Tag.CORRELATION_VALUE) == []


def test_the_indicators_must_make_sense(client: Client) -> None:
    value = client.ok(Operation.HASH, SHA256, data(b"a"), INIT).one(Tag.CORRELATION_VALUE)
    assert client.refused(Operation.HASH, data(b"b"), correlation(value), INIT) is R.INVALID_FIELD
    assert client.refused(Operation.HASH, SHA256, data(b"b"), FINAL) is R.INVALID_FIELD


def test_what_belongs_to_the_beginning_is_not_given_again(client: Client) -> None:
    uid = active_key(client)
    for late in (iv(bytes(16)), GCM, (Tag.AUTHENTICATED_ENCRYPTION_ADDITIONAL_DATA, BYTE_STRING, b"a")):
        value = begin(client, uid)
        assert client.refused(Operation.ENCRYPT, data(b"x"), late, correlation(value)) is R.INVALID_FIELD
    value = begin(client, uid)
    client.ok(Operation.ENCRYPT, CBC, data(b"x"), correlation(value), FINAL)  # equal parameters may be


def test_a_stream_is_its_clients_operations_and_objects_alone(client: Client) -> None:
    uid, other = active_key(client), active_key(client)
    value = begin(client, uid)
    new = client.at(V2_1)
    assert client.as_(BOB).refused(Operation.ENCRYPT, data(b"x"), correlation(value)) is R.ITEM_NOT_FOUND
    assert new.as_(BOB).refused(Operation.ENCRYPT, data(b"x"), correlation(value)) is R.INVALID_CORRELATION_VALUE
    shares = ALICE.__class__(domain="default", name="CN=carol", owner=ALICE.owner)
    assert new.as_(shares).refused(Operation.ENCRYPT, data(b"x"), correlation(value)) is R.INVALID_CORRELATION_VALUE
    assert new.refused(Operation.DECRYPT, data(b"x"), correlation(value)) is R.INVALID_CORRELATION_VALUE
    assert new.refused(Operation.ENCRYPT, data(b"x"), correlation(os.urandom(24))) is R.INVALID_CORRELATION_VALUE
    wrong = [uid_item(other), data(b"x"), correlation(value)]
    assert new.refused(Operation.ENCRYPT, *wrong) is R.INVALID_CORRELATION_VALUE


def test_streams_are_bounded_in_number_and_time(tmp_path: Path, keyring: Keyring, clock: Clock) -> None:
    engine = make_engine(tmp_path, keyring, clock, Settings(maximum_streams=2))
    client = Client(engine, V2_1)
    values = [client.ok(Operation.HASH, SHA256, data(b"a"), INIT).one(Tag.CORRELATION_VALUE) for _ in range(2)]
    assert client.refused(Operation.HASH, SHA256, data(b"a"), INIT) is R.SERVER_LIMIT_EXCEEDED
    client.as_(BOB).ok(Operation.HASH, SHA256, data(b"a"), INIT)
    clock.advance(LIFETIME)
    for value in values:
        assert client.refused(Operation.HASH, data(b"b"), correlation(value)) is R.INVALID_CORRELATION_VALUE
    client.ok(Operation.HASH, SHA256, data(b"a"), INIT)
    engine.store.close()


def test_what_a_stream_must_collect_is_bounded(tmp_path: Path, keyring: Keyring, clock: Clock) -> None:
    engine = make_engine(tmp_path, keyring, clock, Settings(maximum_stream_bytes=100))
    client = Client(engine, V2_1)
    uid = active_key(client)
    first = [uid_item(uid), CCM, iv(bytes(12)), INIT]
    client.ok(Operation.ENCRYPT, *first, data(bytes(60)))
    assert client.refused(Operation.ENCRYPT, *first, data(bytes(60))) is R.SERVER_LIMIT_EXCEEDED  # both together
    assert client.refused(Operation.ENCRYPT, *first, data(bytes(101))) is R.SERVER_LIMIT_EXCEEDED
    client.ok(Operation.ENCRYPT, uid_item(uid), CCM, iv(bytes(12)), data(bytes(1000)))  # in one piece it may
    private = ed25519.Ed25519PrivateKey.generate()
    body = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    signer = register(client, ObjectType.PRIVATE_KEY, block(KeyFormatType.PKCS_8, body, A.ED25519, 256), mask=M.SIGN)
    assert client.refused(Operation.SIGN, uid_item(signer), data(bytes(101)), INIT) is R.SERVER_LIMIT_EXCEEDED
    made = client.ok(Operation.SIGN, uid_item(signer), data(bytes(101))).one(Tag.SIGNATURE_DATA)
    private.public_key().verify(made, bytes(101))
    engine.store.close()


def test_a_key_that_is_revoked_ends_its_streams(client: Client) -> None:
    uid = active_key(client)
    value = begin(client, uid)
    reason = [(Tag.REVOCATION_REASON_CODE, ENUMERATION, int(RevocationReasonCode.KEY_COMPROMISE))]
    client.ok(Operation.REVOKE, uid_item(uid), (Tag.REVOCATION_REASON, STRUCTURE, reason))
    assert client.refused(Operation.ENCRYPT, data(b"x"), correlation(value)) is R.PERMISSION_DENIED
    assert client.refused(Operation.ENCRYPT, data(b"x"), correlation(value)) is R.ITEM_NOT_FOUND


def test_usage_limits_are_drawn_part_by_part(client: Client) -> None:
    uid = active_key(client, usage_limits(6, UsageLimitsUnit.BYTE))
    value = begin(client, uid)  # four bytes
    assert client.refused(Operation.ENCRYPT, data(b"xyz"), correlation(value)) is R.PERMISSION_DENIED
    counted = active_key(client, usage_limits(1, UsageLimitsUnit.OBJECT))
    value = begin(client, counted)
    client.ok(Operation.ENCRYPT, data(b"xyz"), correlation(value), FINAL)
    assert client.refused(Operation.ENCRYPT, uid_item(counted), CBC, data(b"x"), iv(bytes(16))) is R.PERMISSION_DENIED


def test_an_undone_request_ends_its_streams(client: Client) -> None:
    uid = active_key(client)
    value = begin(client, uid)
    undo = option(BatchErrorContinuationOption.UNDO)
    items: list[tuple[int, list[Item]]] = [
        (Operation.ENCRYPT, [data(b"x" * 20), correlation(value)]),
        (Operation.GET, [uid_item("none")]),
    ]
    first, second = client.batch(items, undo)
    assert first.status is ResultStatus.OPERATION_UNDONE
    assert first.values(Tag.DATA) == []
    assert second.status is ResultStatus.OPERATION_FAILED
    assert client.refused(Operation.ENCRYPT, data(b"x"), correlation(value)) is R.ITEM_NOT_FOUND


def test_the_signature_comes_once_and_must_come(client: Client) -> None:
    uid = active_key(client)

    def mac(value: bytes) -> Item:
        return Tag.MAC_DATA, BYTE_STRING, value

    value = client.ok(Operation.MAC_VERIFY, uid_item(uid), HMAC, data(b"x"), INIT, mac(b"1")).one(Tag.CORRELATION_VALUE)
    assert client.refused(Operation.MAC_VERIFY, correlation(value), mac(b"2"), FINAL) is R.INVALID_FIELD
    value = client.ok(Operation.MAC_VERIFY, uid_item(uid), HMAC, data(b"x"), INIT).one(Tag.CORRELATION_VALUE)
    assert client.refused(Operation.MAC_VERIFY, correlation(value), FINAL) is R.INVALID_MESSAGE


def test_a_forged_last_part_is_refused(client: Client) -> None:
    uid = active_key(client)
    whole = client.ok(Operation.ENCRYPT, uid_item(uid), GCM, data(bytes(40)), iv(bytes(12)))
    tag: Item = (Tag.AUTHENTICATED_ENCRYPTION_TAG, BYTE_STRING, whole.one(Tag.AUTHENTICATED_ENCRYPTION_TAG))
    sealed = whole.one(Tag.DATA)
    first = [uid_item(uid), GCM, iv(bytes(12)), tag, data(sealed[:20]), INIT]
    value = client.ok(Operation.DECRYPT, *first).one(Tag.CORRELATION_VALUE)
    forged = [data(bytes(20)), correlation(value), FINAL]
    assert client.refused(Operation.DECRYPT, *forged) is R.CRYPTOGRAPHIC_FAILURE
