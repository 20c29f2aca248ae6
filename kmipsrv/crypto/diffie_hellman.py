"""Finite-field Diffie-Hellman's classes, taken from the library without its deprecation warnings.

KMIP has the algorithm DH and transparent formats for it (2.1 §3.9, §3.10), so they are served as long as the library has
them. The warnings are given at each access to the library's module, so each name is taken once, here; and when an
encoded key is read, so that is done under `quietly`.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Final

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from cryptography.hazmat.primitives.asymmetric.dh import (
        DHParameterNumbers,
        DHParameters,
        DHPrivateKey,
        DHPrivateNumbers,
        DHPublicKey,
        DHPublicNumbers,
    )

_OIDS: Final = (bytes.fromhex("2a864886f70d010301"), bytes.fromhex("2a8648ce3e0201"))
"""PKCS#3 dhKeyAgreement and X9.42 dhpublicnumber, as they stand in an encoded key."""


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """No warning of the library about Diffie-Hellman leaves this block."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Diffie-Hellman over finite fields")
        yield


def is_named_in(encoded: bytes) -> bool:
    """Whether an encoded key may be a Diffie-Hellman one."""
    return any(oid in encoded for oid in _OIDS)


__all__ = [
    "DHParameterNumbers",
    "DHParameters",
    "DHPrivateKey",
    "DHPrivateNumbers",
    "DHPublicKey",
    "DHPublicNumbers",
    "is_named_in",
    "quietly",
]
