"""What a client may spend, and the counting of it. Times are seconds, sizes bytes.

`Limits.connections` holds for all workers together, the other bounds for each process.
"""

from __future__ import annotations

import mmap
from collections import Counter
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Limits:
    """Raises ValueError, naming the field, for a bound that is not positive."""

    connections: int = 4096
    "open at once in all workers, those that shake hands included; one more is closed as soon as it is accepted"
    connections_per_client: int = 512
    "open at once by one owner"
    handshakes_per_address: int = 128
    "unfinished TLS handshakes of one network address"
    message: int = 1 << 20
    "one request, header included; HTTP bodies too"
    pipeline: int = 16
    "requests of one connection inside the server; the next ones wait, and nothing more is read"
    queue: int = 64 << 20
    "requests that wait for the engine, all connections together"
    group: int = 64
    "requests that the engine takes at once"
    handshake: float = 10.0
    "from the TCP connection to the end of the TLS handshake"
    read: float = 30.0
    "from the first byte of a request to its last"
    write: float = 30.0
    "for the client to take an answer"
    idle: float = 3600.0
    "without a request"
    drain: float = 10.0
    "from SIGTERM until what is still unanswered is given up"

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise ValueError(f"{field.name}: must be greater than 0")
        if self.message < 64:
            raise ValueError("message: no KMIP request fits into fewer than 64 bytes")


class LimitReached(Exception):
    """A client wants more than its share; the message says of what, for the log."""


class Shares:
    """How many connections each worker has open, in memory that a fork shares. One process writes each number."""

    def __init__(self, workers: int = 1) -> None:
        self._counts = memoryview(mmap.mmap(-1, 4 * workers)).cast("i")

    def __getitem__(self, worker: int) -> int:
        return self._counts[worker]

    def __setitem__(self, worker: int, connections: int) -> None:
        self._counts[worker] = connections

    @property
    def total(self) -> int:
        return sum(self._counts)

    @property
    def least(self) -> int:
        return min(self._counts)


class Counters:
    """How much is in use now. Belongs to the thread of the event loop. `worker`: whose share of `shares` is ours."""

    def __init__(self, limits: Limits, shares: Shares | None = None, worker: int = 0) -> None:
        self.limits = limits
        self._shares = shares or Shares()
        self._worker = worker
        self.handshakes: Counter[str] = Counter()  # by address
        self.clients: Counter[str] = Counter()  # by owner

    @property
    def connections(self) -> int:
        """Open connections of this process."""
        return self._shares[self._worker]

    @connections.setter
    def connections(self, number: int) -> None:
        self._shares[self._worker] = number

    @property
    def busier(self) -> bool:
        """Whether another worker has fewer connections."""
        return self.connections > self._shares.least

    def begin(self, address: str) -> Place:
        """Count a connection that has just been accepted. Raises LimitReached."""
        if self._shares.total >= self.limits.connections:
            raise LimitReached(f"{self._shares.total} connections are open")
        if self.handshakes[address] >= self.limits.handshakes_per_address:
            raise LimitReached(f"{self.handshakes[address]} handshakes of this address are unfinished")
        return Place(self, address)


class Place:
    """One connection in the counters, from `begin` to `release`."""

    __slots__ = ("_address", "_counters", "_open", "_owner", "_shaking")

    def __init__(self, counters: Counters, address: str) -> None:
        self._counters = counters
        self._address = address
        self._owner: str | None = None
        self._open = self._shaking = True
        counters.connections += 1
        counters.handshakes[address] += 1

    def shaken(self) -> None:
        """The handshake is over, well or not."""
        if self._shaking:
            self._shaking = False
            _less(self._counters.handshakes, self._address)

    def admit(self, owner: str) -> None:
        """Count the connection for its owner. Raises LimitReached."""
        clients = self._counters.clients
        if clients[owner] >= self._counters.limits.connections_per_client:
            raise LimitReached(f"{owner} has {clients[owner]} connections open")
        clients[owner] += 1
        self._owner = owner

    def release(self) -> None:
        """The connection is gone. Calling it again does nothing."""
        self.shaken()
        if not self._open:
            return
        self._open = False
        self._counters.connections -= 1
        if self._owner is not None:
            _less(self._counters.clients, self._owner)


def _less(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]  # addresses come and go; the table must not keep them
