"""The protocol versions, and base classes of names that come and go with them (KMIP 2.1 §8.10 Protocol Version)."""

from __future__ import annotations

import enum
import re
from typing import Self


class Version(enum.IntEnum):
    """A protocol version; ordered, so `since <= version` is one integer comparison."""

    V1_0 = 10
    V1_1 = 11
    V1_2 = 12
    V1_3 = 13
    V1_4 = 14
    V2_0 = 20
    V2_1 = 21
    V3_0 = 30

    @property
    def major(self) -> int:
        return self.value // 10

    @property
    def minor(self) -> int:
        return self.value % 10

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


V1_0, V1_1, V1_2, V1_3, V1_4 = Version.V1_0, Version.V1_1, Version.V1_2, Version.V1_3, Version.V1_4
V2_0, V2_1, V3_0 = Version.V2_0, Version.V2_1, Version.V3_0
NEWEST = V3_0


def normalise(name: str) -> str:
    """Specification text -> CamelCase name of the XML and JSON encodings (Additional Message Encodings §6.1.3)."""
    name = re.sub(r"[()]", " ", name).strip()
    name = re.sub(r"[^\w\s](?=[A-Za-z][a-z])", " ", name)
    name = re.sub(r"[^\w\s]", "_", name)
    words = name.split()
    if words and words[0][0].isdigit():
        digits = re.match(r"\d+", words[0])
        assert digits
        words[0] = words[0][digits.end() :] + digits.group()
    return "".join(w[:1].upper() + w[1:] for w in words)


class Named(enum.IntEnum):
    """A code of the standard with its name there and the versions that have it."""

    text: str
    camel: str
    since: Version
    until: Version | None

    def __new__(cls, value: int, text: str = "", since: Version = V1_0, until: Version | None = None) -> Self:
        self = int.__new__(cls, value)
        self._value_ = value
        self.text, self.since, self.until = text, since, until
        self.camel = normalise(text)
        return self

    def exists_in(self, version: Version) -> bool:
        return self.since <= version and (self.until is None or version <= self.until)


class NamedFlag(enum.IntFlag):
    """A bit of a mask of the standard. Undefined bits are kept: a mask is an Integer on the wire."""

    text: str
    camel: str
    since: Version
    until: Version | None

    def __new__(cls, value: int, text: str = "", since: Version = V1_0, until: Version | None = None) -> Self:
        self = int.__new__(cls, value)
        self._value_ = value
        self.text, self.since, self.until = text, since, until
        self.camel = normalise(text)
        return self
