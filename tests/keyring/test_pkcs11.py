"""A token that goes away, comes back, is another one, is asked by many threads, forks."""

from __future__ import annotations

import dataclasses
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pkcs11 import Attribute, KeyType
from pkcs11.exceptions import AttributeSensitive

from kmipsrv.errors import Cause, ConfigError, KmipError, TokenUnavailable
from kmipsrv.keyring.counter import FileCounter
from kmipsrv.keyring.cryptoki import library
from kmipsrv.keyring.envelope import Envelope
from kmipsrv.keyring.master import MECHANISMS
from kmipsrv.keyring.pkcs11 import BACKOFF, Token, read_pin
from kmipsrv.keyring.provision import KeyringSettings, initialise, open_keyring
from tests.keyring.conftest import BINDING, grant

PLAINTEXT = b"the material of a managed object, thirty-two bytes and more"


class Clock:
    """Time that passes when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def token(settings: KeyringSettings, clock: Clock) -> Iterator[Token]:
    made = Token(settings.address, lambda: read_pin(settings.pin_file), clock=clock)
    made.connect()
    yield made
    made.close()


@pytest.fixture(params=["aes-gcm", "aes-kwp"])
def keyring(settings: KeyringSettings, token: Token, request: pytest.FixtureRequest) -> Envelope:
    return Envelope(token, FileCounter(settings.counter_file), MECHANISMS[request.param])


def test_away_while_serving_and_back_by_itself(keyring: Envelope, state: Path, clock: Clock) -> None:
    keyring.verify_check(keyring.check_record())
    sealed = keyring.seal(PLAINTEXT, BINDING)
    (state / "tokens").rename(state / "taken away")
    for _ in range(3):
        with pytest.raises(TokenUnavailable):
            keyring.open(sealed, BINDING, grant())
        with pytest.raises(TokenUnavailable):
            keyring.seal(PLAINTEXT, BINDING)
        clock.now += BACKOFF[1]
    (state / "taken away").rename(state / "tokens")
    assert keyring.open(sealed, BINDING, grant()) == PLAINTEXT
    assert keyring.open(keyring.seal(PLAINTEXT, BINDING), BINDING, grant()) == PLAINTEXT


def test_an_absent_token_is_not_asked_all_the_time(
    keyring: Envelope, state: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    sealed = keyring.seal(PLAINTEXT, BINDING)
    (state / "tokens").rename(state / "taken away")
    attempts = []
    for _ in range(200):  # ten seconds
        caplog.clear()
        with pytest.raises(TokenUnavailable):
            keyring.open(sealed, BINDING, grant())
        attempts.append("does not open" in caplog.text)
        clock.now += 0.05
    assert 5 <= sum(attempts) <= 9  # after 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5 seconds
    (state / "taken away").rename(state / "tokens")
    clock.now += BACKOFF[1]
    assert keyring.open(sealed, BINDING, grant()) == PLAINTEXT


def test_gone_and_back_between_two_calls_is_not_noticed(keyring: Envelope, state: Path) -> None:
    """Another process of this machine may have initialised the library anew: handles are stale, the token is there."""
    sealed = keyring.seal(PLAINTEXT, BINDING)
    (state / "tokens").rename(state / "taken away")
    (state / "taken away").rename(state / "tokens")
    assert keyring.open(sealed, BINDING, grant()) == PLAINTEXT


def test_another_token_in_its_place_seals_and_opens_nothing(
    keyring: Envelope, state: Path, tmp_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    keyring.verify_check(keyring.check_record())
    sealed = keyring.seal(PLAINTEXT, BINDING)
    (state / "tokens").rename(state / "right")
    pin = read_pin(state / "pin")
    other = tmp_path / "other"
    other.mkdir()
    (other / "pin").write_text(pin)
    (other / "pin").chmod(0o600)
    initialise(other)  # the same labels, the same PIN
    shutil.copytree(other / "tokens", state / "tokens")
    for _ in range(3):
        with pytest.raises(TokenUnavailable):
            keyring.seal(PLAINTEXT, BINDING)
        clock.now += BACKOFF[1]
    assert "another master key" in caplog.text
    shutil.rmtree(state / "tokens")
    (state / "right").rename(state / "tokens")
    assert keyring.open(sealed, BINDING, grant()) == PLAINTEXT


def test_a_refused_record_does_not_disturb_the_session(keyring: Envelope, caplog: pytest.LogCaptureFixture) -> None:
    """SoftHSM2 answers a wrong GCM tag with CKR_GENERAL_ERROR; that is no reason to open the token anew."""
    sealed = bytearray(keyring.seal(PLAINTEXT, BINDING))
    sealed[30] ^= 1
    for _ in range(5):
        with pytest.raises(KmipError) as caught:
            keyring.open(bytes(sealed), BINDING, grant())
        assert caught.value.cause is Cause.CRYPTOGRAPHIC_FAILURE
    assert "went away" not in caplog.text


def test_threads_share_the_token(keyring: Envelope) -> None:
    sealed = keyring.seal(PLAINTEXT, BINDING)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(100):
                assert keyring.open(sealed, BINDING, grant()) == PLAINTEXT
                keyring.seal(PLAINTEXT, BINDING)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_two_tokens_in_one_process_do_not_use_each_others_handles(settings: KeyringSettings, tmp_path: Path) -> None:
    """SoftHSM2 reads one configuration at a time: each use of the other token initialises it anew."""
    ours = open_keyring(settings)
    theirs = open_keyring(initialise(tmp_path / "theirs").settings)
    sealed = {id(keyring): keyring.seal(PLAINTEXT, BINDING) for keyring in (ours, theirs)}
    for _ in range(3):
        for keyring, other in ((ours, theirs), (theirs, ours)):
            assert keyring.open(sealed[id(keyring)], BINDING, grant()) == PLAINTEXT
            with pytest.raises(KmipError) as caught:
                keyring.open(sealed[id(other)], BINDING, grant())
            assert caught.value.cause is Cause.CRYPTOGRAPHIC_FAILURE


def test_a_forked_child_opens_the_token_for_itself(keyring: Envelope) -> None:
    sealed = keyring.seal(PLAINTEXT, BINDING)
    children = []
    for _ in range(3):
        child = os.fork()
        if child == 0:
            try:
                same = all(keyring.open(sealed, BINDING, grant()) == PLAINTEXT for _ in range(50))
                same = same and keyring.open(keyring.seal(b"c", BINDING), BINDING, grant()) == b"c"
                os._exit(0 if same else 1)
            except BaseException:
                os._exit(2)
        children.append(child)
    for _ in range(50):
        assert keyring.open(sealed, BINDING, grant()) == PLAINTEXT
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]


def test_workers_that_start_together_all_find_the_token(settings: KeyringSettings) -> None:
    children = []
    for _ in range(8):
        child = os.fork()
        if child == 0:
            try:
                open_keyring(settings)
                os._exit(0)
            except BaseException:
                os._exit(1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8


def test_a_wrong_pin_is_tried_once(settings: KeyringSettings, clock: Clock) -> None:
    asked = []

    def pin() -> str:
        asked.append(1)
        return "wrong pin"

    token = Token(settings.address, pin, clock=clock)
    library(settings.module, settings.softhsm2_conf, anew=True)  # ends the login that made the token
    with pytest.raises(ConfigError, match="refuses the PIN"):
        token.connect()
    for _ in range(5):
        clock.now += BACKOFF[1]
        with pytest.raises(TokenUnavailable):
            token.version()
        with pytest.raises(ConfigError, match="not tried again"):
            token.connect()
    right = Token(settings.address, lambda: read_pin(settings.pin_file))
    right.connect()
    assert right.versions() == [1]


def test_the_right_pin_is_taken_after_a_wrong_one(settings: KeyringSettings, clock: Clock) -> None:
    right = settings.pin_file.read_text()
    settings.pin_file.write_text("wrong pin\n")
    token = Token(settings.address, lambda: read_pin(settings.pin_file), clock=clock)
    library(settings.module, settings.softhsm2_conf, anew=True)
    with pytest.raises(TokenUnavailable):
        token.version()
    settings.pin_file.write_text(right)
    clock.now += BACKOFF[1]
    assert token.version() == 1


def test_a_key_that_could_leave_the_token_is_no_master_key(settings: KeyringSettings, token: Token) -> None:
    opened = library(settings.module, settings.softhsm2_conf).binding.get_token(token_label=settings.token_label)
    session = opened.open(rw=True)
    session.generate_key(
        KeyType.AES,
        256,
        id=(2).to_bytes(4, "big"),
        label=settings.key_label,
        store=True,
        template={Attribute.EXTRACTABLE: True, Attribute.SENSITIVE: False},
    )
    with pytest.raises(ConfigError, match="could leave its token"):
        open_keyring(settings)


def test_the_master_key_cannot_be_read_or_wrapped(settings: KeyringSettings, token: Token) -> None:
    opened = library(settings.module, settings.softhsm2_conf).binding.get_token(token_label=settings.token_label)
    (key,) = opened.open().get_objects({Attribute.LABEL: settings.key_label})
    assert key[Attribute.NEVER_EXTRACTABLE]
    assert key[Attribute.ALWAYS_SENSITIVE]
    assert key[Attribute.PRIVATE]
    assert not key[Attribute.MODIFIABLE]
    with pytest.raises(AttributeSensitive):
        key[Attribute.VALUE]


@pytest.mark.parametrize("change", ["module", "token_label", "key_label"])
def test_what_is_missing_is_said_with_its_mend(settings: KeyringSettings, change: str) -> None:
    wrong: Any = Path("/nowhere.so") if change == "module" else "nothing"
    with pytest.raises(ConfigError, match=r"nowhere|nothing") as caught:
        open_keyring(dataclasses.replace(settings, **{change: wrong}))
    assert any(mend in str(caught.value) for mend in ("install it", "kmipsrv init", "restore"))


def test_nothing_in_the_state_directory_holds_plaintext(keyring: Envelope, state: Path) -> None:
    material = os.urandom(32)
    keyring.verify_check(keyring.check_record())
    sealed = keyring.seal(material, BINDING)
    assert keyring.open(sealed, BINDING, grant()) == material
    files = [path for path in state.rglob("*") if path.is_file()]
    assert len(files) >= 6
    for path in files:
        content = path.read_bytes()
        assert material not in content
        assert material.hex().encode() not in content.lower()
