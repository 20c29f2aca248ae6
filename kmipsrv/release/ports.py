"""What the gate asks of the rest of the server, as Protocols."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Protocol

from kmipsrv.release.canonical import Json


class Ledger(Protocol):
    """What the gate remembers, in the transaction of the message at hand. All that is written here survives the rollback
    of an item or a request, and is durable before anything is answered.
    """

    def policy(self, policy_id: str) -> bytes | None:
        """The canonical form of a policy that was kept."""

    def keep_policy(self, policy_id: str, canonical: bytes) -> None:
        """Keep a policy for good; one that is there already stays as it is."""

    def consume(self, nonce_id: bytes, expires: datetime.datetime) -> None:
        """`nonces.ConsumedNonces`: raises Refused("single") for one that was used before."""

    def lock(self) -> None:
        """What is read from here on, no other process changes before this message is done."""

    def releases(self, scope: str) -> tuple[int, tuple[datetime.datetime, ...]]:
        """How often the object was released, and when lately, as far as `released` was told to remember."""

    def released(self, scope: str, now: datetime.datetime, remember: tuple[datetime.datetime, ...]) -> None:
        """Count a release. `remember` are the earlier ones that still matter."""

    def approvals(self, object_identifier: str) -> Sequence[bytes]:
        """The approvals that were given for an object, encoded, unchecked."""

    def record(self, body: Json) -> None:
        """Append a decision to the audit trail."""
