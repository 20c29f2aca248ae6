"""`kmipsrv audit`: whether the audit trail is as it was written (`audit/chain.py`)."""

from __future__ import annotations

from pathlib import Path

import click
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from kmipsrv.app import open_store, signing_key
from kmipsrv.audit.chain import Broken, Head
from kmipsrv.audit.journal import records, verify_trail
from kmipsrv.config import load
from kmipsrv.release.statements import load_public_key

_CONFIG = click.option(
    "-c", "--config", "file", type=click.Path(path_type=Path), required=True, help="The configuration file."
)


class _Head(click.ParamType[Head]):
    """A head as `audit verify` prints it."""

    name = "head"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Head:
        if isinstance(value, Head):
            return value
        try:
            return Head.read(str(value))
        except ValueError:
            self.fail(f"{value!r} is not NUMBER:HASH as `kmipsrv audit verify` prints it", param, ctx)


@click.group()
def audit() -> None:
    """Verify and read the audit trail."""


@audit.command()
@_CONFIG
@click.option(
    "key", "--key", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The server's public key."
)
@click.option("known", "--head", multiple=True, type=_Head(), help="A head printed earlier; may be repeated.")
def verify(file: Path, key: Path | None, known: tuple[Head, ...]) -> None:
    """Find any change, removal or reordering of records; print the head. Exit code 1 when there is one.

    Keep the head elsewhere and give it back with --head: then a database that was put back as a whole is found out too.
    With --key (from `kmipsrv release key`) the token is not needed.
    """
    config = load(file)
    store = open_store(config)
    try:
        public = signing_key(config, store) if key is None else _public_key(key)
        with store.work() as work:
            head = verify_trail(work, public, known)
    except Broken as broken:
        raise click.ClickException(f"the audit trail is broken: {broken}") from None
    finally:
        store.close()
    click.echo(f"{head.number} records are as they were written")
    click.echo(f"head {head.text()}")


@audit.command()
@_CONFIG
@click.option("--after", type=click.IntRange(min=0), default=0, help="From the record behind this number.")
def show(file: Path, after: int) -> None:
    """Print the records, one JSON object a line, as they are in the trail."""
    store = open_store(load(file))
    try:
        with store.work() as work:
            for _, body, _ in records(work, after):
                click.echo(body)
    finally:
        store.close()


def _public_key(path: Path) -> Ed25519PublicKey:
    try:
        public = load_public_key(path.read_bytes())
    except ValueError:
        public = None
    if not isinstance(public, Ed25519PublicKey):
        raise click.ClickException(f"{path}: not an Ed25519 public key")
    return public
