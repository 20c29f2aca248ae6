"""Make a token and its master key, look whether all is there, open a keyring on it.

SoftHSM2 is the default: a token directory and a configuration file of its own inside the state directory, so that
nothing of the machine's is touched. With another PKCS#11 module the token is the operator's; only the master key is
made.

The token is initialised by C_InitToken and C_InitPIN in this process: on the command line of `softhsm2-util` every user
of the machine could read the PINs. It is made complete in a directory beside its place and then renamed into it, so
that an interrupted `initialise` leaves no half token. The security officer's PIN is random and thrown away: whoever has
the user PIN needs nothing from it.
"""

from __future__ import annotations

import ctypes
import dataclasses
import os
import secrets
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pkcs11
from pkcs11 import TokenFlag

from kmipsrv.errors import ConfigError, KmipError
from kmipsrv.keyring.counter import FileCounter
from kmipsrv.keyring.cryptoki import LOCK, library
from kmipsrv.keyring.envelope import Envelope
from kmipsrv.keyring.master import MECHANISMS, Mechanism
from kmipsrv.keyring.pkcs11 import Token, TokenAddress, make_version, read_pin

SOFTHSM2: Final = (
    Path("/usr/lib/softhsm/libsofthsm2.so"),  # Debian, Ubuntu
    Path("/usr/lib64/pkcs11/libsofthsm2.so"),  # Fedora, RHEL
    Path("/usr/lib/pkcs11/libsofthsm2.so"),  # Arch
    Path("/usr/local/lib/softhsm/libsofthsm2.so"),  # from source
    Path("/opt/homebrew/lib/softhsm/libsofthsm2.so"),
)
"""Where the distributions put SoftHSM2's library; the first that exists is taken."""

SOFTHSM2_CONF: Final = """\
# SoftHSM2 for kmipsrv. The token below holds the master key: without it no object can ever be opened again. Back it up.
directories.tokendir = {tokens}
objectstore.backend = file
log.level = ERROR
slots.removable = false
"""

CHECK_RECORD: Final = "check record"  # the subject of what `check` finds about it
CKR_OK: Final = 0
LABEL_LENGTH: Final = 32  # bytes; PKCS #11 v2.40 C_InitToken: padded with blanks, not null-terminated


@dataclass(frozen=True, slots=True)
class KeyringSettings:
    """All that it takes to open a keyring; what `initialise` returns and the configuration keeps."""

    module: Path
    token_label: str
    key_label: str
    pin_file: Path
    counter_file: Path
    mechanism: str = "aes-gcm"  # a key of master.MECHANISMS
    softhsm2_conf: Path | None = None  # None: not SoftHSM2, or the machine's own configuration

    @property
    def address(self) -> TokenAddress:
        return TokenAddress(self.module, self.token_label, self.key_label, self.softhsm2_conf)


@dataclass(frozen=True, slots=True)
class Initialised:
    """What `initialise` found or made; `done` has one line for each thing that was made just now."""

    settings: KeyringSettings
    done: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `check`: what was looked at, what is wrong with it (None: nothing) and how to mend it."""

    subject: str
    trouble: str | None = None
    mend: str = ""


def find_softhsm2() -> Path:
    """The path of SoftHSM2's library. Raises ConfigError when it is not installed."""
    for path in SOFTHSM2:
        if path.is_file():
            return path
    raise ConfigError("SoftHSM2 is not installed: apt-get install softhsm2, or name another PKCS#11 module")


def initialise(
    directory: Path,
    *,
    module: Path | None = None,
    token_label: str = "kmipsrv",  # noqa: S107 (a label, no secret)
    key_label: str = "kmipsrv master key",
    pin_file: Path | None = None,
    mechanism: str = "aes-gcm",
) -> Initialised:
    """Make what is missing of token, PIN, master key and seal counter; a second call makes nothing.

    `directory` gets `pin`, `seals` and, without `module`, `softhsm2.conf` and `tokens/`. With `module` the token must
    exist and `pin_file` hold its user PIN. Raises ConfigError with the mend.
    """
    if mechanism not in MECHANISMS:
        raise ConfigError(f"unknown mechanism '{mechanism}': one of {', '.join(MECHANISMS)}")
    directory = directory.absolute()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    own_token = module is None
    settings = KeyringSettings(
        module=find_softhsm2() if module is None else module,
        token_label=token_label,
        key_label=key_label,
        pin_file=directory / "pin" if pin_file is None else pin_file.absolute(),
        counter_file=directory / "seals",
        mechanism=mechanism,
        softhsm2_conf=directory / "softhsm2.conf" if own_token else None,
    )
    done: list[str] = []
    if own_token:
        done += _make_softhsm2(directory / "tokens", settings)
    version = make_version(settings.address, read_pin(settings.pin_file), first_only=True)
    if version is not None:
        done.append(f"made version {version} of the AES-256 master key '{key_label}' in the token '{token_label}'")
    if FileCounter.create(settings.counter_file):
        done.append(f"made the seal counter {settings.counter_file}")
    return Initialised(settings, done)


def open_keyring(settings: KeyringSettings) -> Envelope:
    """Open the token and put the envelope on it. Call it after the fork. Raises ConfigError with the mend."""
    if settings.mechanism not in MECHANISMS:
        raise ConfigError(f"unknown mechanism '{settings.mechanism}': one of {', '.join(MECHANISMS)}")
    counter = FileCounter(settings.counter_file)
    counter.reserved()
    token = _token(settings)
    token.connect()
    return Envelope(token, counter, MECHANISMS[settings.mechanism])


