"""Between the message and the release gate: what a request says of attestation, and what its answer carries of it.

The handshake's fields are the standard's (KMIP 2.1 §8.2, §8.5, §9.11, §9.14); what it has no field for is in a Message
Extension (spec/attested_release.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from kmipsrv.domain.attestation import Attestation, Challenge, Presented
from kmipsrv.domain.identity import Identity
from kmipsrv.engine.call import Call
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.attested_release import EVIDENCE_TYPES, VENDOR, requested_recipient
from kmipsrv.spec.enums import AttestationType, CredentialType
from kmipsrv.spec.messages import RequestHeader
from kmipsrv.spec.schema import bind
from kmipsrv.spec.structures import Credential, MessageExtension, Nonce
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import Version
from kmipsrv.ttlv.codec import STRUCTURE, TEXT_STRING, Item

APPRAISED: Final = -2  # the place of the evidence among what was prepared beside the queue
_NAMING: Final = frozenset((Tag.UNIQUE_IDENTIFIER, Tag.PRIVATE_KEY_UNIQUE_IDENTIFIER, Tag.PUBLIC_KEY_UNIQUE_IDENTIFIER))
TYPE_OF_CODE: Final = {int(code): name for name, code in EVIDENCE_TYPES.items()}


def split(credentials: Sequence[Credential]) -> tuple[list[Credential], list[Credential]]:
    """-> (those that say who somebody is, those that say what a machine runs)."""
    login: list[Credential] = []
    attestation: list[Credential] = []
    for each in credentials:
        (attestation if each.credential_type is CredentialType.ATTESTATION else login).append(each)
    return login, attestation


def attestation_of(
    call: Call,
    header: RequestHeader,
    items: Sequence[Item],
    credentials: Sequence[Credential],
    identity: Identity,
    version: Version,
    now: int,
) -> Attestation:
    """What the message says; `credentials` are those of type Attestation. Raises KmipError for what is malformed."""
    message = Attestation(
        now=now,
        frame=call.frame,
        client=f"{call.peer.identity.domain}:{call.peer.identity.name}",
        requester=identity.owner,
        client_key=call.peer.public_key,
        capable=bool(header.attestation_capable_indicator),
        types=[TYPE_OF_CODE.get(each, "") for each in header.attestation_type] or None,
    )
    message.appraised = (call.prepared or {}).get(APPRAISED)
    if message.capable or credentials:
        message.presented = [_presented(each) for each in credentials]
        _read_items(message, items, version)
    return message


def header_fields(challenge: Challenge) -> dict[str, Any]:
    """The fields of the Response Header: "REQUIRED in Attestation Required error message" (2.1 §8.5)."""
    return {
        "nonce": Nonce(nonce_id=challenge.nonce_id, nonce_value=challenge.nonce_value),
        "attestation_type": [EVIDENCE_TYPES[each] for each in challenge.types],
    }


def types_of(names: Iterable[str]) -> tuple[AttestationType, ...]:
    """The Attestation Types of these types of evidence."""
    return tuple(EVIDENCE_TYPES[each] for each in names)


def _presented(credential: Credential) -> Presented:
    value = credential.credential_value
    if value.nonce is None or value.attestation_type is None:
        raise KmipError(Cause.MISSING_DATA, "an Attestation credential has a Nonce and an Attestation Type")
    return Presented(
        type=TYPE_OF_CODE.get(value.attestation_type, ""),
        nonce_id=value.nonce.nonce_id,
        nonce_value=value.nonce.nonce_value,
        measurement=value.attestation_measurement,
        assertion=value.attestation_assertion,
    )


def _read_items(message: Attestation, items: Sequence[Item], version: Version) -> None:
    """The objects that the items name, and the recipient that they ask a release to: one for the whole message, as its
    evidence is."""
    named: dict[str, None] = {}
    recipients: dict[bytes, None] = {}
    for _, kind, fields in items:
        extensions: list[MessageExtension] = []
        for tag, inner, value in fields if kind == STRUCTURE else ():
            if tag == Tag.REQUEST_PAYLOAD and inner == STRUCTURE:
                named |= dict.fromkeys(_identifiers(value))
            elif tag == Tag.MESSAGE_EXTENSION and inner == STRUCTURE:
                extensions.append(bind(MessageExtension, value, version))
        recipient = requested_recipient([each for each in extensions if each.vendor_identification == VENDOR])
        if recipient:
            recipients[recipient] = None
    if len(recipients) > 1:
        raise KmipError(Cause.INVALID_FIELD, "one message has one recipient, as it has one Nonce")
    message.recipient = next(iter(recipients), b"")
    message.named = list(named)


def _identifiers(items: Sequence[Item]) -> Iterator[str]:
    """The Unique Identifiers in a payload, those of wrapping keys included."""
    for tag, kind, value in items:
        if kind == STRUCTURE:
            yield from _identifiers(value)
        elif kind == TEXT_STRING and tag in _NAMING:
            yield value
