"""The envelope on a real token: what opens, and all that does not."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kmipsrv.domain.binding import Binding
from kmipsrv.domain.grant import Grant, Purpose
from kmipsrv.errors import Cause, KmipError
from kmipsrv.keyring.envelope import MAX_PLAINTEXT, Envelope, Record
from kmipsrv.keyring.master import MECHANISMS, Mechanism
from kmipsrv.keyring.provision import KeyringSettings, open_keyring, rotate
from kmipsrv.keyring.software import UnsafeSoftwareKeyring
from tests.keyring.conftest import BINDING, grant

PLAINTEXT = bytes(range(32))

OTHER_FACTS: dict[str, Any] = {
    "unique_identifier": "u2",
    "object_type": 3,
    "tenant": "other",
    "owner": "CN=other",
    "policy": "",
    "sensitive": False,
    "extractable": True,
}

ON_TOKEN = [name for name in MECHANISMS if name != "aes-gcm-token-iv"]  # SoftHSM2 makes no IVs


@pytest.fixture(params=ON_TOKEN)
def keyring(settings: KeyringSettings, request: pytest.FixtureRequest) -> Envelope:
    return open_keyring(dataclasses.replace(settings, mechanism=request.param))


def refused(call: Callable[[], object], cause: Cause = Cause.CRYPTOGRAPHIC_FAILURE) -> KmipError:
    with pytest.raises(KmipError) as caught:
        call()
    assert caught.value.cause is cause
    return caught.value


@pytest.mark.parametrize("length", [0, 1, 16, 32, 4096, 100_000])
def test_round_trip(keyring: Envelope, length: int) -> None:
    plaintext = os.urandom(length)
    sealed = keyring.seal(plaintext, BINDING)
    for purpose in Purpose:
        assert keyring.open(sealed, BINDING, grant(purpose=purpose)) == plaintext
    assert len(sealed) - length in (133 - 32, 113 - 32)


def test_two_seals_of_the_same_have_nothing_in_common(keyring: Envelope) -> None:
    first, second = (Record.decode(keyring.seal(PLAINTEXT, BINDING)) for _ in range(2))
    assert first.sealed_key != second.sealed_key
    assert first.inner_iv != second.inner_iv
    assert first.ciphertext != second.ciphertext
    assert PLAINTEXT not in first.encode()


def test_every_field_is_covered() -> None:
    assert set(OTHER_FACTS) == set(Binding._fields)


@pytest.mark.parametrize("field", OTHER_FACTS)
def test_a_record_belongs_to_every_fact_of_its_binding(keyring: Envelope, field: str) -> None:
    sealed = keyring.seal(PLAINTEXT, BINDING)
    other = BINDING._replace(**{field: OTHER_FACTS[field]})
    refused(lambda: keyring.open(sealed, other, grant(other)))
    refused(lambda: keyring.reseal(sealed, other, other))
    refused(lambda: keyring.reseal(sealed, other, BINDING))


def test_swapped_rows_do_not_open(keyring: Envelope) -> None:
    other = BINDING._replace(unique_identifier="u2")
    ours, theirs = keyring.seal(PLAINTEXT, BINDING), keyring.seal(b"theirs", other)
    refused(lambda: keyring.open(theirs, BINDING, grant()))
    refused(lambda: keyring.open(ours, other, grant(other)))


def test_swapped_layers_do_not_open(keyring: Envelope) -> None:
    """The data key of one seal with the ciphertext of another of the same object."""
    first, second = (Record.decode(keyring.seal(text, BINDING)) for text in (b"first", b"again"))
    mixed = first._replace(ciphertext=second.ciphertext, inner_iv=second.inner_iv)
    refused(lambda: keyring.open(mixed.encode(), BINDING, grant()))


def test_a_flipped_bit_anywhere_is_refused(keyring: Envelope) -> None:
    sealed = keyring.seal(PLAINTEXT, BINDING)
    for offset in range(len(sealed)):
        for bit in range(8):
            changed = bytearray(sealed)
            changed[offset] ^= 1 << bit
            refused(lambda record=bytes(changed): keyring.open(record, BINDING, grant()))  # type: ignore[misc]
    assert keyring.open(sealed, BINDING, grant()) == PLAINTEXT


def test_a_record_of_any_other_length_is_refused(keyring: Envelope) -> None:
    sealed = keyring.seal(PLAINTEXT, BINDING)
    for length in range(len(sealed)):
        refused(lambda record=sealed[:length]: keyring.open(record, BINDING, grant()))  # type: ignore[misc]
    refused(lambda: keyring.open(sealed + b"\0", BINDING, grant()))
    refused(lambda: keyring.open(sealed + bytes(MAX_PLAINTEXT + 256), BINDING, grant()))


@pytest.mark.parametrize(
    "wrong",
    [
        Grant("u2", BINDING.owner, Purpose.EXPORT, BINDING.policy),
        Grant("U1", BINDING.owner, Purpose.EXPORT, BINDING.policy),
        Grant(BINDING.unique_identifier, "CN=owner,O=x", Purpose.EXPORT, BINDING.policy),
        Grant(BINDING.unique_identifier, "", Purpose.EXPORT, BINDING.policy),
        Grant(BINDING.unique_identifier, BINDING.owner, Purpose.EXPORT, ""),
        Grant(BINDING.unique_identifier, BINDING.owner, "export", BINDING.policy),  # type: ignore[arg-type]
        BINDING,
        None,
    ],
)
def test_a_grant_for_anything_else_opens_nothing(wrong: Any) -> None:
    keyring = UnsafeSoftwareKeyring()
    sealed = keyring.seal(PLAINTEXT, BINDING)
    refused(lambda: keyring.open(sealed, BINDING, wrong), Cause.PERMISSION_DENIED)


def test_too_much_material_is_refused() -> None:
    refused(lambda: UnsafeSoftwareKeyring().seal(bytes(MAX_PLAINTEXT + 1), BINDING), Cause.SERVER_LIMIT_EXCEEDED)


# --- reseal ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field", OTHER_FACTS)
def test_reseal_binds_both_layers_to_new_facts(keyring: Envelope, field: str) -> None:
    sealed = keyring.seal(PLAINTEXT, BINDING)
    new = BINDING._replace(**{field: OTHER_FACTS[field]})
    again = keyring.reseal(sealed, BINDING, new)
    assert keyring.open(again, new, grant(new)) == PLAINTEXT
    refused(lambda: keyring.open(again, BINDING, grant()))
    before, after = Record.decode(sealed), Record.decode(again)
    assert before.ciphertext != after.ciphertext
    assert before.sealed_key != after.sealed_key


def test_rotation_seals_the_data_key_only(settings: KeyringSettings) -> None:
    before = open_keyring(settings)
    sealed = before.seal(PLAINTEXT, BINDING)
    assert rotate(settings) == 2
    after = open_keyring(settings)
    assert after.open(sealed, BINDING, grant()) == PLAINTEXT
    old, new = Record.decode(sealed), Record.decode(after.reseal(sealed, BINDING, BINDING))
    assert (old.version, new.version) == (1, 2)
    assert (old.inner_iv, old.ciphertext) == (new.inner_iv, new.ciphertext)
    assert old.sealed_key != new.sealed_key
    assert after.open(new.encode(), BINDING, grant()) == PLAINTEXT


def test_a_running_keyring_opens_what_another_process_has_rotated(settings: KeyringSettings) -> None:
    running = open_keyring(settings)
    running.seal(PLAINTEXT, BINDING)
    rotate(settings)
    newer = open_keyring(settings).seal(PLAINTEXT, BINDING)
    assert Record.decode(newer).version == 2
    assert running.open(newer, BINDING, grant()) == PLAINTEXT


def test_a_record_of_one_mechanism_opens_when_another_is_configured(settings: KeyringSettings) -> None:
    sealed = {
        name: open_keyring(dataclasses.replace(settings, mechanism=name)).seal(PLAINTEXT, BINDING) for name in ON_TOKEN
    }
    for name in ON_TOKEN:
        keyring = open_keyring(dataclasses.replace(settings, mechanism=name))
        assert all(keyring.open(record, BINDING, grant()) == PLAINTEXT for record in sealed.values())


def test_a_version_that_the_token_does_not_hold_is_refused(settings: KeyringSettings) -> None:
    keyring = open_keyring(settings)
    record = Record.decode(keyring.seal(PLAINTEXT, BINDING))
    for version in (0, 2, 2**32 - 1):
        refused(lambda v=version: keyring.open(record._replace(version=v).encode(), BINDING, grant()))  # type: ignore[misc]


# --- the check record ------------------------------------------------------------------------------------------------


def test_the_check_record_tells_the_master_key(keyring: Envelope) -> None:
    keyring.verify_check(keyring.check_record())
    refused(lambda: keyring.verify_check(UnsafeSoftwareKeyring().check_record()))
    refused(lambda: keyring.verify_check(keyring.seal(PLAINTEXT, BINDING)))
    refused(lambda: keyring.verify_check(b""))


# --- without a token -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mechanism", Mechanism)
def test_the_software_keyring_speaks_the_same_format(mechanism: Mechanism, caplog: pytest.LogCaptureFixture) -> None:
    keyring = UnsafeSoftwareKeyring(mechanism)
    assert "without a token" in caplog.text
    sealed = keyring.seal(PLAINTEXT, BINDING)
    assert keyring.open(sealed, BINDING, grant()) == PLAINTEXT
    assert keyring.master.rotate() == 2
    again = keyring.reseal(sealed, BINDING, BINDING)
    assert keyring.open(again, BINDING, grant()) == PLAINTEXT
    assert Record.decode(again).version == 2
    refused(lambda: keyring.open(again, BINDING._replace(policy=""), dataclasses.replace(grant(), policy="")))


def test_the_format_on_disk_does_not_change_unnoticed() -> None:
    """A record made with fixed randomness, against the words of the module's docstring."""
    drawn = Counter[int]()

    def randomness(length: int) -> bytes:
        drawn[length] += 1
        return bytes([drawn[length]]) * length

    facts = BINDING.encode()
    master_key, data_key, inner_iv, outer_iv = b"\1" * 32, b"\2" * 32, b"\1" * 12, b"\2" * 12
    inner = AESGCM(data_key).encrypt(inner_iv, b"material", b"KSRE\1" + facts)
    outer = AESGCM(master_key).encrypt(outer_iv, data_key, b"KSRE\1\1\0\0\0\1" + facts)
    expected = b"KSRE\1\1\0\0\0\1\x0c\0\x30" + outer_iv + outer + inner_iv + inner
    assert UnsafeSoftwareKeyring(randomness=randomness).seal(b"material", BINDING) == expected
    assert hashlib.sha256(expected).hexdigest() == "57fa84c8865bbbb4b35ab6cb12ee3cd171976b2011a9a86baffaf4ced83126f1"
