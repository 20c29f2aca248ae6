"""Encrypt, Decrypt, Sign, Signature Verify, MAC, MAC Verify, Hash, RNG Retrieve and RNG Seed: whose key, when, how often."""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from kmipsrv.domain.ports import Keyring
from kmipsrv.domain.settings import Settings
from kmipsrv.spec.enums import (
    BlockCipherMode,
    Data,
    HashingAlgorithm,
    KeyFormatType,
    ObjectType,
    Operation,
    PaddingMethod,
    RevocationReasonCode,
    SecretDataType,
    State,
    UsageLimitsUnit,
    ValidityIndicator,
)
from kmipsrv.spec.enums import CryptographicAlgorithm as A
from kmipsrv.spec.enums import CryptographicUsageMask as M
from kmipsrv.spec.enums import ResultReason as R
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V1_0, V1_2, V1_3, V1_4, V2_0, V2_1, V3_0, Version
from kmipsrv.ttlv.codec import BOOLEAN, BYTE_STRING, DATE_TIME, ENUMERATION, INTEGER, STRUCTURE, Item
from tests.harness import BOB, Client, Clock, make_engine, uid_item
from tests.operations.cryptography import (
    ACTIVE,
    EVERYTHING,
    KEY,
    active_key,
    block,
    data,
    iv,
    parameters,
    register,
    rsa_pair,
    usage_limits,
)

GCM = parameters(block_cipher_mode=BlockCipherMode.GCM, tag_length=16)
CTR = parameters(block_cipher_mode=BlockCipherMode.CTR)
HMAC = parameters(cryptographic_algorithm=A.HMAC_SHA256)
PSS = parameters(padding_method=PaddingMethod.PSS, hashing_algorithm=HashingAlgorithm.SHA_256)
NONCE = bytes(range(12))
COUNTER = bytes(16)
WITH_CRYPTOGRAPHY = [V1_2, V1_3, V1_4, V2_0, V2_1, V3_0]


@pytest.fixture(scope="module")
def key_pair() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


# ----------------------------------------------------------------------------------------------------- what they compute


@pytest.mark.parametrize("version", WITH_CRYPTOGRAPHY)
def test_every_version_from_1_2_on_encrypts_and_decrypts(client: Client, version: Version) -> None:
    client = client.at(version)
    uid = active_key(client, CTR)
    made = client.ok(Operation.ENCRYPT, uid_item(uid), data(b"thirty"), iv(COUNTER))
    assert made.uid == uid
    assert made.one(Tag.DATA) != b"thirty"
    back = client.ok(Operation.DECRYPT, uid_item(uid), data(made.one(Tag.DATA)), iv(COUNTER))
    assert back.one(Tag.DATA) == b"thirty"


@pytest.mark.parametrize(
    "code",
    [
        Operation.ENCRYPT,
        Operation.DECRYPT,
        Operation.SIGN,
        Operation.SIGNATURE_VERIFY,
        Operation.MAC,
        Operation.MAC_VERIFY,
        Operation.HASH,
        Operation.RNG_RETRIEVE,
        Operation.RNG_SEED,
    ],
)
def test_1_0_has_none_of_them(client: Client, code: Operation) -> None:
    assert client.at(V1_0).refused(code, data(b"x")) is R.OPERATION_NOT_SUPPORTED


