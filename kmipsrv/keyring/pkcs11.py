"""The master key inside a PKCS#11 token (OASIS PKCS #11 v2.40), through python-pkcs11.

Rule 1. Every call is made with `cryptoki.LOCK` held.

Rule 2. A login belongs to the process and the token, and so does the library's state: a `Token` is opened after the
fork, or opens itself anew when it finds that its process id has changed.

Rule 3. A token may go away at any moment. The call that notices opens it anew once and tries again; after that, calls
fail at once with `TokenUnavailable`, and one call per back-off interval tries again. No thread, no busy loop. A token
that is back serves only after the check that was given to `when_back` has passed: it might be another one.

Rule 4. Handles mean nothing once the library was initialised anew, and could by chance name another token's objects: a
`Token` remembers the initialisation its handles belong to and compares before each use.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import pkcs11
from pkcs11 import Attribute, KeyType, MechanismFlag, ObjectClass
from pkcs11 import Mechanism as Cryptoki

from kmipsrv.errors import Cause, ConfigError, KmipError, TokenUnavailable
from kmipsrv.keyring.cryptoki import (
    AMBIGUOUS,
    LOCK,
    MISUSED,
    PIN_REFUSED,
    RECORD_REFUSED,
    RESTORE,
    Library,
    alone,
    library,
    loaded,
    words,
)
from kmipsrv.keyring.master import Mechanism

log = logging.getLogger(__name__)

IV_LENGTH: Final = 12  # bytes; SP 800-38D §8.2.2: random IVs have at least 96 bits
DATA_KEY_LENGTH: Final = 32  # bytes
BUFFER: Final = 128  # bytes, enough for any sealed data key; a larger answer makes the binding ask again
BACKOFF: Final = (0.1, 5.0)  # seconds between attempts to open a token that is away: first, and at most

PIN_MEND: Final = "write the right one into the PIN file (token.pin_file, or the systemd credential)"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TokenAddress:
    """Where the master key is: the PKCS#11 library's path, the token's label and the label of the AES key in it."""

    module: Path
    token_label: str
    key_label: str = "kmipsrv master key"
    softhsm2_conf: Path | None = None  # SoftHSM2 reads its path from the environment when it is initialised


def read_pin(path: Path) -> str:
    """The PIN in the first line of a file that others may not read. Raises ConfigError with the mend.

    Group permission is not looked at: systemd shows credentials as 0440, where the group bits stand for an access list.
    """
    try:
        mode = path.stat().st_mode
        pin = path.read_text(encoding="utf-8").split("\n", 1)[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"the PIN file {path} cannot be read ({type(error).__name__}): restore it from the backup, or name the right one"
        ) from error
    if mode & 0o007:
        raise ConfigError(f"the PIN file {path} can be read by everybody: chmod 600 {path}")
    if not pin:
        raise ConfigError(f"the PIN file {path} is empty: write the token's user PIN into it")
    return pin


# --- the token -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Open:
    """A session and the handles found in it; good for one initialisation of the library in one process."""

    session: Any
    kwp: Cryptoki
    keys: dict[int, Any]
    library: Library
    initialisation: int
    process: int = field(default_factory=os.getpid)

    def is_good(self) -> bool:
        """Whether the handles still mean what they meant (rules 2 and 4)."""
        return self.initialisation == self.library.initialisation and self.process == os.getpid()


