"""Requests of the operations on a single object, and one object of every kind, for tests that go over all operations."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from kmipsrv.spec.enums import CryptographicAlgorithm as A
from kmipsrv.spec.enums import CryptographicUsageMask as M
from kmipsrv.spec.enums import KeyFormatType, LinkType, ObjectType, ResultReason, SecretDataType
from kmipsrv.spec.enums import Operation as O  # noqa: N817
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V2_0
from kmipsrv.ttlv.codec import (
    BOOLEAN,
    BYTE_STRING,
    DATE_TIME,
    ENUMERATION,
    INTEGER,
    LONG_INTEGER,
    STRUCTURE,
    TEXT_STRING,
    Item,
)
from tests.harness import Client, attribute_1x, name_value, uid_item
from tests.operations.cryptography import ACTIVE, KEY, block, data, parameters, register

ALL = M(0xFFFFF)
NONE: tuple[Item, ...] = ()


@functools.cache
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def private_pkcs1() -> bytes:
    return rsa_key().private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def public_pkcs1() -> bytes:
    return rsa_key().public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)


@functools.cache
def request_pem(common_name: str = "holder", *, ca: bool = False) -> bytes:
    """A PKCS#10 request in PEM, signed by `rsa_key`."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
    )
    if ca:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(rsa_key(), hashes.SHA256()).public_bytes(Encoding.PEM)


def new_attribute(client: Client, tag: int, kind: int, value: object) -> Item:
    """Attribute (1.x) or New Attribute (2.x)."""
    if client.version >= V2_0:
        return Tag.NEW_ATTRIBUTE, STRUCTURE, [(tag, kind, value)]
    return attribute_1x(tag, kind, value)


def reference(client: Client, tag: Tag) -> Item:
    """Attribute Name (1.x) or Attribute Reference (2.x)."""
    if client.version >= V2_0:
        return Tag.ATTRIBUTE_REFERENCE, ENUMERATION, int(tag)
    return Tag.ATTRIBUTE_NAME, TEXT_STRING, tag.text


def derivation(uid: str, *fields: Item, method: int = 3) -> list[Item]:
    """The head of a Derive Key payload; HMAC with SHA-256 unless told."""
    given = fields or (parameters(hashing_algorithm=6), (Tag.DERIVATION_DATA, BYTE_STRING, b"data"))
    return [
        (Tag.OBJECT_TYPE, ENUMERATION, 2),
        uid_item(uid),
        (Tag.DERIVATION_METHOD, ENUMERATION, method),
        (Tag.DERIVATION_PARAMETERS, STRUCTURE, list(given)),
    ]


def aes(client: Client, *more: Item, length: int = 128) -> Item:
    """The attributes of a new AES key."""
    return client.attributes(
        (Tag.CRYPTOGRAPHIC_ALGORITHM, ENUMERATION, 3),
        (Tag.CRYPTOGRAPHIC_LENGTH, INTEGER, length),
        (Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, 12),
        *more,
    )


def split(uid: str | None, *, parts: int = 3, threshold: int = 2, method: int = 4) -> list[Item]:
    """The head of a Create Split Key payload."""
    return [
        (Tag.OBJECT_TYPE, ENUMERATION, int(ObjectType.SPLIT_KEY)),
        *([] if uid is None else [uid_item(uid)]),
        (Tag.SPLIT_KEY_PARTS, INTEGER, parts),
        (Tag.SPLIT_KEY_THRESHOLD, INTEGER, threshold),
        (Tag.SPLIT_KEY_METHOD, ENUMERATION, method),
    ]


def revocation(code: int = 5) -> Item:
    return Tag.REVOCATION_REASON, STRUCTURE, [(Tag.REVOCATION_REASON_CODE, ENUMERATION, code)]


GCM: Item = parameters(block_cipher_mode=9, tag_length=16)
ECB: Item = parameters(block_cipher_mode=2, padding_method=3)
CBC: Item = parameters(block_cipher_mode=1, padding_method=3)
PKCS1_SHA256: Item = parameters(padding_method=8, hashing_algorithm=6)
HMAC_SHA256: Item = parameters(cryptographic_algorithm=int(A.HMAC_SHA256))
BLOCK = bytes(16)

