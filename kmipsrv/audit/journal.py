"""The audit trail in the store (`domain.ports.Work`): appended to in the transaction whose answer it vouches for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from kmipsrv.audit.chain import Broken, Head, link, verify
from kmipsrv.domain.ports import Work

HEAD: Final = "audit head"  # the kind of the record that holds the signed head
PAGE: Final = 1000


class Journal:
    """Appends records and signs the head. `key` is the server's signing key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    def begin(self, work: Work) -> None:
        """Sign the head of an empty trail, so that a trail without a head is known to have lost it."""
        work.write(HEAD, "", Head(0, b"").sign(self._key))

    def append(self, work: Work, body: bytes) -> int:
        """Append a record. -> its number. It stays when the item or request at hand is rolled back, and is durable before
        anything is answered."""
        work.lock()  # the head that is read here is nobody else's to extend before the commit
        before, previous = work.audit_head()
        number = before + 1
        digest = link(previous, number, body)
        work.append_audit(number, body, digest)
        with work.lasting():
            work.write(HEAD, "", Head(number, digest).sign(self._key))
        return number


def records(work: Work, after: int = 0) -> Iterator[tuple[int, bytes, bytes]]:
    """The rows of the trail behind number `after`, page by page: (number, record, hash)."""
    while page := work.audit(after, after + PAGE):
        yield from page
        after += PAGE


def verify_trail(work: Work, key: Ed25519PublicKey, known: Iterable[Head] = ()) -> Head:
    """Whether the trail is as it was written (`chain.py`). -> its head. Raises Broken."""
    head = verify(records(work), work.read(HEAD, ""), key, known)
    if work.audit_head()[0] != head.number:  # a row far behind the end, where no page looks
        raise Broken("end", head.number + 1, f"there is more, but the head says {head.number}")
    return head
