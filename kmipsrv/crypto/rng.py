"""Random numbers for clients (KMIP 2.1 §6.1.49 RNG Retrieve, §6.1.50 RNG Seed).

The generator is the operating system's, given as an argument; it is what RNG Parameters describe. Seeds from clients are
mixed in by `Seeded`, which hashes them together with fresh output: a seed can add to what is unpredictable and never take
from it.
"""

from __future__ import annotations

import hashlib
from typing import Final

from kmipsrv.crypto.padding import Random
from kmipsrv.errors import Cause, KmipError

_BLOCK: Final = 64


def retrieve(length: int, random: Random, *, max_length: int) -> bytes:
    """`length` random bytes; Invalid Field for a length below 1, Server Limit Exceeded beyond `max_length`."""
    if length < 1:
        raise KmipError(Cause.INVALID_FIELD, "the data length is at least 1")
    if length > max_length:
        raise KmipError(Cause.SERVER_LIMIT_EXCEEDED, f"at most {max_length} random bytes are given at a time")
    return random(length)


class Seeded:
    """A source of random bytes that clients may seed: the operating system's output, XORed with a stream of the seeds."""

    __slots__ = ("_counter", "_pool", "_random")

    def __init__(self, random: Random) -> None:
        self._random, self._pool, self._counter = random, b"", 0

    def seed(self, data: bytes, *, max_length: int) -> int:
        """Mix in a client's seed; the amount of it that was used, in bytes (all, or the first `max_length`)."""
        used = data[:max_length]
        self._pool = hashlib.sha512(self._pool + self._random(_BLOCK) + used).digest()
        return len(used)

    def __call__(self, length: int) -> bytes:
        out = self._random(length)
        if not self._pool:
            return out
        self._counter += 1
        stream = hashlib.shake_256(self._pool + self._counter.to_bytes(8, "big")).digest(length)
        # Each output moves the pool on, so that an old output cannot be computed from a later state.
        self._pool = hashlib.sha512(b"next" + self._pool).digest()
        return bytes(a ^ b for a, b in zip(out, stream, strict=True))
