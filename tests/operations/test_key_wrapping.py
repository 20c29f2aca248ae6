"""Key wrapping on Get, and keys that were registered wrapped: methods, encodings, the wrapping key's own rules, secrecy."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import keywrap
from cryptography.hazmat.primitives.asymmetric import rsa

from kmipsrv.spec.enums import (
    BlockCipherMode,
    EncodingOption,
    HashingAlgorithm,
    KeyFormatType,
    KeyWrapType,
    LinkType,
    ObjectType,
    Operation,
    PaddingMethod,
    RevocationReasonCode,
    WrappingMethod,
)
from kmipsrv.spec.enums import CryptographicAlgorithm as A
from kmipsrv.spec.enums import CryptographicUsageMask as M
from kmipsrv.spec.enums import ResultReason as R
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V1_0, V1_1, V1_4, V2_1, V3_0, Version
from kmipsrv.ttlv.codec import (
    BIG_INTEGER,
    BOOLEAN,
    BYTE_STRING,
    ENUMERATION,
    INTEGER,
    STRUCTURE,
    TEXT_STRING,
    Item,
    decode,
)
from tests.harness import BOB, Client, attribute_1x, uid_item
from tests.operations.cryptography import (
    ACTIVE,
    EVERYTHING,
    active_key,
    data,
    iv,
    parameters,
    register,
    rsa_pair,
    usage_limits,
)

KEK = bytes(range(16))
SECRET = bytes.fromhex("00112233445566778899aabbccddeeff")
WRAPPED = bytes.fromhex("1fa68b0a8112b447aef34bd8fb5a7b829d3e862371d2cfe5")  # RFC 3394 §4.1
RFC3394 = parameters(block_cipher_mode=BlockCipherMode.NIST_KEY_WRAP)
RFC5649 = parameters(block_cipher_mode=BlockCipherMode.AES_KEY_WRAP_PADDING)
GCM = parameters(block_cipher_mode=BlockCipherMode.GCM)
HMAC = parameters(cryptographic_algorithm=A.HMAC_SHA256)
OAEP = parameters(padding_method=PaddingMethod.OAEP, hashing_algorithm=HashingAlgorithm.SHA_256)
PSS = parameters(padding_method=PaddingMethod.PSS, hashing_algorithm=HashingAlgorithm.SHA_256)
PLAIN: Item = (Tag.ENCODING_OPTION, ENUMERATION, int(EncodingOption.NO_ENCODING))
NOT_WRAPPED: Item = (Tag.KEY_WRAP_TYPE, ENUMERATION, int(KeyWrapType.NOT_WRAPPED))
AS_REGISTERED: Item = (Tag.KEY_WRAP_TYPE, ENUMERATION, int(KeyWrapType.AS_REGISTERED))


def information(tag: Tag, uid: str, *chosen: Item) -> Item:
    return tag, STRUCTURE, [uid_item(uid), *chosen]


def by(uid: str, *chosen: Item) -> Item:
    return information(Tag.ENCRYPTION_KEY_INFORMATION, uid, *chosen)


def signed(uid: str, *chosen: Item) -> Item:
    return information(Tag.MAC_SIGNATURE_KEY_INFORMATION, uid, *chosen)


def specification(*fields: Item, method: WrappingMethod = WrappingMethod.ENCRYPT) -> Item:
    return Tag.KEY_WRAPPING_SPECIFICATION, STRUCTURE, [(Tag.WRAPPING_METHOD, ENUMERATION, int(method)), *fields]


def kek(client: Client, *attributes: Item, mask: int = EVERYTHING) -> str:
    return active_key(client, *(attributes or (RFC3394,)), material=KEK, mask=mask)


def got(client: Client, uid: str, *asked: Item) -> dict[int, tuple[int, object]]:
    """The Key Block of a Get, by tag."""
    answer = client.ok(Operation.GET, uid_item(uid), *asked)
    (fields,) = answer.values(Tag.SYMMETRIC_KEY) or answer.values(Tag.PRIVATE_KEY)
    found: list[Item] = next(value for tag, _, value in fields if tag == Tag.KEY_BLOCK)
    return {tag: (kind, value) for tag, kind, value in found}


def register_wrapped(client: Client, found: dict[int, tuple[int, object]]) -> str:
    """Register what a Get has answered. -> the new unique identifier."""
    fields: list[Item] = [(tag, kind, value) for tag, (kind, value) in found.items()]
    return client.ok(
        Operation.REGISTER,
        (Tag.OBJECT_TYPE, ENUMERATION, int(ObjectType.SYMMETRIC_KEY)),
        client.attributes((Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, EVERYTHING), ACTIVE),
        (Tag.SYMMETRIC_KEY, STRUCTURE, [(Tag.KEY_BLOCK, STRUCTURE, fields)]),
    ).uid


def material(found: dict[int, tuple[int, object]]) -> object:
    """The Key Material of a Key Block that is not wrapped."""
    assert Tag.KEY_WRAPPING_DATA not in found
    kind, fields = found[Tag.KEY_VALUE]
    assert kind == STRUCTURE
    assert isinstance(fields, list)
    ((_, _, value),) = fields
    return value


# ----------------------------------------------------------------------------------------------------------- encodings


@pytest.mark.parametrize("version", [V1_1, V1_4, V2_1, V3_0])
def test_no_encoding_wraps_the_bare_material(client: Client, version: Version) -> None:
    client = client.at(version)
    wrapper, uid = kek(client), active_key(client, material=SECRET)
    found = got(client, uid, specification(by(wrapper, RFC3394), PLAIN))
    assert found[Tag.KEY_VALUE] == (BYTE_STRING, WRAPPED)
    _, fields = found[Tag.KEY_WRAPPING_DATA]
    assert isinstance(fields, list)
    assert [tag for tag, _, _ in fields] == [Tag.WRAPPING_METHOD, Tag.ENCRYPTION_KEY_INFORMATION, Tag.ENCODING_OPTION]


def test_ttlv_encoding_with_attributes_is_what_the_committee_published(client: Client, shared: Path) -> None:
    """The messages of test case 14.2 (KMIP 1.1); its XML form has a Key Value that No Encoding would have made."""
    documents = json.loads((shared / "oasis/hex/kmip-testcases-v1.1.json").read_text())
    expected = None
    for each in documents:
        if each["section"].startswith("14.2") and each["kind"] == "response":
            match = re.search(r"Key Value \(0x420045\), Type: Byte String \(0x08\), Data: ([0-9A-F]+)", each["dump"])
            expected = bytes.fromhex(match[1]) if match else expected
    assert expected is not None
    client = client.at(V1_1)
    wrapper, uid = kek(client, mask=M.WRAP_KEY), active_key(client, material=SECRET, mask=M.ENCRYPT | M.DECRYPT)
    name: Item = (Tag.ATTRIBUTE_NAME, TEXT_STRING, "Cryptographic Usage Mask")
    assert got(client, uid, specification(by(wrapper, RFC3394), name))[Tag.KEY_VALUE] == (BYTE_STRING, expected)


@pytest.mark.parametrize("version", [V1_0, V1_4, V2_1, V3_0])
def test_attributes_are_wrapped_in_the_version_s_form(client: Client, version: Version) -> None:
    client = client.at(version)
    wrapper, uid = kek(client), active_key(client, material=SECRET, mask=M.ENCRYPT)
    names: list[Item] = [
        (Tag.ATTRIBUTE_NAME, TEXT_STRING, name) for name in ("Cryptographic Usage Mask", "Contact Information")
    ]
    _, octets = got(client, uid, specification(by(wrapper, RFC3394), *names))[Tag.KEY_VALUE]
    assert isinstance(octets, bytes)
    tag, _, fields = decode(keywrap.aes_key_unwrap(KEK, octets))
    assert tag == Tag.KEY_VALUE
    mask: Item = (Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, int(M.ENCRYPT))
    expected: Item = (Tag.ATTRIBUTES, STRUCTURE, [mask]) if version >= V2_1 else attribute_1x(*mask)
    assert fields == [(Tag.KEY_MATERIAL, BYTE_STRING, SECRET), expected]


def test_encoding_options_that_cannot_be(client: Client) -> None:
    wrapper, uid = kek(client), active_key(client, material=SECRET)
    name: Item = (Tag.ATTRIBUTE_NAME, TEXT_STRING, "Cryptographic Usage Mask")
    wanted = specification(by(wrapper, RFC3394), name, PLAIN)
    assert client.refused(Operation.GET, uid_item(uid), wanted) is R.ENCODING_OPTION_ERROR
    transparent: Item = (Tag.KEY_FORMAT_TYPE, ENUMERATION, int(KeyFormatType.TRANSPARENT_SYMMETRIC_KEY))
    wanted = specification(by(wrapper, RFC3394), PLAIN)
    assert client.refused(Operation.GET, uid_item(uid), transparent, wanted) is R.ENCODING_OPTION_ERROR
    got(client, uid, transparent, specification(by(wrapper, RFC3394)))  # encoded as TTLV it can


def test_a_private_key_is_converted_and_wrapped(client: Client) -> None:
    pair = rsa.generate_private_key(65537, 2048)
    private, _ = rsa_pair(client, pair, masks=(M.SIGN, M.VERIFY))
    wrapper = kek(client, RFC5649)
    form: Item = (Tag.KEY_FORMAT_TYPE, ENUMERATION, int(KeyFormatType.PKCS_8))
    found = got(client, private, form, specification(by(wrapper, RFC5649), PLAIN))
    _, octets = found[Tag.KEY_VALUE]
    assert isinstance(octets, bytes)
    assert keywrap.aes_key_unwrap_with_padding(KEK, octets).startswith(b"\x30\x82")
    assert found[Tag.KEY_FORMAT_TYPE][1] == KeyFormatType.PKCS_8
    transparent: Item = (Tag.KEY_FORMAT_TYPE, ENUMERATION, int(KeyFormatType.TRANSPARENT_RSA_PRIVATE_KEY))
    _, octets = got(client, private, transparent, specification(by(wrapper, RFC5649)))[Tag.KEY_VALUE]
    assert isinstance(octets, bytes)
    _, _, ((_, _, content),) = decode(keywrap.aes_key_unwrap_with_padding(KEK, octets))
    assert (Tag.MODULUS, BIG_INTEGER, pair.public_key().public_numbers().n) in content


# ------------------------------------------------------------------------------------------------------------- methods

_HIDING = [WrappingMethod.ENCRYPT, WrappingMethod.ENCRYPT_THEN_MAC_SIGN, WrappingMethod.MAC_SIGN_THEN_ENCRYPT]


@pytest.mark.parametrize("method", [*_HIDING, WrappingMethod.MAC_SIGN])
@pytest.mark.parametrize("chosen", [RFC3394, RFC5649, GCM], ids=["rfc3394", "rfc5649", "gcm"])
def test_what_is_wrapped_here_is_unwrapped_here(client: Client, method: WrappingMethod, chosen: Item) -> None:
    wrapper, maker = kek(client, chosen), active_key(client, HMAC)
    uid = active_key(client, material=SECRET)
    fields = []
    if method is not WrappingMethod.MAC_SIGN:
        fields.append(by(wrapper, chosen))
    if method is not WrappingMethod.ENCRYPT:
        fields.append(signed(maker, HMAC))
    found = got(client, uid, specification(*fields, method=method))
    again = register_wrapped(client, found)
    assert got(client, again) == found
    assert got(client, again, AS_REGISTERED) == found
    assert material(got(client, again, NOT_WRAPPED)) == SECRET


@pytest.mark.parametrize("named", ["private", "public"])
def test_wrapped_to_a_public_key_and_signed_with_a_private_key(client: Client, named: str) -> None:
    """§3.3: "the Private Key (or its corresponding Public Key) used to sign"."""
    private, public = rsa_pair(
        client, rsa.generate_private_key(65537, 2048), OAEP, PSS, masks=(M.SIGN | M.UNWRAP_KEY, M.VERIFY | M.WRAP_KEY)
    )
    for uid, kind, other in (
        (private, LinkType.PUBLIC_KEY_LINK, public),
        (public, LinkType.PRIVATE_KEY_LINK, private),
    ):
        link = [(Tag.LINK_TYPE, ENUMERATION, int(kind)), (Tag.LINKED_OBJECT_IDENTIFIER, TEXT_STRING, other)]
        client.ok(Operation.ADD_ATTRIBUTE, uid_item(uid), attribute_1x(Tag.LINK, STRUCTURE, link))
    uid = active_key(client, material=SECRET)
    fields = [by(public, OAEP), signed(private if named == "private" else public, PSS), PLAIN]
    found = got(client, uid, specification(*fields, method=WrappingMethod.ENCRYPT_THEN_MAC_SIGN))
    assert material(got(client, register_wrapped(client, found), NOT_WRAPPED)) == SECRET


def test_a_changed_key_is_not_unwrapped(client: Client) -> None:
    wrapper, uid = kek(client), active_key(client, material=SECRET)
    found = got(client, uid, specification(by(wrapper, RFC3394)))
    kind, octets = found[Tag.KEY_VALUE]
    assert isinstance(octets, bytes)
    found[Tag.KEY_VALUE] = kind, octets[:-1] + bytes((octets[-1] ^ 1,))
    again = register_wrapped(client, found)
    assert client.refused(Operation.GET, uid_item(again), NOT_WRAPPED) is R.CRYPTOGRAPHIC_FAILURE


def test_a_key_registered_wrapped_can_be_used_and_wrapped_anew(client: Client) -> None:
    wrapper, other = kek(client), active_key(client, RFC5649)
    uid = active_key(client, material=SECRET)
    again = register_wrapped(client, got(client, uid, specification(by(wrapper, RFC3394))))
    ctr = parameters(block_cipher_mode=BlockCipherMode.CTR)
    made = [
        client.ok(Operation.ENCRYPT, uid_item(each), ctr, data(b"text"), iv(bytes(16))).one(Tag.DATA)
        for each in (uid, again)
    ]
    assert made[0] == made[1]
    anew = got(client, again, specification(by(other, RFC5649), PLAIN))
    assert material(got(client, register_wrapped(client, anew), NOT_WRAPPED)) == SECRET
    wanted = [AS_REGISTERED, specification(by(other, RFC5649))]
    assert client.at(V2_1).refused(Operation.GET, uid_item(again), *wanted) is R.KEY_WRAP_TYPE_NOT_SUPPORTED


def test_keys_wrapped_in_one_another_are_bounded(client: Client) -> None:
    """A chain of wrapping keys, each of them registered wrapped."""
    outer = kek(client)
    reached = 0
    for _ in range(8):
        uid = active_key(client, RFC3394, material=KEK)
        found = got(client, uid, specification(by(outer, RFC3394)))
        inner = register_wrapped(client, found)
        client.ok(Operation.ADD_ATTRIBUTE, uid_item(inner), attribute_1x(*RFC3394))
        answer = client.at(V2_1).call(Operation.GET, uid_item(inner), NOT_WRAPPED)
        if answer.reason is not None:
            break
        reached, outer = reached + 1, inner
    assert answer.reason is R.SERVER_LIMIT_EXCEEDED
    assert reached == 4


# --------------------------------------------------------------------------------------------------- the wrapping key


def wrap_refused(client: Client, uid: str, *fields: Item) -> R:
    return client.refused(Operation.GET, uid_item(uid), specification(*fields))


def test_the_wrapping_key_must_be_there_and_yours(client: Client) -> None:
    uid, wrapper = active_key(client, material=SECRET), kek(client)
    theirs = kek(client.as_(BOB))
    for missing in ("none", theirs):
        assert wrap_refused(client, uid, by(missing, RFC3394)) is R.ITEM_NOT_FOUND
        assert wrap_refused(client.at(V2_1), uid, by(missing, RFC3394)) is R.WRAPPING_OBJECT_NOT_FOUND
    reason = [(Tag.REVOCATION_REASON_CODE, ENUMERATION, int(RevocationReasonCode.CESSATION_OF_OPERATION))]
    client.ok(Operation.REVOKE, uid_item(wrapper), (Tag.REVOCATION_REASON, STRUCTURE, reason))
    assert wrap_refused(client, uid, by(wrapper, RFC3394)) is R.PERMISSION_DENIED
    assert wrap_refused(client.at(V2_1), uid, by(wrapper, RFC3394)) is R.PERMISSION_DENIED
    client.ok(Operation.DESTROY, uid_item(wrapper))
    assert wrap_refused(client, uid, by(wrapper, RFC3394)) is R.ITEM_NOT_FOUND
    assert wrap_refused(client.at(V2_1), uid, by(wrapper, RFC3394)) is R.WRAPPING_OBJECT_DESTROYED


def test_the_wrapping_key_must_be_a_key_for_wrapping(client: Client) -> None:
    uid = active_key(client, material=SECRET)
    private, public = rsa_pair(client, rsa.generate_private_key(65537, 2048), OAEP, masks=(M.WRAP_KEY, M.ENCRYPT))
    assert wrap_refused(client, uid, by(private, OAEP)) is R.ILLEGAL_OPERATION
    assert wrap_refused(client.at(V2_1), uid, by(private, OAEP)) is R.INVALID_OBJECT_TYPE
    assert wrap_refused(client, uid, by(public, OAEP)) is R.PERMISSION_DENIED
    expected = R.INCOMPATIBLE_CRYPTOGRAPHIC_USAGE_MASK
    assert wrap_refused(client.at(V2_1), uid, by(public, OAEP)) is expected
    encrypts = kek(client, RFC3394, mask=M.ENCRYPT | M.DECRYPT)
    assert wrap_refused(client.at(V2_1), uid, by(encrypts, RFC3394)) is expected
    wanted = specification(signed(encrypts, RFC3394), method=WrappingMethod.MAC_SIGN)
    assert client.at(V2_1).refused(Operation.GET, uid_item(uid), wanted) is expected


def test_the_parameters_must_be_the_wrapping_key_s_own(client: Client) -> None:
    """1.4 §2.1.6: "the server SHALL verify that they match one of the instances"; omitted, the first is used."""
    uid = active_key(client, material=SECRET)
    bare, both = active_key(client, material=KEK), kek(client, RFC3394, RFC5649)
    assert wrap_refused(client, uid, by(bare, RFC3394)) is R.ITEM_NOT_FOUND
    assert wrap_refused(client, uid, by(bare)) is R.ITEM_NOT_FOUND
    assert wrap_refused(client.at(V2_1), uid, by(bare)) is R.BAD_CRYPTOGRAPHIC_PARAMETERS
    assert wrap_refused(client, uid, by(both, GCM)) is R.ITEM_NOT_FOUND
    assert got(client, uid, specification(by(both), PLAIN))[Tag.KEY_VALUE] == (BYTE_STRING, WRAPPED)
    _, octets = got(client, uid, specification(by(both, RFC5649), PLAIN))[Tag.KEY_VALUE]
    assert isinstance(octets, bytes)
    assert keywrap.aes_key_unwrap_with_padding(KEK, octets) == SECRET


def test_wrapping_draws_on_the_wrapping_key_s_usage_limits(client: Client) -> None:
    uid, wrapper = active_key(client, material=SECRET), kek(client, RFC3394, usage_limits(1, 2))
    got(client, uid, specification(by(wrapper, RFC3394)))
    assert wrap_refused(client, uid, by(wrapper, RFC3394)) is R.PERMISSION_DENIED


def test_method_and_key_information_must_go_together(client: Client) -> None:
    uid, wrapper = active_key(client, material=SECRET), kek(client)
    new = client.at(V2_1)
    for method, fields in (
        (WrappingMethod.ENCRYPT, []),
        (WrappingMethod.MAC_SIGN, [by(wrapper, RFC3394)]),
        (WrappingMethod.ENCRYPT_THEN_MAC_SIGN, [by(wrapper, RFC3394)]),
    ):
        wanted = specification(*fields, method=method)
        assert new.refused(Operation.GET, uid_item(uid), wanted) is R.BAD_CRYPTOGRAPHIC_PARAMETERS
    wanted = specification(by(wrapper, RFC3394), method=WrappingMethod.TR_31)
    assert new.refused(Operation.GET, uid_item(uid), wanted) is R.UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS


# -------------------------------------------------------------------------------------------------------------- secrecy


def test_a_sensitive_key_leaves_hidden_or_not_at_all(client: Client) -> None:
    wrapper, maker = kek(client), active_key(client, HMAC)
    uid = active_key(client, (Tag.SENSITIVE, BOOLEAN, True), material=SECRET)
    assert client.refused(Operation.GET, uid_item(uid)) is R.SENSITIVE
    assert client.refused(Operation.GET, uid_item(uid), NOT_WRAPPED) is R.SENSITIVE
    assert client.refused(Operation.GET, uid_item(uid), AS_REGISTERED) is R.SENSITIVE
    in_clear = specification(signed(maker, HMAC), method=WrappingMethod.MAC_SIGN)
    assert client.refused(Operation.GET, uid_item(uid), in_clear) is R.SENSITIVE
    assert got(client, uid, specification(by(wrapper, RFC3394), PLAIN))[Tag.KEY_VALUE] == (BYTE_STRING, WRAPPED)


def test_a_link_does_not_make_a_sensitive_object_wrapped(client: Client) -> None:
    wrapper = kek(client)
    key = active_key(client, (Tag.SENSITIVE, BOOLEAN, True), material=SECRET)
    opaque: list[Item] = [(Tag.OPAQUE_DATA_TYPE, ENUMERATION, 1 << 31), (Tag.OPAQUE_DATA_VALUE, BYTE_STRING, SECRET)]
    other = register(client, ObjectType.OPAQUE_OBJECT, opaque, (Tag.SENSITIVE, BOOLEAN, True))
    link = [
        (Tag.LINK_TYPE, ENUMERATION, int(LinkType.WRAPPING_KEY_LINK)),
        (Tag.LINKED_OBJECT_IDENTIFIER, TEXT_STRING, wrapper),
    ]
    for uid in (key, other):
        client.ok(Operation.ADD_ATTRIBUTE, uid_item(uid), attribute_1x(Tag.LINK, STRUCTURE, link))
        for asked in ([], [AS_REGISTERED], [(Tag.KEY_FORMAT_TYPE, ENUMERATION, int(KeyFormatType.RAW))]):
            assert client.refused(Operation.GET, uid_item(uid), *asked) is R.SENSITIVE


def test_a_sensitive_key_that_came_wrapped_leaves_as_it_came(client: Client) -> None:
    wrapper, uid = kek(client), active_key(client, material=SECRET)
    found = got(client, uid, specification(by(wrapper, RFC3394), PLAIN))
    fields: list[Item] = [(tag, kind, value) for tag, (kind, value) in found.items()]
    again = client.ok(
        Operation.REGISTER,
        (Tag.OBJECT_TYPE, ENUMERATION, int(ObjectType.SYMMETRIC_KEY)),
        client.attributes((Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, EVERYTHING), (Tag.SENSITIVE, BOOLEAN, True)),
        (Tag.SYMMETRIC_KEY, STRUCTURE, [(Tag.KEY_BLOCK, STRUCTURE, fields)]),
    ).uid
    assert got(client, again) == found
    assert client.refused(Operation.GET, uid_item(again), NOT_WRAPPED) is R.SENSITIVE


def test_a_key_that_is_not_extractable_leaves_in_no_form(client: Client) -> None:
    wrapper = kek(client)
    uid = active_key(client, (Tag.EXTRACTABLE, BOOLEAN, False), material=SECRET)
    assert wrap_refused(client, uid, by(wrapper, RFC3394)) is R.NOT_EXTRACTABLE


def test_an_old_client_sees_no_field_that_it_does_not_know(client: Client) -> None:
    wrapper, uid = kek(client), active_key(client, material=SECRET)
    again = register_wrapped(client, got(client, uid, specification(by(wrapper, RFC3394), PLAIN)))
    _, fields = got(client.at(V1_0), again)[Tag.KEY_WRAPPING_DATA]
    assert isinstance(fields, list)
    assert [tag for tag, _, _ in fields] == [Tag.WRAPPING_METHOD, Tag.ENCRYPTION_KEY_INFORMATION]
