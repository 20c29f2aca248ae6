"""Signature Verify and MAC Verify: data, what it is checked against, and the Validity Indicator (KMIP 2.1 §11.62)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from kmipsrv.crypto.failures import NotAuthentic
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.enums import ValidityIndicator


class Computation(Protocol):
    """A verification of the crypto room under way."""

    @property
    def held(self) -> int: ...

    def update(self, data: bytes) -> None: ...


class Verifying:
    """A computation together with the signature or MAC, which may come with any part: once."""

    def __init__(self, computation: Computation, check: Callable[[bytes], None]) -> None:
        self._computation, self._check = computation, check
        self._expected: bytes | None = None

    @property
    def held(self) -> int:
        return self._computation.held

    def update(self, data: bytes, expected: bytes | None) -> None:
        """More data; `expected` when this part carries the signature or MAC. Raises KmipError(INVALID_FIELD)."""
        self._computation.update(data)
        if expected is not None:
            if self._expected not in (None, expected):
                raise KmipError(Cause.INVALID_FIELD, "another signature or MAC was given with an earlier part")
            self._expected = expected

    def conclude(self) -> ValidityIndicator:
        """Raises KmipError(MISSING_DATA) when there is nothing to check against."""
        expected = self._expected
        if expected is None:
            raise KmipError(Cause.MISSING_DATA, "there is no signature or MAC to verify")
        return validity(lambda: self._check(expected))


def validity(check: Callable[[], None]) -> ValidityIndicator:
    """Valid, or Invalid when the check finds that the data is not authentic; every other error stays an error."""
    try:
        check()
    except NotAuthentic:
        return ValidityIndicator.INVALID
    return ValidityIndicator.VALID
