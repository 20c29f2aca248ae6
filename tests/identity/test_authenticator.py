"""Credentials (KMIP 2.1 §9.11): right ones say who asks, wrong ones are all refused alike, nothing counts twice."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kmipsrv.domain import ticket as tickets
from kmipsrv.domain.identity import Identity
from kmipsrv.domain.ports import Work
from kmipsrv.domain.ticket import Ticket as Kept
from kmipsrv.errors import Cause, KmipError
from kmipsrv.identity import one_time
from kmipsrv.identity.authenticator import (
    FREE_FAILURES,
    CredentialAuthenticator,
    Device,
    HashedPassword,
    User,
)
from kmipsrv.identity.password import hash_password
from kmipsrv.spec.enums import CredentialType as T
from kmipsrv.spec.enums import HashingAlgorithm, TicketType
from kmipsrv.spec.structures import Credential, CredentialValue, Ticket
from kmipsrv.store.sqlite import SQLiteStore

NOW = 1_800_000_000
CERTIFICATE = Identity(domain="default", name="CN=app,O=X", owner="default:CN=app,O=X", common_name="app")
SEED = b"12345678901234567890"
FRED = User("Fred", owner="Fred", record=hash_password("password1", b"salt" * 4))
BARNEY = User("Barney", owner="Barney", record=hash_password("secret2", b"pepper" * 3), certificate="app")
PLAIN = User("plain", record=hash_password("mine", b"s" * 16))
OTP = User("otp", owner="otp", seed=SEED)
BOTH = User("both", owner="both", seed=SEED, record=hash_password("knows", b"k" * 16))
HASHED = User("hashed", owner="hashed", hashed=HashedPassword.of(HashingAlgorithm.SHA_256, "hashed", "pw"))
DISK = Device((("device_serial_number", "serNum123456"), ("machine_identifier", "machineID1")), owner="disk")
LOCKED = Device((("device_identifier", "dev2"),), owner="dev2", record=hash_password("pw", b"d" * 16))


@pytest.fixture(scope="module")
def authenticator() -> CredentialAuthenticator:
    return CredentialAuthenticator([FRED, BARNEY, PLAIN, OTP, BOTH, HASHED], [DISK, LOCKED], bytes(32))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SQLiteStore]:
    made = SQLiteStore(tmp_path / "objects.db")
    made.authenticate(bytes(32))
    yield made
    made.close()


@contextmanager
def asked(
    authenticator: CredentialAuthenticator, store: SQLiteStore, *credentials: Credential, now: int = NOW
) -> Iterator[Identity]:
    with store.work() as work:
        yield authenticator.authenticate(work, CERTIFICATE, credentials, now, authenticator.prepare(credentials))


def credential(kind: T, **values: Any) -> Credential:
    return Credential(credential_type=kind, credential_value=CredentialValue(**values))


def password(user: str, secret: str | None) -> Credential:
    return credential(T.USERNAME_AND_PASSWORD, username=user, password=secret)


def refused(
    authenticator: CredentialAuthenticator, store: SQLiteStore, *credentials: Credential, now: int = NOW
) -> KmipError:
    with store.work() as work, pytest.raises(KmipError) as caught:
        authenticator.authenticate(work, CERTIFICATE, credentials, now, None)
    return caught.value


def test_a_right_password_says_whose_objects_these_are(
    authenticator: CredentialAuthenticator, store: SQLiteStore
) -> None:
    with asked(authenticator, store, password("Fred", "password1")) as identity:
        assert (identity.owner, identity.user, identity.bearer) == ("Fred", "Fred", CERTIFICATE.owner)
        assert "Barney" in identity.neighbours
    with asked(authenticator, store, password("plain", "mine")) as identity:
        assert (identity.owner, identity.user) == (CERTIFICATE.owner, "plain")


def test_every_wrong_password_gets_the_same_words(authenticator: CredentialAuthenticator, store: SQLiteStore) -> None:
    wrong = [
        password("Fred", "secret2"),
        password("Fred", ""),
        password("Fred", None),
        password("nobody", "password1"),
        password("otp", "password1"),
        credential(T.USERNAME_AND_PASSWORD, password="password1"),
    ]
    errors = [refused(authenticator, store, each) for each in wrong]
    assert {error.cause for error in errors} == {Cause.AUTHENTICATION_NOT_SUCCESSFUL}
    assert len({error.message for error in errors}) == 1


def test_a_user_may_be_bound_to_a_certificate(authenticator: CredentialAuthenticator, store: SQLiteStore) -> None:
    with asked(authenticator, store, password("Barney", "secret2")) as identity:
        assert identity.owner == "Barney"
    other = replace(CERTIFICATE, name="CN=other", common_name="other")
    with store.work() as work, pytest.raises(KmipError):
        authenticator.authenticate(work, other, [password("Barney", "secret2")], NOW, None)


def test_devices_need_every_identifier(authenticator: CredentialAuthenticator, store: SQLiteStore) -> None:
    right = {"device_serial_number": "serNum123456", "machine_identifier": "machineID1"}
    with asked(authenticator, store, credential(T.DEVICE, **right, media_identifier="any")) as identity:
        assert identity.owner == "disk"
    for wrong in ({"device_serial_number": "serNum123456"}, {}, right | {"machine_identifier": "x"}):
        assert refused(authenticator, store, credential(T.DEVICE, **wrong)).cause is Cause.AUTHENTICATION_NOT_SUCCESSFUL
    with asked(authenticator, store, credential(T.DEVICE, device_identifier="dev2", password="pw")) as identity:
        assert identity.owner == "dev2"
    refused(authenticator, store, credential(T.DEVICE, device_identifier="dev2", password="no"))
    refused(authenticator, store, credential(T.DEVICE, device_identifier="dev2"))


def test_a_device_without_identifiers_is_no_device() -> None:
    with pytest.raises(ValueError, match="every device"):
        CredentialAuthenticator([], [Device(())], bytes(32))


def test_a_user_without_a_password_is_nobody() -> None:
    with pytest.raises(ValueError, match="anybody"):
        CredentialAuthenticator([User("x")], [], bytes(32))


def test_all_credentials_must_be_satisfied(authenticator: CredentialAuthenticator, store: SQLiteStore) -> None:
    with asked(authenticator, store, password("plain", "mine"), password("plain", "mine")) as identity:
        assert identity.owner == CERTIFICATE.owner
    refused(authenticator, store, password("Fred", "password1"), password("Barney", "wrong"))
    refused(authenticator, store, password("Fred", "password1"), password("Barney", "secret2"))
    refused(authenticator, store, *[password("plain", "mine")] * 5)


@pytest.mark.parametrize(("counter", "code"), [(1, "287082"), (37037036, "081804"), (41152263, "005924")])
def test_one_time_passwords_are_those_of_rfc_6238(counter: int, code: str) -> None:
    # RFC 6238 appendix B, SHA-1, shortened to six digits.
    assert one_time.password(SEED, counter) == code


def test_a_one_time_password_counts_once(authenticator: CredentialAuthenticator, store: SQLiteStore) -> None:
    code = one_time.password(SEED, NOW // 30)
    given = credential(T.ONE_TIME_PASSWORD, username="otp", one_time_password=code)
    with asked(authenticator, store, given) as identity:
        assert identity.owner == "otp"
    assert refused(authenticator, store, given).cause is Cause.AUTHENTICATION_NOT_SUCCESSFUL
    late = credential(T.ONE_TIME_PASSWORD, username="otp", one_time_password=one_time.password(SEED, NOW // 30 - 2))
    refused(authenticator, store, late)
    following = credential(
        T.ONE_TIME_PASSWORD, username="otp", one_time_password=one_time.password(SEED, NOW // 30 + 1)
    )
    with asked(authenticator, store, following) as identity:
        assert identity.user == "otp"


def test_two_factors_are_two_factors(authenticator: CredentialAuthenticator, store: SQLiteStore) -> None:
    code = one_time.password(SEED, NOW // 30)
    refused(authenticator, store, credential(T.ONE_TIME_PASSWORD, username="both", one_time_password=code))
    refused(authenticator, store, password("both", "knows"))
    both = credential(T.ONE_TIME_PASSWORD, username="both", one_time_password=code, password="knows")
    with asked(authenticator, store, both) as identity:
        assert identity.owner == "both"


def hashed(stamp: int, secret: str = "pw", user: str = "hashed") -> Credential:
    """As a client makes it, from the words of §9.11."""
    s1 = hashlib.sha256((user + secret).encode()).digest()
    s2 = hashlib.sha256((secret + user).encode()).digest()
    value = hashlib.sha256(s1 + stamp.to_bytes(8, "big")).digest() + s2
    return credential(T.HASHED_PASSWORD, username=user, timestamp=stamp, hashed_password=value)


def test_a_hashed_password_and_the_servers_proof(authenticator: CredentialAuthenticator, store: SQLiteStore) -> None:
    stamp = NOW * 1_000_000
    with asked(authenticator, store, hashed(stamp)) as identity:
        assert identity.owner == "hashed"
        s1, s2 = hashlib.sha256(b"hashedpw").digest(), hashlib.sha256(b"pwhashed").digest()
        expected = hashlib.sha256(stamp.to_bytes(8, "big") + s1 + hashlib.sha256(s2).digest()).digest()
        assert identity.proof == expected
    refused(authenticator, store, hashed(stamp))  # "SHALL monotonically increase"
    refused(authenticator, store, hashed(stamp + 1, secret="no"))
    refused(authenticator, store, hashed(stamp + 3_600_000_000))
    refused(authenticator, store, hashed(stamp + 1, user="nobody"))
    with asked(authenticator, store, hashed(stamp + 2)) as identity:
        assert identity.proof


def test_fields_of_another_type_are_refused(authenticator: CredentialAuthenticator, store: SQLiteStore) -> None:
    odd = credential(T.USERNAME_AND_PASSWORD, username="Fred", password="password1", device_identifier="x")
    assert refused(authenticator, store, odd).cause is Cause.INVALID_FIELD
    attestation = credential(T.ATTESTATION)
    assert refused(authenticator, store, attestation).cause is Cause.AUTHENTICATION_NOT_SUCCESSFUL


def test_who_guesses_has_to_wait(authenticator: CredentialAuthenticator, store: SQLiteStore) -> None:
    right = password("Fred", "password1")
    for _ in range(FREE_FAILURES + 3):
        refused(authenticator, store, password("Fred", "wrong"))
    assert "wait" in refused(authenticator, store, right).message
    with asked(authenticator, store, password("plain", "mine")) as identity:  # nobody else has to
        assert identity.user == "plain"
    with asked(authenticator, store, right, now=NOW + 600) as identity:
        assert identity.owner == "Fred"
    with asked(authenticator, store, right, now=NOW + 601) as identity:
        assert identity.owner == "Fred"


def shown(value: bytes) -> Credential:
    return credential(T.TICKET, ticket=Ticket(ticket_type=TicketType.LOGIN, ticket_value=value))


def keep(work: Work, value: bytes, **changes: Any) -> None:
    ticket = Kept("Fred", "", CERTIFICATE.owner, "Fred", requests=2, operations=None, expires=NOW + 10)
    tickets.keep(work, value, replace(ticket, **changes))


def test_a_ticket_speaks_for_its_owner_as_often_as_it_may(
    authenticator: CredentialAuthenticator, store: SQLiteStore
) -> None:
    with store.work() as work:
        keep(work, b"ticket")
        keep(work, b"other", bearer="default:CN=other")
        keep(work, b"anyone", bearer="", requests=None)
    for _ in range(2):
        with asked(authenticator, store, shown(b"ticket")) as identity:
            assert (identity.owner, identity.ticket) == ("Fred", b"ticket")
    assert refused(authenticator, store, shown(b"ticket")).cause is Cause.LOGIN_USED_UP
    assert refused(authenticator, store, shown(b"other")).cause is Cause.INVALID_TICKET
    assert refused(authenticator, store, shown(b"none")).cause is Cause.INVALID_TICKET
    assert refused(authenticator, store, shown(b"anyone"), now=NOW + 10).cause is Cause.INVALID_TICKET


def test_the_database_holds_no_ticket(store: SQLiteStore, tmp_path: Path) -> None:
    with store.work() as work:
        keep(work, b"this is the ticket value")
    held = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"this is the ticket value" not in held


def test_records_do_not_show_secrets() -> None:
    assert "31323334" not in repr(OTP)
    assert "seed" not in repr(OTP)
    assert HASHED.hashed is not None
    assert HASHED.hashed.s1.hex() not in repr(HASHED)
    assert HashedPassword.parse(HASHED.hashed.record()) == HASHED.hashed
