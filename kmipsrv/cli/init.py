"""`kmipsrv init`: a state directory that a server can start on.

The configuration is written last. A run that was interrupted before that is taken up by the next one, which keeps what it
finds and says so; once the configuration is there, another run makes and repairs nothing. An overlay (`--config`) is a
partial configuration: its mappings are merged into the one made here, its other values replace those here, and its
relative paths are relative to the new directory, since that is where they end up.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import click
import yaml
from cryptography.hazmat.primitives.asymmetric import ec

from kmipsrv.cli import certificates, files
from kmipsrv.cli.main import program
from kmipsrv.config import Config, load, load_yaml, read
from kmipsrv.errors import ConfigError
from kmipsrv.keyring import provision

FILE: Final = "kmipsrv.yaml"
OWN_TOKEN: Final = {"softhsm2_conf": "token/softhsm2.conf", "pin_file": "token/pin"}
VALUES: Final[dict[str, Any]] = {
    "listen": "127.0.0.1:5696",
    "state": ".",
    "token": {"module": "libsofthsm2.so", **OWN_TOKEN, "seal_counter": "token/seals", "label": "kmipsrv"},
    "tls": {
        "certificate": "certs/server.pem",
        "key": "certs/server.key",
        "client_ca": [{"file": "certs/ca.pem", "domain": "default"}],
    },
}
HEADER: Final = """\
# kmipsrv's configuration. Every setting with its meaning and default: conf/kmipsrv.yaml in the sources.
# Relative paths are relative to this file. Look whether all is sound: kmipsrv doctor -c THIS_FILE
"""


@click.command()
@click.argument("directory", type=click.Path(path_type=Path, file_okay=False))
@click.option("--config", "overlay", type=click.Path(path_type=Path), help="A partial configuration to merge in.")
@click.option("--host", "hosts", multiple=True, help="One more name or address of the server, for its certificate.")
def init(directory: Path, overlay: Path | None, hosts: tuple[str, ...]) -> int:
    """Make a state directory: token, master key, certificates, configuration.

    A second run says what is there and changes nothing.
    """
    os.umask(0o077)
    files.make_folder(directory)
    with _alone(directory):
        if (directory / FILE).exists():
            return _look(directory, overlay)
        given = load_yaml(overlay) if overlay is not None else {}
        values = merged(given)
        name = str(overlay) if overlay is not None else "configuration"
        config = read(values, directory.resolve(), name)  # all of it is checked before anything is made
        for line in [*_token(directory, config), *_certificates(directory, config, hosts)]:
            click.echo(f"init: {line}")
        text = HEADER + yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
        files.write(directory / FILE, text.encode())
    click.echo(f"init: made {directory / FILE}")
    click.echo(f"init: done; serve it with: {program()} serve -c {directory / FILE}")
    return 0


def merged(overlay: Any) -> dict[str, Any]:
    """The values of a new directory's configuration with an overlay over them."""
    base = VALUES
    if isinstance(overlay, dict) and isinstance(overlay.get("token"), dict) and "module" in overlay["token"]:
        # Another token: it is the operator's, and so is its PIN.
        token = {name: value for name, value in VALUES["token"].items() if name not in OWN_TOKEN}
        base = {**VALUES, "token": token}
    if not isinstance(overlay, dict):
        raise ConfigError(f"--config: a mapping is expected, not {type(overlay).__name__}")
    return _merge(base, overlay)


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for name, value in over.items():
        here = result.get(name)
        result[name] = _merge(here, value) if isinstance(here, dict) and isinstance(value, dict) else value
    return result


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Two runs at once wait for one another."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _look(directory: Path, overlay: Path | None) -> int:
    """Say what is there, and what should be."""
    if overlay is not None:
        raise ConfigError(
            f"{directory / FILE} is there already; --config is for a new directory. Edit that file instead"
        )
    config = load(directory / FILE)
    token = [config.token.pin_file, config.token.softhsm2_conf, config.token.seal_counter]
    wanted = [config.tls.certificate, config.tls.key, *(ca.file for ca in config.tls.client_ca), *token]
    click.echo(f"init: there already: {directory / FILE}")
    missing = 0
    for path in [path for path in wanted if path is not None]:
        missing += not path.exists()
        click.echo(f"init: {'there already' if path.exists() else 'MISSING'}: {path}", err=not path.exists())
    look = f"{program()} doctor -c {directory / FILE}"
    if missing:
        click.echo(f"init: nothing was made or repaired; put back what is missing, see: {look}", err=True)
        return 1
    click.echo(f"init: nothing to do; look whether it is sound with: {look}")
    return 0


def _token(directory: Path, config: Config) -> list[str]:
    """Token, PIN, master key and seal counter."""
    token, folder = config.token, directory / "token"
    own = token.softhsm2_conf == directory.resolve() / OWN_TOKEN["softhsm2_conf"]
    database = directory / "kmipsrv.db"
    if own and database.exists() and not (folder / "tokens").exists():
        raise ConfigError(f"{database} is there but its token is not: restore {folder}, a new one could open nothing")
    done = provision.initialise(
        folder,
        module=None if own else token.module_path(),
        token_label=token.label,
        key_label=token.key_label,
        pin_file=token.pin_path(),
        mechanism=token.mechanism,
    ).done
    return done or [f"kept the token in {folder}, which was there"]


def _certificates(directory: Path, config: Config, hosts: tuple[str, ...]) -> Iterator[str]:
    """The throw-away authority and what it signs, as far as the configuration asks for them."""
    folder, tls, now = directory.resolve() / "certs", config.tls, datetime.now(UTC)
    for_clients = folder / "ca.pem" in [ca.file for ca in tls.client_ca]
    for_server = tls.certificate == folder / "server.pem" and tls.key == folder / "server.key"
    if not (for_clients or for_server):
        return
    files.make_folder(directory / "certs")

    def pair(name: str, what: str, make: Callable[[ec.EllipticCurvePrivateKey], certificates.Pair]) -> Iterator[str]:
        """Make what is missing of NAME.pem and NAME.key; the key first, so that no certificate is without one."""
        certificate, key = directory / "certs" / f"{name}.pem", directory / "certs" / f"{name}.key"
        if certificate.exists():
            if not key.exists():
                raise ConfigError(f"{certificate} is there but {key} is not: put it back, or remove the certificate")
            certificates.read_authority(certificate, key)
            yield f"kept {certificate}, which was there"
            return
        if not key.exists():
            certificates.write_key(certificates.new_key(), key)
        certificates.write_certificate(make(certificates.read_key(key)).certificate, certificate)
        yield f"made {certificate} and {key}: {what}"

    yield from pair("ca", "the throw-away authority", lambda key: certificates.authority(key, now))
    issuer = certificates.read_authority(folder / "ca.pem", folder / "ca.key")
    if for_server:
        names = server_names(config, hosts)
        what = f"the server, as {', '.join(names)}"
        yield from pair("server", what, lambda key: certificates.server(issuer, key, names, now))
    if for_clients:
        yield from pair("client", "a first client", lambda key: certificates.client(issuer, key, "client", now))


def server_names(config: Config, hosts: tuple[str, ...]) -> list[str]:
    """What a server's certificate is for: this machine, the doors, and what was asked for."""
    doors = [door.host for door in (config.listen, config.https) if door is not None]
    names = [*certificates.LOCAL, *(host for host in doors if host not in ("0.0.0.0", "::")), *hosts]  # noqa: S104
    return list(dict.fromkeys(names))
