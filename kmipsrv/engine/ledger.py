"""The release gate's memory (`release.ports.Ledger`) in the store: records of their own kinds, and the audit trail.

Policies are kept under the hash of their content and never replaced. Nonces that were used are kept until they would have
expired anyway. All of it is `lasting`: no rollback of an item or a request takes it back.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from collections.abc import Sequence
from typing import Final

from kmipsrv.audit.journal import Journal
from kmipsrv.domain.ports import Work
from kmipsrv.errors import Cause, KmipError
from kmipsrv.release.canonical import Json, NotJson, dumps
from kmipsrv.release.nonces import SKEW
from kmipsrv.release.refusal import Refused

POLICY: Final = "release policy"  # kinds of records
NONCE: Final = "consumed nonce"
RELEASES: Final = "releases"
APPROVAL: Final = "release approval"
ORDER: Final = "policy order"


class StoredLedger:
    """One transaction's ledger."""

    __slots__ = ("_journal", "_work")

    def __init__(self, work: Work, journal: Journal) -> None:
        self._work = work
        self._journal = journal

    def policy(self, policy_id: str) -> bytes | None:
        return self._work.read(POLICY, policy_id)

    def keep_policy(self, policy_id: str, canonical: bytes) -> None:
        if self._work.read(POLICY, policy_id) is None:
            with self._work.lasting():
                self._work.add(POLICY, policy_id, canonical)

    def consume(self, nonce_id: bytes, expires: datetime.datetime) -> None:
        until = int((expires + SKEW).timestamp()) + 1
        key = hashlib.sha256(nonce_id).hexdigest()
        with self._work.lasting():
            if not self._work.add(NONCE, key, b"", expires=until):
                raise Refused("single", "the nonce has been used before")

    def lock(self) -> None:
        self._work.lock()

    def releases(self, scope: str) -> tuple[int, tuple[datetime.datetime, ...]]:
        kept = self._work.read(RELEASES, _name(scope))
        if kept is None:
            return 0, ()
        body = json.loads(kept)
        return body["count"], tuple(datetime.datetime.fromtimestamp(each, datetime.UTC) for each in body["recent"])

    def released(self, scope: str, now: datetime.datetime, remember: tuple[datetime.datetime, ...]) -> None:
        count, _ = self.releases(scope)
        recent = [int(each.timestamp()) for each in (*remember, now)]
        with self._work.lasting():
            self._work.write(RELEASES, _name(scope), json.dumps({"count": count + 1, "recent": recent}).encode())

    def approvals(self, object_identifier: str) -> Sequence[bytes]:
        return [value for _, value in self._work.records(APPROVAL, object_identifier)]

    def record(self, body: Json) -> None:
        try:
            self._journal.append(self._work, dumps(body))
        except NotJson as error:
            raise KmipError(Cause.GENERAL_FAILURE, "the decision cannot be recorded") from error


def keep_approval(work: Work, object_identifier: str, encoded: bytes, expires: datetime.datetime) -> None:
    """Keep an approval for the gate, which verifies it when it counts it."""
    key = hashlib.sha256(encoded).hexdigest()
    work.write(APPROVAL, key, encoded, owner=object_identifier, expires=int(expires.timestamp()))


def _name(scope: str) -> str:
    """A record's key, however long the owner's name is."""
    return hashlib.sha256(scope.encode("utf-8", "surrogatepass")).hexdigest()
