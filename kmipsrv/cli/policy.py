"""`kmipsrv policy`: check, explain, compare and try release policies, without a server.

Exit codes of `eval`, `explain --claims` and `replay`: 0 allowed, 1 denied, 2 not a policy (or a wrong command line).
Of `diff`: 0 the new policy is the same or tighter, 1 it may allow what the old one refused, 2 not a policy.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click

from kmipsrv.cli.moment import Moment
from kmipsrv.release import policy_order
from kmipsrv.release.canonical import Json, NotJson, loads
from kmipsrv.release.evidence import TYPES, Endorsements, Refused, verify
from kmipsrv.release.facts import Facts, from_timestamp
from kmipsrv.release.policy import Decision, NotAPolicy, Policy, evaluate, parse
from kmipsrv.release.policy import explain as explain_decision

DENIED: Final = 1
NOT_A_POLICY: Final = 2
MAX_CLAIMS: Final = 4 * 1024 * 1024
_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


class _NotAPolicyFile(click.ClickException):
    exit_code = NOT_A_POLICY


class _PolicyFile(click.Path):
    """A file that holds a policy; anything else ends the command with code 2."""

    name = "policy"

    def __init__(self) -> None:
        super().__init__(exists=True, dir_okay=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        path = Path(str(super().convert(value, param, ctx)))
        try:
            return parse(path.read_bytes())
        except NotAPolicy as error:
            raise _NotAPolicyFile(f"{path}: not a policy: {error}") from None
        except OSError as error:
            raise _NotAPolicyFile(f"{path}: {error.strerror}") from None


_AT: Final = click.option("--at", type=Moment(), help="Judge as of this time (ISO 8601) instead of now.")
_JSON: Final = click.option("as_json", "--json", is_flag=True, help="Print JSON.")


@click.group()
def policy() -> None:
    """Check, explain and try release policies."""


@policy.command()
@click.argument("given", metavar="POLICY", type=_PolicyFile())
@_JSON
def check(given: Policy, as_json: bool) -> None:
    """Parse POLICY; print its id, and what is worth a second look."""
    remarks = policy_order.remarks(given)
    if as_json:
        authorities = given.authorities()
        summary: dict[str, Json] = {
            "policy": given.id,
            "authorities": None if authorities is None else sorted(authorities),
            "leaves": len(list(given.tree.leaves())),
            "conditions": dict(given.conditions),
            "use": given.use,
            "immutable": given.immutable,
            "remarks": list(remarks),
        }
        click.echo(json.dumps(summary, indent=2, sort_keys=True))
        return
    click.echo(given.id)
    for remark in remarks:
        click.echo(f"  note: {remark}")


@policy.command()
@click.argument("given", metavar="POLICY", type=_PolicyFile())
@click.option("claims", "--claims", type=_FILE, help="Explain the decision on these claims.")
@_AT
@click.pass_context
def explain(ctx: click.Context, given: Policy, claims: Path | None, at: datetime | None) -> None:
    """Say what POLICY asks for; with --claims, what it makes of them, leaf by leaf."""
    if claims is None:
        click.echo("\n".join(policy_order.describe(given)))
        return
    decision = evaluate(given, _facts(_read(claims), at or datetime.now(UTC)))
    click.echo(explain_decision(decision), nl=False)
    ctx.exit(0 if decision.allow else DENIED)


@policy.command()
@click.argument("old", type=_PolicyFile())
@click.argument("new", type=_PolicyFile())
@_JSON
@click.pass_context
def diff(ctx: click.Context, old: Policy, new: Policy, as_json: bool) -> None:
    """Compare two policies: what was added and removed, and whether NEW is tighter than OLD."""
    order, changes = policy_order.compare(old, new), policy_order.changes(old, new)
    if as_json:
        click.echo(json.dumps({"old": old.id, "new": new.id, "order": order.value, "changes": changes}, indent=2))
    else:
        click.echo("\n".join([f"old {old.id}", f"new {new.id}", *changes, f"new is {order.value}"]))
    ctx.exit(0 if order in (policy_order.Order.SAME, policy_order.Order.TIGHTER) else DENIED)


@policy.command("eval")
@click.argument("given", metavar="POLICY", type=_PolicyFile())
@click.option("claims", "--claims", metavar="FILE", required=True, type=_FILE, help="Claims, in a form below.")
@click.option("evidence_type", "--type", type=click.Choice(list(TYPES)), help="The type of evidence they are from.")
@click.option("--approved-by", metavar="ID", multiple=True, help="Suppose this approver approved; may be repeated.")
@click.option("--releases", type=click.IntRange(0), default=0, help="Suppose so many releases before; by default none.")
@_AT
@_JSON
@click.pass_context
def evaluate_command(
    ctx: click.Context,
    given: Policy,
    claims: Path,
    evidence_type: str | None,
    approved_by: tuple[str, ...],
    releases: int,
    at: datetime | None,
    as_json: bool,
) -> None:
    """Judge claims by POLICY. Exit code 0 allow, 1 deny, 2 not a policy.

    FILE holds the JSON that `kmipsrv attest verify --json` prints, the claims of a token as its issuer wrote them, or
    the facts of an audit record. Issuer and validity are taken from there; nothing about signatures is checked here.
    """
    facts = _facts(_read(claims), at or datetime.now(UTC), evidence_type, frozenset(approved_by), releases)
    decision = evaluate(given, facts)
    _print(decision, as_json)
    ctx.exit(0 if decision.allow else DENIED)


@policy.command()
@click.argument("given", metavar="POLICY", type=_PolicyFile())
@click.argument("records", metavar="[RECORDS]...", nargs=-1, type=_FILE)
@click.option(
    "evidence",
    "--evidence",
    nargs=2,
    metavar="TYPE FILE",
    type=(click.Choice(list(TYPES)), _FILE),
    multiple=True,
    help="Judge stored evidence: verify it first, as of --at; may be repeated.",
)
@click.option("endorsements", "--endorsements", metavar="FILE", multiple=True, type=_FILE, help="For --evidence.")
@_AT
@_JSON
@click.pass_context
def replay(
    ctx: click.Context,
    given: Policy,
    records: tuple[Path, ...],
    evidence: tuple[tuple[str, Path], ...],
    endorsements: tuple[Path, ...],
    at: datetime | None,
    as_json: bool,
) -> None:
    """Judge what is stored by a proposed POLICY, and say what would change.

    RECORDS are files of decisions, one JSON object a line: facts, or an object with `facts` and the decision of the
    time. Each is judged as of its own time, or --at. Exit code 0 if all are allowed.
    """
    if not records and not evidence:
        raise click.UsageError("give RECORDS or --evidence to replay")
    results = [
        *_replay_records(given, records, at),
        *_replay_evidence(given, evidence, endorsements, at or datetime.now(UTC)),
    ]
    if as_json:
        click.echo(json.dumps(results, indent=2, sort_keys=True))
    else:
        for result in results:
            was = "" if result["was"] is None else f" (was {_word(result['was'])})"
            click.echo(f"{_word(result['allow'])}{was} {result['source']}")
            for line in result["failures"]:
                click.echo(f"    {line}")
    ctx.exit(0 if all(result["allow"] for result in results) else DENIED)


# --- reading ------------------------------------------------------------------------------------------------------


def _read(path: Path) -> Json:
    try:
        return loads(path.read_bytes(), limit=MAX_CLAIMS)
    except (NotJson, OSError) as error:
        raise click.ClickException(f"{path}: not claims: {error}") from None


def _facts(
    body: Json,
    now: datetime,
    evidence_type: str | None = None,
    approvals: frozenset[str] = frozenset(),
    releases: int = 0,
) -> Facts:
    """The facts in one of the forms that `eval` takes. What a claims file cannot say is supposed: no release before."""
    if not isinstance(body, dict):
        raise click.ClickException("claims are a JSON object")
    if body.get("authentic") is False:
        raise click.ClickException("the evidence was refused: there are no claims to judge")
    if body.get("authentic") is True and isinstance(body.get("claims"), dict):
        # the output of `attest verify --json`
        claims = {"evidence_type": body.get("type"), **body["claims"]}
        return Facts.of(claims, now, approvals=approvals, releases=releases, recent_releases=())
    if isinstance(body.get("claims"), dict) and "evidenceType" in body:
        return _stored(body, now)
    if evidence_type is not None or "evidence_type" in body:
        body = {"evidence_type": evidence_type, **body}
    issuer = body.get("issuer", body.get("iss"))
    return Facts(
        claims=body,
        now=now,
        evidence_type=body["evidence_type"] if isinstance(body.get("evidence_type"), str) else None,
        issuer=issuer if isinstance(issuer, str) else None,
        evidence_time=from_timestamp(body.get("issued_at", body.get("iat"))),
        not_before=from_timestamp(body.get("not_before", body.get("nbf"))),
        not_after=from_timestamp(body.get("expires_at", body.get("exp"))),
        collateral_time=from_timestamp(body.get("collateral_issued")),
        releases=releases,
        recent_releases=(),
        approvals=approvals,
    )


def _stored(body: Json, at: datetime | None) -> Facts:
    try:
        facts = Facts.from_json(body)
    except NotJson as error:
        raise click.ClickException(f"not facts: {error}") from None
    return facts if at is None else replace(facts, now=at)


def _replay_records(given: Policy, records: tuple[Path, ...], at: datetime | None) -> Iterator[dict[str, Any]]:
    for path in records:
        try:
            lines = path.read_bytes().splitlines()
        except OSError as error:
            raise click.ClickException(f"{path}: {error.strerror}") from None
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            source = f"{path}:{number}"
            try:
                record = loads(line, limit=MAX_CLAIMS)
            except NotJson as error:
                raise click.ClickException(f"{source}: {error}") from None
            record = record if isinstance(record, dict) else {}
            decided = record.get("decision", record)
            was = decided.get("allow") if isinstance(decided, dict) else None
            decision = evaluate(given, _stored(record.get("facts", record), at))
            yield _result(source, decision, was if isinstance(was, bool) else None)


def _replay_evidence(
    given: Policy, evidence: tuple[tuple[str, Path], ...], endorsements: tuple[Path, ...], at: datetime
) -> Iterator[dict[str, Any]]:
    try:
        bag = Endorsements.parse(path.read_bytes() for path in endorsements)
        for evidence_type, path in evidence:
            try:
                claims = verify(evidence_type, path.read_bytes(), bag, at)
            except Refused as refused:
                yield {"source": str(path), "allow": False, "was": None, "failures": [f"evidence: {refused}"]}
                continue
            yield _result(str(path), evaluate(given, Facts.of(claims, at, releases=0, recent_releases=())), None)
    except (Refused, OSError) as error:
        raise click.ClickException(str(error)) from None


# --- printing -----------------------------------------------------------------------------------------------------


def _result(source: str, decision: Decision, was: bool | None) -> dict[str, Any]:
    failures = [f"{finding.at}: {finding.asks}: {finding.result.value}" for finding in decision.failures()]
    return {"source": source, "allow": decision.allow, "was": was, "failures": failures}


def _word(allow: bool) -> str:
    return "allow" if allow else "deny"


def _print(decision: Decision, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(decision.to_json(), indent=2, sort_keys=True))
    else:
        click.echo(explain_decision(decision), nl=False)
