"""Calls over one connection: one request message with one batch item each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from kmipsrv.client.connection import TIMEOUT, Connection
from kmipsrv.client.failures import ProtocolFailure
from kmipsrv.client.messages import OPERATIONS, Answer, read_response, request_message
from kmipsrv.errors import KmipError
from kmipsrv.operations.activate import ActivateRequest
from kmipsrv.operations.create import CreateRequest
from kmipsrv.operations.destroy import DestroyRequest
from kmipsrv.operations.get import GetRequest
from kmipsrv.spec.attribute_codec import Attributes
from kmipsrv.spec.attributes import Key
from kmipsrv.spec.enums import (
    AttestationType,
    CryptographicAlgorithm,
    CryptographicUsageMask,
    NameType,
    ObjectType,
    Operation,
)
from kmipsrv.spec.objects import AnyObject, key_material
from kmipsrv.spec.structures import Credential, MessageExtension, Name
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V2_1, Version


def connect(
    host: str,
    port: int,
    certificate: Path,
    key: Path,
    ca: Path,
    version: Version = V2_1,
    *,
    credentials: Sequence[Credential] = (),
    timeout: float = TIMEOUT,
) -> Client:
    """A client that holds `certificate` (all PEM files) and sends `credentials` along with every request.

    `timeout` in seconds, for each step. Raises OSError."""
    connection = Connection.open(host, port, certificate, key, ca, timeout)
    return Client(connection.exchange, version, credentials=credentials, close=connection.close)


class Client:
    """Speaks KMIP of one version. `exchange(request message) -> response message` is its way to the server.

    Every call raises OperationFailed for a refusal, ProtocolFailure for what is no answer, and what `exchange` raises.
    """

    def __init__(
        self,
        exchange: Callable[[bytes], bytes],
        version: Version = V2_1,
        *,
        credentials: Sequence[Credential] = (),
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.version = version
        self._exchange = exchange
        self._credentials = tuple(credentials)
        self._close = close

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._close()

    # ------------------------------------------------------------------------------------------------------- any call

    def call(self, operation: Operation, request: Any) -> Any:
        """One operation: its request payload -> its response payload, both of the classes in its module."""
        return self.send(self.message(operation, request), operation).payload

    def message(
        self,
        operation: Operation,
        request: Any,
        *,
        capable: bool = False,
        types: Sequence[AttestationType] = (),
        credentials: Sequence[Credential] = (),
        extensions: Sequence[MessageExtension] = (),
    ) -> bytes:
        """The request message, for those who need its bytes; see `messages.request_message`."""
        row = OPERATIONS.get(operation)
        if row is None or not isinstance(request, row.request):
            raise TypeError(f"{type(request).__name__} is not the request payload of {operation.text}")
        return request_message(
            self.version,
            operation,
            request,
            capable=capable,
            types=types,
            credentials=(*self._credentials, *credentials),
            extensions=extensions,
        )

    def send(self, message: bytes, operation: Operation) -> Answer:
        """The answer to a request message of one `operation`."""
        return read_response(self._exchange(message), self.version, operation)

    # --------------------------------------------------------------------------------------------------- common calls

    def create(
        self,
        algorithm: CryptographicAlgorithm,
        length: int,
        usage: CryptographicUsageMask,
        *,
        name: str | None = None,
        attributes: Sequence[tuple[Key, Any]] = (),
    ) -> str:
        """A new symmetric key of `length` bits, with further attributes -> its unique identifier."""
        bag = Attributes()
        bag.add(Tag.CRYPTOGRAPHIC_ALGORITHM, algorithm)
        bag.add(Tag.CRYPTOGRAPHIC_LENGTH, length)
        bag.add(Tag.CRYPTOGRAPHIC_USAGE_MASK, usage)
        if name is not None:
            bag.add(Tag.NAME, Name(name_value=name, name_type=NameType.UNINTERPRETED_TEXT_STRING))
        for key, value in attributes:
            bag.add(key, value)
        request = CreateRequest(object_type=ObjectType.SYMMETRIC_KEY, attributes=bag)
        created: str = self.call(Operation.CREATE, request).unique_identifier
        return created

    def activate(self, unique_identifier: str) -> None:
        self.call(Operation.ACTIVATE, ActivateRequest(unique_identifier=unique_identifier))

    def get(self, unique_identifier: str) -> AnyObject:
        """The object in the form it has on the server; `material` gives the octets of a key."""
        found: AnyObject = self.call(Operation.GET, GetRequest(unique_identifier=unique_identifier)).managed_object
        return found

    def destroy(self, unique_identifier: str) -> None:
        self.call(Operation.DESTROY, DestroyRequest(unique_identifier=unique_identifier))


def material(found: AnyObject) -> bytes:
    """The octets of a key or of Secret Data that came in clear. Raises ProtocolFailure for anything else."""
    try:
        octets = key_material(found.body.key_block)
    except (AttributeError, KmipError) as error:
        raise ProtocolFailure(f"the {found.kind.text} that came holds no key in clear") from error
    if not isinstance(octets, bytes):
        raise ProtocolFailure("the key came in transparent form")
    return octets
