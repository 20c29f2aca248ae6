"""Request and response messages of one batch item, from the client's side (KMIP 2.1 §8).

Payload classes are those of the operations' registry: what the server reads, the client writes, and the other way round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kmipsrv.client.failures import AttestationRequired, OperationFailed, ProtocolFailure
from kmipsrv.errors import KmipError
from kmipsrv.operations._registry import TO_CLIENT, load_all
from kmipsrv.spec.attested_release import EVIDENCE_TYPES
from kmipsrv.spec.enums import AttestationType, Operation, ResultReason, ResultStatus
from kmipsrv.spec.messages import (
    RequestBatchItem,
    RequestHeader,
    ResponseBatchItem,
    ResponseHeader,
    payload,
    protocol_version,
)
from kmipsrv.spec.schema import bind, unbind
from kmipsrv.spec.structures import Authentication, Credential, MessageExtension
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import Version
from kmipsrv.ttlv.codec import STRUCTURE, decode, encode

OPERATIONS = load_all()
_NAMES = {code: name for name, code in EVIDENCE_TYPES.items()}


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful batch item. `payload` is an instance of the operation's response class, None where it has none."""

    payload: Any
    extensions: tuple[MessageExtension, ...]


def request_message(
    version: Version,
    operation: Operation,
    request: Any,
    *,
    capable: bool = False,
    types: Sequence[AttestationType] = (),
    credentials: Sequence[Credential] = (),
    extensions: Sequence[MessageExtension] = (),
) -> bytes:
    """A Request Message with one batch item.

    `capable` says that the client can attest, `types` how (Attestation Type); `credentials` go into the
    header's Authentication."""
    header = RequestHeader(
        protocol_version=protocol_version(version),
        attestation_capable_indicator=capable or None,
        attestation_type=list(types),
        authentication=[Authentication(credential=list(credentials))] if credentials else [],
        batch_count=1,
    )
    item = RequestBatchItem(
        operation=int(operation), request_payload=payload(request, version), message_extension=list(extensions)
    )
    parts = [
        (Tag.REQUEST_HEADER, STRUCTURE, unbind(header, version)),
        (Tag.BATCH_ITEM, STRUCTURE, unbind(item, version)),
    ]
    return encode((Tag.REQUEST_MESSAGE, STRUCTURE, parts))


def read_response(data: bytes, version: Version, operation: Operation) -> Answer:
    """The answer to a request of one `operation`. Raises OperationFailed, ProtocolFailure."""
    try:
        _, _, ((_, _, head), (_, _, fields)) = decode(data)
        header, item = bind(ResponseHeader, head, version), bind(ResponseBatchItem, fields, version)
        if item.result_status is not ResultStatus.SUCCESS:
            raise _refusal(header, item, operation)
        if item.operation != operation:
            raise ProtocolFailure("the answer is another operation's")
        response = (OPERATIONS.get(operation) or TO_CLIENT[operation]).response
        content = item.response_payload[1] if item.response_payload else []
        answer = bind(response, content, version) if response is not None else None
        return Answer(answer, tuple(item.message_extension))
    except (KmipError, ValueError, TypeError) as error:
        raise ProtocolFailure(f"not a Response Message of KMIP {version}: {error}") from error


def _refusal(header: ResponseHeader, item: ResponseBatchItem, operation: Operation) -> OperationFailed:
    reason, message = item.result_reason, item.result_message
    if reason is ResultReason.ATTESTATION_REQUIRED and header.nonce is not None:
        types = tuple(_NAMES.get(code, code.text) for code in header.attestation_type)
        return AttestationRequired(operation, message, header.nonce, types)
    return OperationFailed(operation, item.result_status, reason, message)