def test_authenticated_encryption_answers_the_tag_and_the_iv_it_made(client: Client) -> None:
    uid = active_key(client)
    random_iv = parameters(block_cipher_mode=BlockCipherMode.GCM, tag_length=16, random_iv=True)
    aad: Item = (Tag.AUTHENTICATED_ENCRYPTION_ADDITIONAL_DATA, BYTE_STRING, b"header")
    made = client.ok(Operation.ENCRYPT, uid_item(uid), random_iv, data(b"message"), aad)
    nonce, tag = made.one(Tag.IV_COUNTER_NONCE), made.one(Tag.AUTHENTICATED_ENCRYPTION_TAG)
    assert AESGCM(KEY).decrypt(nonce, made.one(Tag.DATA) + tag, b"header") == b"message"
    request = [uid_item(uid), GCM, data(made.one(Tag.DATA)), iv(nonce)]
    opened = client.ok(Operation.DECRYPT, *request, aad, (Tag.AUTHENTICATED_ENCRYPTION_TAG, BYTE_STRING, tag))
    assert opened.one(Tag.DATA) == b"message"
    forged: Item = (Tag.AUTHENTICATED_ENCRYPTION_TAG, BYTE_STRING, bytes(16))
    assert client.refused(Operation.DECRYPT, *request, aad, forged) is R.CRYPTOGRAPHIC_FAILURE


def test_authenticated_encryption_is_not_there_before_1_4(client: Client) -> None:
    client = client.at(V1_3)
    uid = active_key(client)
    aad: Item = (Tag.AUTHENTICATED_ENCRYPTION_ADDITIONAL_DATA, BYTE_STRING, b"header")
    assert client.refused(Operation.ENCRYPT, uid_item(uid), GCM, data(b"m"), iv(NONCE), aad) is R.INVALID_FIELD


def test_empty_data_is_data_and_missing_data_is_an_error(client: Client) -> None:
    uid = active_key(client)
    made = client.ok(Operation.ENCRYPT, uid_item(uid), GCM, data(b""), iv(NONCE))
    assert made.one(Tag.DATA) == b""
    assert client.refused(Operation.ENCRYPT, uid_item(uid), GCM, iv(NONCE)) is R.INVALID_MESSAGE


def test_the_key_names_its_parameters_when_the_request_does_not(client: Client) -> None:
    uid = active_key(client, CTR, GCM)
    first = client.ok(Operation.ENCRYPT, uid_item(uid), data(b"data"), iv(COUNTER))
    assert first.values(Tag.AUTHENTICATED_ENCRYPTION_TAG) == []  # the instance with the lowest index: CTR
    other = client.ok(Operation.ENCRYPT, uid_item(uid), GCM, data(b"data"), iv(NONCE))
    assert len(other.one(Tag.AUTHENTICATED_ENCRYPTION_TAG)) == 16


def test_without_parameters_anywhere_it_fails(client: Client) -> None:
    uid = active_key(client)
    assert client.refused(Operation.ENCRYPT, uid_item(uid), data(b"x")) is R.INVALID_FIELD
    assert client.at(V2_1).refused(Operation.ENCRYPT, uid_item(uid), data(b"x")) is R.BAD_CRYPTOGRAPHIC_PARAMETERS


def test_a_mac_and_its_verification(client: Client) -> None:
    uid = active_key(client, HMAC)
    made = client.ok(Operation.MAC, uid_item(uid), data(b"message")).one(Tag.MAC_DATA)
    assert made == hmac.digest(KEY, b"message", "sha256")
    for mac, expected in ((made, ValidityIndicator.VALID), (made[:-1], ValidityIndicator.INVALID)):
        checked = client.ok(Operation.MAC_VERIFY, uid_item(uid), data(b"message"), (Tag.MAC_DATA, BYTE_STRING, mac))
        assert checked.one(Tag.VALIDITY_INDICATOR) == expected
    assert client.refused(Operation.MAC_VERIFY, uid_item(uid), data(b"message")) is R.INVALID_MESSAGE


def test_secret_data_makes_macs_and_encrypts_nothing(client: Client) -> None:
    body: list[Item] = [(Tag.SECRET_DATA_TYPE, ENUMERATION, SecretDataType.SEED), *block(KeyFormatType.RAW, b"secret")]
    uid = register(client, ObjectType.SECRET_DATA, body, mask=EVERYTHING)
    made = client.ok(Operation.MAC, uid_item(uid), HMAC, data(b"message")).one(Tag.MAC_DATA)
    assert made == hmac.digest(b"secret", b"message", "sha256")
    named = parameters(cryptographic_algorithm=A.AES, block_cipher_mode=BlockCipherMode.CTR)
    assert client.refused(Operation.ENCRYPT, uid_item(uid), named, data(b"x"), iv(COUNTER)) is R.PERMISSION_DENIED
    assert client.at(V2_1).refused(Operation.ENCRYPT, uid_item(uid), named, data(b"x")) is R.INVALID_OBJECT_TYPE


