"""The gate at work: KMIP's attestation handshake through a whole engine, with evidence under the tests' own roots."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kmipsrv.domain.ports import Keyring
from kmipsrv.identity.authenticator import CredentialAuthenticator, User
from kmipsrv.identity.password import hash_password
from kmipsrv.spec.attested_release import EVIDENCE_TYPES
from kmipsrv.spec.enums import BatchErrorContinuationOption, Operation, ResultReason, ResultStatus
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import Version
from kmipsrv.ttlv.codec import ENUMERATION, STRUCTURE, TEXT_STRING, Item
from tests.attested import (
    ANYTHING,
    SNP,
    ask,
    capable,
    challenge_of,
    covering,
    credential,
    gate_settings,
    gated,
    get,
    get_attested,
    snp,
    tpm,
    trail,
)
from tests.harness import BOB, Answer, Client, Clock, make_engine, option, uid_item
from tests.release.verifiers.attesters import make_snp
from tests.release.verifiers.tpm_attesters import make_tpm

R = ResultReason
MATERIAL = bytes(range(32))


def material(answer: Answer) -> bytes:
    """The key material of a Get's answer."""
    assert answer.status is ResultStatus.SUCCESS, (answer.reason, answer.message)
    fields = answer.one(Tag.SYMMETRIC_KEY)
    block = {tag: value for tag, _, value in fields[0][2]}
    value: bytes = {tag: content for tag, _, content in block[Tag.KEY_VALUE]}[Tag.KEY_MATERIAL]
    return value


def test_the_handshake(client: Client) -> None:
    uid = gated(client, material=MATERIAL)
    challenge, (refusal,) = ask(client, [get(uid)])
    assert refusal.reason is R.ATTESTATION_REQUIRED
    assert challenge.types == (EVIDENCE_TYPES["snp"], EVIDENCE_TYPES["tpm"])
    shown = credential("tpm", challenge, tpm(covering(client, challenge)))
    (answer,) = client.batch([get(uid)], *capable(), shown)
    assert material(answer) == MATERIAL
    assert [record["outcome"] for record in trail(client)] == ["challenged", "granted"]


@pytest.mark.parametrize(("kind", "make"), [("tpm", tpm), ("snp", snp)])
@pytest.mark.parametrize("version", [Version.V1_2, Version.V1_4, Version.V2_0, Version.V2_1, Version.V3_0])
def test_every_version_that_has_the_fields(client: Client, kind: str, make: Any, version: Version) -> None:
    uid = gated(client, material=MATERIAL)
    assert material(get_attested(client.at(version), uid, kind=kind, make=make)) == MATERIAL


# --------------------------------------------------------------------------------------------------- before evidence


def test_a_client_that_cannot_attest_is_refused_without_a_nonce(client: Client) -> None:
    uid = gated(client)
    for header in ([], [(Tag.ATTESTATION_CAPABLE_INDICATOR, 6, False)]):
        fields, (answer,) = client.message(client.frame([get(uid)], *header))
        assert answer.reason is R.PERMISSION_DENIED
        assert challenge_of(fields) is None
    assert [(record["outcome"], record["step"]) for record in trail(client)] == [("denied", "capable")] * 2


@pytest.mark.parametrize("version", [Version.V1_0, Version.V1_1])
def test_versions_without_the_fields_are_refused(client: Client, version: Version) -> None:
    uid = gated(client)
    assert client.at(version).refused(*_flat(get(uid))) is R.PERMISSION_DENIED


def test_the_types_offered_are_those_that_policy_server_and_client_have_in_common(start: Callable[..., Client]) -> None:
    client = start()
    uid = gated(client, SNP)
    assert ask(client, [get(uid)])[0].types == (EVIDENCE_TYPES["snp"],)
    for header in (capable("tpm"), capable("nitro", "maa")):
        fields, (answer,) = client.message(client.frame([get(uid)], *header))
        assert answer.reason is R.PERMISSION_DENIED
        assert challenge_of(fields) is None
    client.engine.store.close()


def test_nothing_is_offered_that_nothing_is_pinned_for(start: Callable[..., Client]) -> None:
    client = start(endorsements={})
    uid = gated(client)
    fields, (answer,) = client.message(client.frame([get(uid)], *capable()))
    assert answer.reason is R.PERMISSION_DENIED
    assert challenge_of(fields) is None
    (answer,) = client.batch([(Operation.QUERY, [(Tag.QUERY_FUNCTION, ENUMERATION, 7)])])
    assert answer.values(Tag.ATTESTATION_TYPE) == []


