"""Client certificates that Re-Provision has replaced: "cannot be used in future KMIP requests" (KMIP 2.1 §6.1.48)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kmipsrv.domain.identity import Identity
from kmipsrv.domain.ports import Work

RECORD: Final = "replaced certificate"


def withdraw(work: Work, fingerprint: str, expires: int) -> None:
    """The certificate is not accepted any more; it is remembered until it would have expired by itself."""
    work.write(RECORD, fingerprint, b"", expires=expires)


def withdrawn(work: Work) -> frozenset[str]:
    """The fingerprints of all such certificates."""
    return frozenset(fingerprint for fingerprint, _ in work.records(RECORD, ""))


@dataclass(frozen=True, slots=True)
class Desk:
    """Where a client's certificate can be replaced: the one in use, and who a certificate (DER) would be.

    `identify` raises KmipError(INVALID_FIELD) for a certificate that no configured authority has issued."""

    fingerprint: str
    identify: Callable[[bytes], Identity]

    @staticmethod
    def fingerprint_of(certificate: bytes) -> str:
        return hashlib.sha256(certificate).hexdigest()
