"""The grammar, the operators' truth table and the traps of real policies."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from kmipsrv.release.canonical import loads
from kmipsrv.release.evidence import TYPES, Endorsements, verify
from kmipsrv.release.facts import VOCABULARY, Facts, read_time
from kmipsrv.release.policy import NotAPolicy, Truth, evaluate, explain, parse
from kmipsrv.release.policy_leaves import MAX_ARRAY, OPERATORS, resolve
from tests.release.policy_strategies import NOW

REPOSITORY = Path(__file__).resolve().parents[2]
T, F, I = Truth.TRUE, Truth.FALSE, Truth.INDETERMINATE  # noqa: E741


def leaf_result(operator: str, operand: Any, claims: dict[str, Any], **top: Any) -> Truth:
    policy = parse(json.dumps({"version": "1.0.0", "allOf": [{"claim": "x", operator: operand}], **top}))
    return evaluate(policy, Facts(claims=claims, now=NOW)).tree.result


# operator, operand, claim, result; the table of docs/release-policy.md
TRUTH: list[tuple[str, Any, Any, Truth]] = [
    ("equals", "a", "a", T),
    ("equals", "a", "A", F),
    ("equals", 1, 1, T),
    ("equals", 1, 2, F),
    ("equals", True, True, T),
    ("equals", False, True, F),
    ("equals", 1, True, I),  # an integer is not a boolean
    ("equals", True, 1, I),
    ("equals", 0, False, I),
    ("equals", "1", 1, I),
    ("equals", "false", False, I),
    ("equals", 1, 1.0, I),
    ("equals", "a", ["a"], I),
    ("equals", "a", {"a": "a"}, I),
    ("notEquals", "a", "b", T),
    ("notEquals", "a", "a", F),
    ("notEquals", 1, True, I),
    ("notEquals", "a", 1, I),
    ("notEquals", "a", [], I),
    ("in", ["a", 1], "a", T),
    ("in", ["a", 1], 1, T),
    ("in", ["a", 1], "b", F),
    ("in", ["a", 1], True, I),
    ("in", ["a"], 1, I),
    ("less", 5, 4, T),
    ("less", 5, 5, F),
    ("lessOrEquals", 5, 5, T),
    ("lessOrEquals", 5, 6, F),
    ("greater", 5, 6, T),
    ("greater", 5, 5, F),
    ("greaterOrEquals", 5, 5, T),
    ("greaterOrEquals", 5, 4, F),
    ("greaterOrEquals", 0, True, I),
    ("greaterOrEquals", 5, "9", I),
    ("greaterOrEquals", 5, 9.5, I),
    ("less", "0x10", 15, T),
    ("less", "0xffffffffffffffff", 2**64 - 2, T),
    ("exists", True, 0, T),
    ("exists", True, False, T),
    ("exists", True, [], T),
    ("contains", "a", ["a", "b"], T),
    ("contains", ["a", "b"], ["b", "a", "c"], T),
    ("contains", ["a", "d"], ["b", "a", "c"], F),
    ("contains", "a", [], F),
    ("contains", 1, [True], F),
    ("contains", "a", "abc", I),
    ("contains", "a", [["a"]], I),
    ("subset", ["a", "b"], ["a"], T),
    ("subset", ["a", "b"], [], T),
    ("subset", ["a", "b"], ["a", "c"], F),
    ("subset", [1], [True], F),
    ("subset", ["a"], "a", I),
    ("subset", ["a"], ["a"] * (MAX_ARRAY + 1), I),
    ("bitsSet", 5, 7, T),
    ("bitsSet", 5, 3, F),
    ("bitsSet", "0x80000000", 0x80000000, T),
    ("bitsSet", 1, True, I),
    ("bitsClear", 8, 7, T),
    ("bitsClear", 8, 15, F),
    ("bitsClear", 8, -1, I),
    ("bitsClear", 8, "0", I),
    ("bitsSet", "0x8000000000000000", "0x8000000010000000", T),
    ("bitsClear", 1, "0x8000000010000000", T),
    ("bitsClear", 1, "8000000010000000", I),
    ("bitsClear", 1, "0X10", I),
    ("less", 20, "0x10", T),
    ("equals", 16, "0x10", I),
    ("bitsEqual", {"mask": 6, "value": 2}, 3, T),
    ("bitsEqual", {"mask": 6, "value": 2}, 7, F),
    ("bitsEqual", {"mask": "0x6", "value": "0x2"}, 3, T),
    ("bitsEqual", {"mask": 6, "value": 2}, True, I),
]


@pytest.mark.parametrize(("operator", "operand", "claim", "expected"), TRUTH)
def test_the_truth_table(operator: str, operand: Any, claim: Any, expected: Truth) -> None:
    assert leaf_result(operator, operand, {"x": claim}) is expected


def test_every_operator_is_in_the_table_and_in_the_document() -> None:
    document = (REPOSITORY / "docs" / "release-policy.md").read_text()
    for name in OPERATORS:
        assert {expected for operator, _, _, expected in TRUTH if operator == name} >= {T}
        assert f"`{name}`" in document


@pytest.mark.parametrize("operator", sorted(OPERATORS))
@pytest.mark.parametrize("claims", [{}, {"x": None}, {"X": "a"}, {"y": {"x": "a"}}])
def test_an_absent_claim_satisfies_no_operator(operator: str, claims: dict[str, Any]) -> None:
    operand = next(operand for name, operand, _, _ in TRUTH if name == operator)
    assert leaf_result(operator, operand, claims) is I


# --- paths ----------------------------------------------------------------------------------------------------------------

DOCUMENT = {
    "a.b": 1,
    "a": {"b": 2, "b.c": 3, "l": [4, {"m": 5}], "": 6, "x/y": 7, "t~": 8},
    "e": {"a": {"b": 9}},
    "0": 10,
}
PATHS = [
    ("a.b", [1, 2]),
    ("e.a.b", [9]),
    ("a.b.c", []),
    ("/a/b.c", [3]),
    ("/a.b", [1]),
    ("/a/l/0", [4]),
    ("/a/l/1/m", [5]),
    ("/a/l/01", []),
    ("/a/l/-", []),
    ("/a/l/2", []),
    ("/a/", [6]),
    ("/a/x~1y", [7]),
    ("/a/t~0", [8]),
    ("a.l.0", []),  # Azure's dotted paths know no arrays
    ("a.l", [[4, {"m": 5}]]),
    ("/0", [10]),
    ("/nothing/at/all", []),
]


@pytest.mark.parametrize(("path", "found"), PATHS)
def test_how_paths_resolve(path: str, found: list[Any]) -> None:
    assert resolve(path, DOCUMENT) == found


def test_a_name_with_dots_hides_nothing() -> None:
    """Were the nested claim looked at only in the absence of the other, removing that could open what it kept shut."""
    policy = parse('{"allOf": [{"claim": "a.b", "equals": 2}]}')
    assert evaluate(policy, Facts(claims={"a.b": 1, "a": {"b": 2}}, now=NOW)).allow
    assert evaluate(policy, Facts(claims={"a": {"b": 2}}, now=NOW)).allow
    assert not evaluate(policy, Facts(claims={"a.b": 1, "a": {"b": 3}}, now=NOW)).allow


# --- what does not parse --------------------------------------------------------------------------------------------------

LEAF = '{"claim": "a", "equals": 1}'
DEEP = '{"allOf": [' * 20 + LEAF + "]}" * 20
NOT_POLICIES = {
    "nothing": "",
    "not an object": "[]",
    "empty": "{}",
    "version only": '{"version": "1.0.0"}',
    "unknown version": f'{{"version": "2.0.0", "allOf": [{LEAF}]}}',
    "version is a number": f'{{"version": 1, "allOf": [{LEAF}]}}',
    "empty anyOf": '{"anyOf": []}',
    "empty allOf": '{"allOf": []}',
    "empty inside": f'{{"anyOf": [{LEAF}, {{"allOf": []}}]}}',
    "anyOf and allOf": f'{{"anyOf": [{LEAF}], "allOf": [{LEAF}]}}',
    "tree is an object": f'{{"anyOf": {LEAF}}}',
    "part is a string": '{"anyOf": ["a"]}',
    "part is empty": '{"anyOf": [{}]}',
    "conditions only": '{"conditions": {"maxReleases": 1}}',
    "unknown key on top": f'{{"allOf": [{LEAF}], "immutabel": true}}',
    "unknown key in a part": f'{{"allOf": [{{"allOf": [{LEAF}], "not": true}}]}}',
    "unknown operator": '{"allOf": [{"claim": "a", "matches": ".*"}]}',
    "negation": f'{{"allOf": [{{"not": {LEAF}}}]}}',
    "no operator": '{"allOf": [{"claim": "a"}]}',
    "two operators": '{"allOf": [{"claim": "a", "equals": 1, "less": 2}]}',
    "leaf with anyOf": f'{{"allOf": [{{"claim": "a", "anyOf": [{LEAF}]}}]}}',
    "leaf with authority": '{"allOf": [{"claim": "a", "equals": 1, "authority": "snp"}]}',
    "duplicate key": '{"allOf": [{"claim": "a", "equals": 1, "equals": 2}]}',
    "empty claim": '{"allOf": [{"claim": "", "equals": 1}]}',
    "claim is a number": '{"allOf": [{"claim": 1, "equals": 1}]}',
    "long claim": '{"allOf": [{"claim": "' + "a" * 300 + '", "equals": 1}]}',
    "many steps": '{"allOf": [{"claim": "' + "a." * 20 + 'a", "equals": 1}]}',
    "bad pointer": '{"allOf": [{"claim": "/a~2", "equals": 1}]}',
    "operand is null": '{"allOf": [{"claim": "a", "equals": null}]}',
    "operand is an object": '{"allOf": [{"claim": "a", "equals": {"b": 1}}]}',
    "operand is an array": '{"allOf": [{"claim": "a", "equals": [1]}]}',
    "operand is a float": '{"allOf": [{"claim": "a", "equals": 1.5}]}',
    "operand is not exact": '{"allOf": [{"claim": "a", "equals": 9007199254740993}]}',
    "in nothing": '{"allOf": [{"claim": "a", "in": []}]}',
    "in a scalar": '{"allOf": [{"claim": "a", "in": "abc"}]}',
    "in twice": '{"allOf": [{"claim": "a", "in": [1, 1]}]}',
    "subset of nothing": '{"allOf": [{"claim": "a", "subset": []}]}',
    "contains nothing": '{"allOf": [{"claim": "a", "contains": []}]}',
    "exists false": '{"allOf": [{"claim": "a", "exists": false}]}',
    "less than a string": '{"allOf": [{"claim": "a", "less": "5"}]}',
    "less than a boolean": '{"allOf": [{"claim": "a", "less": true}]}',
    "empty mask": '{"allOf": [{"claim": "a", "bitsClear": 0}]}',
    "negative mask": '{"allOf": [{"claim": "a", "bitsSet": -1}]}',
    "upper-case mask": '{"allOf": [{"claim": "a", "bitsSet": "0xFF"}]}',
    "value outside the mask": '{"allOf": [{"claim": "a", "bitsEqual": {"mask": 1, "value": 2}}]}',
    "mask without value": '{"allOf": [{"claim": "a", "bitsEqual": {"mask": 1}}]}',
    "authority is a number": f'{{"anyOf": [{{"authority": 1, "allOf": [{LEAF}]}}]}}',
    "authority is empty": f'{{"anyOf": [{{"authority": "", "allOf": [{LEAF}]}}]}}',
    "authority over http": f'{{"anyOf": [{{"authority": "http://a.example", "allOf": [{LEAF}]}}]}}',
    "authority with a user": f'{{"anyOf": [{{"authority": "https://a@b.example", "allOf": [{LEAF}]}}]}}',
    "authority with a query": f'{{"anyOf": [{{"authority": "https://a.example/?b", "allOf": [{LEAF}]}}]}}',
    "authority of an unknown type": f'{{"anyOf": [{{"authority": "sev", "allOf": [{LEAF}]}}]}}',
    "authority without a tree": '{"anyOf": [{"authority": "snp"}]}',
    "flag is a string": f'{{"allOf": [{LEAF}], "immutable": "true"}}',
    "use is a number": f'{{"allOf": [{LEAF}], "use": 1}}',
    "unknown dialect": f'{{"allOf": [{LEAF}], "dialect": "rego"}}',
    "description is a number": f'{{"allOf": [{LEAF}], "description": 1}}',
    "nested too deeply": DEEP,
    "nested far too deeply": "[" * 100_000,
    "too many parts": '{"anyOf": [' + ",".join([LEAF] * 1025) + "]}",
    "too long": f'{{"allOf": [{LEAF}], "description": "' + "a" * 65536 + '"}',
    "surrogate": '{"allOf": [{"claim": "a", "equals": "\\ud800"}]}',
}


@pytest.mark.parametrize("text", NOT_POLICIES.values(), ids=NOT_POLICIES)
def test_what_is_not_a_policy(text: str) -> None:
    with pytest.raises(NotAPolicy):
        parse(text)


def test_the_message_names_the_place() -> None:
    with pytest.raises(NotAPolicy, match=r"anyOf\[1\]\.allOf\[0\]\.equal: unknown operator"):
        parse(f'{{"anyOf": [{LEAF}, {{"allOf": [{{"claim": "a", "equal": 1}}]}}]}}')


# --- authorities ----------------------------------------------------------------------------------------------------------

AUTHORITIES = [
    ("https://a.example", "https://a.example", None, True),
    ("https://a.example/", "https://a.example", None, True),
    ("https://a.example", "https://a.example/", None, True),
    ("https://A.Example", "https://a.example", None, True),
    ("a.example", "https://a.example", None, True),
    ("https://a.example:443", "https://a.example", None, True),
    ("https://a.example/x", "https://a.example", None, False),
    ("https://a.example/X", "https://a.example/x", None, False),
    ("https://a.example", "https://a.example.evil.example", None, False),
    ("https://a.example", "http://a.example", None, False),
    ("https://a.example", "https://a.example//", None, False),
    ("https://a.example", None, "snp", False),
    ("issuer:Somebody", "Somebody", None, True),
    ("issuer:Somebody", "somebody", None, False),
    ("issuer:snp", None, "snp", False),
    ("snp", None, "snp", True),
    ("snp", "snp", "jwt", False),
    ("snp", "issuer:snp", "jwt", False),
    ("tdx", None, "snp", False),
    ("maa", "https://x.weu.attest.azure.net", "maa", True),
]


@pytest.mark.parametrize(("authority", "issuer", "evidence_type", "speaks"), AUTHORITIES)
def test_who_is_an_authority(authority: str, issuer: str | None, evidence_type: str | None, speaks: bool) -> None:
    policy = parse(json.dumps({"anyOf": [{"authority": authority, "allOf": [{"claim": "a", "equals": 1}]}]}))
    facts = Facts(claims={"a": 1}, now=NOW, issuer=issuer, evidence_type=evidence_type)
    assert evaluate(policy, facts).allow is speaks


# --- real policies --------------------------------------------------------------------------------------------------------

AZURE = {
    "version": "1.0.0",
    "anyOf": [
        {
            "authority": "https://sharedweu.weu.attest.azure.net/",
            "allOf": [
                {
                    "anyOf": [
                        {"claim": "x-ms-isolation-tee.x-ms-attestation-type", "equals": "sevsnpvm"},
                        {"claim": "x-ms-isolation-tee.x-ms-attestation-type", "equals": "tdxvm"},
                    ]
                },
                {"claim": "x-ms-isolation-tee.x-ms-compliance-status", "equals": "azure-compliant-cvm"},
            ],
        },
        {
            "authority": "sharedeus2.eus2.attest.azure.net",
            "allOf": [
                {"claim": "x-ms-attestation-type", "equals": "sevsnpvm"},
                {"claim": "x-ms-sevsnpvm-is-debuggable", "equals": "false"},
                {"claim": "x-ms-sevsnpvm-guestsvn", "equals": "0"},
            ],
        },
    ],
}
VIRTUAL_MACHINE = {
    "x-ms-isolation-tee": {
        "x-ms-attestation-type": "sevsnpvm",
        "x-ms-compliance-status": "azure-compliant-cvm",
    }
}
CONTAINER = {
    "x-ms-attestation-type": "sevsnpvm",
    "x-ms-sevsnpvm-is-debuggable": False,
    "x-ms-sevsnpvm-guestsvn": 0,
}


def test_azures_shapes_nested_and_flat() -> None:
    """Trap: a virtual machine's token nests its claims, a container's is flat; authorities with and without the slash."""
    policy = parse(json.dumps(AZURE))
    west, east = "https://sharedweu.weu.attest.azure.net", "https://sharedeus2.eus2.attest.azure.net"
    assert evaluate(policy, Facts(claims=VIRTUAL_MACHINE, now=NOW, issuer=west)).allow
    assert not evaluate(policy, Facts(claims=VIRTUAL_MACHINE, now=NOW, issuer=east)).allow
    flat = VIRTUAL_MACHINE["x-ms-isolation-tee"]
    assert not evaluate(policy, Facts(claims=flat, now=NOW, issuer=west)).allow


def test_strings_that_spell_booleans_and_numbers() -> None:
    """Trap: container policies say "false" and "0" where the service says false and 0. Strict, unless asked for."""
    east = "https://sharedeus2.eus2.attest.azure.net"
    facts = Facts(claims=CONTAINER, now=NOW, issuer=east)
    assert not evaluate(parse(json.dumps(AZURE)), facts).allow
    lenient = parse(json.dumps({**AZURE, "dialect": "azure"}))
    assert evaluate(lenient, facts).allow
    for change in (
        {"x-ms-sevsnpvm-is-debuggable": True},
        {"x-ms-sevsnpvm-guestsvn": 1},
        {"x-ms-sevsnpvm-guestsvn": False},
    ):
        assert not evaluate(lenient, Facts(claims={**CONTAINER, **change}, now=NOW, issuer=east)).allow
    assert not evaluate(lenient, Facts(claims={"x-ms-attestation-type": "sevsnpvm"}, now=NOW, issuer=east)).allow


def test_the_dialect_reaches_nothing_but_equals() -> None:
    assert leaf_result("notEquals", "false", {"x": True}, dialect="azure") is I
    assert leaf_result("in", ["false"], {"x": False}, dialect="azure") is I
    assert leaf_result("equals", True, {"x": "true"}, dialect="azure") is I
    assert leaf_result("equals", "1", {"x": True}, dialect="azure") is F


@pytest.mark.shared
def test_microsofts_published_policy_on_a_genuine_token(shared: Path) -> None:
    folder = shared / "attestation" / "evidence" / "azure-maa"
    policy = parse((folder / "azure_skr_policy_datadisk.json").read_bytes())
    keys = Endorsements.parse([(folder / "maa_jwks_archived.json").read_bytes()])
    at = read_time("2023-03-30T12:00:00Z")
    claims = verify("maa", (folder / "maa_azureguest_sharedweu.jwt").read_bytes(), keys, at)
    facts = Facts.of(claims, at)
    decision = evaluate(policy, facts)
    assert decision.allow, explain(decision)
    late = evaluate(policy, Facts.of(claims, read_time("2023-03-31T12:00:00Z")))
    assert not late.allow
    assert late.failures()[0].reason == "expired"
    body = loads((folder / "azure_skr_policy_datadisk.json").read_bytes(), limit=10**5)
    body["anyOf"] = [part for part in body["anyOf"] if "sharedweu" not in part["authority"]]
    assert not evaluate(parse(json.dumps(body)), facts).allow


# --- the decision ---------------------------------------------------------------------------------------------------------


def test_the_decision_says_which_leaf_failed_and_what_it_saw() -> None:
    policy = parse(
        '{"anyOf": [{"authority": "tdx", "allOf": [{"claim": "a", "equals": 1}]},'
        ' {"authority": "snp", "allOf": [{"claim": "a", "equals": 1}, {"claim": "b", "less": 3}]}]}'
    )
    decision = evaluate(policy, Facts(claims={"a": 1, "b": 4}, now=NOW, evidence_type="snp"))
    assert not decision.allow
    (failure,) = decision.failures()
    assert (failure.at, failure.asks, failure.expected, failure.seen) == ("anyOf[1].allOf[1]", "b less", 3, 4)
    assert "b less 3, seen 4" in explain(decision)


def test_control_characters_and_long_claims_do_not_reach_the_terminal() -> None:
    policy = parse('{"allOf": [{"claim": "a", "equals": "x"}]}')
    text = explain(evaluate(policy, Facts(claims={"a": "\x1b[2J\u202e" + "y" * 5000}, now=NOW)))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert len(text) < 2000


def test_evaluation_time_is_bounded_on_the_largest_policy_and_claims() -> None:
    leaf = {"claim": "big", "subset": ["a"]}
    policy = parse(json.dumps({"anyOf": [leaf] * 1000}))
    decision = evaluate(policy, Facts(claims={"big": ["b"] * 100_000}, now=NOW))
    assert not decision.allow
    assert len(json.dumps(decision.to_json())) < 10**6


def test_the_authorities_a_policy_names() -> None:
    named = parse('{"anyOf": [{"authority": "snp", "allOf": [{"claim": "a", "equals": 1}]}]}')
    assert named.authorities() == frozenset(["snp"])
    both = parse(
        '{"allOf": [{"authority": "snp", "allOf": [{"claim": "a", "equals": 1}]}, {"claim": "b", "equals": 1}]}'
    )
    assert both.authorities() == frozenset(["snp"])
    open_policy = parse(
        '{"anyOf": [{"authority": "snp", "allOf": [{"claim": "a", "equals": 1}]}, {"claim": "b", "equals": 1}]}'
    )
    assert open_policy.authorities() is None
    assert open_policy.evidence_types() == frozenset(TYPES)
    assert both.evidence_types() == frozenset(["snp"])
    issuers = {
        "https://sharedweu.weu.attest.azure.net/": {"maa"},
        "https://confidentialcomputing.googleapis.com": {"gcp"},
        "issuer:Intel Trust Authority": {"ita"},
        "https://portal.eu.trustauthority.intel.com": {"ita"},
        "https://issuer.example": {"ear", "jwt"},
    }
    for issuer, types in issuers.items():
        leaf = {"claim": "a", "equals": 1}
        policy = parse(json.dumps({"anyOf": [{"authority": issuer, "allOf": [leaf]}]}))
        assert policy.evidence_types() == frozenset(types)


def test_what_a_policy_says_of_itself() -> None:
    policy = parse(
        '{"allOf": [{"claim": "a", "equals": 1}], "use": true, "immutable": true, "conditions":'
        ' {"approvals": {"m": 2, "of": ["x", "y", "z"]}, "rate": {"count": 2, "per": 60}, "requireKeyBinding": true}}'
    )
    assert policy.use
    assert policy.immutable
    assert policy.requires_key_binding
    assert policy.approvals is not None
    assert (policy.approvals.m, policy.approvals.of) == (2, frozenset("xyz"))
    assert policy.rate is not None
    assert (policy.rate.count, policy.rate.per.total_seconds()) == (2, 60)
    assert policy.id == "sha256:" + policy.id[7:]
    assert len(policy.id) == 71


def test_the_examples_load_and_are_what_they_say() -> None:
    paths = sorted((REPOSITORY / "conf" / "policies").glob("*.json"))
    assert len(paths) >= 4
    for path in paths:
        policy = parse(path.read_bytes())
        assert not evaluate(policy, Facts(claims={}, now=NOW)).allow
        assert isinstance(policy.document["description"], str)


def test_the_documents_truth_table_is_true() -> None:
    text = (REPOSITORY / "docs" / "release-policy.md").read_text()
    section = text.split("### Truth table")[1].split("\n\n")[1]
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines()]
    asked = [cell.strip("`").split(": ", 1) for cell in head[1:]]
    assert len(rows) >= 7
    for claim, *expected in rows:
        claims: dict[str, Any] = {} if "absent" in claim else {"x": json.loads(claim.strip("`"))}
        for (operator, operand), result in zip(asked, expected, strict=True):
            assert leaf_result(operator, json.loads(operand), claims).value == result, (claim, operator)


def test_the_vocabulary_is_the_documents() -> None:
    """Names that verifiers use and tokens may not: each is explained, and none is explained that tokens could take."""
    document = REPOSITORY / "docs" / "attestation-claims.md"
    rows = [line.split("|")[1] for line in document.read_text().splitlines() if line.startswith("| `")]
    explained = {name for row in rows for name in re.findall(r"`([a-z0-9_]+)`", row)}
    assert VOCABULARY - explained <= {"raw"}, "not in docs/attestation-claims.md"
    assert explained - VOCABULARY == set(), "not in kmipsrv.release.facts.VOCABULARY"
