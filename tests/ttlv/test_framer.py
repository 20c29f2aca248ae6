"""The framer against one list of vectors: whole, byte by byte, and with other bytes behind."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kmipsrv.errors import TTLVError
from kmipsrv.ttlv.framer import Framer

LIMIT = 64


def frame(size: int) -> bytes:
    """A Request Message of `size` bytes of content that only the framer would accept."""
    return bytes.fromhex("42007801") + size.to_bytes(4, "big") + bytes(size)


# (name, bytes, frames that come out, the fault's words or "")
VECTORS: list[tuple[str, bytes, list[bytes], str]] = [
    ("nothing", b"", [], ""),
    ("one", frame(16), [frame(16)], ""),
    ("empty structure", frame(0), [frame(0)], ""),
    ("at the limit", frame(LIMIT - 8), [frame(LIMIT - 8)], ""),
    ("three", frame(8) + frame(0) + frame(24), [frame(8), frame(0), frame(24)], ""),
    ("half a header", frame(8)[:5], [], ""),
    ("half a body", frame(16)[:17], [], ""),
    ("one and a half", frame(16) + frame(16)[:9], [frame(16)], ""),
    ("response tag", bytes.fromhex("42007b0100000008") + bytes(8), [], "Request Message"),
    ("not a structure", bytes.fromhex("4200780800000008") + bytes(8), [], "Request Message"),
    ("HTTP", b"POST /kmip HTTP/1.1\r\n", [], "Request Message"),
    ("TLS in TLS", bytes.fromhex("16030100f8010000f4"), [], "Request Message"),
    ("one byte too long", frame(LIMIT), [], "longer"),
    ("4 GiB", bytes.fromhex("42007801fffffff8"), [], "longer"),
    ("odd length", bytes.fromhex("4200780100000009") + bytes(9), [], "multiple of eight"),
    ("fault behind a frame", frame(8) + b"garbage!", [frame(8)], "Request Message"),
]
IDS = [vector[0] for vector in VECTORS]


def run(chunks: list[bytes]) -> tuple[list[bytes], str]:
    framer = Framer(LIMIT)
    frames: list[bytes] = []
    try:
        for chunk in chunks:
            frames += framer.feed(chunk)
    except TTLVError as fault:
        return frames, fault.message
    return frames, "" if framer.fault is None else framer.fault.message


@pytest.mark.parametrize(("name", "data", "frames", "fault"), VECTORS, ids=IDS)
def test_whole(name: str, data: bytes, frames: list[bytes], fault: str) -> None:
    out, said = run([data])
    assert out == frames
    assert fault in said
    assert bool(said) == bool(fault)


@pytest.mark.parametrize(("name", "data", "frames", "fault"), VECTORS, ids=IDS)
def test_byte_by_byte(name: str, data: bytes, frames: list[bytes], fault: str) -> None:
    out, said = run([data[i : i + 1] for i in range(len(data))])
    assert out == frames
    assert fault in said
    assert bool(said) == bool(fault)


@pytest.mark.parametrize(("name", "data", "frames", "fault"), [v for v in VECTORS if v[2] and not v[3]])
def test_with_trailing_data(name: str, data: bytes, frames: list[bytes], fault: str) -> None:
    whole = b"".join(frames)
    assert run([whole + frame(32)]) == ([*frames, frame(32)], "")
    assert run([whole + b"trailing"])[0] == frames
    assert run([whole, b"trailing"])[1]


def test_partial_tells_whether_a_frame_has_begun() -> None:
    framer = Framer(LIMIT)
    seen = []
    for chunk in (b"", frame(8)[:1], frame(8)[1:15], frame(8)[15:]):
        framer.feed(chunk)
        seen.append(framer.partial)
    assert seen == [False, True, True, False]


def test_a_fault_stays() -> None:
    framer = Framer(LIMIT)
    for data in (b"garbage!", frame(8)):
        with pytest.raises(TTLVError, match="Request Message"):
            framer.feed(data)


def test_bytes_beyond_the_bound_are_never_kept() -> None:
    framer = Framer(1 << 20)
    with pytest.raises(TTLVError):
        framer.feed(bytes.fromhex("42007801fffffff8") + bytes(100_000))
    assert not framer.partial


@given(st.binary(max_size=200), st.lists(st.integers(1, 50), max_size=20))
def test_any_bytes_give_frames_or_a_ttlv_error(data: bytes, cuts: list[int]) -> None:
    chunks, at = [], 0
    for cut in cuts:
        chunks.append(data[at : at + cut])
        at += cut
    assert run([*chunks, data[at:]]) == run([data])


@given(st.lists(st.integers(0, 7), max_size=8), st.integers(1, 40))
def test_cutting_never_changes_the_frames(sizes: list[int], step: int) -> None:
    frames = [frame(8 * size) for size in sizes]
    data = b"".join(frames)
    assert run([data[i : i + step] for i in range(0, len(data), step)]) == (frames, "")
