"""`kmipsrv hash-password`: the record that the configuration keeps instead of a password."""

from __future__ import annotations

import secrets

import click

from kmipsrv.identity.password import hash_password as record


@click.command()
@click.password_option(help="Asked for when absent; arguments can be seen by others.")
@click.option(
    "--hashed", "username", metavar="USERNAME", help="The record for Hashed Password credentials of this user."
)
def hash_password(password: str, username: str | None) -> None:
    """Make the record of a password for `users` and `devices` in the configuration.

    With --hashed it is the record for `hashed_password`, which has to be kept as secret as the password itself.
    """
    if username is None:
        click.echo(record(password, secrets.token_bytes(16)))
        return
    from kmipsrv.identity.authenticator import HashedPassword
    from kmipsrv.spec.enums import HashingAlgorithm

    click.echo(HashedPassword.of(HashingAlgorithm.SHA_256, username, password).record())
