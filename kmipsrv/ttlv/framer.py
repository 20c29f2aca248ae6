"""Bytes of a connection -> complete request messages, without I/O (KMIP 2.1 §10.1, the TTLV encoding).

A KMIP connection is nothing but Request Messages one behind the other, and each begins with the eight bytes that
say how long it is: Item Tag (3 bytes), Item Type (1), Item Length (4, big-endian). They are judged as soon as they
are there, so a peer that speaks another protocol or announces more than it may send is known before anything is
kept for it.
"""

from __future__ import annotations

import struct

from kmipsrv.errors import TTLVError

_HEADER = struct.Struct(">II")
_HEADER_SIZE = _HEADER.size
_REQUEST_MESSAGE = 0x420078_01  # tag Request Message, type Structure


class Framer:
    """Cuts a stream into frames of at most `max_message` bytes, header included.

    After a fault nothing can be found again in the stream: `fault` stays set and every later `feed` raises it.
    Complete frames in front of the fault are not lost: the `feed` that meets both returns the frames and leaves the
    fault to be read from `fault`.
    """

    __slots__ = ("_buffer", "_max_length", "_needed", "fault")

    def __init__(self, max_message: int) -> None:
        self._max_length = max_message - _HEADER_SIZE
        self._buffer = bytearray()  # the beginning of a frame that is not complete yet
        self._needed = _HEADER_SIZE  # how long the buffer must be before it is worth another look
        self.fault: TTLVError | None = None

    @property
    def partial(self) -> bool:
        """Whether a frame has begun and is not complete."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """Take what arrived; give the frames that it completes, in order.

        Raises TTLVError for a first tag other than Request Message, a type other than Structure, a length beyond the
        bound or one that no Structure can have.
        """
        if self.fault is not None:
            raise self.fault
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._needed:
                return []
            data = bytes(self._buffer)
            self._buffer = bytearray()
        frames: list[bytes] = []
        start, end = 0, len(data)
        needed = _HEADER_SIZE
        while end - start >= _HEADER_SIZE:
            try:
                size = self._size(data, start)
            except TTLVError as fault:
                self.fault = fault
                if not frames:
                    raise
                return frames
            if start + size > end:
                needed = size
                break
            frames.append(data[start : start + size])  # no copy when the frame is all of `data`
            start += size
        if start < end:
            self._buffer = bytearray(data[start:])
            self._needed = needed
        return frames

    def _size(self, data: bytes, start: int) -> int:
        """The whole size of the frame whose header is at `start`."""
        word, length = _HEADER.unpack_from(data, start)
        if word != _REQUEST_MESSAGE:
            raise TTLVError("the stream does not continue with a Request Message structure")
        if length > self._max_length:
            raise TTLVError("the message is longer than this server accepts")
        if length & 7:
            # §10.1.3, table of lengths: "Structure | Varies, multiple of 8".
            raise TTLVError("the length of the Request Message is not a multiple of eight")
        return _HEADER_SIZE + int(length)
