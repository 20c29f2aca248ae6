"""Which of the store's small records are authenticated: who can write to the database cannot make up what a record says.

Every kind is, but for those in the table below. An authenticated record begins with a MAC over its kind, key, owner and
value under a key of the deployment (`engine/own_keys.py`) that lies sealed by the token's master key. The time at which a
record is removed is not covered: where it says what is still valid, the value holds it too (tickets, failed logins).

What no MAC tells is that a record has been removed or that an older one of the same key has been put back (SECURITY.md).
"""

from __future__ import annotations

import hmac
from struct import pack
from typing import Final

from kmipsrv.errors import Cause, KmipError

MAC_SIZE: Final = 32  # bytes: HMAC-SHA-256
KEY_SIZE: Final = 32

SEALED: Final = "sealed by the keyring, bound to its name"
REFUSES: Final = "its being there only ever refuses something, and it says nothing"

NOT_AUTHENTICATED: Final = {
    "check": SEALED,
    "own key": SEALED,
    "certification authority": SEALED,
    "asynchronous request": SEALED,
    "audit head": "signed by the server's signing key, and verified without the token",
    "release approval": "signed by its approver, and verified when it is counted",
    "release policy": "kept under the hash of its content, which is compared at every reading",
    "consumed nonce": REFUSES,
    "policy order": REFUSES,
    "replaced certificate": REFUSES,
}
"""Kind -> why it needs no MAC."""


class RecordSeal:
    """Authenticates records under one key of `KEY_SIZE` octets."""

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_SIZE:
            raise ValueError(f"a key of {KEY_SIZE} octets")
        self._key = key

    def make(self, kind: str, key: str, owner: str, value: bytes) -> bytes:
        """-> the value as it is stored."""
        return self._mac(kind, key, owner, value) + value

    def open(self, kind: str, key: str, owner: str, stored: bytes) -> bytes:
        """What `make` was given. Raises KmipError(CRYPTOGRAPHIC_FAILURE) for anything else."""
        # SQLite keeps a text in a column for octets, and octets in one for a text.
        if isinstance(stored, bytes) and isinstance(owner, str):
            value = stored[MAC_SIZE:]
            if hmac.compare_digest(stored[:MAC_SIZE], self._mac(kind, key, owner, value)):
                return value
        raise KmipError(Cause.CRYPTOGRAPHIC_FAILURE, "a record of the server's cannot be opened")

    def _mac(self, kind: str, key: str, owner: str, value: bytes) -> bytes:
        # Every part is preceded by its length, so that no two records agree.
        parts = [kind.encode(), key.encode("utf-8", "surrogatepass"), owner.encode("utf-8", "surrogatepass"), value]
        return hmac.digest(self._key, b"".join([pack(">I", len(part)) + part for part in parts]), "sha256")