def test_an_object_of_somebody_else_is_not_there_for_the_gate_either(client: Client) -> None:
    uid = gated(client)
    bob = client.as_(BOB)
    fields, (answer,) = bob.message(bob.frame([get(uid)], *capable()))
    assert answer.reason is R.OBJECT_NOT_FOUND
    assert challenge_of(fields) is None
    assert trail(client) == []


def test_state_and_usage_come_before_the_gate(client: Client) -> None:
    uid = gated(client)
    client.ok(Operation.DESTROY, uid_item(uid))
    fields, (answer,) = client.message(client.frame([get(uid)], *capable()))
    assert answer.reason is R.OBJECT_DESTROYED
    assert challenge_of(fields) is None


def test_an_ungated_object_needs_nothing(client: Client) -> None:
    uid = client.register_key(MATERIAL)
    assert material(client.ok(*_flat(get(uid)))) == MATERIAL
    assert trail(client) == []


# ---------------------------------------------------------------------------------------------------- the evidence


@pytest.mark.parametrize(
    ("kind", "make"),
    [
        ("tpm", lambda covered: make_tpm(nonce=covered[:-1])),
        ("tpm", lambda covered: make_tpm(nonce=covered + b"\0")),
        ("tpm", lambda covered: make_tpm(nonce=b"\0" * 64)),
        ("tpm", lambda covered: make_tpm(nonce=covered, rest=b"\0")),
        ("snp", lambda covered: make_snp(report_data=bytes(64))),
        ("snp", lambda covered: make_snp(report_data=covered, certified_chip_id=bytes(64), chip_id=b"\1" * 64)),
        ("tpm", snp),
        ("snp", tpm),
        ("nitro", tpm),
    ],
)
def test_evidence_that_does_not_validate(client: Client, kind: str, make: Any) -> None:
    uid = gated(client)
    assert get_attested(client, uid, kind=kind, make=make).reason is R.ATTESTATION_FAILED


def test_every_flipped_byte_of_an_snp_report_keeps_the_gate_shut(client: Client) -> None:
    uid = gated(client)
    for offset in range(0, 0x2A0 + 96, 37):

        def flipped(covered: bytes, offset: int = offset) -> Any:
            made = make_snp(report_data=covered)
            evidence = bytearray(made.evidence)
            evidence[offset] ^= 0x40
            return replace(made, evidence=bytes(evidence))

        answer = get_attested(client, uid, kind="snp", make=flipped)
        assert answer.reason is R.ATTESTATION_FAILED, offset


def test_ten_megabytes_of_evidence(client: Client) -> None:
    uid = gated(client)

    def huge(covered: bytes) -> Any:
        return replace(make_snp(report_data=covered), evidence=b"\0" * 10_000_000)

    assert get_attested(client, uid, kind="snp", make=huge).reason is R.ATTESTATION_FAILED


def test_evidence_in_the_field_of_tokens(client: Client) -> None:
    uid = gated(client)
    challenge, _ = ask(client, [get(uid)])
    shown = credential("tpm", challenge, tpm(covering(client, challenge)), assertion=True)
    assert client.batch([get(uid)], *capable(), shown)[0].reason is R.ATTESTATION_FAILED


def test_the_bare_nonce_only_where_the_configuration_says_so(start: Callable[..., Client]) -> None:
    strict, lenient = start(), start(bare_nonce=True)
    uid = gated(strict)
    for client, expected in ((strict, R.ATTESTATION_FAILED), (lenient, None)):
        challenge, _ = ask(client, [get(uid)])
        shown = credential("tpm", challenge, tpm(challenge.value))
        assert client.batch([get(uid)], *capable(), shown)[0].reason is expected


def test_a_credential_from_a_client_that_says_it_has_none(client: Client) -> None:
    uid = gated(client)
    challenge, _ = ask(client, [get(uid)])
    shown = credential("tpm", challenge, tpm(covering(client, challenge)))
    assert client.batch([get(uid)], shown)[0].reason is R.PERMISSION_DENIED


def test_a_bad_credential_fails_what_is_not_gated_as_well(client: Client) -> None:
    """2.1 §9.4: "they must ALL be satisfied"."""
    uid, free = gated(client), client.register_key(MATERIAL)
    challenge, _ = ask(client, [get(uid)])
    shown = credential("tpm", challenge, tpm(bytes(64)))
    go_on = option(BatchErrorContinuationOption.CONTINUE)
    answers = client.batch(
        [get(free), (Operation.QUERY, [(Tag.QUERY_FUNCTION, ENUMERATION, 1)])], *capable(), shown, go_on
    )
    assert [answer.reason for answer in answers] == [R.ATTESTATION_FAILED] * 2
    assert answers[0].payload == []


