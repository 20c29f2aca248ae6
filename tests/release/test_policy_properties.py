"""Properties of the release policy: monotone, total, explained, named by content."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from kmipsrv.release import canonical
from kmipsrv.release.facts import Facts
from kmipsrv.release.policy import Finding, NotAPolicy, Policy, Truth, evaluate, explain, parse
from kmipsrv.release.policy_leaves import all_of, any_of
from kmipsrv.release.policy_order import Order, changes, compare, describe, policy_implies, remarks
from tests.release.policy_strategies import claims, facts, policies, values


def _paths(value: Any, here: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every member of every object inside, as the steps that lead to it."""
    if not isinstance(value, dict):
        return []
    return [path for name, inner in value.items() for path in [(*here, name), *_paths(inner, (*here, name))]]


def _without(value: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    reduced = copy.deepcopy(value)
    parent = reduced
    for step in path[:-1]:
        parent = parent[step]
    del parent[path[-1]]
    return reduced


@given(policies(), facts(), st.data())
def test_removing_a_claim_never_turns_deny_into_allow(text: str, known: Facts, data: st.DataObject) -> None:
    policy = parse(text)
    paths = _paths(known.claims)
    assume(paths)
    fewer = replace(known, claims=_without(dict(known.claims), data.draw(st.sampled_from(paths))))
    assert evaluate(policy, fewer).allow <= evaluate(policy, known).allow


@given(policies(), facts(), st.sampled_from(["evidence_time", "collateral_time", "releases", "recent_releases"]))
def test_not_knowing_a_fact_satisfies_nothing_that_asks_for_it(text: str, known: Facts, name: str) -> None:
    policy = parse(text)
    assert evaluate(policy, replace(known, **{name: None})).allow <= evaluate(policy, known).allow  # type: ignore[arg-type]


@given(policies(), facts(), st.data())
def test_fewer_approvals_or_no_authority_never_help(text: str, known: Facts, data: st.DataObject) -> None:
    policy = parse(text)
    fewer = data.draw(st.sets(st.sampled_from(sorted(known.approvals)))) if known.approvals else set()
    less = replace(known, approvals=frozenset(fewer), issuer=None, evidence_type=None)
    assert evaluate(policy, less).allow <= evaluate(policy, known).allow


def _leaf_places(node: Any) -> list[Any]:
    if isinstance(node, dict) and "claim" in node:
        return [node]
    return [leaf for kind in ("anyOf", "allOf") for child in node.get(kind, []) for leaf in _leaf_places(child)]


@given(policies(), facts(), st.data())
def test_making_a_leaf_fail_never_turns_deny_into_allow(text: str, known: Facts, data: st.DataObject) -> None:
    body = json.loads(text)
    leaf = data.draw(st.sampled_from(_leaf_places(body)))
    leaf.clear()
    leaf.update({"claim": "nowhere", "exists": True})
    assert evaluate(parse(json.dumps(body)), known).allow <= evaluate(parse(text), known).allow


@given(policies(), facts(), st.data())
def test_one_more_requirement_never_turns_deny_into_allow(text: str, known: Facts, data: st.DataObject) -> None:
    body = json.loads(text)
    kind = "allOf" if "allOf" in body else "anyOf"
    extra = data.draw(st.sampled_from([{"claim": "nowhere", "exists": True}, {"claim": "a", "notEquals": 1}]))
    stricter = {name: value for name, value in body.items() if name != kind}
    stricter["allOf"] = [{kind: body[kind]}, extra]
    assert evaluate(parse(json.dumps(stricter)), known).allow <= evaluate(parse(text), known).allow


@given(policies(), st.dictionaries(st.text(), values), facts())
def test_evaluation_always_ends_with_a_decision(text: str, odd: dict[str, Any], known: Facts) -> None:
    decision = evaluate(parse(text), replace(known, claims=odd))
    assert decision.allow in (True, False)
    assert explain(decision).startswith("ALLOW" if decision.allow else "DENY")
    assert canonical.loads(canonical.dumps(decision.to_json()), limit=10**6)["allow"] == decision.allow


def _recombined(finding: Finding) -> Truth:
    """The result of a node, computed again from its children's alone."""
    if not finding.children:
        return finding.result
    results = [_recombined(child) for child in finding.children]
    return all_of(results) if finding.kind == "allOf" else any_of(results)


@given(policies(), facts())
def test_explain_agrees_with_the_decision(text: str, known: Facts) -> None:
    decision = evaluate(parse(text), known)
    assert _recombined(decision.tree) is decision.tree.result
    conditions = [finding.result for finding in decision.conditions]
    assert decision.allow == (decision.tree.result is Truth.TRUE and all_of(conditions) is Truth.TRUE)
    assert decision.allow == (not decision.failures())
    lines = explain(decision).splitlines()
    assert lines[0].split()[0] == ("ALLOW" if decision.allow else "DENY")
    assert ("in the way:" in lines) == (not decision.allow)
    marks = [line.strip().split("]")[0].removeprefix("[") for line in lines if line.strip().startswith("[")]
    assert marks == [f.result.value for f in [*_all(decision.tree), *decision.conditions]]


def _all(finding: Finding) -> list[Finding]:
    return [finding, *(inner for child in finding.children for inner in _all(child))]


@given(policies(), facts())
def test_a_decision_can_be_derived_again_from_written_facts(text: str, known: Facts) -> None:
    body = canonical.loads(json.dumps(Facts(claims={}, now=known.now).to_json()), limit=10**5)
    assert Facts.from_json(body) == Facts(claims={}, now=known.now)
    written = json.loads(json.dumps(replace(known, claims={}).to_json()))
    again = replace(Facts.from_json(written), claims=known.claims)
    assert again == known
    assert evaluate(parse(text), again).to_json() == evaluate(parse(text), known).to_json()


@given(policies(), st.randoms(use_true_random=False))
def test_the_id_depends_on_the_content_alone(text: str, random: Any) -> None:
    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            members = list(value.items())
            random.shuffle(members)
            return {name: shuffled(inner) for name, inner in members}
        return [shuffled(inner) for inner in value] if isinstance(value, list) else value

    policy = parse(text)
    assert parse(json.dumps(shuffled(json.loads(text)), indent=3)).id == policy.id
    assert parse(policy.canonical()).id == policy.id
    assert parse(policy.canonical()).canonical() == policy.canonical()


@given(st.one_of(st.binary(max_size=60), st.text(max_size=60), values.map(lambda v: json.dumps(v, default=str))))
def test_anything_at_all_parses_or_is_not_a_policy(text: bytes | str) -> None:
    try:
        policy = parse(text)
    except NotAPolicy:
        return
    assert isinstance(policy, Policy)


@given(policies(), policies(), facts())
def test_a_policy_called_tighter_is_tighter(one: str, other: str, known: Facts) -> None:
    old, new = parse(one), parse(other)
    if policy_implies(new, old):
        assert evaluate(new, known).allow <= evaluate(old, known).allow
    assert compare(old, old) is Order.SAME
    assert changes(old, old) == []
    assert describe(old)[0].endswith(old.id)
    assert isinstance(remarks(old), list)


@given(policies(), facts(), st.sampled_from(["tee", "a", "debug"]))
def test_wrapping_a_policy_in_a_further_requirement_is_tighter(text: str, known: Facts, name: str) -> None:
    body = json.loads(text)
    kind = "allOf" if "allOf" in body else "anyOf"
    inner = body.pop(kind)
    body["allOf"] = [{"claim": name, "exists": True}, {kind: inner}]
    old, new = parse(text), parse(json.dumps(body))
    assert compare(old, new) in (Order.TIGHTER, Order.SAME)
    assert evaluate(new, known).allow <= evaluate(old, known).allow


@given(claims)
def test_facts_of_claims_keep_the_vocabulary_for_the_verifier(raw: dict[str, Any]) -> None:
    from tests.release.policy_strategies import NOW

    known = Facts.of({"evidence_type": "jwt", "raw": raw, "issuer": "https://one.example"}, NOW)
    assert "tee" not in known.claims
    assert known.claims["raw"] == raw
    assert known.issuer == "https://one.example"
