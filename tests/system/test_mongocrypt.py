"""MongoDB's client-side encryption against a server process: libmongocrypt writes the requests and reads the answers.

All MongoDB drivers share this library, and with it its KMIP: Register, Activate and Get of 96 octets of Secret Data without
a usage (KMIP 1.0); or, delegated, Create, Activate, Encrypt and Decrypt (1.2). Its state machine asks for bytes to be carried
to the server and back, which is all that is done here; what MongoDB itself would keep, the key vault, is a list.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from kmipsrv.client import connect, material
from kmipsrv.operations.get_attributes import GetAttributesRequest
from kmipsrv.spec.enums import ObjectType, Operation, SecretDataType, State
from kmipsrv.spec.tags import Tag
from kmipsrv.ttlv.codec import Item, decode
from tests.system.conftest import DEADLINE, ServerProcess

pytest.importorskip("pymongocrypt", reason="pymongocrypt is not installed: scripts/setup --dev")
from pymongocrypt.errors import MongoCryptError
from pymongocrypt.mongocrypt import MongoCrypt
from pymongocrypt.options import DataKeyOpts, ExplicitEncryptOpts, MongoCryptOptions
from pymongocrypt.synchronous.state_machine import MongoCryptCallback, run_state_machine

ALGORITHM = "AEAD_AES_256_CBC_HMAC_SHA_512-Random"


def bson(document: Mapping[str, Any]) -> bytes:
    """A document of strings, booleans and documents in BSON 1.1."""
    body = b""
    for name, value in document.items():
        key = name.encode() + b"\0"
        if isinstance(value, bool):
            body += b"\x08" + key + bytes((value,))
        elif isinstance(value, str):
            text = value.encode() + b"\0"
            body += b"\x02" + key + len(text).to_bytes(4, "little") + text
        else:
            body += b"\x03" + key + bson(value)
    return (len(body) + 5).to_bytes(4, "little") + body + b"\0"


class Driver(MongoCryptCallback):  # type: ignore[misc]
    """What a driver does for the library: carry bytes to the key server, keep data keys."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.vault: list[bytes] = []
        self.asked: list[tuple[Operation, tuple[int, int]]] = []
        self.refused: list[str] = []

    def kms_request(self, kms_context: Any) -> None:
        """As drivers do it: a connection for each message, reading what the library says that it still needs."""
        request = bytes(kms_context.message)
        self.asked.append(asked(decode(request)))
        context = ssl.create_default_context(cafile=str(self.server.ca))
        context.load_cert_chain(self.server.certificate, self.server.key)
        host, _, port = kms_context.endpoint.partition(":")
        with (
            socket.create_connection((host, int(port)), DEADLINE) as plain,
            context.wrap_socket(plain, server_hostname=host) as connection,
        ):
            connection.sendall(request)
            while (needed := kms_context.bytes_needed) > 0:
                data = connection.recv(needed)
                assert data, "the server closed the connection"
                kms_context.feed(data)

    def fetch_keys(self, filter: bytes) -> Iterator[bytes]:
        yield from self.vault

    def insert_data_key(self, data_key: bytes) -> None:
        self.vault.append(data_key)

    def bson_encode(self, doc: Mapping[str, Any]) -> bytes:
        return bson(doc)

    def collection_info(self, database: str, filter: bytes) -> None:
        raise AssertionError("explicit encryption asks for no collection")

    def mark_command(self, database: str, cmd: bytes) -> bytes:
        raise AssertionError("explicit encryption marks no command")

    def close(self) -> None: ...


def asked(message: Item) -> tuple[Operation, tuple[int, int]]:
    """A request's operation and protocol version."""
    _, _, ((_, _, header), (_, _, fields)) = message
    version = header[0][2]
    return Operation(fields[0][2]), (version[0][2], version[1][2])


def library_of(driver: Driver) -> MongoCrypt:
    """The library as a process of its own would have it: nothing is cached."""
    return MongoCrypt(MongoCryptOptions({"kmip": {"endpoint": f"localhost:{driver.server.port}"}}), driver)


