"""`kmipsrv hash-password`: the record that the configuration keeps instead of a password."""

from __future__ import annotations

import secrets

import click

from kmipsrv.identity.password import hash_password as record


@click.command()
@click.password_option(help="Asked for when absent; arguments can be seen by others.")
def hash_password(password: str) -> None:
    """Make the record of a password for `users` and `devices` in the configuration."""
    click.echo(record(password, secrets.token_bytes(16)))
