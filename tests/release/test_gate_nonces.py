"""The gate's nonces: once, in time, for one client and its certificate, for the objects asked for, of this deployment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from kmipsrv.engine.call import Call, Peer
from kmipsrv.spec.enums import ResultReason, ResultStatus
from tests.attested import ask, capable, challenge_of, covering, credential, gated, get, tpm, trail
from tests.harness import BOB, Client, Clock

R = ResultReason


def test_a_nonce_is_used_once(client: Client) -> None:
    uid = gated(client)
    challenge, _ = ask(client, [get(uid)])
    frame = client.frame([get(uid)], *capable(), credential("tpm", challenge, tpm(covering(client, challenge))))
    assert client.message(frame)[1][0].status is ResultStatus.SUCCESS
    assert client.message(frame)[1][0].reason is R.ATTESTATION_FAILED
    assert [(record["outcome"], record["step"]) for record in trail(client)][1:] == [
        ("granted", None),
        ("failed", "single"),
    ]


def test_a_nonce_is_used_once_also_within_one_group_of_messages(client: Client) -> None:
    """Messages that wait together share one transaction."""
    uid = gated(client)
    challenge, _ = ask(client, [get(uid)])
    frame = client.frame([get(uid)], *capable(), credential("tpm", challenge, tpm(covering(client, challenge))))
    peer = Peer(client.identity, "127.0.0.1", public_key=client.public_key)
    first, second = client.engine.answer([Call(frame, peer), Call(frame, peer)])
    assert first is not None
    assert second is not None
    assert b"\x42\x00\x43" in first  # Key Material
    assert b"\x42\x00\x43" not in second


def test_a_failed_attestation_uses_the_nonce_up(client: Client) -> None:
    uid = gated(client)
    challenge, _ = ask(client, [get(uid)])
    wrong = credential("tpm", challenge, tpm(bytes(64)))
    assert client.batch([get(uid)], *capable(), wrong)[0].reason is R.ATTESTATION_FAILED
    right = credential("tpm", challenge, tpm(covering(client, challenge)))
    assert client.batch([get(uid)], *capable(), right)[0].reason is R.ATTESTATION_FAILED
    assert [record["step"] for record in trail(client)][1:] == ["nonce", "single"]


def test_a_nonce_expires(client: Client, clock: Clock) -> None:
    uid = gated(client)
    challenge, _ = ask(client, [get(uid)])
    shown = credential("tpm", challenge, tpm(covering(client, challenge)))
    clock.advance(300)
    assert client.batch([get(uid)], *capable(), shown)[0].reason is R.ATTESTATION_FAILED
    assert trail(client)[-1]["step"] == "time"


def test_a_nonce_is_one_client_s(client: Client) -> None:
    uid = gated(client)
    bob = client.as_(BOB)
    theirs = gated(bob)
    challenge, _ = ask(client, [get(uid)])
    shown = credential("tpm", challenge, tpm(covering(bob, challenge)))
    assert bob.batch([get(theirs)], *capable(), shown)[0].reason is R.ATTESTATION_FAILED
    assert trail(client)[-1]["step"] == "mac"


def test_evidence_covers_the_client_s_certificate(client: Client) -> None:
    """Whoever holds another certificate cannot use evidence that was made for this one, nonce or not."""
    uid = gated(client)
    challenge, _ = ask(client, [get(uid)])
    other = replace(client, public_key=b"another certificate's")
    shown = credential("tpm", challenge, tpm(covering(other, challenge)))
    assert client.batch([get(uid)], *capable(), shown)[0].reason is R.ATTESTATION_FAILED


def test_a_nonce_is_for_the_objects_it_was_asked_for(client: Client) -> None:
    uid, other = gated(client), gated(client)
    challenge, _ = ask(client, [get(uid)])
    shown = credential("tpm", challenge, tpm(covering(client, challenge)))
    fields, (answer,) = client.message(client.frame([get(other)], *capable(), shown))
    assert answer.reason is R.ATTESTATION_REQUIRED
    assert challenge_of(fields) != challenge
    record = trail(client)[-1]
    assert (record["outcome"], record["step"], record["object"]) == ("challenged", "scope", other)


@pytest.mark.parametrize(
    ("nonce_id", "value"), [(b"", b""), (b"x" * 82, bytes(32)), (None, bytes(32)), (None, None), (b"\1" * 1000, None)]
)
def test_a_nonce_is_this_deployment_s(client: Client, nonce_id: bytes | None, value: bytes | None) -> None:
    uid = gated(client)
    challenge, _ = ask(client, [get(uid)])
    forged = replace(
        challenge,
        nonce_id=challenge.nonce_id[:-1] + b"\0" if nonce_id is None else nonce_id,
        value=challenge.value if value is None else value,
    )
    shown = credential("tpm", forged, tpm(covering(client, forged)))
    assert client.batch([get(uid)], *capable(), shown)[0].reason is R.ATTESTATION_FAILED


def test_a_nonce_holds_in_every_process_and_after_a_restart(start: Callable[..., Client]) -> None:
    first = start()
    uid = gated(first)
    challenge, _ = ask(first, [get(uid)])
    shown = credential("tpm", challenge, tpm(covering(first, challenge)))
    second = start()  # another worker
    assert second.batch([get(uid)], *capable(), shown)[0].status is ResultStatus.SUCCESS
    assert first.batch([get(uid)], *capable(), shown)[0].reason is R.ATTESTATION_FAILED  # used up in the other
    challenge, _ = ask(first, [get(uid)])
    shown = credential("tpm", challenge, tpm(covering(first, challenge)))
    first.engine.store.close()
    second.engine.store.close()
    third = start()  # both are gone
    assert third.batch([get(uid)], *capable(), shown)[0].status is ResultStatus.SUCCESS
