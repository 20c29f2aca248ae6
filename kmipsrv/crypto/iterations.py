"""The bound on key-stretching work that an encrypted encoding (PKCS#8, PKCS#12) can ask for before it is opened.

RFC 8018 §A.2 (PBKDF2-params, PBEParameter), RFC 7292 §4 (MacData) and §C (pkcs-12PbeParams): the iteration count is an
integer that the sender chooses, up to years of computing. Read with `der` before the library sees the bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from kmipsrv.crypto import der
from kmipsrv.errors import Cause, KmipError

# Object identifiers whose parameters hold an iteration count, by their encoded prefix.
_PKCS5: Final = bytes.fromhex("2a864886f70d0105")  # 1.2.840.113549.1.5: PBES1, PBKDF2, PBES2
_PKCS12_PBE: Final = bytes.fromhex("2a864886f70d010c01")  # 1.2.840.113549.1.12.1
_SCRYPT: Final = bytes.fromhex("2b060104019a47040b")  # 1.3.6.1.4.1.11591.4.11 (RFC 7914)
_PBES2: Final = bytes.fromhex("2a864886f70d01050d")
_DIGEST_AND_SALT: Final = [der.SEQUENCE, der.OCTET_STRING, der.INTEGER]


@dataclass(slots=True)
class Iterations:
    """How many may still be computed, for one encoding or for all that a client asks for at once."""

    left: int

    def spend(self, count: int) -> None:
        """Raises Server Limit Exceeded, and spends nothing, where fewer are left."""
        if count > self.left:
            raise KmipError(Cause.SERVER_LIMIT_EXCEEDED, f"more than {self.left} iterations are not computed")
        self.left -= count


def bound_iterations(material: bytes, limit: int) -> int:
    """The sum of the iteration counts that are visible in `material`; Server Limit Exceeded beyond `limit`.

    The sum, because an encoding may ask for many derivations. scrypt is refused: its cost is memory as well, and no key
    format of KMIP asks for it.
    """
    total = 0
    for tag, contents in der.walk(material):
        if tag == der.OID and contents == _SCRYPT:
            raise KmipError(Cause.SERVER_LIMIT_EXCEEDED, "encodings protected by scrypt are not opened")
        if tag != der.SEQUENCE:
            continue
        inside = list(der.elements(contents))
        if [kind for kind, _ in inside] == _DIGEST_AND_SALT:  # RFC 7292 §4 MacData
            total += _integer(inside[2][1])
        if len(inside) == 2 and inside[0][0] == der.OID and inside[1][0] == der.SEQUENCE:
            name = inside[0][1]
            if name.startswith((_PKCS5, _PKCS12_PBE)) and name != _PBES2:
                counts = [v for kind, v in der.elements(inside[1][1]) if kind == der.INTEGER]
                total += _integer(counts[0]) if counts else 1
    if total > limit:
        raise KmipError(Cause.SERVER_LIMIT_EXCEEDED, f"the encoding asks for more than {limit} iterations")
    return total


def _integer(contents: bytes) -> int:
    count = int.from_bytes(contents, "big", signed=True)
    if count < 1:
        raise der.malformed("the iteration count")
    return count
