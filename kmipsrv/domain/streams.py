"""Multi-part cryptographic operations under way (KMIP 1.3 §2.1.15, 2.1 §7.8 Correlation Value).

A stream lives in this process's memory and nowhere else: it dies with the process, is not there for a connection that
another worker serves, and is undone by nothing. So a client sends all parts over one connection, which one worker keeps.
A stream that fails is over, and so is one whose request was undone: what was computed cannot be taken back. A part that the
release gate refuses has computed nothing: the stream waits for another.

It is bound to who opened it, to the operation and to the object. Streams are bounded in number and in what they hold, for
each client and for the process, and end when nobody has asked for them for `lifetime` seconds.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final

from kmipsrv.domain.identity import Identity
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.enums import Operation

LIFETIME: Final = 600
"""Seconds that a stream waits for its next part."""

_SHARES: Final = 16
"""The process holds as much as this many clients may."""

_CORRELATION_BYTES: Final = 24

Owner = tuple[str, str, str, str]


def owner_of(identity: Identity) -> Owner:
    """Whose a stream is: the client itself, not everybody who shares its objects."""
    return identity.domain, identity.name, identity.owner, identity.user


@dataclass(slots=True)
class Stream:
    """One operation under way. `state` is the cryptographic context, `held` the octets it has collected."""

    owner: Owner
    operation: Operation
    unique_identifier: str | None  # None: Hash has no object
    parameters: Any
    state: Any
    held: int = 0
    correlation: bytes = b""
    expires: int = 0

    def __repr__(self) -> str:
        return f"<Stream of {self.operation.text}>"


class Streams:
    """The streams of one process. `maximum` and `maximum_held` (octets) are for one client."""

    def __init__(
        self, maximum: int, maximum_held: int, random: Callable[[int], bytes], lifetime: int = LIFETIME
    ) -> None:
        self._maximum, self._maximum_held = maximum, maximum_held
        self._random, self._lifetime = random, lifetime
        self._streams: OrderedDict[bytes, Stream] = OrderedDict()  # in the order in which they expire
        self._count: Counter[Owner] = Counter()
        self._held: Counter[Owner] = Counter()
        self._total = 0
        self._group: list[bytes] = []  # kept since `begin`
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._streams)

    def begin(self) -> None:
        """A group of requests begins, which `undo` can follow."""
        self._group.clear()

    def undo(self) -> None:
        """The group is undone as a whole: the streams that it went on with are over."""
        for correlation in self._group:
            self.end(correlation)

    def keep(self, stream: Stream, now: int) -> bytes:
        """Keep a stream until its next part. -> its Correlation Value, made at the first call.

        Raises KmipError(SERVER_LIMIT_EXCEEDED); the stream is then over."""
        with self._lock:
            self._expire(now)
            owner = stream.owner
            if self._count[owner] >= self._maximum or len(self._streams) >= _SHARES * self._maximum:
                raise KmipError(Cause.SERVER_LIMIT_EXCEEDED, "too many multi-part operations are open")
            room = min(self._maximum_held - self._held[owner], _SHARES * self._maximum_held - self._total)
            if stream.held > room:
                raise KmipError(Cause.SERVER_LIMIT_EXCEEDED, "the open multi-part operations hold too much data")
            stream.correlation = stream.correlation or self._random(_CORRELATION_BYTES)
            stream.expires = now + self._lifetime
            self._streams[stream.correlation] = stream
            self._group.append(stream.correlation)
            self._count[owner] += 1
            self._held[owner] += stream.held
            self._total += stream.held
            return stream.correlation

    def take(self, correlation: bytes, owner: Owner, operation: Operation, now: int) -> Stream:
        """The stream, which is no longer kept: what succeeds keeps it again.

        Raises KmipError(INVALID_CORRELATION_VALUE) for any that is not this client's and this operation's."""
        with self._lock:
            self._expire(now)
            found = self._streams.get(correlation)
            if found is None or found.owner != owner or found.operation is not operation:
                raise KmipError(Cause.INVALID_CORRELATION_VALUE, "no multi-part operation has this Correlation Value")
            self._drop(correlation)
            return found

    def end(self, correlation: bytes) -> None:
        """Forget a stream, if it is still kept."""
        with self._lock:
            if correlation in self._streams:
                self._drop(correlation)

    def _expire(self, now: int) -> None:
        while self._streams:
            correlation, stream = next(iter(self._streams.items()))
            if stream.expires > now:
                return
            self._drop(correlation)

    def _drop(self, correlation: bytes) -> None:
        stream = self._streams.pop(correlation)
        self._total -= stream.held
        for counter, amount in ((self._count, 1), (self._held, stream.held)):
            counter[stream.owner] -= amount
            if not counter[stream.owner]:
                del counter[stream.owner]
