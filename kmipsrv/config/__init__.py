"""One frozen `Config`, read from one YAML file.

`tables.py` is the list of settings, `kinds.py` what a value may look like, `reading.py` the way from the file to the
tables. Every mistake is found in one reading and reported as one `ConfigError`: the path inside the file, the value
and what would be accepted. A key that is not in the table is an error, never ignored: a misspelt limit is no limit.
Relative paths are relative to the file. Nothing is opened here but the file itself and, on request, the PIN.
"""

from kmipsrv.config.kinds import Address, address
from kmipsrv.config.reading import load, load_yaml, read
from kmipsrv.config.tables import (
    ClientAuthority,
    Config,
    Cryptography,
    Database,
    Device,
    Endpoint,
    EnrolledKey,
    IdentityRule,
    Limits,
    Logging,
    Notifications,
    Release,
    ReleaseRule,
    ServerInformation,
    Tls,
    Token,
    User,
)

__all__ = [
    "Address",
    "ClientAuthority",
    "Config",
    "Cryptography",
    "Database",
    "Device",
    "Endpoint",
    "EnrolledKey",
    "IdentityRule",
    "Limits",
    "Logging",
    "Notifications",
    "Release",
    "ReleaseRule",
    "ServerInformation",
    "Tls",
    "Token",
    "User",
    "address",
    "load",
    "load_yaml",
    "read",
]
