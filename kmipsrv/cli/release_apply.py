"""`kmipsrv release apply`: carry out an administrator's order on the server's database (`engine/orders.py`)."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import click

from kmipsrv.app import keyring_settings, open_store
from kmipsrv.cli.release_signing import read
from kmipsrv.config import load
from kmipsrv.engine.gating import enrolled, gate_settings, open_gate
from kmipsrv.engine.orders import carry_out
from kmipsrv.keyring.provision import open_keyring
from kmipsrv.release.approvals import Approval
from kmipsrv.release.orders import Order
from kmipsrv.release.refusal import Refused

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("-c", "--config", "file", type=click.Path(path_type=Path), required=True, help="The configuration file.")
@click.option("--owner", required=True, help="Whose object it is, as `identities` or `domain:name` have it.")
@click.argument("order", type=_FILE)
@click.argument("approvals", metavar="[APPROVAL]...", nargs=-1, type=_FILE)
def apply(file: Path, owner: str, order: Path, approvals: tuple[Path, ...]) -> None:
    """Carry out the order in a file, with approvals in files beside those that were submitted.

    The server may be running. It needs the token, because the object's seals are bound to its policy.
    """
    config = load(file)
    administrators = enrolled("release.administrators", config.release.administrators)
    settings = gate_settings(config)
    store = open_store(config)
    try:
        keyring = open_keyring(keyring_settings(config))
        gate = open_gate(settings, store, keyring, os.urandom)
        given = Order.decode(read(order))
        with store.work() as work:
            stored = carry_out(
                given,
                owner,
                work=work,
                keyring=keyring,
                gate=gate,
                administrators=administrators,
                approvals=[Approval.decode(read(path)) for path in approvals],
                needed=config.release.order_approvals,
                now=datetime.now(UTC),
            )
    except Refused as refused:
        raise click.ClickException(f"not carried out: {refused.step}: {refused.reason}") from None
    finally:
        store.close()
    policy = f"is under {stored.policy}" if stored.policy else "has no release policy any longer"
    click.echo(f"{stored.unique_identifier} {policy}")