def test_several_credentials_one_of_which_satisfies(client: Client) -> None:
    uid = gated(client, SNP)
    challenge, _ = ask(client, [get(uid)])
    both = [
        credential(kind, challenge, make(covering(client, challenge))) for kind, make in (("tpm", tpm), ("snp", snp))
    ]
    assert client.batch([get(uid)], *capable(), *both)[0].status is ResultStatus.SUCCESS


def test_one_bad_credential_among_good_ones(client: Client) -> None:
    uid = gated(client)
    challenge, _ = ask(client, [get(uid)])
    both = [
        credential("snp", challenge, snp(covering(client, challenge))),
        credential("tpm", challenge, tpm(bytes(64))),
    ]
    assert client.batch([get(uid)], *capable(), *both)[0].reason is R.ATTESTATION_FAILED


@pytest.mark.parametrize("first", [True, False])
def test_attestation_arrives_beside_another_credential(
    tmp_path: Path, keyring: Keyring, clock: Clock, first: bool
) -> None:
    """In either order, each is judged by itself: neither stands in for the other, and both have to hold."""
    users = [User("Fred", owner="Fred", record=hash_password("password1", b"f" * 16))]
    login = CredentialAuthenticator(users, [], bytes(32))
    engine = make_engine(tmp_path, keyring, clock, authenticator=login, release=gate_settings())
    client = Client(engine, Version.V2_1)

    def password(text: str) -> Item:
        value: list[Item] = [(Tag.USERNAME, TEXT_STRING, "Fred"), (Tag.PASSWORD, TEXT_STRING, text)]
        fields: list[Item] = [(Tag.CREDENTIAL_TYPE, ENUMERATION, 1), (Tag.CREDENTIAL_VALUE, STRUCTURE, value)]
        return Tag.AUTHENTICATION, STRUCTURE, [(Tag.CREDENTIAL, STRUCTURE, fields)]

    fred = replace(client, header=[password("password1")])
    uid = gated(fred)
    for text, made, reason in (
        ("wrong", tpm, R.AUTHENTICATION_NOT_SUCCESSFUL),
        ("password1", lambda covered: tpm(bytes(64)), R.ATTESTATION_FAILED),
        ("password1", tpm, None),
    ):
        challenge, _ = ask(fred, [get(uid)])
        both = [credential("tpm", challenge, made(covering(client, challenge))), password(text)]
        header = both if first else both[::-1]
        (answer,) = client.batch([get(uid)], *capable(), *header)
        assert answer.reason is reason
    engine.store.close()


# ------------------------------------------------------------------------------------------------------- the policy


def test_valid_evidence_that_the_policy_refuses(client: Client) -> None:
    uid = gated(client, SNP)
    answer = get_attested(client, uid, kind="snp", make=lambda c: make_snp(report_data=c, policy=0xB0000))
    assert answer.reason is R.PERMISSION_DENIED
    record = trail(client)[-1]
    assert (record["outcome"], record["step"], record["decision"]["allow"]) == ("denied", "policy", False)
    leaf = record["decision"]["tree"]["children"][0]["children"][0]
    assert (leaf["asks"], leaf["result"]) == ("debug equals", "false")


def test_the_message_says_no_more_than_the_reason(client: Client) -> None:
    """No oracle: what failed is for the audit trail."""
    uid = gated(client)
    makers: list[Any] = [lambda c: make_tpm(nonce=bytes(64)), lambda c: make_tpm(nonce=c, rest=b"\0"), snp]
    assert len({get_attested(client, uid, make=make).message for make in makers}) == 1


def test_maximum_releases_are_counted_for_good(start: Callable[..., Client]) -> None:
    policy = '{"anyOf": [{"claim": "tee", "exists": true}], "conditions": {"maxReleases": 2}}'
    client = start()
    uid = gated(client, policy)
    assert get_attested(client, uid).status is ResultStatus.SUCCESS
    again = start()
    assert get_attested(again, uid).status is ResultStatus.SUCCESS
    assert get_attested(client, uid).reason is R.PERMISSION_DENIED


