"""`kmipsrv rotate-master-key`: from the next start on, a new version of the master key seals.

NIST SP 800-38D §8.3 gives one version 2^32 seals; a seal counter that was lost, or restored from an older copy, is another
reason. What older versions have sealed stays as it is, and opens as before.
"""

from __future__ import annotations

from pathlib import Path

import click

from kmipsrv.app import keyring_settings
from kmipsrv.config import load
from kmipsrv.keyring import provision


@click.command()
@click.option("-c", "--config", "file", type=click.Path(path_type=Path), required=True, help="The configuration file.")
def rotate_master_key(file: Path) -> None:
    """Make a new version of the master key in the token.

    It seals from the server's next start on. The old versions stay in the token and open what they have sealed. A seal
    counter that is missing begins anew.
    """
    settings = keyring_settings(load(file))
    there = settings.counter_file.exists()
    version = provision.rotate(settings)
    click.echo(f"made version {version} of the master key '{settings.key_label}'; it seals from the next start on")
    if not there:
        click.echo(f"made the seal counter {settings.counter_file}, which was missing: restart the server now")
    click.echo("back up the token again: without this version, what it seals cannot be opened")
