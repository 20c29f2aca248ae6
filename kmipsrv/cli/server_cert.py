"""`kmipsrv server-cert`: renew the server's certificate from the throw-away authority.

A certificate that another authority has issued is left alone: that authority renews it. The certificate is replaced in one
step. A new key is written first, and until its certificate is there too a reload keeps what it has.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from kmipsrv.cli import certificates, files
from kmipsrv.cli.client_cert import authority
from kmipsrv.cli.init import server_names
from kmipsrv.config import load
from kmipsrv.errors import ConfigError


@click.command()
@click.option("-c", "--config", "file", type=click.Path(path_type=Path), required=True, help="The configuration file.")
@click.option("--host", "hosts", multiple=True, help="One more name or address of the server; may be repeated.")
@click.option("--days", type=click.IntRange(1, 3650), default=certificates.DAYS, show_default=True, help="Validity.")
@click.option("--new-key", is_flag=True, help="Make a new private key too.")
@click.option("--domain", help="The trust domain whose authority signs; needed if several could.")
def server_cert(file: Path, hosts: tuple[str, ...], days: int, new_key: bool, domain: str | None) -> None:
    """Renew the server's certificate, for the same names and addresses and those added.

    A running server takes it up on SIGHUP.
    """
    config = load(file)
    issuer = authority(config, domain)
    path, key_path = config.tls.certificate, config.tls.key
    names = server_names(config, hosts)
    if path.exists():
        before = certificates.read_certificates(path)[0]
        try:
            certificates.check_issued(before, [issuer.certificate])
        except ConfigError:
            raise ConfigError(f"{path}: another authority has issued it; let that one renew it") from None
        names = list(dict.fromkeys([*certificates.hosts(before), *hosts])) or names
    files.make_folder(path.parent)
    if new_key or not key_path.exists():
        key = certificates.new_key()
        certificates.write_key(key, key_path, replace=True)
    else:
        key = certificates.read_key(key_path)
    made = certificates.server(issuer, key, names, datetime.now(UTC), days).certificate
    certificates.write_certificate(made, path, replace=True)
    click.echo(f"made {path}: the server, as {', '.join(names)}, until {made.not_valid_after_utc:%F}")
    click.echo("a running server takes it up on SIGHUP")
