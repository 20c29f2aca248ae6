"""Two policies side by side: what changed, and whether one allows only what the other allowed.

`implies(one, other)` is sound and incomplete: where it says yes, whatever satisfies `one` satisfies `other`; where it
says no, it may only not have seen it. So a policy that is called tighter is, and one that is called different may be.

`remarks` is what a reviewer would say of one policy: nothing that makes it wrong, everything that is easily
overlooked.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from kmipsrv.release.canonical import Json, dumps
from kmipsrv.release.facts import read_time
from kmipsrv.release.policy import Node, Policy
from kmipsrv.release.policy_leaves import Leaf

Part = Node | Leaf


class Order(enum.Enum):
    """How a new policy stands to an old one."""

    SAME = "same"
    TIGHTER = "tighter"
    LOOSER = "looser"
    DIFFERENT = "different"


def compare(old: Policy, new: Policy) -> Order:
    """SAME: each allows what the other does. TIGHTER: the new one allows nothing that the old one refused. LOOSER:
    the other way round. DIFFERENT: neither could be shown."""
    down, up = policy_implies(new, old), policy_implies(old, new)
    if down and up:
        return Order.SAME
    return Order.TIGHTER if down else Order.LOOSER if up else Order.DIFFERENT


def policy_implies(one: Policy, other: Policy) -> bool:
    """Whether every release that `one` allows is one that `other` allows, and `one` covers and keeps as much."""
    return (
        one.use >= other.use
        and one.immutable >= other.immutable
        and all(_condition_implies(name, one.conditions, operand) for name, operand in other.conditions.items())
        and _Implication().holds(_formula(one.tree), _formula(other.tree))
    )


@dataclass(frozen=True, slots=True)
class _Formula:
    """A node without its authority, which is one more child of an allOf: what is left is plain logic over atoms."""

    kind: str
    children: tuple[_Formula | Leaf | str, ...]


def _formula(part: Part) -> _Formula | Leaf:
    if isinstance(part, Leaf):
        return part
    inner = _Formula(part.kind, tuple(_formula(child) for child in part.children))
    return inner if part.authority is None else _Formula("allOf", (part.authority, inner))


class _Implication:
    """Implication between two formulas without negation; each pair of places is looked at once."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int], bool] = {}

    def holds(self, one: _Formula | Leaf | str, other: _Formula | Leaf | str) -> bool:
        key = (id(one), id(other))
        if key not in self._known:
            self._known[key] = self._decide(one, other)
        return self._known[key]

    def _decide(self, one: _Formula | Leaf | str, other: _Formula | Leaf | str) -> bool:
        # The first two rules lose nothing; the last two choose, and there something may be missed.
        if isinstance(other, _Formula) and other.kind == "allOf":
            return all(self.holds(one, child) for child in other.children)
        if isinstance(one, _Formula) and one.kind == "anyOf":
            return all(self.holds(child, other) for child in one.children)
        if isinstance(other, _Formula) and any(self.holds(one, child) for child in other.children):
            return True
        if isinstance(one, _Formula):
            return any(self.holds(child, other) for child in one.children)
        if isinstance(one, Leaf) and isinstance(other, Leaf):
            return _leaf_implies(one, other)
        return one == other  # authorities


def _leaf_implies(one: Leaf, other: Leaf) -> bool:
    if one.claim != other.claim or (one.azure and not other.azure):
        return False
    if (one.operator, dumps(one.operand)) == (other.operator, dumps(other.operand)) or other.operator == "exists":
        return True
    if one.azure != other.azure:
        return False
    first, second = _choices(one), _choices(other)
    if first is not None and second is not None:
        return not one.azure and first <= second
    if one.operator == other.operator == "subset":
        return _set(one.operand) <= _set(other.operand)
    if one.operator == other.operator == "contains":
        return _set(other.operand) <= _set(one.operand)
    bound = _bound(one), _bound(other)
    if bound[0] is not None and bound[1] is not None and bound[0][0] == bound[1][0]:
        direction, tighter, looser = bound[0][0], bound[0][1], bound[1][1]
        return tighter <= looser if direction == "up to" else tighter >= looser
    return False


def _choices(leaf: Leaf) -> set[bytes] | None:
    return _set(leaf.operand) if leaf.operator in ("equals", "in") else None


def _set(operand: Json) -> set[bytes]:
    return {dumps(member) for member in (operand if isinstance(operand, list) else [operand])}


