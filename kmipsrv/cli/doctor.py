"""`kmipsrv doctor`: looks at everything that the server needs, and says how to mend what is wrong.

Each check is a function from the configuration to findings; it changes nothing. An error is what keeps the server from
starting, keeps clients out or exposes keys; a warning is what will do so later or may be meant.
"""

from __future__ import annotations

import enum
import errno
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import click
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from sqlalchemy import create_engine, make_url, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from kmipsrv.app import CHECK_RECORD, keyring_settings
from kmipsrv.cli import certificates
from kmipsrv.cli.main import program
from kmipsrv.config import Address, Config, load
from kmipsrv.engine import gating, own_keys
from kmipsrv.errors import ConfigError, KmipError
from kmipsrv.keyring import provision
from kmipsrv.store.migrate import HEAD, revision
from kmipsrv.store.tables import records

SOON: Final = timedelta(days=30)
PROBE_TIMEOUT: Final = 5.0  # seconds
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
PURPOSES: Final = {SERVER: "serverAuth", CLIENT: "clientAuth"}


class Level(enum.Enum):
    """How bad a finding is."""

    GOOD = "good"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, what was found, and the mend."""

    level: Level
    subject: str
    text: str
    mend: str = ""

    def __str__(self) -> str:
        return f"{self.level.value:8} {self.subject}: {self.text}{f'; {self.mend}' if self.mend else ''}"


Findings = Iterator[Finding]


@click.command()
@click.option("-c", "--config", "file", type=click.Path(path_type=Path), required=True, help="The configuration file.")
def doctor(file: Path) -> int:
    """Look for what is wrong, and say how to mend it.

    Exit code 1 if there is an error; warnings do not count.
    """
    errors = 0
    for finding in examine(file, datetime.now(UTC)):
        click.echo(str(finding))
        errors += finding.level is Level.ERROR
    return 1 if errors else 0


def examine(file: Path, now: datetime) -> Findings:
    """All findings, in the order in which a server would stumble over them."""
    try:
        config = load(file)
    except ConfigError as error:
        yield Finding(Level.ERROR, "configuration", str(error))
        return
    yield Finding(Level.GOOD, "configuration", str(file))
    for check in CHECKS:
        yield from check(config, now)


def at_start(config: Config, now: datetime) -> list[Finding]:
    """What a server that does start should say about its files and certificates."""
    found = [finding for check in AT_START for finding in check(config, now)]
    return [finding for finding in found if finding.level is not Level.GOOD]


# --- the state directory --------------------------------------------------------------------------------------------


def state(config: Config, _now: datetime) -> Findings:
    """Who else can read it."""
    if not config.state.is_dir():
        yield Finding(Level.ERROR, "state", f"{config.state} is not a directory", f"mkdir -m 700 {config.state}")
    elif config.state.stat().st_mode & 0o077:
        yield Finding(Level.WARNING, "state", f"others may enter {config.state}", f"chmod 700 {config.state}")
    else:
        yield Finding(Level.GOOD, "state", str(config.state))


def private_files(config: Config, _now: datetime) -> Findings:
    """Files that nobody else may read: keys, the PIN, the database."""
    tls, url = config.tls, make_url(config.database_url)
    paths = [tls.key, tls.certificate.with_name("client.key"), *(ca.file.with_suffix(".key") for ca in tls.client_ca)]
    paths += [row.key for row in config.notifications.endpoints]
    if config.token.pin_file is not None:
        paths.append(config.token.pin_file)
    if url.get_backend_name() == "sqlite" and url.database:
        paths.append(Path(url.database))
    for path in dict.fromkeys(paths):
        if path.exists() and path.stat().st_mode & 0o077:
            yield Finding(Level.ERROR, "private file", f"{path} can be read by others", f"chmod 600 {path}")


def _file(config: Config) -> Path:
    return config.file or config.folder / "kmipsrv.yaml"


# --- certificates (RFC 5280) ----------------------------------------------------------------------------------------


def server_certificate(config: Config, now: datetime) -> Findings:
    """The certificate that the server shows, and its key."""
    path, key = config.tls.certificate, config.tls.key
    mend = f"{program()} server-cert -c {_file(config)}, or have your own authority issue one; then SIGHUP"
    try:
        certificate = certificates.read_certificates(path)[0]
        certificates.check_pair(certificate, key)
    except ConfigError as error:
        yield Finding(
            Level.ERROR, "server certificate", str(error), "name the right files in tls.certificate and tls.key"
        )
        return
    found = [*_dates(certificate, now, mend), *_purpose(certificate, SERVER, mend)]
    try:
        certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        found.append(
            Finding(Level.ERROR, "", "it names no host (no Subject Alternative Name), so no client trusts it", mend)
        )
    yield from _about("server certificate", path, certificate, found)


def client_authorities(config: Config, now: datetime) -> Findings:
    """Who may sign client certificates."""
    for authority in config.tls.client_ca:
        subject = f"client CA of domain {authority.domain}"
        try:
            found = certificates.read_certificates(authority.file)
        except ConfigError as error:
            yield Finding(Level.ERROR, subject, str(error), "name the right file in tls.client_ca")
            continue
        for certificate in found:
            wrong = [*_dates(certificate, now, "put its successor into the file"), *_signs(certificate)]
            yield from _about(subject, authority.file, certificate, wrong)


def first_client(config: Config, now: datetime) -> Findings:
    """The client certificate that `init` made, where it is still there."""
    path = config.tls.certificate.with_name("client.pem")
    if not path.exists():
        return
    mend = f"kmipsrv client-cert -c {_file(config)} client --out {path.parent} --force"
    try:
        certificate = certificates.read_certificates(path)[0]
        certificates.check_pair(certificate, path.with_suffix(".key"))
        issuers = [
            one for ca in config.tls.client_ca if ca.file.exists() for one in certificates.read_certificates(ca.file)
        ]
        certificates.check_issued(certificate, issuers)
    except ConfigError as error:
        yield Finding(Level.WARNING, "first client", str(error), mend)
        return
    found = [*_dates(certificate, now, mend), *_purpose(certificate, CLIENT, mend)]
    yield from _about("first client", path, certificate, found)


def notification_endpoints(config: Config, now: datetime) -> Findings:
    """What the server shows to endpoints, and whom it takes for them."""
    mend = f"kmipsrv client-cert -c {_file(config)} notifier --out {config.tls.certificate.parent}"
    for number, row in enumerate(config.notifications.endpoints):
        subject = f"endpoint {row.address}"
        try:
            certificates.read_certificates(row.ca)
            certificate = certificates.read_certificates(row.certificate)[0]
            certificates.check_pair(certificate, row.key)
        except ConfigError as error:
            yield Finding(
                Level.ERROR, subject, str(error), f"name the right files in notifications.endpoints[{number}]"
            )
            continue
        found = [*_dates(certificate, now, mend), *_purpose(certificate, CLIENT, mend)]
        yield from _about(subject, row.certificate, certificate, found)


def _about(subject: str, path: Path, certificate: x509.Certificate, found: list[Finding]) -> Findings:
    name = certificate.subject.rfc4514_string() or "no subject"
    if not found:
        yield Finding(Level.GOOD, subject, f"{path}, {name}, until {certificate.not_valid_after_utc:%F}")
    for finding in found:
        yield Finding(finding.level, finding.subject or subject, f"{path}, {name}: {finding.text}", finding.mend)


def _dates(certificate: x509.Certificate, now: datetime, mend: str) -> Findings:
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < begin:
        yield Finding(Level.ERROR, "", f"it is not valid before {begin:%F %T}", "look at this machine's clock")
    elif now > end:
        yield Finding(Level.ERROR, "", f"it expired on {end:%F}", mend)
    elif end - now < SOON:
        yield Finding(Level.WARNING, "", f"it expires on {end:%F}", mend)


def _purpose(certificate: x509.Certificate, purpose: x509.ObjectIdentifier, mend: str) -> Findings:
    """RFC 5280 §4.2.1.12: where the extension is there, the certificate is for nothing else."""
    try:
        purposes = list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        yield Finding(
            Level.WARNING, "", f"it has no extended key usage; some clients insist on {PURPOSES[purpose]}", mend
        )
        return
    if purpose not in purposes:
        yield Finding(Level.ERROR, "", f"its extended key usage lacks {PURPOSES[purpose]}", mend)


def _signs(certificate: x509.Certificate) -> Findings:
    """RFC 5280 §4.2.1.9 and §4.2.1.3: an authority says so, and that it signs certificates."""
    mend = "put the authority's own certificate into the file, not one that it signed"
    try:
        if not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            yield Finding(Level.ERROR, "", "it is not an authority's certificate (basicConstraints)", mend)
    except x509.ExtensionNotFound:
        yield Finding(Level.ERROR, "", "it is not an authority's certificate (no basicConstraints)", mend)
    try:
        if not certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign:
            yield Finding(Level.ERROR, "", "it may not sign certificates (keyUsage)", mend)
    except x509.ExtensionNotFound:
        pass  # RFC 5280 §4.2.1.3: absent, it restricts nothing


# --- token, database, port ------------------------------------------------------------------------------------------


def token(config: Config, _now: datetime) -> Findings:
    """PIN, token, master key, seal counter, mechanism."""
    yield from _token(config, None)


def _token(config: Config, record: bytes | None) -> Findings:
    """What the keyring finds; with a check record, only what it says about that."""
    try:
        found = provision.check(keyring_settings(config), record)
    except (ConfigError, KmipError) as error:
        if record is None:
            yield Finding(Level.ERROR, "token", str(error))
        return
    # What comes before the check record has been said already.
    for one in found if record is None else [one for one in found if one.subject == provision.CHECK_RECORD]:
        level = Level.GOOD if one.trouble is None else Level.ERROR
        yield Finding(level, "token", f"{one.subject}{f': {one.trouble}' if one.trouble else ''}", one.mend)


def database(config: Config, _now: datetime) -> Findings:
    """Whether it opens, at a revision that this version knows, and whether the token is the one that sealed it."""
    url = make_url(config.database_url)
    file = Path(url.database or "") if url.get_backend_name() == "sqlite" else None
    subject = f"database {url.render_as_string(hide_password=True)}"
    if file is not None:
        if not file.exists():
            yield Finding(Level.GOOD, subject, "not there yet; the first start makes it")
            return
        url = url.set(database=f"file:{file}", query={"mode": "ro", "uri": "true"})
    try:
        engine = create_engine(url, poolclass=NullPool)
        with engine.connect() as connection:
            sound = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar() if file else "ok"
            at = revision(connection)
            query = select(records.c.kind, records.c.key, records.c.value).where(
                records.c.kind.in_((CHECK_RECORD, own_keys.RECORD))
            )
            sealed = list(connection.execute(query)) if at == HEAD else []
    except ConfigError as error:
        yield Finding(Level.ERROR, subject, str(error))
        return
    except (SQLAlchemyError, ModuleNotFoundError) as error:
        yield Finding(Level.ERROR, subject, f"it does not open ({type(error).__name__})", "restore it from the backup")
        return
    if sound != "ok":
        yield Finding(Level.ERROR, subject, "it is damaged (quick_check)", "restore it from the backup")
    if at != HEAD:
        text = f"it is at revision {at}, this version works with {HEAD}"
        yield Finding(Level.WARNING, subject, text, "back it up; the next start upgrades an older one")
        return
    yield Finding(Level.GOOD, subject, f"revision {at}")
    checks = [bytes(value) for kind, _, value in sealed if kind == CHECK_RECORD]
    own = [(name, bytes(value)) for kind, name, value in sealed if kind == own_keys.RECORD]
    for record in checks:
        yield from _token(config, record)
    if own and not checks:
        text = "the record that tells its master key is gone, so the server does not start"
        yield Finding(Level.ERROR, subject, text, "restore it from the backup")
    elif own:
        yield from _own_keys(config, own)


def _own_keys(config: Config, sealed: list[tuple[str, bytes]]) -> Findings:
    """Whether the server's own keys open; what is wrong with the token itself has been said."""
    try:
        keyring = provision.open_keyring(keyring_settings(config))
    except (ConfigError, KmipError):
        return
    for name, record in sealed:
        try:
            own_keys.open_own(keyring, name, record)
        except KmipError as error:
            mend = "restore the token and the database from one backup"
            yield Finding(Level.ERROR, f"own key {name}", str(error), mend)
        else:
            yield Finding(Level.GOOD, f"own key {name}", "opens")


