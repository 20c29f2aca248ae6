"""What the readable encodings need of a vocabulary. This room knows none; whoever has one gives it (spec/names.py)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Group:
    """The names of an enumeration's values, or of a mask's bits. `codes` has each name also in its `loose` form."""

    names: Mapping[int, str]
    codes: Mapping[str, int]
    mask: bool = False


class Names(Protocol):
    """Names of tags and of values."""

    selector: int
    """The tag of the item whose text says what its siblings are about (Attribute Name)."""
    secrets: frozenset[int]
    """Tags whose content nobody should see."""

    def tag(self, name: str) -> int | None:
        """The code of a tag's name; None for an unknown one."""

    def tag_name(self, tag: int) -> str | None:
        """The name of a tag; None for an unknown one."""

    def group(self, tag: int, selected: str) -> Group | None:
        """The names that an Enumeration or Integer of this tag may have, beside a selector with the text `selected`."""


def loose(name: str) -> str:
    """A name without what its writers disagree about: case, dashes, underscores, spaces."""
    return "".join(letter for letter in name.lower() if letter.isalnum())
