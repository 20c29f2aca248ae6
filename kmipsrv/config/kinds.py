"""What a value in the file may look like, and how a line of a table says so.

A `Kind` is the accepted values in words and the function that reads one; `setting`, `required`, `section` and
`sections` are the whole vocabulary of `tables.py`. Nothing here opens a file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Generic, NamedTuple, TypeVar, cast

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """What a setting accepts, in words, and its reader: (value, folder of the file) to the value, or ValueError."""

    accepts: str
    read: Callable[[Any, Path], T]


class Address(NamedTuple):
    """Where a server listens. Port 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address(text: str) -> Address:
    """`host:port` or `[v6 address]:port`; ValueError otherwise."""
    match = re.fullmatch(r"(?:\[([^\s\[\]]+)\]|([^\s:\[\]]+)):([0-9]{1,5})", text)
    if match is None or int(match[3]) > 65535:
        raise ValueError(text)
    return Address(match[1] or match[2], int(match[3]))


def _typed(value: Any, *types: type) -> Any:
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):  # a YAML `yes` is no number
        raise ValueError(value)
    return value


def _within(value: Any, low: float, high: float) -> Any:
    if not low <= value <= high:
        raise ValueError(value)
    return value


def _matching(pattern: str, value: Any) -> str:
    if re.fullmatch(pattern, _typed(value, str)) is None:
        raise ValueError(value)
    return str(value)


def count(low: int, high: int) -> Kind[int]:
    """A whole number within the bounds, both included."""
    return Kind(f"a whole number from {low} to {high}", lambda value, _: int(_within(_typed(value, int), low, high)))


def seconds(low: float, high: float) -> Kind[float]:
    """A duration in seconds within the bounds."""
    return Kind(
        f"seconds from {low:g} to {high:g}", lambda value, _: float(_within(_typed(value, int, float), low, high))
    )


def one_of(*words: str) -> Kind[str]:
    """One of the words; a number that YAML made of `1.2` counts as its text."""

    def read(value: Any, _: Path) -> str:
        text = str(_typed(value, str, float))
        if text not in words:
            raise ValueError(value)
        return text

    return Kind(" or ".join(words), read)


def off_or(kind: Kind[T]) -> Kind[T | None]:
    """`off` (None), or what the other kind accepts."""
    return Kind(
        f"off, or {kind.accepts}",
        lambda value, folder: None if value is None or value is False or value == "off" else kind.read(value, folder),
    )


def list_of(kind: Kind[T]) -> Kind[tuple[T, ...]]:
    """A list of one or more; a single value may stand without the brackets."""

    def read(value: Any, folder: Path) -> tuple[T, ...]:
        values = value if isinstance(value, list) else [value]
        if not values:
            raise ValueError(value)
        return tuple(kind.read(item, folder) for item in values)

    return Kind(f"a list of one or more, each {kind.accepts}", read)


def _database(value: Any, folder: Path) -> str:
    url = _matching(r"(sqlite|postgresql)(\+\w+)?://.*", value)
    file = re.fullmatch(r"(sqlite(?:\+\w+)?:///)([^/:].*)", url)
    return f"{file[1]}{folder / file[2]}" if file else url


def _module(value: Any, folder: Path) -> str:
    name = _matching(r"[^\0]+", value)
    return str(folder / name) if "/" in name else name


TEXT: Final = Kind("a text that is not empty", lambda value, _: _matching(r"(?s).*\S.*", value))
FLAG: Final = Kind("true or false", lambda value, _: cast("bool", _typed(value, bool)))
FILE: Final = Kind("a path, relative to this file", lambda value, folder: folder / _matching(r"[^\0]+", value))
ADDRESS: Final = Kind("host:port, such as 127.0.0.1:5696 or [::1]:5696", lambda value, _: address(_typed(value, str)))
DATABASE: Final = Kind("a URL such as sqlite:///kmipsrv.db or postgresql+psycopg://user@host/name", _database)
MODULE: Final = Kind("the name or path of a PKCS#11 module, such as libsofthsm2.so", _module)
PASSWORD: Final = Kind(
    "a record made by `kmipsrv hash-password`: scrypt$N$r$p$salt$hash",
    lambda value, _: _matching(r"scrypt(\$[0-9]+){3}(\$[A-Za-z0-9+/]+=*){2}", value),
)
SEED: Final = Kind(
    "16 bytes or more in base32, such as a one-time password application takes",
    lambda value, _: _matching(r"(?:[A-Z2-7]{8}){3,}[A-Z2-7]*=*", value),
)
HASHED: Final = Kind(
    "a record made by `kmipsrv hash-password --hashed USERNAME`: SHA-256$S1$S2",
    lambda value, _: _matching(r"SHA-(256|384|512)(\$([0-9a-f]{2}){32,64}){2}", value),
)
FINGERPRINT: Final = Kind(
    "the SHA-256 of a certificate (DER): 64 hexadecimal digits, colons allowed, in quotes",
    lambda value, _: bytes.fromhex(_matching(r"[0-9A-Fa-f]{64}", _typed(value, str).replace(":", ""))),
)
DOMAIN: Final = Kind(
    "a name of letters, digits and . _ -", lambda value, _: _matching(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", value)
)


def setting(kind: Kind[T], default: T, *, secret: bool = False) -> T:
    """A line of the table. A secret one is shown neither in a repr nor in an error."""
    return field(default=default, metadata={"kind": kind, "secret": secret}, repr=not secret)


def required(kind: Kind[T], *, secret: bool = False) -> T:
    """A line of the table that the file must give."""
    return cast("T", field(metadata={"kind": kind, "secret": secret}, repr=not secret))


def section(table: type[T]) -> T:
    """A nested table; absent in the file it is all defaults."""
    return field(default_factory=table, metadata={"section": table})


def sections(table: type[T], *absent: Mapping[str, Any]) -> tuple[T, ...]:
    """A list of nested tables, and the values that stand for it where the file has none."""
    return cast("tuple[T, ...]", field(default=(), metadata={"sections": table, "absent": list(absent)}))
