"""Search expressions: what Locate asks of the store, as a small tree of comparisons.

A `Compare` speaks of a column of `StoredObject`; an `Indexed` of one instance of an attribute that has index rows. The
store turns the tree into SQL; nothing is filtered afterwards but what `domain/matching.py` says is not indexed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Scalar = int | str | bytes
Operator = Literal["eq", "ne", "lt", "le", "gt", "ge", "null", "not_null", "mask"]


@dataclass(frozen=True, slots=True)
class Compare:
    """`column operator value`. Comparison with NULL is false; `mask` holds when every bit of `value` is set."""

    column: str
    operator: Operator
    value: Scalar | None = None


@dataclass(frozen=True, slots=True)
class Indexed:
    """Some instance of attribute `key` in which every (path, value) of `leaves` is found, or whose leaf at `path` ""
    lies within [low, high] (either may be None). Without leaves and range: the attribute is there at all."""

    key: str
    leaves: tuple[tuple[str, Scalar], ...] = ()
    low: int | None = None
    high: int | None = None


@dataclass(frozen=True, slots=True)
class AllOf:
    terms: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one term; none at all is false."""

    terms: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Not:
    term: Expression


Expression = Compare | Indexed | AllOf | AnyOf | Not
