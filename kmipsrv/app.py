"""The composition root: Config -> Engine -> server. The only file that knows everybody.

One process per worker: store and token are opened after the fork (`_worker`), sockets and TLS context before it.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy.engine import make_url

from kmipsrv import __version__
from kmipsrv.client.connection import Connection
from kmipsrv.client.delivery import TIMEOUT, Delivery
from kmipsrv.config import Address, Config, Endpoint, load
from kmipsrv.config import Device as DeviceSettings
from kmipsrv.domain import notices
from kmipsrv.domain.identity import Identity
from kmipsrv.domain.ports import Store
from kmipsrv.domain.settings import Settings
from kmipsrv.engine import gating, own_keys
from kmipsrv.engine.engine import Engine
from kmipsrv.engine.post import Post
from kmipsrv.errors import Cause, ConfigError, KmipError, TokenUnavailable
from kmipsrv.identity import one_time
from kmipsrv.identity.authenticator import CredentialAuthenticator, Device, HashedPassword, User
from kmipsrv.identity.certificate import CertificateRefused, Identities, TrustDomain
from kmipsrv.keyring.envelope import Envelope
from kmipsrv.keyring.provision import KeyringSettings, open_keyring
from kmipsrv.operations import _asynchronous as asynchronous
from kmipsrv.operations import _authority as authority
from kmipsrv.release.gate import Gate
from kmipsrv.server import serve as edge
from kmipsrv.server.bodies import bodies
from kmipsrv.server.limits import Limits
from kmipsrv.server.listener import Door
from kmipsrv.server.tls import CIPHERS, Trust, trust
from kmipsrv.server.workers import Seat, Supervisor
from kmipsrv.spec.enums import AttestationType
from kmipsrv.spec.versions import Version
from kmipsrv.store.sqlite import SQLiteStore

logger = logging.getLogger(__name__)

DELIVERY_STOP = 2.0  # seconds that a delivery under way may take at the end
CHECK_RECORD = "check"  # the kind of the record that tells the right master key from a wrong one
SEALED = (own_keys.RECORD, authority.RECORD, asynchronous.JOB)  # the kinds of records that the keyring seals, beside it


def open_store(config: Config) -> Store:
    """The object store of the configuration. Raises ConfigError."""
    url = make_url(config.database_url)
    if url.get_backend_name() == "sqlite":
        return SQLiteStore(Path(url.database or ""))
    if url.get_backend_name() == "postgresql":
        try:
            from kmipsrv.store.postgresql import PostgreSQLStore  # needs the extra `postgresql`
        except ModuleNotFoundError as error:
            raise ConfigError("database.url: PostgreSQL needs psycopg: pip install 'kmipsrv[postgresql]'") from error
        return PostgreSQLStore(url.set(drivername="postgresql").render_as_string(hide_password=False))
    raise ConfigError(f"database.url: {url.get_backend_name()} is not supported: use sqlite:///FILE or postgresql://…")


def open_engine(config: Config) -> Engine:
    """The engine with its real adapters, for one process. Raises ConfigError for a wrong master key, among others."""
    store = open_store(config)
    keyring = open_keyring(keyring_settings(config))
    verify_master_key(store, keyring)
    released = gating.gate_settings(config)
    with opening_own_keys():
        gate = gating.open_gate(released, store, keyring, os.urandom)
    return Engine(
        store=store,
        keyring=keyring,
        gate=gate,
        settings=settings(config, gating.attestation_types(released)),
        authenticator=authenticator(config),
        clock=time.time,
        random=os.urandom,
        identify=lambda certificate: identify(config, certificate),
    )


def signing_key(config: Config, store: Store) -> Ed25519PublicKey:
    """What the server's signatures are checked with; made if this is the first start. Raises ConfigError."""
    keyring = open_keyring(keyring_settings(config))
    verify_master_key(store, keyring)
    with opening_own_keys():
        return own_keys.own_keys(store, keyring, os.urandom).signing.public_key()


@contextmanager
def opening_own_keys() -> Iterator[None]:
    """Own keys that do not open are said to the operator: raises ConfigError for them."""
    try:
        yield
    except KmipError as error:
        if error.cause is not Cause.CRYPTOGRAPHIC_FAILURE:
            raise
        raise ConfigError(
            "database: the server's own keys in it do not open: another token has sealed them, or they were changed; "
            "restore the token and the database from one backup"
        ) from error


def reload(config: Config, engine: Engine) -> Trust:
    """Read anew the denied certificates and what the configuration names: certificates, CAs, endorsements, policies, keys.

    All of it is taken over or, with a ConfigError, none."""
    config = current(config)
    released = gating.gate_settings(config)
    trusted = make_trust(config)
    gate = engine.dispatcher.gate
    assert isinstance(gate, Gate)
    gate.settings = released
    engine.take(settings(config, gating.attestation_types(released)))
    return trusted