# operation -> its payload for an object, whatever the object: what is wrong with the object has to be found out.
PAYLOAD: dict[O, Callable[[Client, str], list[Item]]] = {
    O.ACTIVATE: lambda c, uid: [uid_item(uid)],
    O.ADD_ATTRIBUTE: lambda c, uid: [uid_item(uid), new_attribute(c, Tag.OBJECT_GROUP, TEXT_STRING, "group")],
    O.ADJUST_ATTRIBUTE: lambda c, uid: [
        uid_item(uid),
        reference(c, Tag.PROTECT_STOP_DATE),
        (Tag.ADJUSTMENT_TYPE, ENUMERATION, 1),
    ],
    O.ARCHIVE: lambda c, uid: [uid_item(uid)],
    O.CERTIFY: lambda c, uid: [uid_item(uid), c.attributes((Tag.CERTIFICATE_TYPE, ENUMERATION, 1))],
    O.CHECK: lambda c, uid: [uid_item(uid)],
    O.CREATE_SPLIT_KEY: lambda c, uid: [*split(uid), c.attributes()],
    O.DECRYPT: lambda c, uid: [uid_item(uid), ECB, data(BLOCK)],
    O.DELETE_ATTRIBUTE: lambda c, uid: [uid_item(uid), reference(c, Tag.CONTACT_INFORMATION)],
    O.DERIVE_KEY: lambda c, uid: [*derivation(uid), aes(c)],
    O.DESTROY: lambda c, uid: [uid_item(uid)],
    O.ENCRYPT: lambda c, uid: [uid_item(uid), ECB, data(BLOCK)],
    O.EXPORT: lambda c, uid: [uid_item(uid)],
    O.GET: lambda c, uid: [uid_item(uid)],
    O.GET_ATTRIBUTES: lambda c, uid: [uid_item(uid)],
    O.GET_ATTRIBUTE_LIST: lambda c, uid: [uid_item(uid)],
    O.GET_USAGE_ALLOCATION: lambda c, uid: [uid_item(uid), (Tag.USAGE_LIMITS_COUNT, LONG_INTEGER, 1)],
    O.JOIN_SPLIT_KEY: lambda c, uid: [(Tag.OBJECT_TYPE, ENUMERATION, 2), uid_item(uid), aes(c)],
    O.MAC: lambda c, uid: [uid_item(uid), HMAC_SHA256, data(b"data")],
    O.MAC_VERIFY: lambda c, uid: [uid_item(uid), HMAC_SHA256, data(b"data"), (Tag.MAC_DATA, BYTE_STRING, bytes(32))],
    O.MODIFY_ATTRIBUTE: lambda c, uid: [uid_item(uid), new_attribute(c, Tag.CONTACT_INFORMATION, TEXT_STRING, "me")],
    O.OBTAIN_LEASE: lambda c, uid: [uid_item(uid)],
    O.RECOVER: lambda c, uid: [uid_item(uid)],
    O.REVOKE: lambda c, uid: [uid_item(uid), revocation()],
    O.RE_CERTIFY: lambda c, uid: [uid_item(uid)],
    O.RE_KEY: lambda c, uid: [uid_item(uid)],
    O.RE_KEY_KEY_PAIR: lambda c, uid: [(Tag.PRIVATE_KEY_UNIQUE_IDENTIFIER, TEXT_STRING, uid)],
    O.SET_ATTRIBUTE: lambda c, uid: [uid_item(uid), new_attribute(c, Tag.CONTACT_INFORMATION, TEXT_STRING, "me")],
    O.SIGN: lambda c, uid: [uid_item(uid), PKCS1_SHA256, data(b"data")],
    O.SIGNATURE_VERIFY: lambda c, uid: [
        uid_item(uid),
        PKCS1_SHA256,
        data(b"data"),
        (Tag.SIGNATURE_DATA, BYTE_STRING, bytes(256)),
    ],
    O.VALIDATE: lambda c, uid: [uid_item(uid)],
}


