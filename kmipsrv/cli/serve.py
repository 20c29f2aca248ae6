"""`kmipsrv serve`: everything around `kmipsrv.app.serve` that the process needs."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from kmipsrv import __version__
from kmipsrv.cli import process
from kmipsrv.cli.main import program
from kmipsrv.config import Address, Config, address, load

logger = logging.getLogger(__name__)


def _address(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> Address | None:
    try:
        return address(value) if value is not None else None
    except ValueError:
        raise click.BadParameter("use HOST:PORT, such as 127.0.0.1:5696 or [::1]:5696") from None


@click.command()
@click.option("-c", "--config", "file", type=click.Path(path_type=Path), required=True, help="The configuration file.")
@click.option("--listen", metavar="HOST:PORT", callback=_address, help="Instead of the configuration's `listen`.")
@click.option("--https", metavar="HOST:PORT", callback=_address, help="Instead of the configuration's `https`.")
def serve(file: Path, listen: Address | None, https: Address | None) -> None:
    """Serve KMIP until SIGTERM or SIGINT.

    Requests that have been received are answered before it ends. SIGHUP reads certificates and policies again.
    """
    config = load(file)
    config = dataclasses.replace(config, listen=listen or config.listen, https=https or config.https)
    process.harden()
    process.set_up_logging(config.logging)

    from kmipsrv import app  # the whole server: loaded once the configuration is known to be good
    from kmipsrv.cli import doctor

    def ready(doors: Sequence[tuple[str, Address]]) -> None:
        for line in greeting(config, file, doors):
            click.echo(line)
        for finding in doctor.at_start(config, datetime.now(UTC)):
            logger.warning("%s: %s; %s", finding.subject, finding.text, finding.mend)
        process.notify("READY=1\nSTATUS=" + ", ".join(f"{name} on {where}" for name, where in doors))

    def stopping() -> None:
        process.notify("STOPPING=1")
        click.echo("kmipsrv: stopped")

    app.serve(config, ready=ready, stopping=stopping)


def greeting(config: Config, file: Path, doors: Sequence[tuple[str, Address]]) -> list[str]:
    """How to talk to the server, once it listens on these doors."""
    lines = [f"kmipsrv {__version__}"]
    lines += [f"  {name} on {where}" for name, where in doors]
    client = config.tls.certificate.with_name("client.pem")
    if client.exists():
        authority = config.tls.client_ca[0].file
        port = doors[0][1].port
        lines += [
            f"  a client's files: {client}, {client.with_suffix('.key')}, {authority}",
            "  try it, with PyKMIP:",
            "    from kmip.pie.client import ProxyKmipClient",
            f"    with ProxyKmipClient('127.0.0.1', {port}, cert='{client}',",
            f"                         key='{client.with_suffix('.key')}', ca='{authority}') as client:",
            "        print(client.locate())",
        ]
    return [*lines, f"  another client: {program()} client-cert -c {file} NAME --out FOLDER"]
