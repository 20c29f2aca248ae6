"""One-time passwords from a seed and the time: TOTP (RFC 6238 on RFC 4226), with SHA-1, SHA-256 or SHA-512."""

from __future__ import annotations

import base64
import hmac
from typing import Final

STEP: Final = 30  # seconds
DIGITS: Final = 6
DRIFT: Final = 1  # steps that the client's clock may be off


def seed(text: str) -> bytes:
    """A seed as applications show it: base32. Raises ValueError."""
    return base64.b32decode(text + "=" * (-len(text) % 8))


def password(seed: bytes, counter: int, *, digits: int = DIGITS, algorithm: str = "sha1") -> str:
    """The one-time password of one counter value (RFC 4226 §5.3)."""
    digest = hmac.digest(seed, counter.to_bytes(8, "big"), algorithm)
    offset = digest[-1] & 0xF
    code = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFFFFFF
    return str(code % 10**digits).zfill(digits)


def matching(seed: bytes, given: str, now: int, after: int) -> int | None:
    """The counter whose password `given` is, among those around `now` and later than `after`; None if it is none's."""
    here = now // STEP
    found = None
    for counter in range(here - DRIFT, here + DRIFT + 1):
        same = hmac.compare_digest(password(seed, counter).encode(), given.encode("utf-8", "surrogatepass"))
        if same and counter > after:
            found = counter
    return found