def rotate(settings: KeyringSettings) -> int:
    """Make the next version of the master key; -> its number. Old versions stay, and open what they have sealed.

    A running server seals with the new version after its next start; `Envelope.reseal` moves a record to it. A seal counter
    that is missing begins anew: with the new version at zero, and the old ones, whose seals nobody knows, used up.
    """
    version = make_version(settings.address, read_pin(settings.pin_file), first_only=False)
    assert version is not None
    FileCounter.create(settings.counter_file, used_up=range(1, version))
    return version


def check(settings: KeyringSettings, record: bytes | None = None) -> list[Finding]:
    """Look at everything a keyring needs, and with `record` whether it is the right master key; for `doctor`.

    Stops at the first thing without which the next ones cannot be looked at. One data key is sealed and opened.
    """
    findings: list[Finding] = []

    def look(subject: str, step: Callable[[], object]) -> bool:
        try:
            step()
        except (ConfigError, KmipError) as error:
            trouble, _, mend = str(error).partition(": ")
            findings.append(Finding(subject, trouble, mend))
            return False
        findings.append(Finding(subject))
        return True

    token = _token(settings)
    counter = FileCounter(settings.counter_file)
    keyring = Envelope(token, counter, MECHANISMS.get(settings.mechanism, Mechanism.AES_GCM))
    steps: list[tuple[str, Callable[[], object]]] = [
        (f"PIN file {settings.pin_file}", lambda: read_pin(settings.pin_file)),
        (f"token '{settings.token_label}' and master key '{settings.key_label}'", token.connect),
        (f"seal counter {settings.counter_file}", counter.reserved),
        (f"mechanism {settings.mechanism}", lambda: _try_mechanism(keyring, settings.mechanism)),
    ]
    if record is not None:
        steps.append((CHECK_RECORD, lambda: keyring.verify_check(record)))
    try:
        all(look(subject, step) for subject, step in steps)
    finally:
        token.close()
    return findings


# --- inside ----------------------------------------------------------------------------------------------------------


def _token(settings: KeyringSettings) -> Token:
    return Token(settings.address, lambda: read_pin(settings.pin_file))


def _try_mechanism(keyring: Envelope, mechanism: str) -> None:
    if mechanism not in MECHANISMS:
        raise ConfigError(f"unknown mechanism '{mechanism}': one of {', '.join(MECHANISMS)}")
    keyring.verify_check(keyring.check_record())


def _make_softhsm2(tokens: Path, settings: KeyringSettings) -> list[str]:
    """The token directory, the PIN and the configuration file, as far as they are missing. Raises ConfigError."""
    conf = settings.softhsm2_conf
    assert conf is not None
    if "#" in str(tokens) or "\n" in str(tokens):  # its configuration file has no way to quote them
        raise ConfigError(f"SoftHSM2 cannot keep tokens in '{tokens}': choose a path without # and line breaks")
    done: list[str] = []
    if not tokens.exists():
        if not settings.pin_file.exists():
            _write_new(settings.pin_file, secrets.token_hex(16) + "\n")
            done.append(f"wrote a random PIN into {settings.pin_file}")
        unfinished = tokens.with_name(tokens.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        unfinished_conf = unfinished.with_suffix(".conf")
        unfinished_conf.write_text(SOFTHSM2_CONF.format(tokens=unfinished), encoding="utf-8")
        address = dataclasses.replace(settings.address, softhsm2_conf=unfinished_conf)
        _init_token(address, read_pin(settings.pin_file))
        make_version(address, read_pin(settings.pin_file), first_only=True)
        with LOCK:  # the library has the token's files open under their present names
            unfinished.rename(tokens)
        unfinished_conf.unlink()
        done.append(f"made the SoftHSM2 token '{settings.token_label}' with an AES-256 master key in {tokens}")
    text = SOFTHSM2_CONF.format(tokens=tokens)
    here = f"directories.tokendir = {tokens}\n"
    if not conf.exists() or here not in conf.read_text(encoding="utf-8"):  # missing, or the directory has moved
        conf.write_text(text, encoding="utf-8")
        done.append(f"wrote {conf}")
    return done


def _write_new(path: Path, text: str) -> None:
    """Write a file that only its owner may read and that was not there."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _init_token(address: TokenAddress, pin: str) -> None:
    """C_InitToken in the slot that SoftHSM2 keeps free for it, then C_InitPIN. Raises ConfigError.

    python-pkcs11 has no C_InitToken; the same loaded library is asked through ctypes.
    """
    officer = secrets.token_hex(16)
    label = address.token_label.encode()
    if not 0 < len(label) <= LABEL_LENGTH:
        raise ConfigError(f"the token label '{address.token_label}' must have 1 to {LABEL_LENGTH} bytes")
    with LOCK:
        try:
            slots = library(address.module, address.softhsm2_conf, anew=True).binding.get_slots()
            free = [slot for slot in slots if not slot.get_token().flags & TokenFlag.TOKEN_INITIALIZED]
            if not free:
                raise ConfigError(f"{address.module} has no slot for a new token: check its configuration")
            init_token = ctypes.CDLL(str(address.module)).C_InitToken
            init_token.argtypes = [ctypes.c_ulong, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p]
            init_token.restype = ctypes.c_ulong
            code = init_token(free[0].slot_id, officer.encode(), len(officer), label.ljust(LABEL_LENGTH))
            if code != CKR_OK:
                raise ConfigError(f"SoftHSM2 cannot make a token: C_InitToken returned {code:#x}; may it write there?")
            token = library(address.module, address.softhsm2_conf).binding.get_token(token_label=address.token_label)
            session = token.open(rw=True, so_pin=officer)
            session.init_pin(pin)
            session.close()
        except pkcs11.PKCS11Error as error:
            raise ConfigError(f"SoftHSM2 cannot make a token: {type(error).__name__} {error}") from error