def test_a_signature_over_data_and_over_its_digest(client: Client, key_pair: rsa.RSAPrivateKey) -> None:
    private, public = rsa_pair(client, key_pair, masks=(M.SIGN, M.VERIFY))
    scheme = parameters(padding_method=PaddingMethod.PKCS1_V1_5, hashing_algorithm=HashingAlgorithm.SHA_256)
    whole = client.ok(Operation.SIGN, uid_item(private), scheme, data(b"text")).one(Tag.SIGNATURE_DATA)
    digested: Item = (Tag.DIGESTED_DATA, BYTE_STRING, hashlib.sha256(b"text").digest())
    assert client.ok(Operation.SIGN, uid_item(private), scheme, digested).one(Tag.SIGNATURE_DATA) == whole
    signature: Item = (Tag.SIGNATURE_DATA, BYTE_STRING, whole)
    for what, expected in (
        (data(b"text"), ValidityIndicator.VALID),
        (digested, ValidityIndicator.VALID),
        (data(b"other"), ValidityIndicator.INVALID),
    ):
        found = client.ok(Operation.SIGNATURE_VERIFY, uid_item(public), scheme, what, signature)
        assert found.one(Tag.VALIDITY_INDICATOR) == expected
    assert client.refused(Operation.SIGN, uid_item(private), scheme, data(b"text"), digested) is R.INVALID_FIELD
    assert client.refused(Operation.SIGNATURE_VERIFY, uid_item(public), scheme, data(b"text")) is R.INVALID_MESSAGE


def test_elliptic_curve_keys_of_this_server(client: Client) -> None:
    client = client.at(V2_1)
    made = client.ok(
        Operation.CREATE_KEY_PAIR,
        client.attributes(
            (Tag.CRYPTOGRAPHIC_ALGORITHM, ENUMERATION, int(A.ECDSA)),
            (Tag.CRYPTOGRAPHIC_LENGTH, INTEGER, 256),
            ACTIVE,
            tag_1x=Tag.COMMON_TEMPLATE_ATTRIBUTE,
        ),
        client.attributes(
            (Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, int(M.SIGN)), tag_1x=Tag.PRIVATE_KEY_TEMPLATE_ATTRIBUTE
        ),
        client.attributes(
            (Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, int(M.VERIFY)), tag_1x=Tag.PUBLIC_KEY_TEMPLATE_ATTRIBUTE
        ),
    )
    private, public = made.one(Tag.PRIVATE_KEY_UNIQUE_IDENTIFIER), made.one(Tag.PUBLIC_KEY_UNIQUE_IDENTIFIER)
    signature = client.ok(Operation.SIGN, uid_item(private), data(b"text")).one(Tag.SIGNATURE_DATA)
    found = client.ok(
        Operation.SIGNATURE_VERIFY, uid_item(public), data(b"text"), (Tag.SIGNATURE_DATA, BYTE_STRING, signature)
    )
    assert found.one(Tag.VALIDITY_INDICATOR) == ValidityIndicator.VALID
    assert client.refused(Operation.SIGN, uid_item(public), data(b"text")) is R.INVALID_OBJECT_TYPE


