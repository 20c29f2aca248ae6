"""Credentials of a request header (KMIP 2.1 §9.11): Username and Password, Device, One Time Password, Hashed Password, Ticket.

Users and devices are the configuration's. "If multiple Credential structures are provided then they must ALL be
satisfied" (§9.4). A wrong credential is answered the same way whatever was wrong with it; who tries too often has to
wait. What must not be done twice (a ticket's count, a one-time password, a time stamp) is a record of the store.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Final

from kmipsrv.domain import ticket as tickets
from kmipsrv.domain.identity import Identity
from kmipsrv.domain.ports import Work
from kmipsrv.errors import Cause, KmipError
from kmipsrv.identity import one_time
from kmipsrv.identity.password import Passwords
from kmipsrv.spec.enums import CredentialType, HashingAlgorithm
from kmipsrv.spec.structures import Credential, CredentialValue

FAILURES: Final = "failed logins"  # kinds of records
ONE_TIME: Final = "one-time password"
HASHED: Final = "hashed password"

MOST: Final = 4  # credentials in one message
FREE_FAILURES: Final = 5  # wrong credentials in a row before one has to wait
LONGEST_WAIT: Final = 300  # seconds
REMEMBERED: Final = 3600  # seconds that a failure counts
HASH_DRIFT: Final = 300  # seconds that a Hashed Password's time stamp may be off

# The fields that each Credential Type has: another type's are refused (tables 411-416).
_FIELDS: Final = {
    CredentialType.USERNAME_AND_PASSWORD: {"username", "password"},
    CredentialType.DEVICE: {
        *("device_serial_number", "password", "device_identifier"),
        *("network_identifier", "machine_identifier", "media_identifier"),
    },
    CredentialType.ONE_TIME_PASSWORD: {"username", "password", "one_time_password"},
    CredentialType.HASHED_PASSWORD: {"username", "timestamp", "hashing_algorithm", "hashed_password"},
    CredentialType.TICKET: {"ticket"},
}
_HASHES: Final = {
    HashingAlgorithm.SHA_256: "sha256",
    HashingAlgorithm.SHA_384: "sha384",
    HashingAlgorithm.SHA_512: "sha512",
}


@dataclass(frozen=True, slots=True)
class HashedPassword:
    """What proves a Hashed Password: S1 = Hash(Username || Password), S2 = Hash(Password || Username)."""

    algorithm: HashingAlgorithm
    s1: bytes = field(repr=False)
    s2: bytes = field(repr=False)

    @classmethod
    def of(cls, algorithm: HashingAlgorithm, username: str, password: str) -> HashedPassword:
        name, user, secret = _HASHES[algorithm], username.encode(), password.encode()
        return cls(algorithm, hashlib.new(name, user + secret).digest(), hashlib.new(name, secret + user).digest())

    @classmethod
    def parse(cls, record: str) -> HashedPassword:
        """A record of the configuration, `SHA-256$S1$S2`. Raises ValueError."""
        name, s1, s2 = record.split("$")
        return cls(HashingAlgorithm[name.replace("-", "_")], bytes.fromhex(s1), bytes.fromhex(s2))

    def record(self) -> str:
        return f"{self.algorithm.text}${self.s1.hex()}${self.s2.hex()}"


@dataclass(frozen=True, slots=True)
class User:
    """Who may present which credential. `owner` None: works with the objects of the certificate. `certificate`: the name
    or common name of the only certificate that may carry the credential, "" for any."""

    username: str
    owner: str | None = None
    certificate: str = ""
    administrator: bool = False
    record: str | None = field(default=None, repr=False)  # of identity/password.py
    seed: bytes | None = field(default=None, repr=False)  # of one-time passwords
    hashed: HashedPassword | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """A Device credential: each identifier given here must be in it, with this value."""

    identifiers: tuple[tuple[str, str], ...]  # (field of Credential Value, value)
    owner: str | None = None
    record: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class _Account:
    """Whom a credential names: a user, a device, or (known False) nobody."""

    name: str
    owner: str | None
    known: bool
    certificate: str = ""
    administrator: bool = False


class CredentialAuthenticator:
    """See engine/ports.py Authenticator. `secret`: 32 random bytes of this process."""

    def __init__(self, users: Sequence[User], devices: Sequence[Device], secret: bytes) -> None:
        if any(not device.identifiers for device in devices):
            raise ValueError("a device without an identifier would be every device")
        if any(user.record is None and user.seed is None and user.hashed is None for user in users):
            raise ValueError("a user without a password would be anybody")
        if len({user.username for user in users}) != len(users):
            raise ValueError("two users of one name")
        self._users = {user.username: user for user in users}
        self._devices = list(devices)
        records = {_user_key(user.username): user.record for user in users if user.record is not None}
        records |= {
            _device_key(number): device.record for number, device in enumerate(devices) if device.record is not None
        }
        self._passwords = Passwords(records, secret)
        self._owners = frozenset(
            owner for owner in (*(u.owner for u in users), *(d.owner for d in devices)) if owner is not None
        )

    # ----------------------------------------------------------------------------------------------- the slow part

    def prepare(self, credentials: Sequence[Credential]) -> list[bool]:
        """Whether each credential's password is right, or none is needed. Takes as long for an unknown user."""
        return [self._password_right(each) for each in credentials[:MOST]]

    def _password_right(self, credential: Credential) -> bool:
        kind, value = credential.credential_type, credential.credential_value
        if kind in (CredentialType.USERNAME_AND_PASSWORD, CredentialType.ONE_TIME_PASSWORD):
            user = self._users.get(value.username or "")
            if kind is CredentialType.ONE_TIME_PASSWORD and user is not None and user.record is None:
                return value.password is None  # the seed alone proves this user
            return self._check(_user_key(value.username or ""), value.password)
        if kind is CredentialType.DEVICE:
            number = self._device(value)
            if number is not None and self._devices[number].record is None:
                return value.password is None
            return self._check("" if number is None else _device_key(number), value.password)
        return True

    def _check(self, key: str, password: str | None) -> bool:
        try:
            self._passwords.check(key, password or "")
        except KmipError:
            return False
        return password is not None

    def _device(self, value: CredentialValue) -> int | None:
        """The first device all of whose identifiers the credential has."""
        for number, device in enumerate(self._devices):
            if all(getattr(value, name) == wanted for name, wanted in device.identifiers):
                return number
        return None

    # ------------------------------------------------------------------------------------------------ the decision

    def authenticate(
        self,
        work: Work,
        identity: Identity,
        credentials: Sequence[Credential],
        now: int,
        prepared: list[bool] | None,
    ) -> Identity:
        """See engine/ports.py."""
        certificate = identity
        if len(credentials) > MOST:
            raise KmipError(Cause.AUTHENTICATION_NOT_SUCCESSFUL, "too many credentials")
        checked = prepared if prepared is not None else self.prepare(credentials)
        for credential, right in zip(credentials, checked, strict=True):
            _check_fields(credential)
            if credential.credential_type is CredentialType.TICKET:
                identity = self._ticket(work, certificate, credential.credential_value, now)
            else:
                identity = self._account(work, certificate, identity, credential, now, right)
        return identity

    def _account(
        self, work: Work, certificate: Identity, so_far: Identity, credential: Credential, now: int, right: bool
    ) -> Identity:
        kind, value = credential.credential_type, credential.credential_value
        account = self._named(kind, value)
        counter = _Failures(work, f"{certificate.owner}\n{account.name if account.known else ''}", now)
        counter.require_patience()
        right &= account.known and account.certificate in ("", certificate.name, certificate.common_name)
        proof = b""
        if kind is CredentialType.USERNAME_AND_PASSWORD and account.known:
            right &= self._users[account.name].seed is None  # who has one-time passwords uses them
        elif kind is CredentialType.ONE_TIME_PASSWORD:
            right &= self._one_time(work, account, value, now, right)
        elif kind is CredentialType.HASHED_PASSWORD:
            proof = self._hashed(work, account, value, now, right)
            right &= bool(proof)
        if not right:
            counter.count()
            raise KmipError(Cause.AUTHENTICATION_NOT_SUCCESSFUL, "the credential is not right")
        counter.reset()
        owner = account.owner if account.owner is not None else so_far.owner
        if so_far.user and owner != so_far.owner:
            raise KmipError(Cause.AUTHENTICATION_NOT_SUCCESSFUL, "the credentials are not those of one client")
        neighbours = self._owners - {owner}
        return replace(
            so_far,
            owner=owner,
            via=certificate.owner,
            user=account.name,
            administrator=account.administrator,
            neighbours=neighbours,
            proof=proof or so_far.proof,
        )

    def _named(self, kind: CredentialType, value: CredentialValue) -> _Account:
        if kind is CredentialType.DEVICE:
            number = self._device(value)
            if number is None:
                return _Account("", None, known=False)
            return _Account(_device_key(number), self._devices[number].owner, known=True)
        user = self._users.get(value.username or "")
        if user is None:
            return _Account("", None, known=False)
        return _Account(user.username, user.owner, True, user.certificate, user.administrator)

    def _one_time(self, work: Work, account: _Account, value: CredentialValue, now: int, right: bool) -> bool:
        """A password "which may only be used for a single authentication": the last one's counter is kept."""
        user = self._users.get(account.name) if account.known else None
        seed = user.seed if user is not None and user.seed is not None else bytes(20)
        work.lock()  # of two processes that are shown the same password, the second reads the first one's counter
        last = int(work.read(ONE_TIME, account.name) or b"-1")
        counter = one_time.matching(seed, value.one_time_password or "", now, last)
        if counter is None or not right or user is None or user.seed is None:
            return False
        work.write(ONE_TIME, account.name, str(counter).encode())
        return True

    def _hashed(self, work: Work, account: _Account, value: CredentialValue, now: int, right: bool) -> bytes:
        """Server Hashed Password if the credential is right, else nothing.

        Hashed Password = Hash(S1 || Timestamp) || S2; the Timestamp "SHALL monotonically increase"; the answer is
        Hash(Timestamp || S1 || Hash(S2)) (§8.5). A Timestamp is hashed as its eight bytes.
        """
        user = self._users.get(account.name) if account.known else None
        expected = user.hashed if user is not None and user.hashed is not None else _NOBODY
        algorithm = value.hashing_algorithm or HashingAlgorithm.SHA_256
        name, stamp = _HASHES[expected.algorithm], value.timestamp or 0
        octets = stamp.to_bytes(8, "big", signed=True)
        wanted = hashlib.new(name, expected.s1 + octets).digest() + expected.s2
        right &= hmac.compare_digest(wanted, value.hashed_password or b"")
        right &= expected is not _NOBODY and algorithm is expected.algorithm
        right &= abs(stamp // 1_000_000 - now) <= HASH_DRIFT
        if not right:
            return b""
        work.lock()  # as for a one-time password
        if stamp <= int(work.read(HASHED, account.name) or b"-1"):
            return b""
        work.write(HASHED, account.name, str(stamp).encode())
        return hashlib.new(name, octets + expected.s1 + hashlib.new(name, expected.s2).digest()).digest()

    def _ticket(self, work: Work, certificate: Identity, value: CredentialValue, now: int) -> Identity:
        """Whom a ticket speaks for. One request is counted whether it succeeds or not.

        Raises KmipError(INVALID_TICKET | LOGIN_USED_UP | TICKET_USED_UP)."""
        octets = value.ticket.ticket_value if value.ticket is not None else b""
        ticket = tickets.find(work, octets)
        if ticket is None or ticket.expires <= now or ticket.bearer not in ("", certificate.owner):
            raise KmipError(Cause.INVALID_TICKET, "the ticket is not valid")
        if ticket.requests == 0:
            # TC-LOGIN-3: the message is refused as a whole; TC-DLOGIN-1: its batch item is.
            cause = Cause.LOGIN_USED_UP if ticket.rights is None else Cause.TICKET_USED_UP
            raise KmipError(cause, "the ticket is used up")
        if ticket.requests is not None:
            ticket.requests -= 1
            tickets.keep(work, octets, ticket)
        return replace(
            certificate,
            owner=ticket.owner,
            via=certificate.owner,
            tenant=ticket.tenant,
            user=ticket.user,
            ticket=octets,
            rights=tickets.rights_of(ticket),
        )


class _Failures:
    """Wrong credentials of one certificate for one user (all unknown users are one): a record that passes away."""

    def __init__(self, work: Work, key: str, now: int) -> None:
        self.work, self.key, self.now = work, key, now
        self.number: int = 0
        self.last: int = 0
        self._read()

    def _read(self) -> None:
        record = self.work.read(FAILURES, self.key)
        self.number, self.last = (0, 0) if record is None else json.loads(record)
        if self.now - self.last > REMEMBERED:
            self.number = 0

    def require_patience(self) -> None:
        """Raises KmipError(AUTHENTICATION_NOT_SUCCESSFUL) while a wait is on; trying meanwhile does not prolong it."""
        if self.number >= FREE_FAILURES:
            wait = min(LONGEST_WAIT, 1 << min(self.number - FREE_FAILURES, 16))
            if self.now < self.last + wait:
                raise KmipError(Cause.AUTHENTICATION_NOT_SUCCESSFUL, "too many wrong credentials: wait a while")

    def count(self) -> None:
        """One more. Raises KmipError(AUTHENTICATION_NOT_SUCCESSFUL) when another process has counted enough meanwhile."""
        self.work.lock()
        self._read()
        self.require_patience()
        record = json.dumps((self.number + 1, self.now)).encode()
        self.work.write(FAILURES, self.key, record, expires=self.now + REMEMBERED)

    def reset(self) -> None:
        if self.number:
            self.work.remove(FAILURES, self.key)


_NOBODY: Final = HashedPassword(HashingAlgorithm.SHA_256, bytes(32), bytes(32))


def _check_fields(credential: Credential) -> None:
    """Raises KmipError(AUTHENTICATION_NOT_SUCCESSFUL) for a type that is not accepted, INVALID_FIELD for another's field."""
    allowed = _FIELDS.get(credential.credential_type)
    if allowed is None:
        text = credential.credential_type.text
        raise KmipError(Cause.AUTHENTICATION_NOT_SUCCESSFUL, f"credentials of type {text} are not accepted")
    value = credential.credential_value
    for each in fields(value):
        if getattr(value, each.name) is not None and each.name not in allowed:
            raise KmipError(Cause.INVALID_FIELD, f"a {credential.credential_type.text} credential has no {each.name}")


def _user_key(username: str) -> str:
    return f"user:{username}"


def _device_key(number: int) -> str:
    return f"device:{number}"