def make_data_key(driver: Driver, **master_key: Any) -> bytes:
    """A data key, in the driver's vault -> its _id."""
    options = DataKeyOpts(master_key=master_key or None)
    with contextlib.closing(library_of(driver)) as library, library.data_key_context("kmip", options) as context:
        document = bytes(run_state_machine(context, driver))
    driver.insert_data_key(document)
    marker = b"\x05_id\0\x10\0\0\0\x04"  # BSON: binary, 16 octets, subtype UUID
    at = document.index(marker) + len(marker)
    return document[at : at + 16]


def encrypted(driver: Driver, key_id: bytes, value: str) -> bytes:
    options = ExplicitEncryptOpts(ALGORITHM, key_id)
    with (
        contextlib.closing(library_of(driver)) as library,
        library.explicit_encryption_context(bson({"v": value}), options) as context,
    ):
        return bytes(run_state_machine(context, driver))


def decrypted(driver: Driver, value: bytes) -> bytes:
    with contextlib.closing(library_of(driver)) as library, library.explicit_decryption_context(value) as context:
        return bytes(run_state_machine(context, driver))


def key_of(document: bytes) -> str:
    """The Unique Identifier in a data key's masterKey."""
    marker = b"\x02keyId\0"
    at = document.index(marker) + len(marker)
    size = int.from_bytes(document[at : at + 4], "little")
    return document[at + 4 : at + 3 + size].decode()


@pytest.fixture
def driver(server: ServerProcess) -> Driver:
    return Driver(server)


def test_a_data_key_under_secret_data_that_the_driver_registers(driver: Driver, server: ServerProcess) -> None:
    key_id = make_data_key(driver)
    assert driver.asked == [
        (operation, (1, 0)) for operation in (Operation.REGISTER, Operation.ACTIVATE, Operation.GET)
    ]
    stored = encrypted(driver, key_id, "4111 1111 1111 1111")
    assert b"4111" not in stored
    assert driver.asked[3:] == [(Operation.GET, (1, 0))]
    assert decrypted(driver, stored) == bson({"v": "4111 1111 1111 1111"})

    uid = key_of(driver.vault[0])
    with connect("localhost", server.port, server.certificate, server.key, server.ca) as client:
        found = client.get(uid)
        assert (found.kind, found.body.secret_data_type) == (ObjectType.SECRET_DATA, SecretDataType.SEED)
        assert len(material(found)) == 96
        attributes = client.call(Operation.GET_ATTRIBUTES, GetAttributesRequest(unique_identifier=uid)).attributes
    assert attributes.get(Tag.STATE) is State.ACTIVE
    assert attributes.get(Tag.CRYPTOGRAPHIC_USAGE_MASK) == 0


def test_a_data_key_that_the_server_wraps(driver: Driver) -> None:
    """Delegated: the master key never leaves the server."""
    key_id = make_data_key(driver, delegated=True)
    assert driver.asked == [
        (Operation.CREATE, (1, 2)),
        (Operation.ACTIVATE, (1, 0)),  # the library has one Activate for both ways
        (Operation.ENCRYPT, (1, 2)),
    ]
    stored = encrypted(driver, key_id, "a secret")
    assert driver.asked[3:] == [(Operation.DECRYPT, (1, 2))]
    assert decrypted(driver, stored) == bson({"v": "a secret"})


@pytest.mark.parametrize("delegated", [False, True])
def test_a_second_data_key_under_the_same_master_key(driver: Driver, delegated: bool) -> None:
    make_data_key(driver, delegated=delegated)
    uid = key_of(driver.vault.pop())
    again = make_data_key(driver, delegated=delegated, keyId=uid)
    assert Operation.REGISTER not in [operation for operation, _ in driver.asked[3:]]
    assert Operation.CREATE not in [operation for operation, _ in driver.asked[3:]]
    assert decrypted(driver, encrypted(driver, again, "again")) == bson({"v": "again"})


def test_a_master_key_that_is_not_there_is_told(driver: Driver) -> None:
    with pytest.raises(MongoCryptError, match=r"(?i)not.?found"):
        make_data_key(driver, keyId="nothing")