def certificate(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "signer")])
    start = datetime(2026, 1, 1)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(start).not_valid_after(start + timedelta(days=1000))
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def test_a_certificate_verifies_and_encrypts_with_its_public_key(client: Client, key_pair: rsa.RSAPrivateKey) -> None:
    private, _ = rsa_pair(client, key_pair, masks=(M.SIGN | M.DECRYPT, M.VERIFY))
    body: list[Item] = [
        (Tag.CERTIFICATE_TYPE, ENUMERATION, 1),
        (Tag.CERTIFICATE_VALUE, BYTE_STRING, certificate(key_pair)),
    ]
    uid = register(client, ObjectType.CERTIFICATE, body, mask=M.VERIFY | M.ENCRYPT)
    signed = client.ok(Operation.SIGN, uid_item(private), PSS, data(b"text")).one(Tag.SIGNATURE_DATA)
    found = client.ok(
        Operation.SIGNATURE_VERIFY, uid_item(uid), PSS, data(b"text"), (Tag.SIGNATURE_DATA, BYTE_STRING, signed)
    )
    assert found.one(Tag.VALIDITY_INDICATOR) == ValidityIndicator.VALID
    oaep = parameters(padding_method=PaddingMethod.OAEP, hashing_algorithm=HashingAlgorithm.SHA_256)
    sealed = client.ok(Operation.ENCRYPT, uid_item(uid), oaep, data(b"secret")).one(Tag.DATA)
    assert client.ok(Operation.DECRYPT, uid_item(private), oaep, data(sealed)).one(Tag.DATA) == b"secret"


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha3_512"])
def test_a_hash(client: Client, algorithm: str) -> None:
    name = {"sha1": "SHA_1", "sha256": "SHA_256", "sha3_512": "SHA3_512"}[algorithm]
    chosen = parameters(hashing_algorithm=HashingAlgorithm[name])
    assert client.ok(Operation.HASH, chosen, data(b"abc")).one(Tag.DATA) == hashlib.new(algorithm, b"abc").digest()
    assert client.refused(Operation.HASH, data(b"abc")) is R.INVALID_FIELD


def test_random_numbers_are_bounded_and_seeds_are_used(client: Client) -> None:
    def retrieve(length: int) -> Item:
        return Tag.DATA_LENGTH, INTEGER, length

    first = client.ok(Operation.RNG_RETRIEVE, retrieve(64)).one(Tag.DATA)
    assert client.ok(Operation.RNG_SEED, data(b"seed" * 8)).one(Tag.DATA_LENGTH) == 32
    second = client.ok(Operation.RNG_RETRIEVE, retrieve(64)).one(Tag.DATA)
    assert len(first) == len(second) == 64
    assert first != second
    assert client.refused(Operation.RNG_RETRIEVE, retrieve(0)) is R.INVALID_FIELD
    assert client.refused(Operation.RNG_RETRIEVE, retrieve(-1)) is R.INVALID_FIELD
    assert client.at(V2_1).refused(Operation.RNG_RETRIEVE, retrieve(1 << 20)) is R.SERVER_LIMIT_EXCEEDED
    assert client.refused(Operation.RNG_SEED, data(b"")) is R.INVALID_FIELD


# ----------------------------------------------------------------------------------------------------- who may, and when


def test_what_is_not_yours_is_not_there(client: Client) -> None:
    uid = active_key(client, CTR)
    bob = client.as_(BOB)
    assert bob.refused(Operation.ENCRYPT, uid_item(uid), data(b"x"), iv(COUNTER)) is R.ITEM_NOT_FOUND
    assert bob.at(V2_1).refused(Operation.ENCRYPT, uid_item(uid), data(b"x"), iv(COUNTER)) is R.OBJECT_NOT_FOUND