def current(config: Config) -> Config:
    """The configuration with the certificates that its file denies now. Raises ConfigError."""
    if config.file is None:
        return config
    return dataclasses.replace(config, tls=dataclasses.replace(config.tls, denied=load(config.file).tls.denied))


def identify(config: Config, certificate: bytes) -> Identity:
    """Who a client certificate (DER) would be, by the files as they are now. Raises KmipError(INVALID_FIELD)."""
    try:
        return make_trust(current(config)).identities.identify(certificate)
    except CertificateRefused as error:
        raise KmipError(Cause.INVALID_FIELD, "no authority of this server's has issued the certificate") from error


def verify_master_key(store: Store, keyring: Envelope) -> None:
    """A store opens only with the master key that sealed it: an ordinary sealed record of known content tells.

    The first start writes the record. Raises ConfigError."""
    used = store.holds_objects()  # looked at first: of processes that start together, one makes records after its check
    with store.work() as work:
        used = used or any(work.holds(kind) for kind in SEALED)
    with store.work() as work:
        record = work.read(CHECK_RECORD, "master key")
        if record is None and not used:
            record = keyring.check_record()
            work.write(CHECK_RECORD, "master key", record)
    if record is None:
        raise ConfigError(
            "database: it holds what a master key has sealed, but not the record that tells which one; restore the backup"
        )
    try:
        keyring.verify_check(record)
    except TokenUnavailable:
        raise
    except KmipError as error:
        raise ConfigError(
            "token: its master key is not the one that sealed the database; restore the token and the PIN that belong to "
            "the database, or name another database"
        ) from error


def keyring_settings(config: Config) -> KeyringSettings:
    token = config.token
    return KeyringSettings(
        module=token.module_path(),
        token_label=token.label,
        key_label=token.key_label,
        pin_file=token.pin_path(),
        counter_file=token.seal_counter,
        mechanism=token.mechanism,
        softhsm2_conf=token.softhsm2_conf,
    )


def settings(config: Config, attestation_types: tuple[AttestationType, ...] = ()) -> Settings:
    limits = config.limits
    return Settings(
        vendor_identification=config.server_information.vendor_identification,
        server_version=__version__,
        time_stamp_skew=config.time_stamp_skew,
        nesting=limits.nesting,
        batch_items=limits.batch_items,
        locate_items=limits.locate_items,
        attribute_instances=limits.attribute_instances,
        lease_time=config.lease_time,
        ticket_time=config.ticket_time,
        maximum_rsa_bits=limits.rsa_bits,
        maximum_dh_bits=limits.rsa_bits,
        maximum_pbkdf2_iterations=limits.pbkdf2_iterations,
        maximum_random_bytes=limits.rng_bytes,
        maximum_split_key_parts=limits.split_key_parts,
        maximum_streams=limits.streams,
        maximum_asynchronous=limits.asynchronous,
        allow_legacy_algorithms=config.cryptography.allow_legacy,
        interop=config.interop,
        endpoints=endpoints(config),
        notice_time=config.notifications.keep,
        pkcs_11_manufacturer=config.server_information.pkcs11_manufacturer,
        pkcs_11_description=config.server_information.pkcs11_description,
        default_object_group=config.object_groups.default or "",
        generated_groups=frozenset(config.object_groups.generated or ()),
        https=config.https is not None,
        attestation_types=attestation_types,
    )


def authenticator(config: Config) -> CredentialAuthenticator:
    """The users and devices of the configuration. Raises ConfigError."""
    try:
        users = [
            User(
                username=user.username,
                owner=user.owner,
                certificate=user.certificate or "",
                administrator=user.administrator,
                record=user.password,
                seed=None if user.one_time_seed is None else one_time.seed(user.one_time_seed),
                hashed=None if user.hashed_password is None else HashedPassword.parse(user.hashed_password),
            )
            for user in config.users
        ]
        devices = [Device(_identifiers(device), device.owner, device.password) for device in config.devices]
        return CredentialAuthenticator(users, devices, os.urandom(32))
    except ValueError as error:
        raise ConfigError(f"users, devices: {error}") from error


def _identifiers(device: DeviceSettings) -> tuple[tuple[str, str], ...]:
    """What a Device credential has to hold: (field of Credential Value, value)."""
    given = {
        "device_serial_number": device.serial_number,
        "device_identifier": device.device_identifier,
        "network_identifier": device.network_identifier,
        "machine_identifier": device.machine_identifier,
        "media_identifier": device.media_identifier,
    }
    return tuple((name, value) for name, value in given.items() if value is not None)


def edge_limits(config: Config) -> Limits:
    limits = config.limits
    return Limits(
        connections=limits.connections,
        connections_per_client=limits.connections_per_client,
        handshakes_per_address=limits.handshakes_per_address,
        message=limits.message_size,
        handshake=limits.handshake_timeout,
        read=limits.read_timeout,
        write=limits.write_timeout,
        idle=limits.idle_timeout,
        drain=limits.drain_timeout,
    )


