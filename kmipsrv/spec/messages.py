"""Request and response messages (KMIP 2.1 §8): headers and batch items. Payloads stay items until their turn comes.

Batch Count, Batch Order Option and Unique Batch Item ID are gone in 3.0, whose order is always that of the message.
"""

from __future__ import annotations

from dataclasses import field
from functools import lru_cache
from typing import Annotated, Any

from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec import enums as e
from kmipsrv.spec.schema import bind, structure, unbind
from kmipsrv.spec.structures import Authentication, Credential, MessageExtension, Nonce, ProtocolVersion
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.types import (
    AnyEnumeration,
    AnyItem,
    Boolean,
    ByteString,
    DateTime,
    Integer,
    TextString,
    since,
    until,
    wire,
)
from kmipsrv.spec.versions import V1_2, V1_4, V2_0, V2_1, Version
from kmipsrv.ttlv.codec import ENCODED, INTEGER, STRUCTURE, Item, encode


@structure
class RequestHeader:
    """Request Header (2.1 §8.2)."""

    protocol_version: ProtocolVersion
    maximum_response_size: Integer | None = None
    client_correlation_value: Annotated[TextString | None, since(V1_4)] = None
    server_correlation_value: Annotated[TextString | None, since(V1_4)] = None
    asynchronous: Annotated[Boolean | None, wire(Tag.ASYNCHRONOUS_INDICATOR, until=V1_4)] = None
    asynchronous_indicator: Annotated[e.AsynchronousIndicator | None, since(V2_0)] = None
    attestation_capable_indicator: Annotated[Boolean | None, since(V1_2)] = None
    attestation_type: Annotated[list[AnyEnumeration], since(V1_2)] = field(default_factory=list)  # and extensions
    authentication: Annotated[list[Authentication], since(Version.V1_0)] = field(default_factory=list)
    batch_error_continuation_option: e.BatchErrorContinuationOption | None = None
    batch_order_option: Annotated[Boolean | None, until(V2_1, late=True)] = None
    time_stamp: DateTime | None = None
    batch_count: Annotated[Integer | None, until(V2_1, late=True)] = None

    @property
    def credentials(self) -> list[Credential]:
        """All Credentials; "they must ALL be satisfied" (2.1 §9.4)."""
        return [each for part in self.authentication for each in part.credential]


@structure
class RequestBatchItem:
    """Request Batch Item (2.1 §8.3)."""

    operation: AnyEnumeration  # a code that no table has is answered with Operation Not Supported, and echoed
    ephemeral: Annotated[AnyItem | None, since(V2_0)] = None
    unique_batch_item_id: Annotated[ByteString | None, until(V2_1, late=True)] = None
    request_payload: AnyItem
    message_extension: list[MessageExtension] = field(default_factory=list)


@structure
class ResponseHeader:
    """Response Header (2.1 §8.5)."""

    protocol_version: ProtocolVersion
    time_stamp: DateTime
    nonce: Annotated[Nonce | None, since(V1_2)] = None
    server_hashed_password: Annotated[ByteString | None, since(V2_0)] = None
    attestation_type: Annotated[list[e.AttestationType], since(V1_2)] = field(default_factory=list)
    client_correlation_value: Annotated[TextString | None, since(V1_4)] = None
    server_correlation_value: Annotated[TextString | None, since(V1_4)] = None
    batch_count: Annotated[Integer | None, until(V2_1)] = None


@structure
class ResponseBatchItem:
    """Response Batch Item (2.1 §8.6). `response_payload` is ready-made: (item type, items)."""

    operation: AnyEnumeration | None = None
    unique_batch_item_id: Annotated[ByteString | None, until(V2_1)] = None
    result_status: e.ResultStatus
    result_reason: e.ResultReason | None = None
    result_message: TextString | None = None
    asynchronous_correlation_value: ByteString | None = None
    response_payload: AnyItem | None = None
    message_extension: list[MessageExtension] = field(default_factory=list)


def version_of(message: Item) -> tuple[int, int]:
    """(major, minor) of a message's Protocol Version, read before anything else is believed.

    Raises KmipError(INVALID_MESSAGE) when the first field of the header is not a Protocol Version.
    """
    try:
        (_, header_kind, header), *_ = message[2]
        (tag, kind, fields), *_ = header
        (major_tag, major_kind, major), (minor_tag, minor_kind, minor) = fields
    except (ValueError, TypeError):
        raise KmipError(Cause.INVALID_MESSAGE, "the message has no Protocol Version") from None
    if (header_kind, tag, kind) != (STRUCTURE, Tag.PROTOCOL_VERSION, STRUCTURE) or (
        (major_tag, major_kind, minor_tag, minor_kind)
        != (Tag.PROTOCOL_VERSION_MAJOR, INTEGER, Tag.PROTOCOL_VERSION_MINOR, INTEGER)
    ):
        raise KmipError(Cause.INVALID_MESSAGE, "the message has no Protocol Version")
    return major, minor


def supported(major: int, minor: int) -> Version | None:
    """The Version of these numbers, None for one this server does not speak."""
    return _VERSIONS.get((major, minor))


_VERSIONS = {(version.major, version.minor): version for version in Version}


def request_parts(message: Item, version: Version) -> tuple[RequestHeader, list[Item]]:
    """A Request Message -> (its header, its batch items unbound). Raises KmipError."""
    tag, kind, fields = message
    if tag != Tag.REQUEST_MESSAGE or kind != STRUCTURE:
        raise KmipError(Cause.INVALID_MESSAGE, "not a Request Message")
    if not fields or fields[0][0] != Tag.REQUEST_HEADER or fields[0][1] != STRUCTURE:
        raise KmipError(Cause.INVALID_MESSAGE, "the message does not begin with a Request Header")
    for item_tag, item_kind, _ in fields[1:]:
        if item_tag != Tag.BATCH_ITEM or item_kind != STRUCTURE:
            raise KmipError(Cause.INVALID_MESSAGE, "something beside Batch Items follows the Request Header")
    return bind(RequestHeader, fields[0][2], version), fields[1:]


def response_header(version: Version, now: int, count: int, **more: Any) -> Item:
    """The Response Header, encoded. `more`: its fields beside version, time and Batch Count."""
    if not more:
        return _plain_header(version, now, count)
    return _encoded(
        ResponseHeader(protocol_version=protocol_version(version), time_stamp=now, batch_count=count, **more), version
    )


@lru_cache(maxsize=64)
def _plain_header(version: Version, now: int, count: int) -> Item:
    """Most answers of one second have the same header."""
    return _encoded(
        ResponseHeader(protocol_version=protocol_version(version), time_stamp=now, batch_count=count), version
    )


def _encoded(header: ResponseHeader, version: Version) -> Item:
    return Tag.RESPONSE_HEADER, ENCODED, encode((Tag.RESPONSE_HEADER, STRUCTURE, unbind(header, version)))


def response_message(header: Item, items: list[ResponseBatchItem], version: Version) -> Item:
    """The Response Message of `version` as an item."""
    fields = [header, *[(Tag.BATCH_ITEM, STRUCTURE, unbind(item, version)) for item in items]]
    return Tag.RESPONSE_MESSAGE, STRUCTURE, fields


def protocol_version(version: Version) -> ProtocolVersion:
    return ProtocolVersion(protocol_version_major=version.major, protocol_version_minor=version.minor)


def payload(obj: Any, version: Version) -> tuple[int, list[Item]]:
    """A response payload ready for ResponseBatchItem."""
    return STRUCTURE, unbind(obj, version)