@dataclass
class Bench:
    """A client and objects made when they are first asked for."""

    client: Client
    _made: dict[str, str] = field(default_factory=dict)

    def refused(self, operation: O, *payload: Item) -> ResultReason:
        return self.client.refused(operation, *payload)

    def on(self, operation: O, uid: str, *more: Item) -> ResultReason:
        """The reason for which the operation refuses this object."""
        return self.client.refused(operation, *PAYLOAD[operation](self.client, uid), *more)

    def made(self, what: str, make: Callable[[], str]) -> str:
        if what not in self._made:
            self._made[what] = make()
        return self._made[what]

    @property
    def key(self) -> str:
        """An active AES key that may do everything."""
        return self.made("key", lambda: self.client.register_key(KEY, ACTIVE, mask=ALL))

    @property
    def pre_active(self) -> str:
        return self.made("pre-active", lambda: self.client.register_key(KEY, mask=ALL))

    @property
    def idle(self) -> str:
        """An active AES key that may do nothing."""
        return self.made("idle", lambda: self.client.register_key(KEY, ACTIVE, mask=0))

    @property
    def named(self) -> str:
        return self.made("named", lambda: self.client.create((Tag.NAME, STRUCTURE, name_value("taken"))))

    @property
    def archived(self) -> str:
        def make() -> str:
            uid = self.client.create()
            self.client.ok(O.ARCHIVE, uid_item(uid))
            return uid

        return self.made("archived", make)

    @property
    def destroyed(self) -> str:
        def make() -> str:
            uid = self.client.register_key(KEY, mask=ALL)
            self.client.ok(O.DESTROY, uid_item(uid))
            return uid

        return self.made("destroyed", make)

    @property
    def opaque(self) -> str:
        fields: list[Item] = [(Tag.OPAQUE_DATA_TYPE, ENUMERATION, 1), (Tag.OPAQUE_DATA_VALUE, BYTE_STRING, b"opaque")]
        given = [
            (Tag.OBJECT_TYPE, ENUMERATION, int(ObjectType.OPAQUE_OBJECT)),
            self.client.attributes(),
            (Tag.OPAQUE_OBJECT, STRUCTURE, fields),
        ]
        return self.made("opaque", lambda: self.client.ok(O.REGISTER, *given).uid)

    @property
    def absent(self) -> str:
        """A key whose value is elsewhere."""
        location: Item = (
            Tag.KEY_VALUE_LOCATION,
            STRUCTURE,
            [
                (Tag.KEY_VALUE_LOCATION_VALUE, TEXT_STRING, "a safe"),
                (Tag.KEY_VALUE_LOCATION_TYPE, ENUMERATION, 1),
            ],
        )
        fields: list[Item] = [
            (Tag.KEY_FORMAT_TYPE, ENUMERATION, 1),
            (Tag.CRYPTOGRAPHIC_ALGORITHM, ENUMERATION, 3),
            (Tag.CRYPTOGRAPHIC_LENGTH, INTEGER, 128),
        ]
        return self.made(
            "absent",
            lambda: register(
                self.client,
                ObjectType.SYMMETRIC_KEY,
                [(Tag.KEY_BLOCK, STRUCTURE, fields)],
                location,
                mask=int(ALL),
            ),
        )

    def secret(self, value: bytes = b"password", *, kind: int = SecretDataType.PASSWORD, active: bool = True) -> str:
        body: list[Item] = [
            (Tag.SECRET_DATA_TYPE, ENUMERATION, int(kind)),
            *block(KeyFormatType.RAW, value),
        ]
        given = self.client.attributes(
            (Tag.CRYPTOGRAPHIC_USAGE_MASK, INTEGER, int(M.DERIVE_KEY)), *([ACTIVE] if active else [])
        )
        return self.client.ok(
            O.REGISTER, (Tag.OBJECT_TYPE, ENUMERATION, 7), given, (Tag.SECRET_DATA, STRUCTURE, body)
        ).uid

    @property
    def private(self) -> str:
        return self.pair[0]

    @property
    def public(self) -> str:
        return self.pair[1]

    @property
    def pair(self) -> tuple[str, str]:
        """An RSA key pair, active, both halves linked. -> (private, public)."""
        if "private" not in self._made:
            client = self.client
            public = register(
                client,
                ObjectType.PUBLIC_KEY,
                block(KeyFormatType.PKCS_1, public_pkcs1(), A.RSA, 2048),
                mask=int(ALL),
            )
            private = register(
                client,
                ObjectType.PRIVATE_KEY,
                block(KeyFormatType.PKCS_1, private_pkcs1(), A.RSA, 2048),
                link(LinkType.PUBLIC_KEY_LINK, public),
                mask=int(ALL),
            )
            client.ok(
                O.ADD_ATTRIBUTE, uid_item(public), new_attribute(client, *link(LinkType.PRIVATE_KEY_LINK, private))
            )
            self._made |= {"private": private, "public": public}
        return self._made["private"], self._made["public"]

    @property
    def certificate(self) -> str:
        return self.made(
            "certificate",
            lambda: self.client.ok(O.CERTIFY, *PAYLOAD[O.CERTIFY](self.client, self.public)).uid,
        )

    def parts(self, **how: int) -> list[str]:
        """The parts of `key`."""
        payload = [*split(self.key, **how), self.client.attributes()]
        return self.client.ok(O.CREATE_SPLIT_KEY, *payload).values(Tag.UNIQUE_IDENTIFIER)


def link(kind: LinkType, uid: str) -> Item:
    """The attribute Link (before 3.0)."""
    return (
        Tag.LINK,
        STRUCTURE,
        [(Tag.LINK_TYPE, ENUMERATION, int(kind)), (Tag.LINKED_OBJECT_IDENTIFIER, TEXT_STRING, uid)],
    )


REPLACE: Item = (Tag.REPLACE_EXISTING, BOOLEAN, True)
FUTURE: Item = (Tag.ACTIVATION_DATE, DATE_TIME, 1_900_000_000)