def make_trust(config: Config) -> Trust:
    """Certificates and CAs, read anew at every call. Raises ConfigError."""
    tls = config.tls
    try:
        domains = [TrustDomain(ca.domain, ca.file.read_bytes(), ca.tenant or "") for ca in tls.client_ca]
    except OSError as error:
        raise ConfigError(f"tls.client_ca: {error.filename} cannot be read: {error.strerror}") from error
    owners = {(rule.domain, name): rule.owner for rule in config.identities for name in rule.names}
    try:
        identities = Identities(domains, owners, denied=tls.denied or ())
    except ValueError as error:
        raise ConfigError(f"tls.client_ca: {error}") from error
    made = trust(tls.certificate, tls.key, identities, tls.ciphers or CIPHERS)
    if tls.min_version == "1.3":
        made.context.minimum_version = ssl.TLSVersion.TLSv1_3
    made.context.num_tickets = tls.session_tickets if tls.resumption else 0
    if not tls.resumption:
        made.context.options |= ssl.OP_NO_TICKET
    return made


def endpoints(config: Config) -> tuple[notices.Endpoint, ...]:
    """Who hears of whose objects."""
    versions = {str(version): version for version in Version}
    return tuple(
        notices.Endpoint(f"{row.address} {row.owner}", row.owner, versions[row.version], row.notify, row.put)
        for row in config.notifications.endpoints
    )


@contextmanager
def delivering(config: Config, engine: Engine) -> Iterator[None]:
    """Deliver to the endpoints of the configuration, beside `engine` and with a store of its own. Raises ConfigError."""
    rows = config.notifications
    if not rows.endpoints:
        yield
        return
    dispatcher, store = engine.dispatcher, open_store(config)
    with opening_own_keys():
        own_keys.own_keys(store, dispatcher.keyring, os.urandom)
    own = Engine(
        store=store,
        keyring=dispatcher.keyring,
        gate=dispatcher.gate,
        settings=engine.settings,
        authenticator=dispatcher.authenticator,
        clock=time.time,
        random=os.urandom,
    )
    post = Post(own, rows.queue)
    started = [
        Delivery(post, endpoint, _connector(row), attempts=rows.attempts, longest_pause=rows.longest_pause)
        for endpoint, row in zip(engine.settings.endpoints, rows.endpoints, strict=True)
    ]
    for each in started:
        each.start()
    try:
        yield
    finally:
        for each in started:
            each.stop(0)
        if all(each.stop(DELIVERY_STOP) for each in started):
            store.close()


def _connector(row: Endpoint) -> Callable[[], Connection]:
    host, port = row.address
    return lambda: Connection.open(host, port, row.certificate, row.key, row.ca, TIMEOUT)


def check_endpoints(config: Config) -> None:
    """Raises ConfigError when an endpoint's files cannot be used."""
    for number, row in enumerate(config.notifications.endpoints):
        try:
            ssl.create_default_context(cafile=row.ca).load_cert_chain(row.certificate, row.key)
        except OSError as error:  # ssl.SSLError is one
            raise ConfigError(
                f"notifications.endpoints[{number}]: {row.ca}, {row.certificate} and {row.key} cannot be used ({error}): "
                "name an authority's certificate, and a client's certificate with its key"
            ) from error


def serve(
    config: Config,
    *,
    ready: Callable[[Sequence[tuple[str, Address]]], None] = lambda doors: None,
    stopping: Callable[[], None] = lambda: None,
) -> None:
    """Serve until SIGTERM or SIGINT. `ready` is called with the open doors once connections are accepted.

    Raises ConfigError for anything that keeps the server from starting."""
    trusted = make_trust(config)
    check_endpoints(config)
    doors = [Door(edge.bind(config.listen.host, config.listen.port))]
    opened = [("KMIP over TLS", _bound(doors[0]))]
    if config.https is not None:
        doors.append(Door(edge.bind(config.https.host, config.https.port), "https"))
        opened.append(("KMIP over HTTPS", _bound(doors[1])))

    def worker(up: Callable[[], None], seat: Seat | None) -> None:
        engine = open_engine(config)
        first = seat is None or seat.worker == 0
        try:
            with delivering(config, engine) if first else nullcontext():
                edge.run(
                    edge.serve(
                        doors,
                        trusted,
                        edge_limits(config),
                        engine.answer,
                        prepare=engine.prepare,
                        bodies=bodies(config.limits.nesting),
                        ready=up,
                        reload=lambda: reload(config, engine),
                        seat=seat,
                    )
                )
        finally:
            engine.store.close()

    if config.workers == 1:
        worker(lambda: ready(opened), None)
    else:
        sockets = [door.socket for door in doors]
        grace = config.limits.drain_timeout + 5
        status = Supervisor(config.workers, worker, sockets, lambda: ready(opened), grace).run()
        if status:
            raise SystemExit(status)
    stopping()


def _bound(door: Door) -> Address:
    host, port = door.socket.getsockname()[:2]
    return Address(host, port)
