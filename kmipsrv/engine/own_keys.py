"""The deployment's own keys: made at the first start, sealed by the keyring like every object, kept as records.

The nonce key makes and recognises the nonces of attestation, in every process and after every restart. The signing key (Ed25519)
signs what leaves the server in proof: receipts of releases and the head of the audit trail. No managed object can be taken
for one of them: their object type is 0. The records key authenticates what else the store remembers (`domain/records.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kmipsrv.audit.journal import Journal
from kmipsrv.domain.binding import Binding
from kmipsrv.domain.ports import Keyring, Store, Work
from kmipsrv.domain.records import KEY_SIZE as RECORDS_KEY_SIZE
from kmipsrv.errors import StoreConflict
from kmipsrv.release.gate import own_grant
from kmipsrv.release.nonces import KEY_SIZE

RECORD: Final = "own key"
NONCE: Final = "nonce"
SIGNING: Final = "signing"
RECORDS: Final = "records"
SEED_SIZE: Final = 32  # bytes of an Ed25519 private key (RFC 8032 §5.1.5)
ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True)
class OwnKeys:
    nonce: bytes = field(repr=False)
    signing: Ed25519PrivateKey = field(repr=False)


def own_keys(store: Store, keyring: Keyring, random: Callable[[int], bytes]) -> OwnKeys:
    """The keys, made where they are missing. Of processes that start together, one makes them. `store` is told the one that
    authenticates records.

    Raises KmipError, TokenUnavailable."""
    for attempt in range(ATTEMPTS):
        try:
            with store.work() as work:
                nonce = _own(work, keyring, NONCE, KEY_SIZE, random)
                first = work.read(RECORD, SIGNING) is None
                seed = _own(work, keyring, SIGNING, SEED_SIZE, random)
                records = _own(work, keyring, RECORDS, RECORDS_KEY_SIZE, random)
                if first:
                    Journal(Ed25519PrivateKey.from_private_bytes(seed)).begin(work)
            store.authenticate(records)
            return OwnKeys(nonce, Ed25519PrivateKey.from_private_bytes(seed))
        except StoreConflict:
            if attempt == ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


def _own(work: Work, keyring: Keyring, name: str, size: int, random: Callable[[int], bytes]) -> bytes:
    sealed = work.read(RECORD, name)
    if sealed is None:
        work.add(RECORD, name, keyring.seal(random(size), _binding(name)))
        sealed = work.read(RECORD, name)  # another process may have been first
        assert sealed is not None
    return open_own(keyring, name, sealed)


def open_own(keyring: Keyring, name: str, sealed: bytes) -> bytes:
    """The own key of this name. Raises KmipError(CRYPTOGRAPHIC_FAILURE), TokenUnavailable."""
    binding = _binding(name)
    return keyring.open(sealed, binding, own_grant(binding))


def _binding(name: str) -> Binding:
    return Binding(f"kmipsrv:{name}", 0, "", "")
