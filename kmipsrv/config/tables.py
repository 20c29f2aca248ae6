"""The settings. A class body is a section of the file, a line is a setting, the string below it says what it does.

`conf/kmipsrv.yaml` shows every one with its default; a test holds the two together. Relative defaults of paths start
at the folder of the file, as given ones do.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kmipsrv.config.kinds import (
    ADDRESS,
    DATABASE,
    DOMAIN,
    FILE,
    FINGERPRINT,
    FLAG,
    HASHED,
    MODULE,
    PASSWORD,
    SEED,
    TEXT,
    Address,
    count,
    list_of,
    off_or,
    one_of,
    required,
    seconds,
    section,
    sections,
    setting,
)
from kmipsrv.errors import ConfigError

MODULE_FOLDERS = tuple(
    f"usr/{lib}{folder}" for folder in ("/softhsm", "/pkcs11", "") for lib in ("lib", "lib/*", "lib64", "local/lib")
)
"""Where distributions put PKCS#11 modules, as patterns under the root folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    url: str | None = setting(off_or(DATABASE), None, secret=True)  # a PostgreSQL URL may carry a password
    """Where objects are kept; absent: kmipsrv.db in the state directory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    module: str = setting(MODULE, "libsofthsm2.so")
    """The PKCS#11 module; a bare name is looked for where distributions put such modules."""
    softhsm2_conf: Path | None = setting(off_or(FILE), None)
    """SoftHSM's own configuration file (what its environment variable SOFTHSM2_CONF would name)."""
    label: str = setting(TEXT, "kmipsrv")
    """The token's label."""
    pin_file: Path | None = setting(off_or(FILE), None)
    """A file that holds the PIN and that nobody else may read."""
    credential: str | None = setting(off_or(TEXT), None)
    """The name of a systemd credential that holds the PIN (LoadCredential=), instead of pin_file."""
    key_label: str = setting(TEXT, "kmipsrv master key")
    """The label of the AES-256 master key."""
    seal_counter: Path = setting(FILE, Path("token/seals"))
    """The file that counts how often each version of the master key has sealed (2^32 times at most)."""
    mechanism: str = setting(one_of("aes-gcm", "aes-gcm-token-iv", "aes-kwp"), "aes-gcm")
    """How the token seals data keys: AES-GCM with our IV or with the token's own (FIPS modules), or AES key wrap with
    padding (RFC 5649) where the token has no AES-GCM."""

    def module_path(self) -> Path:
        """The module's path: as given, or the first of that name where distributions put such modules."""
        if "/" in self.module:
            return Path(self.module)
        found = (path for folder in MODULE_FOLDERS for path in sorted(Path("/").glob(f"{folder}/{self.module}")))
        return next(found, Path(self.module))

    def pin_path(self, environ: Mapping[str, str] = os.environ) -> Path:
        """The file that holds the PIN, be it a systemd credential; ConfigError, with the mend, if none is named."""
        if self.pin_file is not None:
            return self.pin_file
        if self.credential is None:
            raise ConfigError("token: give pin_file or credential, else the token cannot be opened")
        if "CREDENTIALS_DIRECTORY" not in environ:
            raise ConfigError(
                f"token.credential: {self.credential!r} cannot be read: systemd passed no credentials; "
                "add LoadCredential= to the unit, or use token.pin_file"
            )
        return Path(environ["CREDENTIALS_DIRECTORY"]) / self.credential


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientAuthority:
    file: Path = required(FILE)
    """Certificates (PEM) whose holders may sign client certificates."""
    domain: str = setting(DOMAIN, "default")
    """The trust domain: the same subject under two domains is two identities."""
    tenant: str | None = setting(off_or(TEXT), None)
    """The tenant that its clients belong to, if any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    certificate: Path = setting(FILE, Path("certs/server.pem"))
    """The server's certificate, followed by its intermediates (PEM)."""
    key: Path = setting(FILE, Path("certs/server.key"))
    """The server's private key (PEM, not encrypted)."""
    client_ca: tuple[ClientAuthority, ...] = sections(ClientAuthority, {"file": "certs/ca.pem"})
    """Who may sign client certificates; absent: certs/ca.pem, in the trust domain `default`."""
    denied: tuple[bytes, ...] | None = setting(off_or(list_of(FINGERPRINT)), None)
    """SHA-256 of certificates that no longer count, a client's or an intermediate authority's; read anew on SIGHUP."""
    min_version: str = setting(one_of("1.2", "1.3"), "1.2")
    """The oldest TLS version spoken."""
    ciphers: str | None = setting(off_or(TEXT), None)
    """OpenSSL's cipher list for TLS 1.2; absent: suites with forward secrecy only."""
    resumption: bool = setting(FLAG, True)
    """Whether sessions may be resumed; the client certificate is checked again on each resumption."""
    session_tickets: int = setting(count(0, 16), 2)
    """How many TLS 1.3 tickets a full handshake hands out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    connections: int = setting(count(1, 1_000_000), 4096)
    """Connections open at once, in all workers together."""
    connections_per_client: int = setting(count(1, 1_000_000), 512)
    """Connections open at once for one identity, in each worker."""
    handshakes_per_address: int = setting(count(1, 1_000_000), 128)
    """Unfinished TLS handshakes of one network address, in each worker."""
    message_size: int = setting(count(1024, 64 * 1024 * 1024), 1024 * 1024)
    """Bytes in one request."""
    handshake_timeout: float = setting(seconds(0.1, 600), 10.0)
    """Seconds a TLS handshake may take."""
    read_timeout: float = setting(seconds(0.1, 3600), 30.0)
    """Seconds from the first byte of a request to its last."""
    idle_timeout: float = setting(seconds(1, 30 * 86400), 3600.0)
    """Seconds that a connection may stay silent between requests."""
    write_timeout: float = setting(seconds(0.1, 3600), 30.0)
    """Seconds that a client may take to take an answer."""
    drain_timeout: float = setting(seconds(0.1, 3600), 10.0)
    """Seconds from SIGTERM until what is still unanswered is given up."""
    nesting: int = setting(count(8, 256), 32)
    """Structures within structures in one request, in any encoding."""
    batch_items: int = setting(count(1, 100_000), 256)
    """Batch items in one request."""
    locate_items: int = setting(count(1, 1_000_000), 10_000)
    """Unique identifiers in one answer to Locate."""
    attribute_instances: int = setting(count(1, 1_000_000), 1000)
    """Instances of one attribute of one object."""
    rsa_bits: int = setting(count(1024, 16384), 4096)
    """Longest RSA, DSA or DH modulus made, registered or used."""
    pbkdf2_iterations: int = setting(count(1000, 100_000_000), 1_000_000)
    """Iterations of one password-based derivation, PKCS#12 included."""
    rng_bytes: int = setting(count(1, 16 * 1024 * 1024), 64 * 1024)
    """Bytes from one RNG Retrieve."""
    split_key_parts: int = setting(count(2, 65535), 255)
    """Parts of one split key."""
    streams: int = setting(count(1, 100_000), 256)
    """Multi-part cryptographic operations open at once, for one identity, in each worker."""
    asynchronous: int = setting(count(1, 100_000), 1000)
    """Asynchronous requests of one owner that wait to be polled for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityRule:
    domain: str = setting(DOMAIN, "default")
    """The trust domain of the certificates."""
    names: tuple[str, ...] = required(list_of(TEXT))
    """Their names: a SAN URI, or else the full subject as RFC 4514 writes it."""
    owner: str = required(TEXT)
    """Who all of them are: a word of your own, or `domain:name` of the certificate whose objects they share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    username: str = required(TEXT)
    """Username of the Username and Password credential."""
    password: str | None = setting(off_or(PASSWORD), None, secret=True)
    """The password's hash; the password itself is refused."""
    one_time_seed: str | None = setting(off_or(SEED), None, secret=True)
    """The seed of one-time passwords (TOTP, 6 digits, 30 s): the user then presents One Time Password credentials only."""
    hashed_password: str | None = setting(off_or(HASHED), None, secret=True)
    """What Hashed Password credentials are checked against. Unlike `password` it must be kept as secret as the password."""
    certificate: str | None = setting(off_or(TEXT), None)
    """The name (SAN URI or subject) or common name of the only certificate that may carry the credential."""
    administrator: bool = setting(FLAG, False)
    """Whether the user may make users, groups and credentials (KMIP 3.0)."""
    owner: str | None = setting(off_or(TEXT), None)
    """Whose objects these are; absent: those of the certificate that carried the credential."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    serial_number: str | None = setting(off_or(TEXT), None)
    """Device Serial Number. Each identifier given here must be in the Device credential, with this value."""
    device_identifier: str | None = setting(off_or(TEXT), None)
    """Device Identifier."""
    network_identifier: str | None = setting(off_or(TEXT), None)
    """Network Identifier."""
    machine_identifier: str | None = setting(off_or(TEXT), None)
    """Machine Identifier."""
    media_identifier: str | None = setting(off_or(TEXT), None)
    """Media Identifier."""
    password: str | None = setting(off_or(PASSWORD), None, secret=True)
    """The hash of the password that the credential must carry."""
    owner: str | None = setting(off_or(TEXT), None)
    """Whose objects these are; absent: those of the certificate that carried the credential."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cryptography:
    allow_legacy: bool = setting(FLAG, False)
    """Whether algorithms that nobody should start to use (3DES, MD5, DSA, …) may be asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectGroups:
    default: str | None = setting(off_or(TEXT), None)
    """The Object Group of an object that names none; absent: it belongs to no group."""
    generated: tuple[str, ...] | None = setting(off_or(list_of(TEXT)), None)
    """Groups in which a Locate for fresh members makes a new AES-256 key when there is none left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRule:
    policy: str = required(TEXT)
    """A policy of the folder `policies`: the name of its file without .json, or its id."""
    tenant: str | None = setting(off_or(TEXT), None)
    """Objects of this tenant. What is given here has to be met, all of it; a rule without any of it is about every object."""
    object_group: str | None = setting(off_or(TEXT), None)
    """Objects in this Object Group."""
    name: str | None = setting(off_or(TEXT), None)
    """Objects with a Name of this pattern (* and ?)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EnrolledKey:
    id: str = required(TEXT)
    """What policies and orders call its holder: a word of your own, or `sha256:` and the hash of the key itself."""
    key: Path = required(FILE)
    """The public key (PEM or DER): Ed25519, or ECDSA over P-256."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    policies: Path | None = setting(off_or(FILE), None)
    """A folder of release policies (*.json), if any, for rules and for clients that name a policy by its id."""
    rules: tuple[ReleaseRule, ...] = sections(ReleaseRule)
    """Which objects are under which policy, whether or not their owners have put them under one."""
    approvers: tuple[EnrolledKey, ...] = sections(EnrolledKey)
    """Whose approvals count."""
    administrators: tuple[EnrolledKey, ...] = sections(EnrolledKey)
    """Whose orders to replace or remove an object's policy are carried out."""
    order_approvals: int = setting(count(0, 64), 0)
    """How many approvers have to approve such an order."""
    nonce_lifetime: int = setting(count(10, 3600), 300)
    """Seconds from the server's nonce until evidence over it is too late."""
    bare_nonce: bool = setting(FLAG, False)
    """Whether evidence may cover the nonce's bare value, as foreign agents make it, instead of the digest that binds the
    client's and the recipient's key as well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    owner: str = required(TEXT)
    """Whose objects it hears of: the owner, `domain:name` of a certificate unless `identities`, users or devices say another."""
    address: Address = setting(ADDRESS, Address("127.0.0.1", 5697))
    """Where the client waits for the server's messages; its certificate must be for this host."""
    ca: Path = setting(FILE, Path("certs/ca.pem"))
    """Who may sign the endpoint's certificate (PEM)."""
    certificate: Path = required(FILE)
    """The certificate that the server shows as a client, followed by its intermediates (PEM)."""
    key: Path = required(FILE)
    """Its private key (PEM, not encrypted)."""
    version: str = setting(one_of("1.0", "1.1", "1.2", "1.3", "1.4", "2.0", "2.1", "3.0"), "1.4")
    """The protocol version of the messages."""
    notify: bool = setting(FLAG, True)
    """Whether it hears of changed attributes (Notify)."""
    put: bool = setting(FLAG, False)
    """Whether new objects are pushed to it, keys in clear inside TLS (Put)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notifications:
    endpoints: tuple[Endpoint, ...] = sections(Endpoint)
    """Who hears of changed and new objects; none: Query does not list Notify and Put."""
    keep: int = setting(count(60, 30 * 86400), 86400)
    """Seconds that a message waits for its endpoint before it is given up."""
    queue: int = setting(count(1, 1_000_000), 10_000)
    """Messages that wait for one endpoint; of more, the oldest are given up."""
    attempts: int = setting(count(1, 1000), 5)
    """How often a message is sent that the endpoint refuses."""
    longest_pause: float = setting(seconds(1, 86400), 300.0)
    """Seconds between two attempts at most; the first pause is 1 second, each further one twice as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Logging:
    level: str = setting(one_of("debug", "info", "warning", "error"), "info")
    """The least severe line written."""
    format: str = setting(one_of("text", "json"), "text")
    """Lines for people, or one JSON object a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInformation:
    vendor_identification: str = setting(TEXT, "kmipsrv")
    """What Query answers as Vendor Identification, and the vendor of this server's own attributes."""
    pkcs11_manufacturer: str = setting(TEXT, "kmipsrv")
    """What the PKCS#11 operation's C_GetInfo says of the manufacturer; 32 bytes at most are shown."""
    pkcs11_description: str = setting(TEXT, "kmipsrv")
    """What it says of the library."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole file. `folder` is where it lies, `file` its path where it has been read from one."""

    folder: Path = field(default=Path(), metadata={"hidden": True})
    file: Path | None = field(default=None, compare=False, metadata={"hidden": True})
    listen: Address = setting(ADDRESS, Address("127.0.0.1", 5696))
    """Where KMIP over TLS is served. The default is this machine only."""
    https: Address | None = setting(off_or(ADDRESS), None)
    """Where KMIP over HTTPS (TTLV, JSON, XML at /kmip) is served, if at all."""
    state: Path = setting(FILE, Path())
    """The state directory: the database and, for SoftHSM, the token."""
    workers: int = setting(count(1, 256), 1)
    """Processes that serve the port."""
    time_stamp_skew: int | None = setting(off_or(count(1, 86400)), None)
    """Seconds that a request's Time Stamp may be off; off: it is not judged."""
    lease_time: int = setting(count(1, 30 * 86400), 3600)
    """Seconds for which a client may use an object before it asks again (Lease Time)."""
    ticket_time: int = setting(count(60, 30 * 86400), 86400)
    """The longest time, in seconds, that a ticket of Login or Delegated Login is valid."""
    interop: bool = setting(FLAG, False)
    """Whether the Interop operation exists. For conformance runs only."""
    database: Database = section(Database)
    token: Token = section(Token)
    tls: Tls = section(Tls)
    limits: Limits = section(Limits)
    cryptography: Cryptography = section(Cryptography)
    identities: tuple[IdentityRule, ...] = sections(IdentityRule)
    """Certificates that share one owner."""
    users: tuple[User, ...] = sections(User)
    """Who may present a Username and Password credential."""
    devices: tuple[Device, ...] = sections(Device)
    """Which Device credentials are accepted."""
    object_groups: ObjectGroups = section(ObjectGroups)
    server_information: ServerInformation = section(ServerInformation)
    logging: Logging = section(Logging)
    notifications: Notifications = section(Notifications)
    release: Release = section(Release)

    @property
    def database_url(self) -> str:
        """The URL of the database, the default filled in."""
        return self.database.url or f"sqlite:///{self.state / 'kmipsrv.db'}"
