"""Mutated messages against a whole engine: any bytes in, an answer out or the connection closed; never anything else.

The seeds are requests of every operation there is, at every version; a mutation changes octets, or the items themselves
(types, values, order, repetition, depth), so that it reaches handlers and not only the decoder. The engine's own word for
a fault of its code is an "internal error": one of them fails the run, as any exception does.
"""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kmipsrv.engine.call import Call, Peer
from kmipsrv.engine.engine import Engine
from kmipsrv.operations._registry import OPERATIONS
from kmipsrv.spec.enums import Operation
from kmipsrv.spec.schema import plan
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import Version
from kmipsrv.ttlv import codec
from kmipsrv.ttlv.codec import STRUCTURE, Item, decode, encode
from tests.harness import ALICE, Client, name_value, uid_item

GROUP = 64
EXTREMES = [0, 1, -1, 2**31 - 1, -(2**31), 2**31, 2**32 - 1, 2**63 - 1, -(2**63), 77, 0x80000001]
SCALARS: dict[int, list[Any]] = {
    codec.INTEGER: [e for e in EXTREMES if -(2**31) <= e < 2**31],
    codec.LONG_INTEGER: EXTREMES[:8],
    codec.BIG_INTEGER: [*EXTREMES, 1 << 4096, -(1 << 300)],
    codec.ENUMERATION: [e for e in EXTREMES if 0 <= e < 2**32] + list(range(1, 30)),
    codec.BOOLEAN: [True, False],
    codec.TEXT_STRING: ["", "x", "\0", "é" * 300, "State", "x-y", "$", "../../etc", "a" * 5000],
    codec.BYTE_STRING: [b"", b"\0", bytes(16), bytes(24), b"\x30\x80", bytes(range(256)), b"\xff" * 5000],
    codec.DATE_TIME: EXTREMES[:8],
    codec.INTERVAL: [0, 1, 2**32 - 1],
    codec.DATE_TIME_EXTENDED: EXTREMES[:8],
}


@dataclass
class Report:
    """What a run has seen."""

    messages: int = 0
    answers: int = 0
    closed: int = 0
    successes: int = 0


class Fuzzer:
    """Drives an engine with mutations of its seeds; `seed` makes a run repeatable."""

    def __init__(self, engine: Engine, seed: int, seeds: Sequence[bytes] = ()) -> None:
        self.engine = engine
        self.random = random.Random(seed)
        self.seeds = [*make_seeds(engine), *seeds]
        self.report = Report()

    def run(self, messages: int, seconds: float) -> Report:
        """Until one of the bounds is reached. Raises AssertionError with the message that broke the invariant."""
        end = time.monotonic() + seconds
        peer = Peer(ALICE, "127.0.0.1")
        while self.report.messages < messages and time.monotonic() < end:
            frames = [self.mutation() for _ in range(GROUP)]
            try:
                answers = self.engine.answer([Call(frame, peer) for frame in frames])
            except Exception as error:
                raise AssertionError(f"one of these broke the engine: {[f.hex() for f in frames]}") from error
            for frame, answer in zip(frames, answers, strict=True):
                self.judge(frame, answer)
        return self.report

    def judge(self, frame: bytes, answer: bytes | None) -> None:
        report = self.report
        report.messages += 1
        if answer is None:
            report.closed += 1
            return
        tag, _, fields = decode(answer)
        assert tag == Tag.RESPONSE_MESSAGE, frame.hex()
        assert b"internal error" not in answer, f"an internal error: {frame.hex()}"
        report.answers += 1
        report.successes += any((Tag.RESULT_STATUS, codec.ENUMERATION, 0) in item[2] for item in fields[1:])

    def mutation(self) -> bytes:
        seed = self.random.choice(self.seeds)
        if self.random.random() < 0.3:
            return self._octets(seed)
        item = decode(seed)
        for _ in range(self.random.choice((1, 1, 1, 2, 4))):
            item = self._item(item)
        try:
            return encode(item)
        except (struct.error, OverflowError, ValueError, AttributeError, TypeError):
            return self._octets(seed)

    def _octets(self, data: bytes) -> bytes:
        octets = bytearray(data)
        for _ in range(self.random.choice((1, 1, 2, 8))):
            at = self.random.randrange(len(octets))
            match self.random.randrange(4):
                case 0:
                    octets[at] ^= 1 << self.random.randrange(8)
                case 1:
                    octets[at] = self.random.choice((0, 1, 0x7F, 0x80, 0xFF))
                case 2:
                    del octets[at : at + self.random.randrange(1, 9)]
                case _:
                    octets[at:at] = self.random.randbytes(self.random.randrange(1, 9))
            if not octets:
                return b"\0"
        return bytes(octets)

    def _item(self, item: Item) -> Item:
        """The item with one change somewhere inside."""
        tag, kind, value = item
        if kind == STRUCTURE and value and self.random.random() < 0.85:
            children = list(value)
            at = self.random.randrange(len(children))
            match self.random.randrange(12):
                case 0:
                    del children[at]
                case 1:
                    children.insert(at, children[at])
                case 2:
                    children[at], children[-1] = children[-1], children[at]
                case 3:
                    children.insert(at, self._invented())
                case _:
                    children[at] = self._item(children[at])
            return tag, kind, children
        match self.random.randrange(6):
            case 0:
                return int(self.random.choice(list(Tag))), kind, value
            case 1:
                return (tag, *self._scalar())
            case 2:
                return tag, STRUCTURE, [self._invented()]
            case _:
                return tag, kind, self.random.choice(SCALARS.get(kind, [value]))

    def _scalar(self) -> tuple[int, Any]:
        kind = self.random.choice(list(SCALARS))
        return kind, self.random.choice(SCALARS[kind])

    def _invented(self) -> Item:
        return (int(self.random.choice(list(Tag))), *self._scalar())


def make_seeds(engine: Engine) -> list[bytes]:
    """For every operation at every version: a request with all its fields, about an object that is there."""
    client = Client(engine)
    uid = client.create((Tag.NAME, STRUCTURE, name_value("seed")))
    client.ok(Operation.ACTIVATE, uid_item(uid))
    seeds = []
    for version in Version:
        speaker = client.at(version)
        seeds.append(speaker.frame([(Operation.REGISTER, speaker.key(bytes(range(16))))]))
        for row in OPERATIONS.values():
            if row.exists_in(version):
                payload = list(_filled(row.request, version, uid))
                seeds.append(speaker.frame([(row.operation, payload)]))
                seeds.append(speaker.frame([(Operation.GET, [uid_item(uid)]), (row.operation, payload[:3])]))
    return seeds


def _filled(cls: type[Any], version: Version, uid: str, depth: int = 0) -> Iterator[Item]:
    """An item for every field of a structure; identifiers name a real object."""
    for field in plan(cls, version).writers:
        if "unique_identifier" in field.name:
            yield field.tag, codec.TEXT_STRING, uid
        elif field.custom is not None:
            yield field.tag, STRUCTURE, []
        elif hasattr(field.codec, "cls"):
            yield field.tag, STRUCTURE, list(_filled(field.codec.cls, version, uid, depth + 1)) if depth < 4 else []
        elif hasattr(field.codec, "values"):
            yield field.tag, codec.ENUMERATION, min(field.codec.values)
        else:
            kind = getattr(field.codec, "code", codec.INTEGER)
            yield field.tag, kind, SCALARS[kind][1]
