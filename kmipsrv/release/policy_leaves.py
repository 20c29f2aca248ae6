"""The leaves of a release policy: one claim, one typed operator, three possible results.

A leaf is TRUE, FALSE or INDETERMINATE, and only TRUE satisfies. INDETERMINATE is the result wherever the question has
no answer: the claim is absent or null, or of a type the operator does not compare. That holds for `notEquals` and
`bitsClear` as for the others, so nothing is ever released because a claim was left out.

Rules of the file:

1. Types are JSON's, and an integer is not a boolean: `equals: 1` never meets `true`, `equals: "0"` never meets `0`.
   The one exception is asked for by name, a policy with `dialect: azure` (see `Leaf.judge`).
2. An operator may only say yes to what a present claim says. There is no negation, no `exists: false` and no operator
   that an empty operand makes vacuous; so removing claims can only turn yes into no (monotony).
3. Every operator is one row of `OPERATORS`.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from kmipsrv.release.canonical import MAX_SAFE_INTEGER, Json

MAX_CLAIM_PATH: Final = 256
MAX_SEGMENTS: Final = 16
MAX_ARRAY: Final = 1024
"""An array with more members is not compared: work is bounded whatever evidence and policy say."""
MAX_SEEN: Final = 256
MAX_QUOTED: Final = 32
"""A claim's value is quoted in findings up to this many characters, or members of an array."""


class NotAPolicy(ValueError):
    """The text is not a release policy; the message names the place in it and what is wrong there."""

    def __init__(self, at: str, reason: str) -> None:
        super().__init__(f"{at or 'policy'}: {reason}")


class Truth(enum.Enum):
    """What a leaf, a condition or a tree of them comes to."""

    TRUE = "true"
    FALSE = "false"
    INDETERMINATE = "indeterminate"

    @classmethod
    def of(cls, value: bool) -> Truth:
        """TRUE or FALSE."""
        return cls.TRUE if value else cls.FALSE


def all_of(results: list[Truth]) -> Truth:
    """Kleene's conjunction; an empty list is FALSE, because a rule that asks for nothing must not open anything."""
    if not results or Truth.FALSE in results:
        return Truth.FALSE
    return Truth.INDETERMINATE if Truth.INDETERMINATE in results else Truth.TRUE


def any_of(results: list[Truth]) -> Truth:
    """Kleene's disjunction; an empty list is FALSE."""
    if Truth.TRUE in results:
        return Truth.TRUE
    return Truth.INDETERMINATE if Truth.INDETERMINATE in results else Truth.FALSE


@dataclass(frozen=True, slots=True)
class Finding:
    """What one part of the policy came to: a leaf, a node of the tree with its children, or a condition."""

    at: str
    """Where it stands in the policy, e.g. `anyOf[0].allOf[2]` or `conditions.notAfter`."""
    kind: str
    """`allOf`, `anyOf`, `leaf` or `condition`."""
    asks: str
    """The claim's path and operator, the authority, or the condition's name."""
    expected: Json
    seen: Json
    result: Truth
    reason: str = ""
    children: tuple[Finding, ...] = ()

    def leaves(self) -> Iterator[Finding]:
        """The findings that have no children, in the order of the policy."""
        if not self.children:
            yield self
        for child in self.children:
            yield from child.leaves()

    def to_json(self) -> dict[str, Json]:
        """The finding as the audit record and `--json` carry it."""
        body: dict[str, Json] = {"at": self.at, "kind": self.kind, "asks": self.asks, "result": self.result.value}
        if self.kind in {"leaf", "condition"}:
            body |= {"expected": self.expected, "seen": self.seen}
        if self.reason:
            body["reason"] = self.reason
        if self.children:
            body["children"] = [child.to_json() for child in self.children]
        return body


# --- claim paths --------------------------------------------------------------------------------------------------

_POINTER_INDEX = re.compile(r"(?:0|[1-9][0-9]{0,5})\Z")  # RFC 6901 §4: no leading zeros


def resolve(path: str, claims: Mapping[str, Json]) -> list[Json]:
    """Every value that `path` names in `claims`; none where it is absent or null.

    A path that begins with `/` is a JSON Pointer (RFC 6901): exact, one value at most, array members by index. Any
    other is Azure's: the whole text as the name of one top-level claim first, then its parts between the dots as
    nested members (no arrays). Where both are present, both are returned, in this order, and one that satisfies is
    enough: were the second only looked at in the absence of the first, removing a claim could open what its presence
    kept shut.
    """
    if path.startswith("/"):
        steps = [step.replace("~1", "/").replace("~0", "~") for step in path[1:].split("/")]
        found = [_walk(steps, claims, arrays=True)]
    else:
        found = [claims.get(path)]
        if "." in path:
            found.append(_walk(path.split("."), claims, arrays=False))
    return [value for value in found if value is not None]


