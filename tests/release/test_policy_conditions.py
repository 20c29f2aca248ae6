"""The conditions: each at its bounds, and with what is not known."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest

from kmipsrv.release.facts import Facts, read_time
from kmipsrv.release.policy import NotAPolicy, Truth, evaluate, parse
from kmipsrv.release.policy_conditions import CONDITIONS
from tests.release.policy_strategies import NOW

T, F, I = Truth.TRUE, Truth.FALSE, Truth.INDETERMINATE  # noqa: E741


def ago(seconds: float) -> datetime.datetime:
    return NOW - datetime.timedelta(seconds=seconds)


def judged(name: str, operand: Any, facts: Facts) -> Truth:
    policy = parse(json.dumps({"allOf": [{"claim": "a", "equals": 1}], "conditions": {name: operand}}))
    decision = evaluate(policy, facts)
    (finding,) = [finding for finding in decision.conditions if finding.asks == name]
    assert decision.allow == (finding.result is T)
    return finding.result


def facts(**known: Any) -> Facts:
    return Facts(**{"claims": {"a": 1, **known.pop("claims", {})}, "now": NOW, **known})


# NOW is Monday 2026-11-23 10:30 UTC
TABLE: list[tuple[str, Any, Facts, Truth]] = [
    ("notBefore", "2026-11-23T10:30:00Z", facts(), T),
    ("notBefore", "2026-11-23T10:30:01Z", facts(), F),
    ("notBefore", "2026-11-23T11:30:00+01:00", facts(), T),
    ("notAfter", "2026-11-23T10:30:00Z", facts(), F),
    ("notAfter", "2026-11-23T10:30:01Z", facts(), T),
    ("windows", [{"days": ["mon"]}], facts(), T),
    ("windows", [{"days": ["tue", "sun"]}], facts(), F),
    ("windows", [{"from": "10:30", "to": "10:31"}], facts(), T),
    ("windows", [{"from": "10:00", "to": "10:30"}], facts(), F),
    ("windows", [{"days": ["mon"], "from": "12:00", "to": "24:00"}], facts(), F),
    ("windows", [{"days": ["sat"]}, {"days": ["mon"], "from": "00:00", "to": "24:00"}], facts(), T),
    ("maxReleases", 2, facts(releases=1), T),
    ("maxReleases", 2, facts(releases=2), F),
    ("maxReleases", 2, facts(releases=-1), F),
    ("maxReleases", 2, facts(), I),
    ("rate", {"count": 2, "per": 60}, facts(recent_releases=(ago(59),)), T),
    ("rate", {"count": 2, "per": 60}, facts(recent_releases=(ago(59), ago(1))), F),
    ("rate", {"count": 2, "per": 60}, facts(recent_releases=(ago(60), ago(1))), T),
    ("rate", {"count": 1, "per": 60}, facts(recent_releases=(ago(-5),)), F),  # a clock that was set back
    ("rate", {"count": 1, "per": 60}, facts(recent_releases=()), T),
    ("rate", {"count": 1, "per": 60}, facts(), I),
    ("maxEvidenceAge", 300, facts(evidence_time=ago(300)), T),
    ("maxEvidenceAge", 300, facts(evidence_time=ago(300.5)), F),
    ("maxEvidenceAge", 300, facts(evidence_time=ago(-61)), F),
    ("maxEvidenceAge", 300, facts(evidence_time=ago(-59)), T),
    ("maxEvidenceAge", 300, facts(), I),
    ("maxCollateralAge", 86400, facts(collateral_time=ago(86400)), T),
    ("maxCollateralAge", 86400, facts(collateral_time=ago(86401)), F),
    ("maxCollateralAge", 86400, facts(), I),
    ("requireKeyBinding", True, facts(claims={"key_binding": {"spki": "x"}}), T),
    ("requireKeyBinding", True, facts(), I),
    ("requireKeyBinding", True, facts(claims={"key_binding": {}}), F),
    ("requireKeyBinding", True, facts(claims={"key_binding": "x"}), F),
    ("requireKeyBinding", False, facts(), T),
    ("approvals", {"m": 2, "of": ["x", "y", "z"]}, facts(approvals=frozenset("xz")), T),
    ("approvals", {"m": 2, "of": ["x", "y", "z"]}, facts(approvals=frozenset("xw")), F),
    ("approvals", {"m": 1, "of": ["x"]}, facts(), F),
    (
        "minTcb",
        {"snp": {"snp": 8, "microcode": 115}},
        facts(claims={"tee": "snp", "tcb": {"snp": 8, "microcode": 209}}),
        T,
    ),
    (
        "minTcb",
        {"snp": {"snp": 8, "microcode": 115}},
        facts(claims={"tee": "snp", "tcb": {"snp": 7, "microcode": 209}}),
        F,
    ),
    ("minTcb", {"snp": {"snp": 8, "fmc": 1}}, facts(claims={"tee": "snp", "tcb": {"snp": 8}}), I),
    ("minTcb", {"snp": {"snp": 8, "fmc": 1}}, facts(claims={"tee": "snp", "tcb": {"snp": 7}}), F),
    ("minTcb", {"snp": {"snp": 1}}, facts(claims={"tee": "snp", "tcb": {"snp": True}}), I),
    ("minTcb", {"snp": {"snp": 8}}, facts(claims={"tee": "tdx", "tcb": {"snp": 9}}), F),
    ("minTcb", {"snp": {"snp": 8}}, facts(claims={"tcb": {"snp": 9}}), I),
    ("minTcb", {"tdx": {"status": ["UpToDate"]}}, facts(claims={"tee": "tdx", "tcb_status": "UpToDate"}), T),
    ("minTcb", {"tdx": {"status": ["UpToDate"]}}, facts(claims={"tee": "tdx", "tcb_status": "OutOfDate"}), F),
    ("minTcb", {"tdx": {"status": ["UpToDate"]}}, facts(claims={"tee": "tdx"}), I),
    ("minTcb", {"tdx": {"date": "2024-01-01T00:00:00Z"}}, facts(claims={"tee": "tdx", "tcb_date": 1704067200}), T),
    ("minTcb", {"tdx": {"date": "2024-01-01T00:00:01Z"}}, facts(claims={"tee": "tdx", "tcb_date": 1704067200}), F),
    ("minTcb", {"tdx": {"date": "2024-01-01T00:00:00Z"}}, facts(claims={"tee": "tdx", "tcb_date": True}), I),
]


@pytest.mark.parametrize(("name", "operand", "known", "expected"), TABLE)
def test_conditions_at_their_bounds(name: str, operand: Any, known: Facts, expected: Truth) -> None:
    assert judged(name, operand, known) is expected


def test_every_condition_is_in_the_table() -> None:
    assert {name for name, _, _, _ in TABLE} == set(CONDITIONS)
    for name in CONDITIONS:
        assert {expected for row, _, _, expected in TABLE if row == name} >= {T}, name


REFUSED: list[tuple[str, Any]] = [
    ("unknown", 1),
    ("maxRelease", 1),
    ("notBefore", "2026-11-23"),
    ("notBefore", "2026-11-23T10:30:00"),
    ("notBefore", 1764000000),
    ("notAfter", "never"),
    ("windows", []),
    ("windows", [{}]),
    ("windows", [{"days": []}]),
    ("windows", [{"days": ["Monday"]}]),
    ("windows", [{"from": "10:00"}]),
    ("windows", [{"from": "22:00", "to": "06:00"}]),
    ("windows", [{"from": "10:00", "to": "24:01"}]),
    ("windows", [{"from": "10:00", "to": "11:00", "zone": "CET"}]),
    ("maxReleases", 0),
    ("maxReleases", True),
    ("maxReleases", "1"),
    ("rate", {"count": 1}),
    ("rate", {"count": 0, "per": 60}),
    ("rate", {"count": 1, "per": 0}),
    ("rate", {"count": 1, "per": 60, "burst": 2}),
    ("maxEvidenceAge", 0),
    ("maxEvidenceAge", "PT5M"),
    ("maxCollateralAge", -1),
    ("minTcb", {}),
    ("minTcb", {"snp": {}}),
    ("minTcb", {"snp": 8}),
    ("minTcb", {"snp": {"snp": "8"}}),
    ("minTcb", {"tdx": {"status": []}}),
    ("minTcb", {"tdx": {"status": "UpToDate"}}),
    ("minTcb", {"tdx": {"date": "2024"}}),
    ("requireKeyBinding", "true"),
    ("approvals", {"m": 1, "of": []}),
    ("approvals", {"m": 0, "of": ["x"]}),
    ("approvals", {"m": 2, "of": ["x"]}),
    ("approvals", {"m": 2, "of": ["x", "x"]}),
    ("approvals", {"m": 1, "of": "x"}),
    ("approvals", {"m": True, "of": ["x"]}),
]


@pytest.mark.parametrize(("name", "operand"), REFUSED)
def test_operands_that_are_not_a_condition(name: str, operand: Any) -> None:
    with pytest.raises(NotAPolicy):
        parse(json.dumps({"allOf": [{"claim": "a", "equals": 1}], "conditions": {name: operand}}))


@pytest.mark.parametrize(
    "conditions", [{}, [], 1, {"notBefore": "2026-01-02T00:00:00Z", "notAfter": "2026-01-01T00:00:00Z"}]
)
def test_conditions_that_are_none(conditions: Any) -> None:
    with pytest.raises(NotAPolicy):
        parse(json.dumps({"allOf": [{"claim": "a", "equals": 1}], "conditions": conditions}))


@pytest.mark.parametrize(
    ("known", "allow"),
    [
        (facts(not_before=ago(-60)), True),
        (facts(not_before=ago(-61)), False),
        (facts(not_after=ago(-1)), True),
        (facts(not_after=NOW), False),
        (facts(not_after=ago(1)), False),
    ],
)
def test_expired_evidence_satisfies_no_policy(known: Facts, allow: bool) -> None:
    assert evaluate(parse('{"allOf": [{"claim": "a", "equals": 1}]}'), known).allow is allow


def test_the_age_of_evidence_is_that_of_the_challenge_when_that_is_earlier() -> None:
    claims = {"evidence_type": "snp", "issued_at": int(NOW.timestamp())}
    assert Facts.of(claims, NOW).evidence_time == NOW
    assert Facts.of(claims, NOW, challenged=ago(30)).evidence_time == ago(30)
    assert Facts.of({"issued_at": int(ago(90).timestamp())}, NOW, challenged=ago(30)).evidence_time == ago(90)
    assert Facts.of({}, NOW).evidence_time is None


def test_times_are_read_strictly() -> None:
    assert read_time("2026-11-23T10:30:00Z") == NOW
    assert read_time("2026-11-23T12:30:00+02:00") == NOW
