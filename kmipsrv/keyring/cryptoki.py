"""A PKCS#11 library as this process has loaded it, and what its errors mean.

The binding calls `C_Initialize(NULL)`, which promises the library that one thread uses it, and lets go of the GIL inside
calls: every call into any token of this process is made with `LOCK` held (two threads on two sessions make SoftHSM 2.6
fail with CKR_GENERAL_ERROR).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pkcs11

from kmipsrv.errors import ConfigError

# --- errors: the one table of this library ---------------------------------------------------------------------------

RECORD_REFUSED: Final = (
    pkcs11.exceptions.EncryptedDataInvalid,
    pkcs11.exceptions.EncryptedDataLenRange,
    pkcs11.exceptions.WrappedKeyInvalid,
    pkcs11.exceptions.WrappedKeyLenRange,
    pkcs11.exceptions.DataInvalid,
    pkcs11.exceptions.DataLenRange,
)
"""The token looked at the sealed data key and refused it."""

AMBIGUOUS: Final = (
    pkcs11.exceptions.GeneralError,
    pkcs11.exceptions.FunctionFailed,
)
"""A refused record or a token in trouble: SoftHSM 2.6 says CKR_GENERAL_ERROR for a wrong GCM tag. A probe tells."""

MISUSED: Final = (
    pkcs11.exceptions.MechanismInvalid,
    pkcs11.exceptions.MechanismParamInvalid,
    pkcs11.exceptions.KeyTypeInconsistent,
    pkcs11.exceptions.KeySizeRange,
    pkcs11.exceptions.FunctionNotSupported,
    pkcs11.exceptions.TemplateInconsistent,
    pkcs11.exceptions.TemplateIncomplete,
    pkcs11.exceptions.AttributeValueInvalid,
    pkcs11.exceptions.AttributeTypeInvalid,
    pkcs11.exceptions.AttributeSensitive,
)
"""This token cannot do what the configured mechanism asks: opening it anew would not help."""

PIN_REFUSED: Final = (
    pkcs11.exceptions.PinIncorrect,
    pkcs11.exceptions.PinInvalid,
    pkcs11.exceptions.PinLenRange,
    pkcs11.exceptions.PinLocked,
    pkcs11.exceptions.PinExpired,
    pkcs11.exceptions.UserPinNotInitialized,
)
"""Never tried again with the same PIN: a token locks itself after a few."""

# Every other PKCS11Error means that the session, the handles or the token are gone: open anew.


# --- the library, once per process -----------------------------------------------------------------------------------

LOCK: Final = threading.RLock()
"""Held around every call into any PKCS#11 library of this process, and across a fork."""

os.register_at_fork(before=LOCK.acquire, after_in_parent=LOCK.release, after_in_child=LOCK.release)


@dataclass(slots=True)
class Library:
    """One loaded PKCS#11 module and how it was last initialised."""

    binding: Any
    process: int
    conf: Path | None
    initialisation: int = 1


RESTORE: Final = "restore the token's folder from the backup; a new token could open nothing that this one has sealed"
"""The mend where a token is gone."""

_libraries: dict[Path, Library] = {}


def loaded(module: Path) -> Library | None:
    """The library, if this process has loaded it."""
    return _libraries.get(module)


def library(module: Path, softhsm2_conf: Path | None = None, *, anew: bool = False) -> Library:
    """The initialised library. Call it with LOCK held. Raises PKCS11Error, ConfigError when it cannot be loaded.

    The environment variable is set before C_Initialize, where SoftHSM2 reads it. Another configuration than the last
    one, a fork since, or `anew` initialise again, which ends all sessions of this process with that library.
    """
    if softhsm2_conf is not None:
        _check_folder(softhsm2_conf)
        os.environ["SOFTHSM2_CONF"] = str(softhsm2_conf)
    known = _libraries.get(module)
    if known is None:
        if not module.is_file():
            raise ConfigError(f"there is no PKCS#11 module at {module}: install it (Debian: softhsm2) or set its path")
        try:
            binding: Any = pkcs11.lib(str(module))
        except pkcs11.PKCS11Error as error:
            raise ConfigError(f"the PKCS#11 module {module} cannot be loaded or initialised: {words(error)}") from error
        known = _libraries[module] = Library(binding, os.getpid(), softhsm2_conf)
    elif anew or not known.binding.initialized or known.process != os.getpid() or known.conf != softhsm2_conf:
        # C_Finalize may fail after a fork or a lost connection; C_Initialize alone decides.
        with contextlib.suppress(pkcs11.PKCS11Error):
            known.binding.finalize()
        known.initialisation += 1
        known.process, known.conf = os.getpid(), softhsm2_conf
        known.binding.initialize()
    return known


def _check_folder(softhsm2_conf: Path) -> None:
    """SoftHSM says CKR_GENERAL_ERROR for a token folder that is not there. Raises ConfigError with the mend."""
    try:
        text = softhsm2_conf.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{softhsm2_conf} cannot be read ({type(error).__name__}): {RESTORE}") from error
    for line in text.splitlines():
        name, _, folder = line.partition("=")
        if name.strip() == "directories.tokendir" and not Path(folder.strip()).is_dir():
            raise ConfigError(f"the token's folder {folder.strip()} is not there: {RESTORE}")


@contextlib.contextmanager
def alone(softhsm2_conf: Path | None) -> Iterator[None]:
    """While a process opens a SoftHSM2 token, no other one does.

    A login rewrites the token's file, and SoftHSM 2.6 takes a token whose file it finds half written for no token: workers
    that start together would miss it. Raises ConfigError.
    """
    if softhsm2_conf is None:
        yield
        return
    try:
        descriptor = os.open(softhsm2_conf, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise ConfigError(f"{softhsm2_conf} cannot be read ({type(error).__name__}): {RESTORE}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def words(error: BaseException) -> str:
    """An error of the binding in words for the log: its class and text (they never hold key material or a PIN)."""
    return f"{type(error).__name__} {error}".strip()