def _walk(steps: list[str], value: Json, *, arrays: bool) -> Json:
    for step in steps:
        if isinstance(value, Mapping):
            value = value.get(step)
        elif arrays and isinstance(value, list) and _POINTER_INDEX.match(step) and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def check_path(path: Json, at: str) -> str:
    """`path` if it is well formed, or `NotAPolicy`."""
    if not isinstance(path, str) or not path:
        raise NotAPolicy(at, "the claim's path must be a string that is not empty")
    if len(path) > MAX_CLAIM_PATH:
        raise NotAPolicy(at, f"the claim's path is longer than {MAX_CLAIM_PATH} characters")
    if path.startswith("/"):
        if re.search(r"~(?![01])", path):
            raise NotAPolicy(at, "a `~` in a JSON Pointer must be written ~0, and a `/` in a name ~1 (RFC 6901 §3)")
        if path.count("/") > MAX_SEGMENTS:
            raise NotAPolicy(at, f"the claim's path has more than {MAX_SEGMENTS} steps")
    elif path.count(".") >= MAX_SEGMENTS:
        raise NotAPolicy(at, f"the claim's path has more than {MAX_SEGMENTS} steps")
    return path


# --- operators ----------------------------------------------------------------------------------------------------


class IllTyped(Exception):
    """The claim is there, but not of a type this operator compares; its text says what was asked for."""


def _type(value: Json) -> str:
    """JSON's name of a scalar's type; bool before int, because Python's bool is an int and JSON's is not."""
    for name, kind in (("boolean", bool), ("integer", int), ("string", str), ("number", float), ("array", list)):
        if isinstance(value, kind):
            return name
    return "object"


def _equals(seen: Json, operand: Json) -> bool:
    if _type(seen) != _type(operand):
        raise IllTyped(f"a {_type(seen)}, not a {_type(operand)}")
    return bool(seen == operand)


def _in(seen: Json, operand: Json) -> bool:
    if _type(seen) not in {_type(choice) for choice in operand}:
        raise IllTyped(f"a {_type(seen)}, unlike every choice")
    return any(_type(seen) == _type(choice) and seen == choice for choice in operand)


def _ordered(compare: Callable[[int, int], bool]) -> Callable[[Json, Json], bool]:
    def judge(seen: Json, operand: Json) -> bool:
        return compare(_whole(seen), _number(operand))

    return judge


def _whole(seen: Json) -> int:
    """A claim's integer: itself, or the `0x…` that verifiers write where JSON's numbers are not exact."""
    if isinstance(seen, str) and _HEXADECIMAL.match(seen):
        return int(seen, 16)
    if _type(seen) != "integer":
        raise IllTyped(f"a {_type(seen)}, not an integer")
    return int(seen)


def _bits(seen: Json) -> int:
    bits = _whole(seen)
    if bits < 0:
        raise IllTyped("a negative integer has no bits")
    return bits


def _members(seen: Json) -> set[tuple[str, Json]]:
    if _type(seen) != "array":
        raise IllTyped(f"a {_type(seen)}, not an array")
    if len(seen) > MAX_ARRAY:
        raise IllTyped(f"an array of more than {MAX_ARRAY} members")
    if any(isinstance(member, list | dict) or member is None for member in seen):
        raise IllTyped("an array with members that are not scalars")
    return {(_type(member), member) for member in seen}


def _contains(seen: Json, operand: Json) -> bool:
    wanted = operand if isinstance(operand, list) else [operand]
    return {(_type(member), member) for member in wanted} <= _members(seen)


def _subset(seen: Json, operand: Json) -> bool:
    return _members(seen) <= {(_type(member), member) for member in operand}


_HEXADECIMAL = re.compile(r"0x[0-9a-f]{1,32}\Z")


def _number(operand: Json) -> int:
    """An operand's integer: itself, or `0x…` for what JSON's numbers cannot carry exactly."""
    return int(operand, 16) if isinstance(operand, str) else int(operand)


def _scalar_operand(operand: Json, at: str) -> None:
    if isinstance(operand, float) or not isinstance(operand, str | bool | int):
        raise NotAPolicy(at, "must be a string, an integer or a boolean")
    if isinstance(operand, int) and abs(operand) > MAX_SAFE_INTEGER:
        raise NotAPolicy(at, "an integer beyond 2^53-1 is not exact in JSON")


def _list_operand(operand: Json, at: str) -> None:
    if not isinstance(operand, list) or not operand:
        raise NotAPolicy(at, "must be an array that is not empty")
    for index, choice in enumerate(operand):
        _scalar_operand(choice, f"{at}[{index}]")
    if len({(_type(choice), choice) for choice in operand}) != len(operand):
        raise NotAPolicy(at, "names a value twice")


def _scalar_or_list_operand(operand: Json, at: str) -> None:
    (_list_operand if isinstance(operand, list) else _scalar_operand)(operand, at)


def _integer_operand(operand: Json, at: str) -> None:
    if isinstance(operand, str) and _HEXADECIMAL.match(operand):
        return
    if _type(operand) != "integer":
        raise NotAPolicy(at, "must be an integer, or a string of 0x and at most 32 lower-case hexadecimal digits")
    _scalar_operand(operand, at)


def _mask_operand(operand: Json, at: str) -> None:
    _integer_operand(operand, at)
    if _number(operand) <= 0:
        raise NotAPolicy(at, "a mask must have at least one bit, or it would ask for nothing")


