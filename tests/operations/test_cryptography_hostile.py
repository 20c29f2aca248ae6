"""Whatever a client asks of the cryptographic operations, it gets an answer, and never an internal error."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kmipsrv.domain.ports import Keyring
from kmipsrv.domain.settings import Settings
from kmipsrv.spec import enums as e
from kmipsrv.spec.enums import CryptographicUsageMask as M
from kmipsrv.spec.enums import KeyFormatType, ObjectType, Operation
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V2_1
from kmipsrv.ttlv.codec import BOOLEAN, BYTE_STRING, ENUMERATION, INTEGER, STRUCTURE, Item
from tests.harness import Client, Clock, make_engine, uid_item
from tests.operations.cryptography import active_key, block, register, rsa_pair

_ENUMERATIONS = {
    Tag.BLOCK_CIPHER_MODE: e.BlockCipherMode,
    Tag.PADDING_METHOD: e.PaddingMethod,
    Tag.HASHING_ALGORITHM: e.HashingAlgorithm,
    Tag.KEY_ROLE_TYPE: e.KeyRoleType,
    Tag.DIGITAL_SIGNATURE_ALGORITHM: e.DigitalSignatureAlgorithm,
    Tag.CRYPTOGRAPHIC_ALGORITHM: e.CryptographicAlgorithm,
    Tag.MASK_GENERATOR: e.MaskGenerator,
    Tag.MASK_GENERATOR_HASHING_ALGORITHM: e.HashingAlgorithm,
}
_NUMBERS = (
    Tag.IV_LENGTH,
    Tag.TAG_LENGTH,
    Tag.FIXED_FIELD_LENGTH,
    Tag.INVOCATION_FIELD_LENGTH,
    Tag.COUNTER_LENGTH,
    Tag.INITIAL_COUNTER_VALUE,
    Tag.SALT_LENGTH,
    Tag.TRAILER_FIELD,
)
_integers = st.one_of(st.integers(-2, 33), st.sampled_from([96, 128, -(1 << 31), (1 << 31) - 1]))
_octets = st.one_of(st.binary(max_size=40), st.sampled_from([bytes(12), bytes(16), bytes(32), bytes(256)]))


def _enumerated(tag: Tag) -> st.SearchStrategy[Item]:
    return st.sampled_from([int(each) for each in _ENUMERATIONS[tag]]).map(lambda value: (tag, ENUMERATION, value))


def _numbered(tag: Tag) -> st.SearchStrategy[Item]:
    return _integers.map(lambda value: (tag, INTEGER, value))


_field = st.one_of(
    *(_enumerated(tag) for tag in _ENUMERATIONS),
    *(_numbered(tag) for tag in _NUMBERS),
    st.booleans().map(lambda value: (Tag.RANDOM_IV, BOOLEAN, value)),
    _octets.map(lambda value: (Tag.P_SOURCE, BYTE_STRING, value)),
)
# The modes and paddings that lead on are likelier than chance has them.
_likely = st.sampled_from(
    [[(Tag.BLOCK_CIPHER_MODE, ENUMERATION, int(mode))] for mode in (e.BlockCipherMode.GCM, e.BlockCipherMode.CTR)]
    + [[(Tag.PADDING_METHOD, ENUMERATION, int(each))] for each in (e.PaddingMethod.OAEP, e.PaddingMethod.PSS)]
    + [[]]
)
_parameters = st.builds(
    lambda likely, fields: (Tag.CRYPTOGRAPHIC_PARAMETERS, STRUCTURE, list({f[0]: f for f in likely + fields}.values())),
    _likely,
    st.lists(_field, max_size=4),
)
_extra = st.lists(
    st.one_of(
        _octets.map(lambda value: (Tag.IV_COUNTER_NONCE, BYTE_STRING, value)),
        _octets.map(lambda value: (Tag.AUTHENTICATED_ENCRYPTION_ADDITIONAL_DATA, BYTE_STRING, value)),
        _octets.map(lambda value: (Tag.AUTHENTICATED_ENCRYPTION_TAG, BYTE_STRING, value)),
        _octets.map(lambda value: (Tag.SIGNATURE_DATA, BYTE_STRING, value)),
        _octets.map(lambda value: (Tag.MAC_DATA, BYTE_STRING, value)),
        _octets.map(lambda value: (Tag.DIGESTED_DATA, BYTE_STRING, value)),
        st.just((Tag.INIT_INDICATOR, BOOLEAN, True)),
        st.just((Tag.FINAL_INDICATOR, BOOLEAN, True)),
    ),
    max_size=3,
    unique_by=lambda item: item[0],
)
_FIELDS = {
    Operation.ENCRYPT: {Tag.IV_COUNTER_NONCE, Tag.AUTHENTICATED_ENCRYPTION_ADDITIONAL_DATA},
    Operation.DECRYPT: {
        Tag.IV_COUNTER_NONCE,
        Tag.AUTHENTICATED_ENCRYPTION_ADDITIONAL_DATA,
        Tag.AUTHENTICATED_ENCRYPTION_TAG,
    },
    Operation.SIGN: {Tag.DIGESTED_DATA},
    Operation.SIGNATURE_VERIFY: {Tag.DIGESTED_DATA, Tag.SIGNATURE_DATA},
    Operation.MAC: set(),
    Operation.MAC_VERIFY: {Tag.MAC_DATA},
}


@lru_cache
def _rsa() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


@pytest.fixture(params=[True, False], ids=["legacy", "default"])
def keys(
    request: pytest.FixtureRequest, tmp_path: Path, keyring: Keyring, clock: Clock
) -> Iterator[tuple[Client, dict[str, str]]]:
    """A client and one key of each kind, with every usage."""
    engine = make_engine(tmp_path, keyring, clock, Settings(allow_legacy_algorithms=request.param))
    client = Client(engine, V2_1)
    private, public = rsa_pair(client, _rsa(), masks=(M.SIGN | M.DECRYPT, M.VERIFY | M.ENCRYPT))
    point = ec.generate_private_key(ec.SECP256R1())
    pkcs8 = point.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    info = point.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    kinds = {
        "aes": active_key(client),
        "rsa": private,
        "rsa public": public,
        "ec": register(client, ObjectType.PRIVATE_KEY, block(KeyFormatType.PKCS_8, pkcs8), mask=M.SIGN | M.DECRYPT),
        "ec public": register(
            client, ObjectType.PUBLIC_KEY, block(KeyFormatType.X_509, info), mask=M.VERIFY | M.ENCRYPT
        ),
    }
    yield client, kinds
    engine.store.close()


_KEYS = {
    Operation.ENCRYPT: ("aes", "rsa public", "ec public"),
    Operation.DECRYPT: ("aes", "rsa", "ec"),
    Operation.SIGN: ("rsa", "ec"),
    Operation.SIGNATURE_VERIFY: ("rsa public", "ec public"),
    Operation.MAC: ("aes",),
    Operation.MAC_VERIFY: ("aes",),
}


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(drawn=st.data())
def test_any_parameters_are_answered(keys: tuple[Client, dict[str, str]], drawn: Any, caplog: Any) -> None:
    client, kinds = keys
    code = drawn.draw(st.sampled_from(list(_FIELDS)))
    key = kinds[drawn.draw(st.sampled_from(_KEYS[code]))]
    allowed = _FIELDS[code] | {Tag.INIT_INDICATOR, Tag.FINAL_INDICATOR}
    extra = [item for item in drawn.draw(_extra) if item[0] in allowed]
    text: Item = (Tag.DATA, BYTE_STRING, drawn.draw(_octets))
    with caplog.at_level(logging.ERROR):
        client.call(code, uid_item(key), drawn.draw(_parameters), text, *extra)
    assert not caplog.records, caplog.text