class Token:
    """A `master.MasterKey` whose keys stay in the token. One for each process; any thread may call it."""

    def __init__(
        self,
        address: TokenAddress,
        pin: Callable[[], str],
        *,
        clock: Callable[[], float] = time.monotonic,
        randomness: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """`pin` is asked for each login, so that the PIN does not stay in memory and a changed one is found."""
        self._address = address
        self._pin = pin
        self._clock = clock
        self._randomness = randomness
        self._open: _Open | None = None
        self._check: Callable[[], None] | None = None
        self._connecting = False
        self._tried = 0  # the initialisation of the library under which it was opened, or not, the last time
        self._retry_at = 0.0
        self._delay = 0.0  # 0: the token is not known to be away
        self._refused_pin = b""  # digest of the PIN that the token has refused

    def connect(self) -> None:
        """Open the token now. Raises ConfigError, for the operator, that says what is missing and how to mend it."""
        with LOCK:
            try:
                self._connect()
            except pkcs11.PKCS11Error as error:
                raise ConfigError(f"the token '{self._address.token_label}' does not open: {words(error)}") from error

    def close(self) -> None:
        """End the session. Other tokens of this process are not touched."""
        with LOCK:
            opened, self._open, self._tried = self._open, None, 0
            if opened is not None and opened.is_good():
                with contextlib.suppress(pkcs11.PKCS11Error):
                    opened.session.close()

    def __enter__(self) -> Token:
        self.connect()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # -- master.MasterKey --

    def when_back(self, check: Callable[[], None]) -> None:
        """See `master.MasterKey`."""
        self._check = check

    def version(self) -> int:
        """See `master.MasterKey`: the highest version in the token."""
        return self._call(lambda opened: max(opened.keys))

    def versions(self) -> list[int]:
        """All versions of the master key in the token."""
        return self._call(lambda opened: sorted(opened.keys))

    def seal(self, version: int, mechanism: Mechanism, data_key: bytes, additional: bytes) -> tuple[bytes, bytes]:
        """See `master.MasterKey`."""
        if mechanism is Mechanism.AES_KWP:
            return b"", self._call(lambda opened: _wrap(opened, self._key(opened, version), data_key))
        return self._call(lambda opened: self._encrypt(self._key(opened, version), mechanism, data_key, additional))

    def open(self, version: int, mechanism: Mechanism, iv: bytes, sealed: bytes, additional: bytes) -> bytes:
        """See `master.MasterKey`."""
        if mechanism is Mechanism.AES_KWP:
            return self._call(lambda opened: _unwrap(opened, self._key(opened, version), sealed))
        param = pkcs11.GCMParams(iv, additional)

        def decrypt(opened: _Open) -> bytes:
            key = self._key(opened, version)
            return bytes(key.decrypt(sealed, mechanism=Cryptoki.AES_GCM, mechanism_param=param, buffer_size=BUFFER))

        return self._call(decrypt)

    # -- inside --

    def _encrypt(self, key: Any, mechanism: Mechanism, data_key: bytes, additional: bytes) -> tuple[bytes, bytes]:
        ours = mechanism is Mechanism.AES_GCM
        # The binding hands the address of this object's bytes to the token, and a token that makes its own IV writes it
        # there. So the object must be nobody else's: a copy through a bytearray is fresh, and the IV is read back.
        buffer = bytes(bytearray(self._randomness(IV_LENGTH) if ours else IV_LENGTH))
        param = pkcs11.GCMParams(buffer, additional)
        sealed = bytes(key.encrypt(data_key, mechanism=Cryptoki.AES_GCM, mechanism_param=param, buffer_size=BUFFER))
        iv = bytes(bytearray(buffer))
        if not any(iv):
            raise KmipError(Cause.GENERAL_FAILURE, "the key store's token does not make initialisation vectors")
        return iv, sealed

    def _key(self, opened: _Open, version: int) -> Any:
        key = opened.keys.get(version)
        if key is None:  # another process may have rotated the master key
            opened.keys.update(_master_keys(opened.session, self._address.key_label))
            key = opened.keys.get(version)
        if key is None:
            log.error("a record asks for version %d of the master key, which the token does not hold", version)
            raise KmipError(Cause.CRYPTOGRAPHIC_FAILURE, "the object cannot be opened")
        return key

    def _call(self, call: Callable[[_Open], T]) -> T:
        """Run `call` on the open token; every error of the binding is translated here. Raises TokenUnavailable."""
        with LOCK:
            opened = self._open
            if opened is not None and opened.is_good():
                try:
                    return call(opened)
                except (pkcs11.PKCS11Error, ConfigError) as error:
                    self._judge(error, opened)
                    log.warning("the token went away: %s", words(error))
            self._open = None
            return self._call_anew(call)

    def _call_anew(self, call: Callable[[_Open], T]) -> T:
        """Rule 3. The second failure of the same call is final."""
        if self._connecting or self._clock() < self._retry_at:  # connecting: it went away again during the check
            raise TokenUnavailable
        try:
            opened = self._connect()
            try:
                result = call(opened)
            except pkcs11.PKCS11Error as error:
                self._judge(error, opened)
                raise
        except (pkcs11.PKCS11Error, ConfigError) as error:
            self._open = None
            self._delay = min(self._delay * 2, BACKOFF[1]) if self._delay else BACKOFF[0]
            self._retry_at = self._clock() + self._delay
            log.warning("the token does not open, next attempt in %.1f s: %s", self._delay, words(error))
            raise TokenUnavailable from error
        except KmipError:
            self._delay = self._retry_at = 0.0
            raise
        self._delay = self._retry_at = 0.0
        return result

    def _judge(self, error: Exception, opened: _Open) -> None:
        """Raise what `error` means while the token is well; come back when the token is not."""
        if isinstance(error, MISUSED):
            log.error("the token refuses the configured mechanism: %s", words(error))
            raise KmipError(Cause.GENERAL_FAILURE, "the key store's token refuses the mechanism") from error
        if isinstance(error, RECORD_REFUSED) or (isinstance(error, AMBIGUOUS) and self._answers(opened)):
            raise KmipError(Cause.CRYPTOGRAPHIC_FAILURE, "the object cannot be opened") from error

    def _answers(self, opened: _Open) -> bool:
        """Whether the token still knows the master key: tells a refused record from a token in trouble."""
        try:
            return all(key[Attribute.KEY_TYPE] == KeyType.AES for key in opened.keys.values())
        except pkcs11.PKCS11Error:
            return False

    def _connect(self) -> _Open:
        """Initialise, log in, find the keys, run the check. Raises PKCS11Error, ConfigError."""
        address, self._open = self._address, None
        with alone(address.softhsm2_conf):
            # An initialisation under which it went away is worn out: SoftHSM looks for tokens in C_Initialize only.
            known = loaded(address.module)
            worn_out = known is not None and known.initialisation == self._tried
            known = library(address.module, address.softhsm2_conf, anew=worn_out)
            self._tried = known.initialisation
            token = _one_token(known, address.token_label)
            session = self._login(token)
            keys = _master_keys(session, address.key_label)
        if not keys:
            raise ConfigError(
                f"the token '{address.token_label}' holds no AES key '{address.key_label}': name the right one in "
                f"token.key_label, or {RESTORE}"
            )
        opened = self._open = _Open(session, _kwp(token.slot), keys, known, known.initialisation)
        if self._check is not None:
            self._connecting = True
            try:
                self._check()
            except KmipError as error:
                self._open = None
                if isinstance(error, TokenUnavailable):
                    raise pkcs11.exceptions.DeviceRemoved from error
                raise ConfigError("the token holds another master key than before: restore the right one") from error
            finally:
                self._connecting = False
            log.warning("the token '%s' is open again", address.token_label)
        return opened

    def _login(self, token: Any) -> Any:
        pin = self._pin()
        digest = hashlib.sha256(pin.encode()).digest()
        if digest == self._refused_pin:
            raise ConfigError("the token has refused this PIN; it is not tried again")
        try:
            return _session(token, pin)
        except PIN_REFUSED as error:
            self._refused_pin = digest
            raise ConfigError(
                f"the token '{self._address.token_label}' refuses the PIN ({words(error)}): {PIN_MEND}"
            ) from error


def make_version(address: TokenAddress, pin: str, *, first_only: bool) -> int | None:
    """Make the next version of the master key, with `first_only` only if there is none; -> its number.

    The key is generated inside the token and can neither be read nor taken out of it. Raises ConfigError.
    """
    with LOCK, alone(address.softhsm2_conf):
        try:
            token = _one_token(library(address.module, address.softhsm2_conf), address.token_label)
            session = _session(token, pin, rw=True)
            known = _master_keys(session, address.key_label)
            version = None if known and first_only else max(known, default=0) + 1
            if version is not None:
                session.generate_key(
                    KeyType.AES,
                    256,
                    id=version.to_bytes(4, "big"),
                    label=address.key_label,
                    store=True,
                    capabilities=MechanismFlag.ENCRYPT
                    | MechanismFlag.DECRYPT
                    | MechanismFlag.WRAP
                    | MechanismFlag.UNWRAP,
                    template=MASTER_KEY,
                )
            session.close()
        except PIN_REFUSED as error:
            raise ConfigError(
                f"the token '{address.token_label}' refuses the PIN ({words(error)}): {PIN_MEND}"
            ) from error
        except pkcs11.PKCS11Error as error:
            raise ConfigError(f"the master key cannot be made in the token: {words(error)}") from error
        return version


def _session(token: Any, pin: str, *, rw: bool = False) -> Any:
    """A session of a logged-in user. Raises PKCS11Error."""
    try:
        return token.open(rw=rw, user_pin=pin)
    except pkcs11.exceptions.UserAlreadyLoggedIn:
        return token.open(rw=rw)  # rule 2: this process has logged in before


def _one_token(known: Library, label: str) -> Any:
    """The token with this label, which must be one. Raises ConfigError, PKCS11Error."""
    found = list(known.binding.get_tokens(token_label=label))
    if len(found) != 1:
        what = "no token" if not found else f"{len(found)} tokens"
        raise ConfigError(
            f"{known.binding.so} has {what} with the label '{label}': name one in token.label, or {RESTORE}"
        )
    return found[0]


def _master_keys(session: Any, label: str) -> dict[int, Any]:
    """The versions of the master key: AES keys with this label whose CKA_ID is the version in four bytes.

    A key that could leave the token is not a master key. Raises ConfigError, PKCS11Error.
    """
    wanted = {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.KEY_TYPE: KeyType.AES, Attribute.LABEL: label}
    keys: dict[int, Any] = {}
    for key in session.get_objects(wanted):
        identity = bytes(key[Attribute.ID])
        if len(identity) != 4:
            continue
        if key[Attribute.EXTRACTABLE] or not key[Attribute.SENSITIVE]:
            raise ConfigError(f"the master key '{label}' could leave its token; one made by `kmipsrv init` cannot")
        keys[int.from_bytes(identity, "big")] = key
    return keys


MASTER_KEY: Final = {
    Attribute.PRIVATE: True,
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
    Attribute.MODIFIABLE: False,
    Attribute.SIGN: False,
    Attribute.VERIFY: False,
    Attribute.DERIVE: False,
}
"""The attributes that a master key is made with, beside its label, CKA_ID and what it may be used for."""


# --- AES key wrap with padding: the token wraps and unwraps key objects only -----------------------------------------


def _kwp(slot: Any) -> Cryptoki:
    """CKM_AES_KEY_WRAP_KWP where it exists, else CKM_AES_KEY_WRAP_PAD, which is the same thing in SoftHSM 2.6."""
    there = slot.get_mechanisms()
    return Cryptoki.AES_KEY_WRAP_KWP if Cryptoki.AES_KEY_WRAP_KWP in there else Cryptoki.AES_KEY_WRAP_PAD


_SESSION_KEY: Final = {
    Attribute.TOKEN: False,  # in memory, gone with the session
    Attribute.PRIVATE: True,
    Attribute.SENSITIVE: False,
    Attribute.EXTRACTABLE: True,
}


def _wrap(opened: _Open, key: Any, data_key: bytes) -> bytes:
    template = {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.KEY_TYPE: KeyType.AES, Attribute.VALUE: data_key}
    inner = opened.session.create_object(template | _SESSION_KEY)
    try:
        return bytes(key.wrap_key(inner, mechanism=opened.kwp))
    finally:
        inner.destroy()


def _unwrap(opened: _Open, key: Any, sealed: bytes) -> bytes:
    inner = key.unwrap_key(
        ObjectClass.SECRET_KEY, KeyType.AES, sealed, mechanism=opened.kwp, template=_SESSION_KEY, capabilities=0
    )
    try:
        return bytes(inner[Attribute.VALUE])
    finally:
        inner.destroy()
