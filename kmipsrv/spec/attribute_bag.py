"""The attributes of one object or one request, in the form of 2.x: key -> instances, each with its index.

The index is 1.x's: "the first instance […] SHALL be 0 […] if an attribute instance is deleted, the indices of the others
do not change" (1.4 §2.1.1).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

from kmipsrv.spec.attributes import Key


class AttributeBag:
    """An ordered multimap of attribute values."""

    __slots__ = ("_instances",)

    def __init__(self) -> None:
        self._instances: dict[Key, list[tuple[int, Any]]] = {}

    def __contains__(self, key: Key) -> bool:
        return key in self._instances

    def __iter__(self) -> Iterator[Key]:
        return iter(self._instances)

    def __len__(self) -> int:
        return len(self._instances)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AttributeBag) and self._instances == other._instances

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"AttributeBag({', '.join(map(str, self._instances))})"

    def get(self, key: Key, default: Any = None) -> Any:
        """The first instance's value."""
        found = self._instances.get(key)
        return found[0][1] if found else default

    def firsts(self) -> dict[Key, Any]:
        """Each attribute's first instance's value."""
        return {key: found[0][1] for key, found in self._instances.items()}

    def values(self, key: Key) -> list[Any]:
        return [value for _, value in self._instances.get(key, ())]

    def instances(self, key: Key) -> list[tuple[int, Any]]:
        """-> [(index, value)] in order of index."""
        return list(self._instances.get(key, ()))

    def items(self) -> Iterator[tuple[Key, int, Any]]:
        for key, found in self._instances.items():
            for index, value in found:
                yield key, index, value

    def set(self, key: Key, value: Any) -> None:
        """Make `value` the only instance; None removes the attribute."""
        if value is None:
            self._instances.pop(key, None)
        else:
            self._instances[key] = [(0, value)]

    def add(self, key: Key, value: Any, index: int | None = None) -> int:
        """Append an instance, under the next free index unless one is given. -> its index."""
        found = self._instances.setdefault(key, [])
        if index is None:
            index = found[-1][0] + 1 if found else 0
        found.append((index, value))
        return index

    def replace(self, key: Key, index: int, value: Any) -> bool:
        """Give an instance another value; False when there is no such index."""
        found = self._instances.get(key, [])
        for at, (number, _) in enumerate(found):
            if number == index:
                found[at] = (index, value)
                return True
        return False

    def remove(self, key: Key, index: int | None = None) -> bool:
        """Drop one instance, or with None all of them; False when there was nothing to drop."""
        if index is None:
            return self._instances.pop(key, None) is not None
        found = self._instances.get(key, [])
        kept = [each for each in found if each[0] != index]
        if len(kept) == len(found):
            return False
        if kept:
            self._instances[key] = kept
        else:
            del self._instances[key]
        return True

    def copy(self) -> Self:
        new = self.__class__()
        new._instances = {key: list(found) for key, found in self._instances.items()}
        return new

    def update(self, other: AttributeBag) -> None:
        """Take over the other's attributes; an attribute that both have is the other's."""
        for key in other:
            self._instances[key] = other.instances(key)