@pytest.mark.parametrize(
    ("mask", "allowed"),
    [(M.ENCRYPT, "encrypt"), (M.DECRYPT, "decrypt"), (M.MAC_GENERATE, "mac"), (M.MAC_VERIFY, "verify"), (0, "")],
)
def test_the_usage_mask_decides(client: Client, mask: M, allowed: str) -> None:
    client = client.at(V2_1)
    uid = active_key(client, mask=mask)
    requests: dict[str, tuple[Operation, list[Item]]] = {
        "encrypt": (Operation.ENCRYPT, [CTR, data(b"x"), iv(COUNTER)]),
        "decrypt": (Operation.DECRYPT, [CTR, data(b"x"), iv(COUNTER)]),
        "mac": (Operation.MAC, [HMAC, data(b"x")]),
        "verify": (Operation.MAC_VERIFY, [HMAC, data(b"x"), (Tag.MAC_DATA, BYTE_STRING, b"x")]),
    }
    for name, (code, payload) in requests.items():
        if name == allowed:
            client.ok(code, uid_item(uid), *payload)
        else:
            reason = client.refused(code, uid_item(uid), *payload)
            assert reason is R.INCOMPATIBLE_CRYPTOGRAPHIC_USAGE_MASK, name


def test_an_unrestricted_key_may_do_everything(client: Client) -> None:
    client = client.at(V2_1)
    uid = active_key(client, mask=M.UNRESTRICTED)
    client.ok(Operation.ENCRYPT, uid_item(uid), CTR, data(b"x"), iv(COUNTER))
    client.ok(Operation.MAC, uid_item(uid), HMAC, data(b"x"))


def revoke(client: Client, uid: str, code: RevocationReasonCode) -> None:
    reason: Item = (Tag.REVOCATION_REASON, STRUCTURE, [(Tag.REVOCATION_REASON_CODE, ENUMERATION, int(code))])
    client.ok(Operation.REVOKE, uid_item(uid), reason)


def in_state(client: Client, state: State) -> str:
    """A key that has come to this state."""
    uid = client.register_key(KEY, mask=EVERYTHING) if state is State.PRE_ACTIVE else active_key(client)
    if state in (State.COMPROMISED, State.DESTROYED_COMPROMISED):
        revoke(client, uid, RevocationReasonCode.KEY_COMPROMISE)
    elif state in (State.DEACTIVATED, State.DESTROYED):
        revoke(client, uid, RevocationReasonCode.CESSATION_OF_OPERATION)
    if state in (State.DESTROYED, State.DESTROYED_COMPROMISED):
        client.ok(Operation.DESTROY, uid_item(uid))
    return uid


@pytest.mark.parametrize("state", list(State))
def test_the_state_decides(client: Client, state: State) -> None:
    """2.1 §4.57: protection is applied in Active alone, what is protected is processed until destruction."""
    client = client.at(V2_1)
    uid = in_state(client, state)
    made = hmac.digest(KEY, b"x", "sha256")
    protecting: list[tuple[Operation, list[Item]]] = [
        (Operation.ENCRYPT, [CTR, data(b"x"), iv(COUNTER)]),
        (Operation.MAC, [HMAC, data(b"x")]),
    ]
    processing: list[tuple[Operation, list[Item]]] = [
        (Operation.DECRYPT, [CTR, data(b"x"), iv(COUNTER)]),
        (Operation.MAC_VERIFY, [HMAC, data(b"x"), (Tag.MAC_DATA, BYTE_STRING, made)]),
    ]
    for requests, states in (
        (protecting, {State.ACTIVE}),
        (processing, {State.ACTIVE, State.DEACTIVATED, State.COMPROMISED}),
    ):
        for code, payload in requests:
            if state in states:
                client.ok(code, uid_item(uid), *payload)
            else:
                assert client.refused(code, uid_item(uid), *payload) is R.WRONG_KEY_LIFECYCLE_STATE
                assert client.at(V1_4).refused(code, uid_item(uid), *payload) is R.PERMISSION_DENIED


