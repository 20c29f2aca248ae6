"""`kmipsrv client-cert`: issue a certificate for a client from the throw-away authority."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import click

from kmipsrv.cli import certificates, files
from kmipsrv.config import Config, load
from kmipsrv.errors import ConfigError


def _name(_ctx: click.Context, _parameter: click.Parameter, value: str) -> str:
    try:
        return certificates.certificate_name(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


def _uri(_ctx: click.Context, _parameter: click.Parameter, value: str) -> str:
    if value and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*:[\x21-\x7e]+", value) is None:  # RFC 3986 §3.1
        raise click.BadParameter("a URI is a scheme, a colon and printable ASCII without spaces")
    return value


@click.command()
@click.option("-c", "--config", "file", type=click.Path(path_type=Path), required=True, help="The configuration file.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="The folder to write to.")
@click.option("--days", type=click.IntRange(1, 3650), default=certificates.DAYS, show_default=True, help="Validity.")
@click.option("--uri", default="", callback=_uri, help="A URI that names the client, instead of its subject.")
@click.option("--domain", help="The trust domain whose authority signs; needed if several could.")
@click.option("--force", is_flag=True, help="Replace files of that name.")
@click.argument("name", callback=_name)
def client_cert(file: Path, out: Path, days: int, uri: str, domain: str | None, force: bool, name: str) -> None:
    """Issue NAME.pem and NAME.key for a client.

    Its objects belong to its name: a new certificate with the same name finds them again.
    """
    issuer = authority(load(file), domain)
    certificate, key = out / f"{name}.pem", out / f"{name}.key"
    taken = [path for path in (certificate, key) if path.exists()]
    if taken and not force:
        raise ConfigError(f"{taken[0]} is there already; use --force to replace it, or another name")
    files.make_folder(out)
    pair = certificates.client(issuer, certificates.new_key(), name, datetime.now(UTC), days, uri)
    certificates.write_key(pair.key, key, replace=force)
    certificates.write_certificate(pair.certificate, certificate, replace=force)
    click.echo(f"made {certificate} and {key}: {uri or f'CN={name}'}, until {pair.certificate.not_valid_after_utc:%F}")


def authority(config: Config, domain: str | None) -> certificates.Pair:
    """The authority whose key lies beside its certificate. Raises ConfigError."""
    wanted = [authority for authority in config.tls.client_ca if domain in (None, authority.domain)]
    if not wanted:
        known = ", ".join(authority.domain for authority in config.tls.client_ca)
        raise ConfigError(f"there is no trust domain {domain!r} in tls.client_ca; there is {known}")
    able = [authority for authority in wanted if authority.file.with_suffix(".key").exists()]
    if not able:
        keys = " or ".join(str(authority.file.with_suffix(".key")) for authority in wanted)
        raise ConfigError(f"no authority to sign with: {keys} is not there; let the authority's own tools issue it")
    if len(able) > 1:
        names = ", ".join(authority.domain for authority in able)
        raise ConfigError(f"several authorities could sign; name one with --domain: {names}")
    return certificates.read_authority(able[0].file, able[0].file.with_suffix(".key"))
