"""The Data that the items of a batch have put out, for later items that refer to it (KMIP 2.1 §7.9 Data)."""

from __future__ import annotations

from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.enums import Data


class Outputs:
    """What one request message has put out so far; `maximum` octets at most, or a short request could fill the memory."""

    __slots__ = ("_made", "_room")

    def __init__(self, maximum: int) -> None:
        self._made: list[tuple[Data, bytes]] = []
        self._room = maximum

    def put(self, kind: Data, data: bytes) -> bytes:
        """Remember an operation's output. -> the same. Raises KmipError(SERVER_LIMIT_EXCEEDED)."""
        self._room -= len(data)
        if self._room < 0:
            raise KmipError(Cause.SERVER_LIMIT_EXCEEDED, "the batch puts out too much data")
        self._made.append((kind, data))
        return data

    def resolve(self, data: bytes | int | Data | None) -> bytes | None:
        """The octets that a Data field means: its own, those of the latest item of an operation, or "the zero based nth
        Data in the response. If negative the count is backwards from […] the current operation's batch item".

        Raises KmipError(INVALID_FIELD) where there is no such output."""
        if data is None or isinstance(data, bytes):
            return data
        found: bytes | None = None
        if isinstance(data, Data):
            found = next((made for kind, made in reversed(self._made) if kind is data), None)
        elif -len(self._made) <= data < len(self._made):
            found = self._made[data][1]
        if found is None:
            raise KmipError(Cause.INVALID_FIELD, "no earlier batch item has put out the Data that is referred to")
        return found