def test_the_rate_is_kept(client: Client, clock: Clock) -> None:
    policy = '{"anyOf": [{"claim": "tee", "exists": true}], "conditions": {"rate": {"count": 1, "per": 60}}}'
    uid = gated(client, policy)
    assert get_attested(client, uid).status is ResultStatus.SUCCESS
    assert get_attested(client, uid).reason is R.PERMISSION_DENIED
    clock.advance(61)
    assert get_attested(client, uid).status is ResultStatus.SUCCESS


def test_a_policy_that_is_gone_from_the_store_or_changed_there_opens_nothing(start: Callable[..., Client]) -> None:
    client = start()
    uid = gated(client, SNP)
    with client.engine.store.work() as work:
        ((policy_id, _),) = work.records("release policy", "")
        work.write("release policy", policy_id, ANYTHING.encode())
    other = start()  # which has not read it yet
    assert get_attested_or_refused(other, uid) is R.PERMISSION_DENIED
    with client.engine.store.work() as work:
        work.remove("release policy", policy_id)
    assert get_attested_or_refused(start(), uid) is R.PERMISSION_DENIED


# -------------------------------------------------------------------------------------------------------- the batch


def test_one_attestation_for_a_batch_of_two(client: Client) -> None:
    """The nonce is for every object that the message names, although the first refusal ended the batch."""
    one, other, free = gated(client), gated(client, SNP), client.register_key(MATERIAL)
    challenge, answers = ask(client, [get(one), get(other)])
    assert len(answers) == 1
    assert challenge.types == (EVIDENCE_TYPES["snp"], EVIDENCE_TYPES["tpm"])
    shown = credential("snp", challenge, snp(covering(client, challenge)))
    answers = client.batch([get(one), get(free), get(other)], *capable(), shown)
    assert [answer.status for answer in answers] == [ResultStatus.SUCCESS] * 3
    assert [record["outcome"] for record in trail(client)] == ["challenged", "granted", "granted"]


def test_the_gate_decides_item_by_item(client: Client) -> None:
    one, other = gated(client), gated(client, SNP)
    go_on = option(BatchErrorContinuationOption.CONTINUE)
    challenge, answers = ask(client, [get(one), get(other)], go_on)
    assert [answer.reason for answer in answers] == [R.ATTESTATION_REQUIRED] * 2
    assert challenge.types == (EVIDENCE_TYPES["snp"],)  # what satisfies both
    shown = credential("tpm", challenge, tpm(covering(client, challenge)))
    answers = client.batch([get(one), get(other)], *capable(), shown, go_on)
    assert [answer.reason for answer in answers] == [None, R.PERMISSION_DENIED]


def test_a_mixed_batch_without_evidence(client: Client) -> None:
    uid, free = gated(client), client.register_key(MATERIAL)
    fields, answers = client.message(client.frame([get(free), get(uid)], *capable()))
    assert material(answers[0]) == MATERIAL
    assert answers[1].reason is R.ATTESTATION_REQUIRED
    assert challenge_of(fields) is not None


def test_records_nonces_and_counters_survive_undo(client: Client) -> None:
    policy = '{"anyOf": [{"claim": "tee", "exists": true}], "conditions": {"maxReleases": 1}}'
    uid = gated(client, policy)
    undo = option(BatchErrorContinuationOption.UNDO)
    challenge, _ = ask(client, [get(uid)])
    shown = credential("tpm", challenge, tpm(covering(client, challenge)))
    answers = client.batch([get(uid), get("no such object")], *capable(), shown, undo)
    assert [answer.status for answer in answers] == [ResultStatus.OPERATION_UNDONE, ResultStatus.OPERATION_FAILED]
    assert answers[0].values(Tag.SYMMETRIC_KEY) == []
    assert [record["outcome"] for record in trail(client)] == ["challenged", "granted"]
    assert client.batch([get(uid)], *capable(), shown)[0].reason is R.ATTESTATION_FAILED  # the nonce is used up
    assert get_attested(client, uid).reason is R.PERMISSION_DENIED  # and the release is counted


def test_an_answer_that_is_too_large_is_on_record_too(client: Client) -> None:
    uid = gated(client)
    small = Tag.MAXIMUM_RESPONSE_SIZE, 2, 100
    fields, _ = client.message(client.frame([get(uid)], *capable(), small))
    assert [record["outcome"] for record in trail(client)] == ["challenged"]
    assert challenge_of(fields) is not None


def _flat(item: tuple[int, list[Any]]) -> tuple[Any, ...]:
    return (item[0], *item[1])


def get_attested_or_refused(client: Client, uid: str) -> ResultReason | None:
    """The reason why a capable client does not get the object."""
    return client.batch([get(uid)], *capable())[0].reason
