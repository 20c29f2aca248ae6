"""`kmipsrv policy`: check, explain, diff, eval and replay, with their exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kmipsrv.release.facts import Facts, read_time
from kmipsrv.release.policy import evaluate, parse
from tests.cli.conftest import Runner

POLICY: dict[str, Any] = {
    "version": "1.0.0",
    "anyOf": [
        {"authority": "https://issuer.example", "allOf": [{"claim": "a", "equals": 1}, {"claim": "b.c", "less": 5}]}
    ],
}
CLAIMS = {"iss": "https://issuer.example/", "a": 1, "b": {"c": 4}, "iat": 1_800_000_000, "exp": 1_800_000_600}
AT = "2027-01-15T08:00:10Z"  # 1_800_000_010


def write(folder: Path, name: str, body: Any) -> Path:
    path = folder / name
    path.write_text(body if isinstance(body, str) else json.dumps(body))
    return path


@pytest.mark.parametrize(
    ("claims", "at", "code"),
    [
        (CLAIMS, AT, 0),
        (CLAIMS, "2027-01-15 08:00:10", 0),
        (CLAIMS, "2027-01-15T08:10:00Z", 1),  # expired
        ({**CLAIMS, "a": True}, AT, 1),
        ({**CLAIMS, "iss": "https://other.example"}, AT, 1),
        ({"a": 1, "b": {"c": 4}}, AT, 1),
        ({}, AT, 1),
        ("[]", AT, 1),
        ("nonsense", AT, 1),
        ('{"a": 1, "a": 2}', AT, 1),
        ({"authentic": False, "type": "jwt", "step": "time", "reason": "x"}, AT, 1),
        (
            {
                "authentic": True,
                "type": "jwt",
                "claims": {
                    "issuer": "https://issuer.example",
                    "expires_at": 1_800_000_600,
                    "raw": {"a": 1, "b": {"c": 4}},
                },
            },
            AT,
            0,
        ),
        (
            {
                "authentic": True,
                "type": "jwt",
                "claims": {"issuer": "https://issuer.example", "expires_at": 1_800_000_000, "raw": CLAIMS},
            },
            AT,
            1,
        ),
    ],
)
def test_eval(kmipsrv: Runner, tmp_path: Path, claims: Any, at: str, code: int) -> None:
    policy, file = write(tmp_path, "policy.json", POLICY), write(tmp_path, "claims.json", claims)
    plain = kmipsrv("policy", "eval", policy, "--claims", file, "--at", at)
    assert plain.code == code, plain
    assert kmipsrv("policy", "eval", policy, "--claims", file, "--at", at, "--json").code == code
    if plain.out:
        assert plain.out.startswith("ALLOW" if code == 0 else "DENY")
        decision = json.loads(kmipsrv("policy", "eval", policy, "--claims", file, "--at", at, "--json").out)
        assert decision["allow"] is (code == 0)
        assert decision["policy"] == parse(json.dumps(POLICY)).id


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"anyOf": []}', '{"allOf": [{"claim": "a"}]}', '{"allOf": 1, "allOf": 2}']
)
@pytest.mark.parametrize("command", ["check", "explain", "eval", "replay", "diff"])
def test_what_is_not_a_policy_ends_with_2(kmipsrv: Runner, tmp_path: Path, text: str, command: str) -> None:
    policy, claims = write(tmp_path, "policy.json", text), write(tmp_path, "claims.json", CLAIMS)
    more: dict[str, list[object]] = {"eval": ["--claims", claims], "replay": [claims], "diff": [policy]}
    done = kmipsrv("policy", command, policy, *more.get(command, []))
    assert done.code == 2
    assert "not a policy" in done.err
    assert done.out == ""


def test_a_policy_that_is_not_there_ends_with_2(kmipsrv: Runner, tmp_path: Path) -> None:
    assert kmipsrv("policy", "check", tmp_path / "none.json").code == 2


def test_eval_supposes_approvals_releases_and_a_type(kmipsrv: Runner, tmp_path: Path) -> None:
    body = {
        "anyOf": [{"authority": "snp", "allOf": [{"claim": "a", "equals": 1}]}],
        "conditions": {"maxReleases": 2, "rate": {"count": 1, "per": 60}, "approvals": {"m": 1, "of": ["x"]}},
    }
    policy, claims = write(tmp_path, "policy.json", body), write(tmp_path, "claims.json", {"a": 1})
    common = ("policy", "eval", policy, "--claims", claims)
    assert kmipsrv(*common).code == 1
    assert kmipsrv(*common, "--type", "snp").code == 1
    assert kmipsrv(*common, "--type", "snp", "--approved-by", "x").code == 0
    assert kmipsrv(*common, "--type", "tdx", "--approved-by", "x").code == 1
    assert kmipsrv(*common, "--type", "snp", "--approved-by", "x", "--releases", "2").code == 1


def test_check_names_what_is_worth_a_second_look(kmipsrv: Runner, tmp_path: Path) -> None:
    policy = write(tmp_path, "policy.json", {"allOf": [{"claim": "x", "equals": "false"}]})
    done = kmipsrv("policy", "check", policy)
    assert done.code == 0
    assert done.out.startswith("sha256:")
    for word in ("authority", "dialect", "debug", "maxEvidenceAge", "requireKeyBinding"):
        assert word in done.out
    assert json.loads(kmipsrv("policy", "check", policy, "--json").out)["leaves"] == 1


def test_explain_with_and_without_claims(kmipsrv: Runner, tmp_path: Path) -> None:
    policy, claims = write(tmp_path, "policy.json", POLICY), write(tmp_path, "claims.json", {**CLAIMS, "a": 2})
    described = kmipsrv("policy", "explain", policy)
    assert described.code == 0
    assert "b.c less 5" in described.out
    explained = kmipsrv("policy", "explain", policy, "--claims", claims, "--at", AT)
    assert explained.code == 1
    assert "anyOf[0].allOf[0]: a equals 1, seen 2" in explained.out


@pytest.mark.parametrize(
    ("change", "word", "code"),
    [
        ({}, "same", 0),
        ({"conditions": {"maxReleases": 1}}, "tighter", 0),
        ({"use": True}, "tighter", 0),
        ({"anyOf": [*POLICY["anyOf"], {"claim": "a", "equals": 1}]}, "looser", 1),
        ({"anyOf": [{"claim": "z", "equals": 1}]}, "different", 1),
    ],
)
def test_diff(kmipsrv: Runner, tmp_path: Path, change: dict[str, Any], word: str, code: int) -> None:
    old, new = write(tmp_path, "old.json", POLICY), write(tmp_path, "new.json", {**POLICY, **change})
    done = kmipsrv("policy", "diff", old, new)
    assert done.code == code
    assert done.out.endswith(f"new is {word}\n")
    body = json.loads(kmipsrv("policy", "diff", old, new, "--json").out)
    assert body["order"] == word
    assert bool(body["changes"]) is (word != "same")


def test_replay_of_stored_decisions(kmipsrv: Runner, tmp_path: Path) -> None:
    policy = write(tmp_path, "policy.json", POLICY)
    facts = Facts(claims=CLAIMS, now=read_time(AT), issuer="https://issuer.example")
    decision = evaluate(parse(json.dumps(POLICY)), facts)
    record = json.dumps({"facts": facts.to_json(), "decision": decision.to_json()})
    bare = json.dumps(facts.to_json())
    records = write(tmp_path, "records.jsonl", f"{record}\n\n{bare}\n")
    done = kmipsrv("policy", "replay", policy, records)
    assert done.code == 0
    assert done.out.splitlines() == [f"allow (was allow) {records}:1", f"allow {records}:3"]
    stricter = write(tmp_path, "new.json", {**POLICY, "conditions": {"maxReleases": 5}})
    done = kmipsrv("policy", "replay", stricter, records, "--json")
    assert done.code == 1
    assert [(row["was"], row["allow"]) for row in json.loads(done.out)] == [(True, False), (None, False)]
    assert kmipsrv("policy", "replay", policy).code == 2
    assert kmipsrv("policy", "replay", policy, write(tmp_path, "bad.jsonl", "{}")).code == 1


@pytest.mark.shared
def test_replay_and_eval_of_genuine_evidence(kmipsrv: Runner, tmp_path: Path, shared: Path) -> None:
    folder = shared / "attestation" / "evidence" / "azure-maa"
    policy, token, jwks = (
        folder / name
        for name in ("azure_skr_policy_datadisk.json", "maa_azureguest_sharedweu.jwt", "maa_jwks_archived.json")
    )
    inside, after = "2023-03-30T12:00:00Z", "2023-03-31T12:00:00Z"
    common = ("policy", "replay", policy, "--evidence", "maa", token, "--endorsements", jwks)
    assert kmipsrv(*common, "--at", inside).code == 0
    late = kmipsrv(*common, "--at", after)
    assert late.code == 1
    assert "expired" in late.out
    verified = kmipsrv("attest", "verify", "maa", token, "--endorsements", jwks, "--at", inside, "--json")
    claims = write(tmp_path, "claims.json", verified.out)
    assert kmipsrv("policy", "eval", policy, "--claims", claims, "--at", inside).code == 0
    assert kmipsrv("policy", "eval", policy, "--claims", claims, "--at", after).code == 1
    sample = folder / "azure_sample_attestation_claims.json"
    assert kmipsrv("policy", "eval", policy, "--claims", sample, "--at", "2022-05-19T21:00:00Z").code == 1