def test_process_start_and_protect_stop(client: Client, clock: Clock) -> None:
    client = client.at(V2_1)
    start, stop = clock.now + 100, clock.now + 200
    uid = active_key(client, (Tag.PROCESS_START_DATE, DATE_TIME, start), (Tag.PROTECT_STOP_DATE, DATE_TIME, stop))
    encrypt, decrypt = [uid_item(uid), CTR, data(b"x"), iv(COUNTER)], [uid_item(uid), CTR, data(b"x"), iv(COUNTER)]
    assert client.refused(Operation.ENCRYPT, *encrypt) is R.WRONG_KEY_LIFECYCLE_STATE
    assert client.refused(Operation.DECRYPT, *decrypt) is R.WRONG_KEY_LIFECYCLE_STATE
    clock.advance(100)
    client.ok(Operation.ENCRYPT, *encrypt)
    client.ok(Operation.DECRYPT, *decrypt)
    clock.advance(101)
    assert client.refused(Operation.ENCRYPT, *encrypt) is R.WRONG_KEY_LIFECYCLE_STATE
    client.ok(Operation.DECRYPT, *decrypt)


def remaining(client: Client, uid: str) -> int:
    fields: list[Item] = client.at(V2_1).ok(Operation.GET_ATTRIBUTES, uid_item(uid)).attributes()["Usage Limits"]
    return next(int(value) for tag, _, value in fields if tag == Tag.USAGE_LIMITS_COUNT)


def test_usage_limits_in_bytes(client: Client) -> None:
    uid = active_key(client, usage_limits(10, UsageLimitsUnit.BYTE))
    client.ok(Operation.ENCRYPT, uid_item(uid), CTR, data(b"123456"), iv(COUNTER))
    assert remaining(client, uid) == 4
    refused = client.refused(Operation.ENCRYPT, uid_item(uid), CTR, data(b"12345"), iv(COUNTER))
    assert refused is R.PERMISSION_DENIED
    assert remaining(client, uid) == 4
    client.ok(Operation.DECRYPT, uid_item(uid), CTR, data(b"123456789012"), iv(COUNTER))
    client.ok(Operation.MAC, uid_item(uid), HMAC, data(b"1234"))
    assert remaining(client, uid) == 0


def test_usage_limits_in_objects_and_an_operation_that_fails_draws_nothing(client: Client) -> None:
    uid = active_key(client, usage_limits(2, UsageLimitsUnit.OBJECT))
    client.refused(Operation.ENCRYPT, uid_item(uid), CTR, data(b"1" * 100))  # no IV
    assert remaining(client, uid) == 2
    client.ok(Operation.ENCRYPT, uid_item(uid), CTR, data(b"1" * 100), iv(COUNTER))
    client.ok(Operation.ENCRYPT, uid_item(uid), CTR, data(b"1" * 100), iv(COUNTER))
    assert client.refused(Operation.ENCRYPT, uid_item(uid), CTR, data(b""), iv(COUNTER)) is R.PERMISSION_DENIED


def test_legacy_algorithms_need_the_policy(client: Client, tmp_path: Path, keyring: Keyring, clock: Clock) -> None:
    ecb = parameters(block_cipher_mode=BlockCipherMode.ECB)
    uid = active_key(client, ecb)
    assert client.at(V2_1).refused(Operation.ENCRYPT, uid_item(uid), data(COUNTER)) is (
        R.UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS
    )
    folder = tmp_path / "legacy"
    folder.mkdir()
    engine = make_engine(folder, keyring, clock, Settings(allow_legacy_algorithms=True))
    old = Client(engine)
    assert len(old.ok(Operation.ENCRYPT, uid_item(active_key(old, ecb)), data(COUNTER)).one(Tag.DATA)) == 16
    engine.store.close()


def test_a_key_longer_than_the_limit_is_not_used(tmp_path: Path, keyring: Keyring, clock: Clock) -> None:
    engine = make_engine(tmp_path, keyring, clock, Settings(maximum_rsa_bits=2048))
    client = Client(engine, V2_1)
    private = rsa.generate_private_key(65537, 2304)
    body = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    answer = client.call(
        Operation.REGISTER,
        (Tag.OBJECT_TYPE, ENUMERATION, int(ObjectType.PRIVATE_KEY)),
        client.attributes((Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, int(M.SIGN)), ACTIVE),
        (Tag.PRIVATE_KEY, STRUCTURE, block(KeyFormatType.PKCS_8, body, A.RSA, 2304)),
    )
    if answer.reason is None:
        assert client.refused(Operation.SIGN, uid_item(answer.uid), PSS, data(b"x")) is R.SERVER_LIMIT_EXCEEDED
    else:
        assert answer.reason is R.SERVER_LIMIT_EXCEEDED
    engine.store.close()


