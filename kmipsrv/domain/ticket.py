"""Tickets (KMIP 2.1 §§6.1.12, 6.1.30, 7.39): what Login hands out and a later request's Credential shows.

The store keeps a ticket under a hash of its value, so that who reads the database cannot use one, and authenticates it
(`domain/records.py`), so that who writes to the database cannot make one.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Final

from kmipsrv.domain.ports import Work
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.schema import bind, unbind
from kmipsrv.spec.structures import Right, Rights
from kmipsrv.spec.versions import V2_1
from kmipsrv.ttlv.codec import decode_all, encode_all

RECORD: Final = "ticket"
SIZE: Final = 32  # bytes of a ticket's value
_STORED = V2_1  # the version that the rights are written in


@dataclass(slots=True)
class Ticket:
    """`bearer`: the owner of the certificates that may show it, "" for whoever has it (a delegated one). `requests` and
    `operations`: how many are left, None for any number; `expires`: seconds since the epoch."""

    owner: str
    tenant: str
    bearer: str
    user: str
    requests: int | None
    operations: int | None
    expires: int
    rights: str | None = None  # TTLV in hexadecimal; None: everything that the owner may do


def make_rights(rights: Rights) -> str:
    return encode_all(unbind(rights, _STORED)).hex()


def rights_of(ticket: Ticket) -> tuple[Right, ...] | None:
    if ticket.rights is None:
        return None
    return read_rights(ticket.rights)


def read_rights(text: str) -> tuple[Right, ...]:
    """What `make_rights` wrote."""
    return tuple(bind(Rights, decode_all(bytes.fromhex(text)), _STORED).right)


def find(work: Work, value: bytes) -> Ticket | None:
    """The ticket as it is; one that counts stays so until the transaction ends."""
    ticket = _read(work, value)
    if ticket is not None and (ticket.requests is not None or ticket.operations is not None):
        work.lock()
        ticket = _read(work, value)
    return ticket


def _read(work: Work, value: bytes) -> Ticket | None:
    record = work.read(RECORD, _key(value))
    return None if record is None else Ticket(**json.loads(record))


def keep(work: Work, value: bytes, ticket: Ticket) -> None:
    record = json.dumps(asdict(ticket), separators=(",", ":")).encode()
    work.write(RECORD, _key(value), record, owner=ticket.owner, expires=ticket.expires)


def count_operation(work: Work, value: bytes) -> None:
    """One more operation by a ticket. Raises KmipError(TICKET_USED_UP)."""
    ticket = find(work, value)
    if ticket is None or ticket.operations is None:
        return  # ended within this very batch, or not limited
    if ticket.operations == 0:
        raise KmipError(Cause.TICKET_USED_UP, "the ticket is used up")
    ticket.operations -= 1
    keep(work, value, ticket)


def forget(work: Work, value: bytes) -> None:
    work.remove(RECORD, _key(value))


def _key(value: bytes) -> str:
    return hashlib.sha256(value).hexdigest()
