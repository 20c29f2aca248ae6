"""`kmipsrv release key`: the public key that clients check releases with, and auditors the head of the audit trail."""

from __future__ import annotations

from pathlib import Path

import click
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kmipsrv.app import open_store, signing_key
from kmipsrv.config import load
from kmipsrv.release.statements import key_id


@click.command()
@click.option("-c", "--config", "file", type=click.Path(path_type=Path), required=True, help="The configuration file.")
def key(file: Path) -> None:
    """Print the server's public signing key (PEM); its id goes to standard error.

    Give it to the machines that keys are released to: they believe no release without its signature.
    """
    config = load(file)
    store = open_store(config)
    try:
        public = signing_key(config, store)
    finally:
        store.close()
    click.echo(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), nl=False)
    click.echo(key_id(public), err=True)
