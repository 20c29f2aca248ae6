"""`kmipsrv release replay`: derive the decisions of the audit trail again, from their records and the policies alone.

No evidence is verified again and no clock is read. Exit code 1 when a decision comes out in another way than it was recorded, or
cannot be derived.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import click

from kmipsrv.app import open_store
from kmipsrv.audit.journal import records
from kmipsrv.config import load
from kmipsrv.domain.ports import Work
from kmipsrv.engine.gating import enrolled, policy_files
from kmipsrv.engine.ledger import POLICY
from kmipsrv.release import decisions
from kmipsrv.release.decisions import Find, NotReplayed
from kmipsrv.release.policy import NotAPolicy, Policy, explain, parse
from kmipsrv.release.statements import PublicKey


@click.command()
@click.option("-c", "--config", "file", type=click.Path(path_type=Path), required=True, help="The configuration file.")
@click.argument("number", required=False, type=click.IntRange(min=1))
@click.option("as_json", "--json", is_flag=True, help="Print the records, one JSON object a line.")
def replay(file: Path, number: int | None, as_json: bool) -> None:
    """Derive decisions again: that of record NUMBER, leaf by leaf, or all of them, a line each."""
    config = load(file)
    approvers = enrolled("release.approvers", config.release.approvers)
    named = {policy.id: policy for policy in policy_files(config.release.policies).values()}
    store = open_store(config)
    failed = 0
    try:
        with store.work() as work:
            find = _finder(work, named)
            for found, body, _ in records(work, 0 if number is None else number - 1):
                if number is not None and found != number:
                    break
                try:
                    _print(found, body, find, approvers, detailed=number is not None, as_json=as_json)
                except NotReplayed as error:
                    click.echo(f"{found}: NOT AS RECORDED: {error}")
                    failed += 1
            if number is not None and work.audit_head()[0] < number:
                raise click.ClickException(f"there is no record {number}")
    finally:
        store.close()
    if failed:
        raise click.ClickException(f"{failed} of the decisions cannot be derived again")


def _finder(work: Work, known: dict[str, Policy]) -> Find:
    """Knows the policies of the configuration and those that the store keeps."""

    def find(policy_id: str) -> Policy | None:
        text = None if policy_id in known else work.read(POLICY, policy_id)
        if text is not None:
            try:
                known[policy_id] = parse(text)
            except NotAPolicy as error:
                raise NotReplayed(f"what is kept as {policy_id} is not a policy: {error}") from None
        policy = known.get(policy_id)
        if policy is not None and policy.id != policy_id:
            raise NotReplayed(f"what is kept as {policy_id} is another policy")
        return policy

    return find


def _print(
    found: int, body: bytes, find: Find, approvers: Mapping[str, PublicKey], *, detailed: bool, as_json: bool
) -> None:
    """Derive one record's decisions and print them. Raises NotReplayed. Records of other kinds are passed over."""
    record = decisions.parse(body)
    if record.get("kind") != decisions.KIND:
        return
    made = decisions.replay(record, find, approvers)
    if as_json:
        click.echo(json.dumps({"number": found, **record}, sort_keys=True))
        return
    why = f" ({record['step']}: {record['reason']})" if record["step"] else ""
    click.echo(f"{found}: {record['time']} {record['operation']} {record['object']}: {record['outcome']}{why}")
    for decision in made if detailed else ():
        click.echo(explain(decision), nl=False)