def _bound(leaf: Leaf) -> tuple[str, int] | None:
    """An order operator as an inclusive bound on integers."""
    steps = {
        "less": ("up to", -1),
        "lessOrEquals": ("up to", 0),
        "greater": ("from", 1),
        "greaterOrEquals": ("from", 0),
    }
    if leaf.operator not in steps:
        return None
    direction, step = steps[leaf.operator]
    number = int(leaf.operand, 16) if isinstance(leaf.operand, str) else int(leaf.operand)
    return direction, number + step


_TIGHTER: Final[Mapping[str, Callable[[Json, Json], bool]]] = {
    "notBefore": lambda one, other: read_time(one) >= read_time(other),
    "notAfter": lambda one, other: read_time(one) <= read_time(other),
    "maxReleases": lambda one, other: bool(one <= other),
    "maxEvidenceAge": lambda one, other: bool(one <= other),
    "maxCollateralAge": lambda one, other: bool(one <= other),
    "rate": lambda one, other: bool(one["count"] <= other["count"] and one["per"] >= other["per"]),
    "approvals": lambda one, other: bool(one["m"] >= other["m"] and set(one["of"]) <= set(other["of"])),
    "requireKeyBinding": lambda one, other: bool(one >= other),
}


def _condition_implies(name: str, conditions: Mapping[str, Json], operand: Json) -> bool:
    if name == "requireKeyBinding" and operand is False:
        return True
    if name not in conditions:
        return False
    mine = conditions[name]
    return dumps(mine) == dumps(operand) or (name in _TIGHTER and _TIGHTER[name](mine, operand))


# --- for people ---------------------------------------------------------------------------------------------------


def describe(policy: Policy) -> list[str]:
    """The policy's requirements, one a line, the tree by indentation."""
    lines = [f"policy {policy.id}", "covers export and use" if policy.use else "covers export"]
    if policy.immutable:
        lines.append("immutable: nothing may take its place")
    lines += list(_part_lines(policy.tree, 0))
    lines += [f"condition {name}: {dumps(operand).decode()}" for name, operand in policy.conditions.items()]
    return lines


def _part_lines(part: Part, depth: int) -> Iterator[str]:
    indent = "  " * depth
    if isinstance(part, Leaf):
        yield f"{indent}{part.claim} {part.operator} {dumps(part.operand).decode()}"
        return
    authority = "" if part.authority is None else f", from {part.authority}"
    yield f"{indent}{'any' if part.kind == 'anyOf' else 'all'} of{authority}:"
    for child in part.children:
        yield from _part_lines(child, depth + 1)


def changes(old: Policy, new: Policy) -> list[str]:
    """`- ` and `+ ` for what only the old and only the new policy asks for."""
    before, after = _asked(old), _asked(new)
    return [f"- {line}" for line in before if line not in after] + [f"+ {line}" for line in after if line not in before]


def _asked(policy: Policy) -> list[str]:
    def walk(part: Part, authority: str) -> Iterator[str]:
        if isinstance(part, Leaf):
            yield f"{authority}{part.at}: {next(_part_lines(part, 0))}"
            return
        spoken = authority if part.authority is None else f"[{part.authority}] "
        for child in part.children:
            yield from walk(child, spoken)

    flags = [f"{name}: true" for name in ("use", "immutable") if getattr(policy, name)]
    dialect = policy.document.get("dialect")
    flags += [] if dialect is None else [f"dialect: {dialect}"]
    conditions = [f"conditions.{name}: {dumps(operand).decode()}" for name, operand in policy.conditions.items()]
    return [*walk(policy.tree, ""), *conditions, *flags]


def remarks(policy: Policy) -> list[str]:
    """What is worth a second look before the policy guards a key."""
    found: list[str] = []
    leaves = list(policy.tree.leaves())
    if policy.authorities() is None:
        found.append("some part names no authority: claims of any issuer that this server trusts can satisfy it")
    for leaf in leaves:
        if not leaf.azure and leaf.operator == "equals" and _spells(leaf.operand):
            found.append(f"{leaf.at}: {leaf.operand!r} is a string and meets no boolean or integer (see `dialect`)")
    if not any("debug" in leaf.claim or "dbgstat" in leaf.claim for leaf in leaves):
        found.append("no leaf looks at the debug mode")
    if "maxEvidenceAge" not in policy.conditions:
        found.append("no maxEvidenceAge: evidence is good for as long as its issuer says")
    if not policy.requires_key_binding:
        found.append("no requireKeyBinding: the key may leave in whatever form the request asks for")
    return found


def _spells(operand: Json) -> bool:
    return isinstance(operand, str) and (operand in ("true", "false") or (operand.isdecimal() and len(operand) <= 16))
