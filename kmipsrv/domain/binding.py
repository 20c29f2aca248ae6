"""What a sealed object is bound to: who can write to the database can neither swap rows nor loosen what guards a key."""

from __future__ import annotations

from struct import pack
from typing import NamedTuple

FORMAT = 1  # of the encoding below


class Binding(NamedTuple):
    """The facts that both seals of an object authenticate as additional data."""

    unique_identifier: str
    object_type: int
    tenant: str
    owner: str
    policy: str = ""  # id of the release policy
    sensitive: bool = False
    extractable: bool = True

    def encode(self) -> bytes:
        """The canonical form: every part is preceded by its length in four bytes, so that no two bindings agree."""
        parts = [
            bytes([FORMAT]),
            self.unique_identifier.encode(),
            self.object_type.to_bytes(4, "big"),
            self.tenant.encode(),
            self.owner.encode(),
            self.policy.encode(),
            bytes([self.sensitive, self.extractable]),
        ]
        return b"".join([pack(">I", len(part)) + part for part in parts])
