"""The Protocols through which operations reach the adapters; `app.py` plugs the real ones in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

from kmipsrv.domain.attestation import Attestation, Challenge
from kmipsrv.domain.binding import Binding
from kmipsrv.domain.grant import Grant, Purpose
from kmipsrv.domain.search import Expression, Scalar


@dataclass(frozen=True, slots=True)
class IndexRow:
    """One leaf of one instance of an indexed attribute: `key` names the attribute, `path` the leaf inside a structure
    ("" for a plain value)."""

    key: str
    instance: int
    path: str
    value: Scalar


@dataclass(slots=True)
class StoredObject:
    """One managed object as it lies in the store: all that Get needs in one row. Times are seconds since the epoch."""

    unique_identifier: str
    object_type: int
    owner: str
    tenant: str
    attributes: bytes  # canonical encoding of spec/attribute_codec.py
    sealed: bytes | None = None  # the keyring's record; None: no material is (any longer) here
    policy: str = ""  # id of the release policy
    flags: int = 0  # domain/managed_object.py Flag: Sensitive, Extractable, Fresh, ...
    cryptographic_algorithm: int | None = None
    cryptographic_length: int | None = None
    cryptographic_usage_mask: int | None = None
    initial_date: int | None = None
    activation_date: int | None = None
    process_start_date: int | None = None
    protect_stop_date: int | None = None
    deactivation_date: int | None = None
    compromise_date: int | None = None
    destroy_date: int | None = None
    archive_date: int | None = None
    last_change_date: int | None = None
    key: int | None = None  # the store's surrogate key, set by insert and find
    revision: int = 0  # counted by update; a stale revision is refused
    index: list[IndexRow] = field(default_factory=list)  # given to insert and update; not filled by find
    names: list[str] = field(default_factory=list)  # unique per owner; given to insert and update, not filled by find


class Work(Protocol):
    """One transaction of the store. Nothing is durable before `Store.work()` has been left without an exception."""

    def savepoint(self) -> AbstractContextManager[None]:
        """Undo, when left by an exception, all that was written inside; nests."""

    def find(self, owner: str, unique_identifier: str) -> StoredObject | None: ...

    def insert(self, obj: StoredObject) -> None:
        """Raises KmipError(NON_UNIQUE_NAME_ATTRIBUTE | OBJECT_ALREADY_EXISTS)."""

    def update(self, obj: StoredObject, *, index: bool) -> None:
        """Write the row back; with `index` also replace its index rows and names. Raises as insert does."""

    def purge(self, obj: StoredObject) -> None:
        """Remove the row and everything that hangs on it (Obliterate)."""

    def locate(self, owner: str, where: Expression, offset: int, limit: int | None) -> tuple[int, list[str]]:
        """-> (total number of hits, unique identifiers newest first within offset and limit)."""

    def scan(self, owner: str, where: Expression) -> Iterator[StoredObject]:
        """The same hits, newest first, as objects: for criteria that no index holds."""

    def named(self, owner: str, name: str) -> str | None:
        """The unique identifier of the object that has this Name."""

    def read(self, kind: str, key: str) -> bytes | None:
        """A small record of another kind than objects (a ticket, a default, an asynchronous request).

        Raises KmipError(CRYPTOGRAPHIC_FAILURE), as `records` does, where it is not as the server wrote it."""

    def write(self, kind: str, key: str, value: bytes, *, owner: str = "", expires: int | None = None) -> None: ...

    def remove(self, kind: str, key: str) -> bool: ...

    def records(self, kind: str, owner: str) -> Sequence[tuple[str, bytes]]: ...

    def add(self, kind: str, key: str, value: bytes, *, owner: str = "", expires: int | None = None) -> bool:
        """`write` unless there is one: -> whether it is new. Of all processes that add the same, one does."""

    def holds(self, kind: str) -> bool:
        """Whether there is any record of this kind, whoever owns it."""

    def expire(self, now: int) -> None:
        """Remove the records whose time has passed."""

    def lasting(self) -> AbstractContextManager[None]:
        """What is written to records inside outlives the savepoints around it, though not the transaction."""

    def lock(self) -> None:
        """Begin writing now: what is read from here on, nobody else changes before the commit."""

    def audit_head(self) -> tuple[int, bytes]:
        """-> (number, hash) of the last row of the audit trail; (0, b"") when it is empty."""

    def append_audit(self, number: int, body: bytes, digest: bytes) -> None:
        """The next row of the audit trail; lasting. Raises StoreConflict when another process was first."""

    def audit(self, after: int, last: int) -> Sequence[tuple[int, bytes, bytes]]:
        """The rows of the audit trail after one number and up to another: (number, body, hash)."""


class Store(Protocol):
    def work(self) -> AbstractContextManager[Work]:
        """One transaction: commits durably when left, rolls back on an exception. One thread at a time per store."""

    def authenticate(self, key: bytes) -> None:
        """Tell the key under which records are authenticated (`domain/records.py`): until then those that are can neither be
        read nor written."""

    def holds_objects(self) -> bool:
        """Whether there is any object, of any owner. Not inside `work()`."""

    def close(self) -> None: ...


class Keyring(Protocol):
    """The envelope (design: every object has its own data key, sealed by the token's master key)."""

    def seal(self, plaintext: bytes, binding: Binding) -> bytes: ...

    def open(self, sealed: bytes, binding: Binding, grant: Grant) -> bytes:
        """Raises KmipError(CRYPTOGRAPHIC_FAILURE) when the record does not belong to the binding or was changed,
        PERMISSION_DENIED when the grant is not for this object and owner, TokenUnavailable when the token is away."""

    def reseal(self, sealed: bytes, old: Binding, new: Binding) -> bytes:
        """The same material bound to other facts, or under the current master key; no plaintext leaves."""


class Gate(Protocol):
    """release/gate.py: the maker of Grants."""

    def appraise(self, message: Attestation) -> Any:
        """The slow part, the verification of evidence, without the database and in any thread: `message.appraised`."""

    def appraisal(self, message: Attestation, work: Work) -> Appraisal:
        """One request message before the gate."""

    def own(self, binding: Binding) -> Grant:
        """The Grant for a record that the server has sealed for itself. Raises ValueError for a managed object's."""


Labels = Callable[[], tuple[Sequence[str], Sequence[str]]]
"""-> (Names, Object Groups) of an object: looked at only where a rule asks for them."""


class Appraisal(Protocol):
    """What the gate makes of one request message, item by item. Raises KmipError and nothing else."""

    operation: str  # the item's, for the records

    def check(self, unique_identifier: str) -> None:
        """Whether every Attestation credential of the message holds; `unique_identifier` is what the item is about.

        Raises KmipError(PERMISSION_DENIED | ATTESTATION_FAILED)."""

    def authorize(self, obj: StoredObject, purpose: Purpose, labels: Labels) -> Grant:
        """The decision over one opening. Ownership, state and usage have been checked before.

        Raises KmipError(PERMISSION_DENIED | ATTESTATION_REQUIRED | ATTESTATION_FAILED)."""

    def wrap(self, grant: Grant, plaintext: bytes) -> bytes:
        """The release of what a grant with a recipient has opened: wrapped to it and signed (docs/release-policy.md).

        Raises KmipError(CRYPTOGRAPHIC_FAILURE)."""

    def attach(self, value: str) -> str:
        """A release policy that a client gives, by id or by value -> its id. Raises KmipError(INVALID_ATTRIBUTE_VALUE)."""

    def rule(self, tenant: str, labels: Labels) -> str:
        """The id of the policy that a rule of the configuration gives a new object, "" where none does."""

    def rules(self, tenant: str, labels: Labels) -> frozenset[str]:
        """The ids of the policies of all rules of the configuration that are about such an object."""

    def challenge(self) -> Challenge | None:
        """What the response header carries, once Attestation Required has been answered in an item."""
