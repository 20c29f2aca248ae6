"""Random policies, claims and facts for the properties of the release policy."""

from __future__ import annotations

import datetime
import json
from typing import Any

from hypothesis import strategies as st

from kmipsrv.release.facts import Facts

NOW = datetime.datetime(2026, 11, 23, 10, 30, tzinfo=datetime.UTC)
NAMES = ("tee", "debug", "a", "b", "a.b", "c", "raw", "key_binding", "tcb", "tcb_status")
PATHS = ("tee", "debug", "a", "b", "a.b", "a.b.c", "c.a", "/a", "/a/b", "/a.b", "/c/0", "raw.tee", "tcb.snp")
ISSUERS = ("https://one.example", "https://two.example/", "issuer:Three")

scalars = st.one_of(
    st.booleans(),
    st.integers(-3, 8),
    st.sampled_from(["snp", "tdx", "true", "0", "5"]),
)
values = st.recursive(
    st.one_of(scalars, st.none(), st.floats(), st.text(max_size=3)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
        st.lists(scalars, max_size=3),
    ),
    max_leaves=8,
)
claims = st.dictionaries(st.sampled_from(NAMES), values, max_size=7)

integers = st.one_of(st.integers(-3, 8), st.sampled_from(["0x0", "0x3", "0xff"]))
masks = st.one_of(st.integers(1, 15), st.sampled_from(["0x1", "0xff"]))


def _masked(mask: int, bits: int) -> dict[str, Any]:
    return {"mask": mask, "value": mask & bits}


operators = st.one_of(
    st.tuples(st.sampled_from(["equals", "notEquals"]), scalars),
    st.tuples(st.sampled_from(["in", "subset"]), st.lists(scalars, min_size=1, max_size=3, unique_by=repr)),
    st.tuples(st.sampled_from(["less", "lessOrEquals", "greater", "greaterOrEquals"]), integers),
    st.tuples(st.just("exists"), st.just(True)),
    st.tuples(st.just("contains"), scalars),
    st.tuples(st.sampled_from(["bitsSet", "bitsClear"]), masks),
    st.tuples(st.just("bitsEqual"), st.builds(_masked, st.integers(1, 15), st.integers(0, 15))),
)
leaves = st.builds(lambda path, row: {"claim": path, row[0]: row[1]}, st.sampled_from(PATHS), operators)


def _node(kind: str, children: list[Any], authority: str | None) -> dict[str, Any]:
    return {kind: children, **({} if authority is None else {"authority": authority})}


def _nodes(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.builds(
        _node,
        st.sampled_from(["anyOf", "allOf"]),
        st.lists(inner, min_size=1, max_size=3),
        st.one_of(st.none(), st.sampled_from([*ISSUERS, "snp"])),
    )


trees = _nodes(st.recursive(leaves, _nodes, max_leaves=8))
conditions = st.fixed_dictionaries(
    {},
    optional={
        "notBefore": st.sampled_from(["2026-01-01T00:00:00Z", "2026-11-23T10:30:00Z"]),
        "notAfter": st.sampled_from(["2026-11-23T10:30:01Z", "2027-01-01T00:00:00Z"]),
        "windows": st.just([{"days": ["mon"], "from": "10:00", "to": "11:00"}]),
        "maxReleases": st.integers(1, 3),
        "rate": st.fixed_dictionaries({"count": st.integers(1, 2), "per": st.sampled_from([60, 3600])}),
        "maxEvidenceAge": st.sampled_from([60, 600]),
        "maxCollateralAge": st.sampled_from([60, 86400]),
        "minTcb": st.sampled_from([{"snp": {"snp": 3}}, {"snp": {"status": ["UpToDate"]}, "tdx": {"snp": 1}}]),
        "requireKeyBinding": st.booleans(),
        "approvals": st.sampled_from([{"m": 1, "of": ["x", "y"]}, {"m": 2, "of": ["x", "y"]}]),
    },
)


@st.composite
def policies(draw: st.DrawFn) -> str:
    """The text of a policy that parses."""
    body = {"version": "1.0.0", **draw(trees)}
    if authority := body.pop("authority", None):  # the root has none; its parts do
        body = {"version": "1.0.0", "anyOf": [{**body, "authority": authority}]}
        body["anyOf"][0].pop("version")
    if wanted := draw(conditions):
        body["conditions"] = wanted
    for flag in draw(st.sets(st.sampled_from(["use", "immutable"]))):
        body[flag] = True
    if draw(st.booleans()):
        body["dialect"] = "azure"
    return json.dumps(body)


@st.composite
def facts(draw: st.DrawFn) -> Facts:
    """Any facts around NOW."""
    moments = st.one_of(st.none(), st.integers(-4000, 4000).map(lambda s: NOW + datetime.timedelta(seconds=s)))
    return Facts(
        claims=draw(claims),
        now=NOW,
        evidence_type=draw(st.sampled_from([None, "snp", "jwt"])),
        issuer=draw(st.sampled_from([None, "https://ONE.example/", "https://two.example", "Three", "snp"])),
        evidence_time=draw(moments),
        not_before=draw(st.sampled_from([None, NOW - datetime.timedelta(hours=1)])),
        not_after=draw(st.sampled_from([None, NOW + datetime.timedelta(hours=1)])),
        collateral_time=draw(moments),
        releases=draw(st.one_of(st.none(), st.integers(0, 3))),
        recent_releases=draw(st.one_of(st.none(), st.lists(st.just(NOW), max_size=2).map(tuple))),
        approvals=draw(st.frozensets(st.sampled_from(["x", "y", "z"]))),
    )