def port(config: Config, _now: datetime) -> Findings:
    """Whether each door is free, or ours already."""
    for name in ("listen", "https"):
        where: Address | None = getattr(config, name)
        if where is not None:
            yield _door(config, name, where)


def _door(config: Config, name: str, where: Address) -> Finding:
    subject = f"{name} {where}"
    try:
        found = socket.getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror:
        return Finding(Level.ERROR, subject, "the host is not known here", f"use an address of this machine in {name}")
    family, kind, protocol, _, target = found[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(target)
            return Finding(Level.GOOD, subject, "free")
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return _taken(config, name, where, subject)
            mends = {errno.EACCES: "use a port from 1024 up", errno.EADDRNOTAVAIL: "use an address of this machine"}
            mend = mends.get(error.errno or 0, f"use another one in {name}")
            return Finding(Level.ERROR, subject, error.strerror or str(error), mend)


def _taken(config: Config, name: str, where: Address, subject: str) -> Finding:
    """Somebody listens: us, if it shows our certificate."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(where.host, where.host)  # noqa: S104
    try:
        shown = ssl.get_server_certificate((host, where.port), timeout=PROBE_TIMEOUT)
        ours = certificates.read_certificates(config.tls.certificate)[0].public_bytes(Encoding.PEM)
        if shown.split() == ours.decode().split():
            return Finding(Level.GOOD, subject, "this server is serving there")
    except (OSError, ConfigError, ValueError):
        pass
    return Finding(Level.ERROR, subject, "another program has the port", f"stop it, or use another port in {name}")


# --- the release gate -----------------------------------------------------------------------------------------------


def release(config: Config, now: datetime) -> Findings:
    """What it reads at the start: policies, enrolled keys, and what evidence is verified by."""
    try:
        found = gating.gate_settings(config)
        gating.enrolled("release.administrators", config.release.administrators)
    except ConfigError as error:
        yield Finding(Level.ERROR, "release", str(error))
        return
    trouble = False
    for rule in found.rules:
        if not found.policies[rule.policy].evidence_types() & found.endorsements.keys():
            trouble = True
            text = f"nothing is pinned for the evidence that {rule.policy} asks for: it releases nothing"
            yield Finding(Level.WARNING, "release", text, "kmipsrv attest import")
    for kind, bag in found.endorsements.items():
        for certificate in dict.fromkeys(bag.certificates):
            if certificate.not_after < now + SOON:
                trouble = True
                past = "has expired" if certificate.not_after < now else f"expires on {certificate.not_after:%F}"
                text = f"{kind}: the certificate of {certificate.common_name or 'no name'} {past}"
                yield Finding(Level.WARNING, "release", text, "kmipsrv attest import, attest remove")
    if not trouble:
        verified = ", ".join(found.endorsements) or "none"
        yield Finding(Level.GOOD, "release", f"{len(found.rules)} rules; types of evidence verified: {verified}")


Check = Callable[[Config, datetime], Findings]
CHECKS: Final[tuple[Check, ...]] = (
    state,
    private_files,
    server_certificate,
    client_authorities,
    first_client,
    notification_endpoints,
    release,
    token,
    database,
    port,
)
"""The checks, in the order in which they are made."""
AT_START: Final[tuple[Check, ...]] = (
    state,
    private_files,
    server_certificate,
    client_authorities,
    notification_endpoints,
)
"""Those that need neither token nor database."""
