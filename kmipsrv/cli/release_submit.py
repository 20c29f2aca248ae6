"""`kmipsrv release submit`: hand an approval to the server, whose gate verifies it again whenever it counts it.

What is checked here only saves people from surprises: an approval that is written to the database by any other way is worth
exactly as much.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from kmipsrv.app import open_store
from kmipsrv.cli.release_signing import read
from kmipsrv.config import load
from kmipsrv.engine.gating import enrolled
from kmipsrv.engine.ledger import keep_approval
from kmipsrv.release.approvals import Approval, verify_approval
from kmipsrv.release.refusal import Refused


@click.command()
@click.option("-c", "--config", "file", type=click.Path(path_type=Path), required=True, help="The configuration file.")
@click.argument("approval", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def submit(file: Path, approval: Path) -> None:
    """Hand the approval in a file to the server. Its approver must be enrolled, and the approval still be in force."""
    config = load(file)
    approvers = enrolled("release.approvers", config.release.approvers)
    try:
        given = Approval.decode(read(approval))
        verify_approval(
            given,
            approvers,
            object_identifier=given.object,
            policy_id=given.policy,
            requester=given.requester,
            now=datetime.now(UTC),
        )
    except Refused as refused:
        raise click.ClickException(f"{approval}: {refused.step}: {refused.reason}") from None
    store = open_store(config)
    try:
        with store.work() as work:
            keep_approval(work, given.object, given.encode(), given.expiry)
    finally:
        store.close()
    click.echo(f"{given.approver} approves {given.object} for {given.requester} until {given.expiry:%FT%TZ}")