def _masked_operand(operand: Json, at: str) -> None:
    if not isinstance(operand, dict) or set(operand) != {"mask", "value"}:
        raise NotAPolicy(at, "must be an object of exactly `mask` and `value`")
    _mask_operand(operand["mask"], f"{at}.mask")
    _integer_operand(operand["value"], f"{at}.value")
    if _number(operand["value"]) < 0 or _number(operand["value"]) & ~_number(operand["mask"]):
        raise NotAPolicy(f"{at}.value", "has bits outside the mask, which no claim could ever show")


def _true_operand(operand: Json, at: str) -> None:
    if operand is not True:
        raise NotAPolicy(at, "can only be true: a policy cannot ask for the absence of a claim")


@dataclass(frozen=True, slots=True)
class Operator:
    """How an operand must look, and what a claim must be to satisfy it (or `IllTyped`)."""

    check: Callable[[Json, str], None]
    judge: Callable[[Json, Json], bool]


OPERATORS: Final[Mapping[str, Operator]] = {
    "equals": Operator(_scalar_operand, _equals),
    "notEquals": Operator(_scalar_operand, lambda seen, operand: not _equals(seen, operand)),
    "in": Operator(_list_operand, _in),
    "less": Operator(_integer_operand, _ordered(lambda seen, bound: seen < bound)),
    "lessOrEquals": Operator(_integer_operand, _ordered(lambda seen, bound: seen <= bound)),
    "greater": Operator(_integer_operand, _ordered(lambda seen, bound: seen > bound)),
    "greaterOrEquals": Operator(_integer_operand, _ordered(lambda seen, bound: seen >= bound)),
    "exists": Operator(_true_operand, lambda _seen, _operand: True),
    "contains": Operator(_scalar_or_list_operand, _contains),
    "subset": Operator(_list_operand, _subset),
    "bitsSet": Operator(_mask_operand, lambda seen, mask: _bits(seen) & _number(mask) == _number(mask)),
    "bitsClear": Operator(_mask_operand, lambda seen, mask: _bits(seen) & _number(mask) == 0),
    "bitsEqual": Operator(
        _masked_operand, lambda seen, masked: _bits(seen) & _number(masked["mask"]) == _number(masked["value"])
    ),
}


# --- the leaf -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Leaf:
    """`{"claim": path, operator: operand}`."""

    at: str
    claim: str
    operator: str
    operand: Json
    azure: bool = False

    def judge(self, claims: Mapping[str, Json]) -> Finding:
        """The leaf's finding over `claims`; never raises.

        In the dialect `azure`, `equals` with the operand "true", "false" or a decimal also meets the boolean or the
        integer that it spells: Microsoft's published container policies say "false" where the service's token says
        false.
        """
        values = resolve(self.claim, claims)
        judged = [self._judge(value) for value in values]
        result = any_of([truth for truth, _ in judged]) if judged else Truth.INDETERMINATE
        # What is reported is the value that decided: the first whose result is the leaf's.
        seen, reason = None, "the claim is absent"
        for value, (truth, why) in zip(values, judged, strict=True):
            if truth is result:
                seen, reason = quote(value), why
                break
        return Finding(self.at, "leaf", f"{self.claim} {self.operator}", self.operand, seen, result, reason)

    def _judge(self, value: Json) -> tuple[Truth, str]:
        try:
            return Truth.of(OPERATORS[self.operator].judge(value, self.operand)), ""
        except IllTyped as mismatch:
            if self.azure and self.operator == "equals" and isinstance(self.operand, str):
                return Truth.of(_spelling(value) == self.operand), "compared as text (dialect azure)"
            return Truth.INDETERMINATE, f"the claim is {mismatch}"


def _spelling(value: Json) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else None


def quote(value: Json) -> Json:
    """`value` for a finding: itself where it is short, otherwise its beginning or its size; never more work than
    that.
    """
    if isinstance(value, str):
        text = value[:MAX_SEEN].encode("utf-8", "backslashreplace").decode("utf-8")
        return text if len(value) <= MAX_SEEN else text + "…"
    if isinstance(value, list):
        plain = len(value) <= MAX_QUOTED and all(isinstance(member, str | int | float) for member in value)
        return [quote(member) for member in value] if plain else f"an array of {len(value)} members"
    if isinstance(value, Mapping):
        return f"an object of {len(value)} members"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > MAX_SAFE_INTEGER:
        return hex(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def parse_leaf(body: Mapping[str, Json], at: str, *, azure: bool) -> Leaf:
    """The leaf that `body` describes, or `NotAPolicy`."""
    claim = check_path(body["claim"], f"{at}.claim")
    operators = [name for name in body if name != "claim"]
    for name in operators:
        if name not in OPERATORS:
            raise NotAPolicy(f"{at}.{name}", f"unknown operator; known are {', '.join(OPERATORS)}")
    if len(operators) != 1:
        raise NotAPolicy(at, "a leaf has exactly one operator beside its claim")
    OPERATORS[operators[0]].check(body[operators[0]], f"{at}.{operators[0]}")
    return Leaf(at, claim, operators[0], body[operators[0]], azure)
