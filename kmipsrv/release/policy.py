"""The release policy: who may have a key, written as one JSON tree, and the evaluation of it.

    {"version": "1.0.0",
     "anyOf": [{"authority": "https://sharedweu.weu.attest.azure.net",
                "allOf": [{"claim": "x-ms-isolation-tee.x-ms-compliance-status", "equals": "azure-compliant-cvm"}]}],
     "conditions": {"maxReleases": 100, "requireKeyBinding": true}}

A strict superset of Azure's secure key release grammar: its published policies load unchanged. The grammar, its
operators and its truth table are in docs/release-policy.md.

What holds, and why this language and no other:

1. Total. Every policy that parses evaluates over any facts, in time bounded by the sizes of both; nothing raises.
2. Monotone. There is no negation: removing a claim, or making a leaf fail, never turns deny into allow.
3. Fail-closed. Only TRUE allows; an absent or ill-typed claim is INDETERMINATE; an empty list does not parse.
4. Explained. `explain` prints the decision's own findings and computes nothing, so it cannot disagree with it.
5. Named by content. A policy's id is the SHA-256 of its canonical form (RFC 8785).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from kmipsrv.release import canonical
from kmipsrv.release.canonical import Json, NotJson
from kmipsrv.release.evidence import TYPES
from kmipsrv.release.facts import Facts, write_time
from kmipsrv.release.issuers import PREFIX, evidence_types, normalise_issuer
from kmipsrv.release.policy_conditions import (
    Approvals,
    Rate,
    judge_conditions,
    parse_conditions,
)
from kmipsrv.release.policy_leaves import Finding, Leaf, NotAPolicy, Truth, all_of, any_of, parse_leaf, quote

__all__ = ["Decision", "Facts", "Finding", "NotAPolicy", "Policy", "Truth", "evaluate", "explain", "parse"]

MAX_SIZE: Final = 64 * 1024
MAX_DEPTH: Final = 16
MAX_NODES: Final = 1024
VERSIONS: Final = ("1.0.0",)
DIALECTS: Final = ("azure",)
_TOP: Final = ("version", "description", "anyOf", "allOf", "conditions", "use", "immutable", "dialect")


# --- the tree -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Node:
    """`anyOf` or `allOf` over nodes and leaves, under an authority or not."""

    at: str
    kind: str
    children: tuple[Node | Leaf, ...]
    authority: str | None = None

    def leaves(self) -> Iterator[Leaf]:
        """Every leaf below, in the order of the policy."""
        for child in self.children:
            if isinstance(child, Leaf):
                yield child
            else:
                yield from child.leaves()

    def judge(self, facts: Facts) -> Finding:
        """The node's finding. Every part is judged and reported, except what lies under an authority that did not
        speak.
        """
        if self.authority is not None and not _speaks(self.authority, facts):
            seen = quote(facts.issuer or facts.evidence_type)
            return Finding(
                self.at, self.kind, f"authority {self.authority}", None, seen, Truth.FALSE, "another authority"
            )
        findings = tuple(
            child.judge(facts.claims) if isinstance(child, Leaf) else child.judge(facts) for child in self.children
        )
        results = [finding.result for finding in findings]
        result = all_of(results) if self.kind == "allOf" else any_of(results)
        asks = "" if self.authority is None else f"authority {self.authority}"
        return Finding(self.at, self.kind, asks, None, None, result, children=findings)


_OTHER: Final = "another authority"


def _speaks(authority: str, facts: Facts) -> bool:
    if authority in TYPES:
        return facts.evidence_type == authority
    if facts.issuer is None:
        return False
    # The prefix stays on, so that no issuer can call itself by the name of a type of evidence.
    return authority in (f"{PREFIX}{facts.issuer}", normalise_issuer(facts.issuer))


def _parse_authority(value: Json, at: str) -> str:
    """An evidence type, `https://…`, a bare host (Azure's documentation writes both), or `issuer:` and any other
    `iss`.
    """
    if not isinstance(value, str) or not value or len(value) > 512 or not value.isprintable():
        raise NotAPolicy(at, "must be a string that names an issuer or a type of evidence")
    if value in TYPES:
        return value
    if value.startswith(PREFIX) and value != PREFIX:
        return value
    url = value if "://" in value else f"https://{value}"
    if "." not in value or not url.lower().startswith("https://") or " " in url:
        raise NotAPolicy(at, f"must be https://…, issuer:… or a type of evidence ({', '.join(sorted(TYPES))})")
    if "?" in url or "#" in url or "@" in url:
        raise NotAPolicy(at, "an issuer's URL has no user, query or fragment")
    return normalise_issuer(url)


class _Parser:
    """Builds the tree; counts what it builds."""

    def __init__(self, *, azure: bool) -> None:
        self.azure = azure
        self.count = 0

    def tree(self, body: Mapping[str, Json], at: str, depth: int) -> Node:
        """The node whose `anyOf` or `allOf` is in `body`; other members are the caller's."""
        kinds = [kind for kind in ("anyOf", "allOf") if kind in body]
        if len(kinds) != 1:
            raise NotAPolicy(at, "must have exactly one of anyOf and allOf")
        kind = kinds[0]
        place = f"{at}.{kind}" if at else kind
        if depth > MAX_DEPTH:
            raise NotAPolicy(place, f"nested deeper than {MAX_DEPTH}")
        members = body[kind]
        if not isinstance(members, list) or not members:
            # "All of nothing" is true in logic; here it would open a key to anybody, so it does not parse.
            raise NotAPolicy(place, "must be an array that is not empty")
        children = tuple(self.part(member, f"{place}[{index}]", depth + 1) for index, member in enumerate(members))
        authority = _parse_authority(body["authority"], f"{at}.authority") if "authority" in body else None
        return Node(place, kind, children, authority)

    def part(self, body: Json, at: str, depth: int) -> Node | Leaf:
        self.count += 1
        if self.count > MAX_NODES:
            raise NotAPolicy(at, f"more than {MAX_NODES} nodes and leaves")
        if not isinstance(body, dict):
            raise NotAPolicy(at, "must be an object")
        if "claim" in body:
            return parse_leaf(body, at, azure=self.azure)
        for name in body:
            if name not in ("authority", "anyOf", "allOf"):
                raise NotAPolicy(f"{at}.{name}", "unknown; a part is a leaf with a claim, or has anyOf or allOf")
        return self.tree(body, at, depth)


# --- the policy ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy that parsed."""

    id: str
    """`sha256:` and the hexadecimal hash of the canonical form."""
    document: Mapping[str, Json]
    tree: Node
    conditions: Mapping[str, Json]
    use: bool
    """Whether it covers the use of the key inside the server as well as its export."""
    immutable: bool
    """Whether nothing may take its place, not even an administrator's order."""

    def canonical(self) -> bytes:
        """The canonical form: what is stored, hashed and signed."""
        return canonical.dumps(dict(self.document))

    @property
    def approvals(self) -> Approvals | None:
        """The approvals it asks for."""
        body = self.conditions.get("approvals")
        return None if body is None else Approvals(body["m"], frozenset(body["of"]))

    @property
    def rate(self) -> Rate | None:
        """The rate it keeps, so that the caller knows which releases to count."""
        body = self.conditions.get("rate")
        return None if body is None else Rate(body["count"], datetime.timedelta(seconds=body["per"]))

    @property
    def requires_key_binding(self) -> bool:
        """Whether the key may go only to a key that the evidence binds."""
        return bool(self.conditions.get("requireKeyBinding", False))

    def authorities(self) -> frozenset[str] | None:
        """The authorities that could satisfy it; None when some part asks for none, so that any could."""
        return _authorities(self.tree)

    def evidence_types(self) -> frozenset[str]:
        """The types of evidence that could satisfy it: what a client is told when it is asked to attest."""
        authorities = self.authorities()
        if authorities is None:
            return frozenset(TYPES)
        return frozenset().union(*({name} if name in TYPES else evidence_types(name) for name in authorities))


def _authorities(node: Node | Leaf) -> frozenset[str] | None:
    if isinstance(node, Leaf):
        return None
    if node.authority is not None:
        return frozenset([node.authority])
    below = [_authorities(child) for child in node.children]
    named = [names for names in below if names is not None]
    if node.kind == "allOf":  # one child that names its authorities restricts the whole
        return frozenset.intersection(*named) if named else None
    return frozenset().union(*named) if len(named) == len(below) else None


def parse(text: bytes | str) -> Policy:
    """The policy that `text` holds. Raises `NotAPolicy`, whose message names the place, and nothing else."""
    try:
        body = canonical.loads(text, limit=MAX_SIZE)
        identity = canonical.digest(body)
    except NotJson as error:
        raise NotAPolicy("", str(error)) from None
    if not isinstance(body, dict):
        raise NotAPolicy("", "must be an object")
    for name in body:
        if name not in _TOP:
            raise NotAPolicy(name, f"unknown; known are {', '.join(_TOP)}")
    if "version" in body and body["version"] not in VERSIONS:
        raise NotAPolicy("version", f"must be one of {', '.join(VERSIONS)}")
    if "description" in body and not isinstance(body["description"], str):
        raise NotAPolicy("description", "must be a string")
    if "dialect" in body and body["dialect"] not in DIALECTS:
        raise NotAPolicy("dialect", f"must be one of {', '.join(DIALECTS)}")
    for flag in ("use", "immutable"):
        if not isinstance(body.get(flag, False), bool):
            raise NotAPolicy(flag, "must be true or false")
    return Policy(
        id=identity,
        document=body,
        tree=_Parser(azure="dialect" in body).tree(body, "", 1),
        conditions=parse_conditions(body["conditions"]) if "conditions" in body else {},
        use=body.get("use", False),
        immutable=body.get("immutable", False),
    )


# --- the decision -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Decision:
    """What a policy made of the facts, with every finding that led there."""

    policy_id: str
    time: datetime.datetime
    tree: Finding
    conditions: tuple[Finding, ...]

    @property
    def allow(self) -> bool:
        """Whether the release is allowed: the tree and every condition are TRUE."""
        return self.tree.result is Truth.TRUE and all(finding.result is Truth.TRUE for finding in self.conditions)

    def findings(self) -> tuple[Finding, ...]:
        """The leaves, then the conditions."""
        return (*self.tree.leaves(), *self.conditions)

    def failures(self) -> tuple[Finding, ...]:
        """What stood in the way: the leaves and conditions that would have to change; empty where allowed."""
        tree = () if self.tree.result is Truth.TRUE else tuple(_blocking(self.tree))
        return tree + tuple(finding for finding in self.conditions if finding.result is not Truth.TRUE)

    def to_json(self) -> dict[str, Any]:
        """The decision as the audit record and `--json` carry it."""
        return {
            "allow": self.allow,
            "policy": self.policy_id,
            "time": write_time(self.time),
            "tree": self.tree.to_json(),
            "conditions": [finding.to_json() for finding in self.conditions],
        }


def _blocking(finding: Finding) -> Iterator[Finding]:
    if not finding.children:
        yield finding
    short = [child for child in finding.children if child.result is not Truth.TRUE]
    # Where the evidence's own authority is among the choices, the others are not in the way.
    for child in [child for child in short if child.reason != _OTHER] or short:
        yield from _blocking(child)


def evaluate(policy: Policy, facts: Facts) -> Decision:
    """Judge `facts` by `policy`. Always returns; allows only where everything asked for was seen to hold."""
    return Decision(policy.id, facts.now, policy.tree.judge(facts), judge_conditions(policy.conditions, facts))


def explain(decision: Decision) -> str:
    """The decision for people: the verdict, the tree with each part's result, the conditions, and what stood in the
    way.
    """
    lines = [
        f"{'ALLOW' if decision.allow else 'DENY'} at {write_time(decision.time)}",
        f"policy {decision.policy_id}",
        *_lines(decision.tree, 0),
        *(line for finding in decision.conditions for line in _lines(finding, 0)),
    ]
    failures = decision.failures()
    if failures:
        lines.append("in the way:")
        lines += [f"  {finding.at}: {_sentence(finding)}" for finding in failures]
    return "\n".join(lines) + "\n"


def _lines(finding: Finding, depth: int) -> Iterator[str]:
    yield f"{'  ' * depth}[{finding.result.value}] {_sentence(finding)}"
    for child in finding.children:
        yield from _lines(child, depth + 1)


def _sentence(finding: Finding) -> str:
    if finding.kind in ("anyOf", "allOf"):
        seen = "" if finding.children else f" (evidence is from {_printable(finding.seen)})"
        return f"{finding.kind} {finding.asks}".rstrip() + seen
    reason = f" ({finding.reason})" if finding.reason else ""
    return f"{finding.asks} {_printable(finding.expected)}, seen {_printable(finding.seen)}{reason}"


def _printable(value: Json) -> str:
    """JSON on one line; terminal control characters in claims stay escaped."""
    text = "nothing" if value is None else canonical.dumps(value).decode("utf-8")
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