# ------------------------------------------------------------------------------------------- data of earlier batch items


def reference(value: Data | int) -> Item:
    return Tag.DATA, ENUMERATION if isinstance(value, Data) else INTEGER, int(value)


@pytest.mark.parametrize("which", [Data.HASH, 0, -1])
def test_data_may_be_the_output_of_an_earlier_item(client: Client, which: Data | int) -> None:
    client = client.at(V2_1)
    uid = active_key(client)
    sha256 = parameters(hashing_algorithm=HashingAlgorithm.SHA_256)
    hashed, made = client.batch(
        [(Operation.HASH, [sha256, data(b"abc")]), (Operation.MAC, [uid_item(uid), HMAC, reference(which)])]
    )
    digest = hashlib.sha256(b"abc").digest()
    assert hashed.one(Tag.DATA) == digest
    assert made.one(Tag.MAC_DATA) == hmac.digest(KEY, digest, "sha256")


def test_there_must_be_such_an_output_and_1_x_has_no_references(client: Client) -> None:
    sha256 = parameters(hashing_algorithm=HashingAlgorithm.SHA_256)
    for which in (Data.ENCRYPT, 0, 1, -1, -(1 << 31)):
        assert client.at(V2_1).refused(Operation.HASH, sha256, reference(which)) is R.INVALID_FIELD
    assert client.refused(Operation.HASH, sha256, reference(Data.HASH)) is R.INVALID_MESSAGE


def test_ephemeral_data_stays_and_may_be_referred_to(client: Client) -> None:
    client = client.at(V2_1)
    uid = active_key(client, CTR)
    sealed = client.ok(Operation.ENCRYPT, uid_item(uid), data(b"secret"), iv(COUNTER)).one(Tag.DATA)
    sha256 = parameters(hashing_algorithm=HashingAlgorithm.SHA_256)
    decrypt = client.frame(
        [
            (Operation.DECRYPT, [uid_item(uid), data(sealed), iv(COUNTER)]),
            (Operation.HASH, [sha256, reference(Data.DECRYPT)]),
        ]
    )
    first: Item = (Tag.EPHEMERAL, BOOLEAN, True)
    _, (opened, hashed) = client.message(with_ephemeral(decrypt, first))
    assert opened.uid == uid
    assert opened.values(Tag.DATA) == []
    assert hashed.one(Tag.DATA) == hashlib.sha256(b"secret").digest()


def with_ephemeral(frame: bytes, field: Item) -> bytes:
    """The message with Ephemeral in its first batch item."""
    from kmipsrv.ttlv.codec import decode, encode

    tag, kind, (header, item, *rest) = decode(frame)
    code, *others = item[2]
    return encode((tag, kind, [header, (item[0], item[1], [code, field, *others]), *rest]))


def test_a_batch_cannot_put_out_without_bound(tmp_path: Path, keyring: Keyring, clock: Clock) -> None:
    engine = make_engine(tmp_path, keyring, clock, Settings(maximum_output_bytes=2500))
    client = Client(engine, V2_1)
    uid = active_key(client, CTR)
    items: list[tuple[int, list[Item]]] = [(Operation.ENCRYPT, [uid_item(uid), data(bytes(1000)), iv(COUNTER)])]
    items += [(Operation.ENCRYPT, [uid_item(uid), reference(-1), iv(COUNTER)])] * 3
    answers = client.batch(items)
    assert [answer.reason for answer in answers] == [None, None, R.SERVER_LIMIT_EXCEEDED]
    engine.store.close()
