"""Who asks, as the rooms behind the edge see it."""

from __future__ import annotations

from dataclasses import dataclass, field

from kmipsrv.spec.structures import Right


@dataclass(frozen=True, slots=True)
class Identity:
    """An authenticated client.

    `domain` is the trust domain of the CA that issued the certificate, `name` the certificate's SAN URI or else its full
    subject (RFC 4514). `owner` is what objects are kept under: several certificates can map to one owner.
    """

    domain: str
    name: str
    owner: str
    tenant: str = ""
    not_before: float = 0.0  # seconds since the epoch
    not_after: float = field(default=float("inf"))
    common_name: str = ""  # for the rule that a Username must belong to the certificate
    user: str = ""  # authenticated by a Credential in the message, "" if none was given
    administrator: bool = False  # may make users, groups and credentials (3.0)
    via: str = ""  # the owner that the certificate stands for, where a Credential says that it is another
    neighbours: frozenset[str] = frozenset()  # owners whose objects are "denied" rather than "not there" to this user
    ticket: bytes = b""  # the Ticket Value that the message showed
    rights: tuple[Right, ...] | None = None  # what the ticket is limited to; None: nothing
    proof: bytes = b""  # Server Hashed Password, for who showed a Hashed Password

    @property
    def bearer(self) -> str:
        """Whose certificate it is, whoever speaks through it."""
        return self.via or self.owner
