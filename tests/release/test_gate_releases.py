"""Released to the attested key only; approvals; orders; and the trail that proves it."""

from __future__ import annotations

import datetime
import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kmipsrv.audit.chain import Broken, Head
from kmipsrv.audit.journal import HEAD, verify_trail
from kmipsrv.engine.ledger import POLICY, keep_approval
from kmipsrv.engine.orders import carry_out
from kmipsrv.release import decisions
from kmipsrv.release.approvals import approve
from kmipsrv.release.gate import Gate
from kmipsrv.release.orders import order
from kmipsrv.release.policy import parse
from kmipsrv.release.recipient import Context, NotReleased, PrivateKey, open_release
from kmipsrv.release.refusal import Refused
from kmipsrv.spec.attested_release import opened_block
from kmipsrv.spec.enums import Operation, ResultReason, ResultStatus, WrappingMethod
from kmipsrv.spec.objects import KeyBlock, key_material
from kmipsrv.spec.schema import bind
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import Version
from kmipsrv.ttlv.codec import BOOLEAN, BYTE_STRING, ENUMERATION, STRUCTURE
from tests.attested import (
    ANYTHING,
    SNP,
    START,
    ask,
    capable,
    covering,
    credential,
    gated,
    get_attested,
    policy_item,
    tpm,
    trail,
    wrapping_to,
)
from tests.harness import ALICE, Answer, Client, Clock, uid_item

R = ResultReason
MATERIAL = bytes(range(32))
BOUND = '{"anyOf": [{"claim": "tee", "exists": true}], "conditions": {"requireKeyBinding": true}}'
NOW = datetime.datetime.fromtimestamp(START, datetime.UTC)
HOUR = datetime.timedelta(hours=1)


def gate(client: Client) -> Gate:
    found = client.engine.dispatcher.gate
    assert isinstance(found, Gate)
    return found


def public(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


# ------------------------------------------------------------------------------------------------ to the attested key


def released(
    client: Client, uid: str, recipient: bytes, operation: Operation = Operation.GET
) -> tuple[Answer, Context]:
    """-> the answer to an attested request that asks for a release, and what the client asked with."""
    client = wrapping_to(client, recipient)
    items = [(operation, [uid_item(uid)])]
    challenge, _ = ask(client, items)
    shown = credential("tpm", challenge, tpm(covering(client, challenge, recipient)))
    frame = client.frame(items, *capable(), shown)
    (answer,) = client.message(frame)[1]
    return answer, Context(hashlib.sha256(frame).digest(), "", challenge.nonce_id, uid, recipient)


def block_of(answer: Answer, tag: Tag = Tag.SYMMETRIC_KEY) -> KeyBlock:
    assert answer.status is ResultStatus.SUCCESS, (answer.reason, answer.message)
    fields = answer.one(tag)
    found: KeyBlock = bind(KeyBlock, fields[0][2], Version.V2_1)
    return found


def opened(client: Client, block: KeyBlock, context: Context, key: PrivateKey) -> bytes:
    assert block.key_wrapping_data is not None
    assert block.key_wrapping_data.wrapping_method is WrappingMethod.ATTESTED_RELEASE
    assert block.key_value is not None
    plaintext = open_release(block.key_value[1], context, gate(client).signing_key.public_key(), key)
    material = key_material(opened_block(block, plaintext))
    assert isinstance(material, bytes)
    return material


@pytest.mark.parametrize(
    "make",
    [
        lambda: rsa.generate_private_key(65537, 2048),
        lambda: ec.generate_private_key(ec.SECP256R1()),
        lambda: ec.generate_private_key(ec.SECP384R1()),
        x25519.X25519PrivateKey.generate,
    ],
)
@pytest.mark.parametrize("operation", [Operation.GET, Operation.EXPORT])
def test_the_key_leaves_wrapped_to_the_attested_key(
    client: Client, make: Callable[[], PrivateKey], operation: Operation
) -> None:
    key = make()
    uid = gated(client, BOUND, MATERIAL)
    answer, context = released(client, uid, public(key), operation)
    assert opened(client, block_of(answer), context, key) == MATERIAL
    record = trail(client)[-1]
    assert (record["outcome"], record["recipient"]) == ("granted", hashlib.sha256(public(key)).hexdigest())


def test_a_release_is_what_was_asked_for_and_nothing_else(client: Client) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    uid = gated(client, BOUND, MATERIAL)
    answer, context = released(client, uid, public(key))
    block = block_of(answer)
    other = ec.generate_private_key(ec.SECP256R1())
    for wrong in (replace(context, nonce=b"x"), replace(context, object="x"), replace(context, request=bytes(32))):
        with pytest.raises(NotReleased):
            opened(client, block, wrong, key)
    with pytest.raises(NotReleased):
        opened(client, block, replace(context, recipient=public(other)), other)
    policy = parse(BOUND).id
    assert opened(client, block, replace(context, policy=policy), key) == MATERIAL


def test_without_a_bound_key_nothing_leaves(client: Client) -> None:
    uid = gated(client, BOUND)
    answer = get_attested(client, uid)
    assert answer.reason is R.PERMISSION_DENIED
    assert "requireKeyBinding" in str(trail(client)[-1]["decision"]["conditions"])


def test_evidence_over_another_key_is_no_evidence(client: Client) -> None:
    """Somebody in between puts his own key into the request."""
    mine, theirs = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    uid = gated(client, BOUND)
    asking = wrapping_to(client, public(mine))
    challenge, _ = ask(asking, [(Operation.GET, [uid_item(uid)])])
    shown = credential("tpm", challenge, tpm(covering(client, challenge, public(mine))))
    stolen = wrapping_to(client, public(theirs))
    (answer,) = stolen.batch([(Operation.GET, [uid_item(uid)])], *capable(), shown)
    assert answer.reason is R.ATTESTATION_FAILED


@pytest.mark.parametrize("spki", [b"not a key", b"\x30\x00", bytes(100_000)])
def test_a_recipient_that_is_no_key(client: Client, spki: bytes) -> None:
    answer, _ = released(client, gated(client, BOUND), spki)
    assert answer.reason is R.ATTESTATION_FAILED


def test_a_sensitive_key_leaves_to_an_attested_key(client: Client) -> None:
    key = x25519.X25519PrivateKey.generate()
    uid = client.register_key(MATERIAL, policy_item(client, BOUND), (Tag.SENSITIVE, BOOLEAN, True))
    assert client.call(Operation.GET, uid_item(uid)).reason is R.SENSITIVE
    answer, context = released(client, uid, public(key))
    assert opened(client, block_of(answer), context, key) == MATERIAL


def test_an_object_without_a_key_block_does_not_leave(client: Client) -> None:
    fields = [(Tag.OPAQUE_DATA_TYPE, ENUMERATION, 1), (Tag.OPAQUE_DATA_VALUE, BYTE_STRING, b"opaque")]
    payload = [
        (Tag.OBJECT_TYPE, ENUMERATION, 8),
        client.attributes(policy_item(client, BOUND)),
        (Tag.OPAQUE_OBJECT, STRUCTURE, fields),
    ]
    uid = client.ok(Operation.REGISTER, *payload).uid
    answer, _ = released(client, uid, public(x25519.X25519PrivateKey.generate()))
    assert answer.reason is R.ILLEGAL_OPERATION
    assert answer.payload == []


def test_an_ungated_key_is_wrapped_for_who_asks_with_evidence(client: Client) -> None:
    key = x25519.X25519PrivateKey.generate()
    gate_opener, free = gated(client), client.register_key(MATERIAL)
    asking = wrapping_to(client, public(key))
    challenge, _ = ask(asking, [(Operation.GET, [uid_item(gate_opener)])])
    shown = credential("tpm", challenge, tpm(covering(client, challenge, public(key))))
    frame = asking.frame([(Operation.GET, [uid_item(free)])], *capable(), shown)
    (answer,) = asking.message(frame)[1]
    context = Context(hashlib.sha256(frame).digest(), "", challenge.nonce_id, free, public(key))
    assert opened(client, block_of(answer), context, key) == MATERIAL
    (answer,) = asking.batch([(Operation.GET, [uid_item(free)])], *capable())
    assert answer.reason is R.INVALID_FIELD  # nothing vouches for the key
    (answer,) = asking.batch([(Operation.GET, [uid_item(free)])])
    assert answer.reason is R.PERMISSION_DENIED


# ---------------------------------------------------------------------------------------------------------- approvals


def test_two_of_three_approve(start: Callable[..., Client], clock: Clock) -> None:
    keys = {name: ed25519.Ed25519PrivateKey.generate() for name in ("ann", "bea", "cid")}
    policy = (
        '{"anyOf": [{"claim": "tee", "exists": true}],'
        ' "conditions": {"approvals": {"m": 2, "of": ["ann", "bea", "cid"]}}}'
    )
    client = start(approvers={name: key.public_key() for name, key in keys.items()})
    uid = gated(client, policy)

    def given(name: str, **changes: Any) -> None:
        facts: dict[str, Any] = {
            "object_identifier": uid,
            "policy_id": parse(policy).id,
            "requester": ALICE.owner,
            "expiry": NOW + HOUR,
        }
        signed = approve(keys[name], approver=name, **facts | changes)
        with client.engine.store.work() as work:
            keep_approval(work, uid, signed.encode(), signed.expiry)

    assert get_attested(client, uid).reason is R.PERMISSION_DENIED
    given("ann")
    given("bea", object_identifier="another object")
    given("bea", policy_id=parse(ANYTHING).id)
    given("bea", requester="default:CN=bob")
    given("bea", expiry=NOW - HOUR)
    with client.engine.store.work() as work:  # whoever writes to the database forges nothing
        keep_approval(work, uid, b"not an approval", NOW + HOUR)
        forged = approve(ed25519.Ed25519PrivateKey.generate(), approver="bea", object_identifier=uid,
                         policy_id=parse(policy).id, requester=ALICE.owner, expiry=NOW + HOUR)  # fmt: skip
        keep_approval(work, uid, forged.encode(), forged.expiry)
    assert get_attested(client, uid).reason is R.PERMISSION_DENIED
    given("bea")
    assert get_attested(client, uid).status is ResultStatus.SUCCESS
    record = trail(client)[-1]
    assert record["facts"]["approvals"] == ["ann", "bea"]
    approvers = {name: key.public_key() for name, key in keys.items()}
    assert decisions.replay(record, {parse(policy).id: parse(policy)}.get, approvers)[0].allow
    with pytest.raises(decisions.NotReplayed):  # as if one of them had never been enrolled
        decisions.replay(record, {parse(policy).id: parse(policy)}.get, {"ann": approvers["ann"]})
    clock.advance(3600)
    assert get_attested(client, uid).reason is R.PERMISSION_DENIED


# ------------------------------------------------------------------------------------------------------------- orders


ADMINISTRATOR = ed25519.Ed25519PrivateKey.generate()
APPROVER = ed25519.Ed25519PrivateKey.generate()


def ordered(
    client: Client, uid: str, old: str, new: str, *, key: Any = ADMINISTRATOR, needed: int = 0, **more: Any
) -> Any:
    """An order made and carried out."""
    given = order(
        key,
        object_identifier=more.pop("object", uid),
        old=old,
        new=new,
        issued=NOW,
        expiry=NOW + HOUR,
        serial=os.urandom(16),
        administrator="root",
    )
    approvals = [
        approve(by, object_identifier=uid, policy_id=given.id, requester="root", expiry=NOW + HOUR, approver="ann")
        for by in more.pop("approved_by", ())
    ]
    return given, carried_out(client, given, approvals=approvals, needed=needed, **more)


def carried_out(client: Client, given: Any, *, approvals: Any = (), needed: int = 0, now: Any = NOW) -> Any:
    engine = client.engine
    with engine.store.work() as work:
        return carry_out(
            given,
            ALICE.owner,
            work=work,
            keyring=engine.dispatcher.keyring,
            gate=gate(client),
            administrators={"root": ADMINISTRATOR.public_key()},
            approvals=approvals,
            needed=needed,
            now=now,
        )


def test_an_order_loosens_replaces_and_removes(client: Client) -> None:
    old, new = parse(SNP).id, parse(ANYTHING).id
    gated(client)  # brings the new policy
    uid = gated(client, SNP, MATERIAL)
    assert get_attested(client, uid).reason is R.PERMISSION_DENIED  # a TPM, where SNP is asked for
    given, _ = ordered(client, uid, old, new)
    assert get_attested(client, uid).status is ResultStatus.SUCCESS  # the seals have followed
    with pytest.raises(Refused, match="another policy than it has now"):
        carried_out(client, given)
    back, _ = ordered(client, uid, new, old)
    with pytest.raises(Refused, match="carried out before"):
        carried_out(client, given)
    ordered(client, uid, old, "")
    assert client.call(Operation.GET, uid_item(uid)).status is ResultStatus.SUCCESS
    kinds = [record["kind"] for record in trail(client)]
    assert kinds.count("order") == 3
    assert back.old == new


def test_an_order_needs_an_administrator_approvals_and_a_policy(start: Callable[..., Client]) -> None:
    client = start(approvers={"ann": APPROVER.public_key()})
    uid = gated(client)
    old = parse(ANYTHING).id
    stranger = ed25519.Ed25519PrivateKey.generate()
    refusals: list[tuple[str, dict[str, Any]]] = [
        ("signature", {"key": stranger}),
        ("approvals", {"needed": 1}),
        ("approvals", {"needed": 1, "approved_by": [stranger]}),
        ("approvals", {"needed": 2, "approved_by": [APPROVER, APPROVER]}),
        ("object", {"object": "another"}),
        ("time", {"now": NOW + 2 * HOUR}),
    ]
    for step, how in refusals:
        with pytest.raises(Refused) as caught:
            ordered(client, uid, old, "", **how)
        assert caught.value.step == step, how
    with pytest.raises(Refused) as caught:
        ordered(client, uid, old, parse(SNP).id)  # which nobody has brought here
    assert caught.value.step == "policy"
    assert client.call(Operation.GET, uid_item(uid)).reason is R.PERMISSION_DENIED
    ordered(client, uid, old, "", needed=1, approved_by=[APPROVER])
    assert client.call(Operation.GET, uid_item(uid)).status is ResultStatus.SUCCESS


def test_an_immutable_policy_stays(client: Client) -> None:
    text = '{"anyOf": [{"claim": "tee", "exists": true}], "immutable": true}'
    uid = gated(client, text)
    with pytest.raises(Refused) as caught:
        ordered(client, uid, parse(text).id, "")
    assert caught.value.step == "immutable"


# ---------------------------------------------------------------------------------------------------------- the trail


@pytest.fixture
def written(client: Client) -> Client:
    """A client whose engine has a trail of records."""
    uid = gated(client)
    client.call(Operation.GET, uid_item(uid))
    for _ in range(3):
        get_attested(client, uid)
    return client


def verified(client: Client, *known: Head) -> Head:
    with client.engine.store.work() as work:
        return verify_trail(work, gate(client).signing_key.public_key(), known)


def test_the_trail_is_whole(written: Client) -> None:
    head = verified(written)
    assert head.number == 7
    assert verified(written, head, Head.read(head.text())) == head


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET body = body || X'00' WHERE number = 3",
        "UPDATE audit SET hash = zeroblob(32) WHERE number = 7",
        "UPDATE audit SET number = CASE number WHEN 2 THEN -2 WHEN 3 THEN 2 ELSE number END",
        "DELETE FROM audit WHERE number = 1",
        "DELETE FROM audit WHERE number = 4",
        "DELETE FROM audit WHERE number = 7",
        "DELETE FROM audit WHERE number > 2",
        "DELETE FROM audit",
        "INSERT INTO audit SELECT number + 7, body, hash FROM audit WHERE number = 7",
        "INSERT INTO audit SELECT 4611686018427387904, body, hash FROM audit WHERE number = 7",
        "DELETE FROM records WHERE kind = 'audit head'",
        "UPDATE records SET value = X'7B7D' WHERE kind = 'audit head'",
    ],
)
def test_whatever_is_done_to_the_trail_is_found(written: Client, statement: str) -> None:
    store: Any = written.engine.store
    store._connection.execute(statement)
    with pytest.raises(Broken):
        verified(written)


def test_a_database_that_is_put_back_as_a_whole_is_found_by_a_noted_head(written: Client) -> None:
    store: Any = written.engine.store
    with store.work() as work:
        before = work.read(HEAD, "")
    client, uid = written, gated(written)
    client.call(Operation.GET, uid_item(uid))
    noted = verified(client)
    store._connection.execute("DELETE FROM audit WHERE number = 8")
    with store.work() as work:
        work.write(HEAD, "", before)
    assert verified(client).number == 7  # whole in itself
    with pytest.raises(Broken, match="noted"):
        verified(client, noted)


def test_another_key_s_head_is_none(written: Client) -> None:
    with written.engine.store.work() as work, pytest.raises(Broken):
        verify_trail(work, ed25519.Ed25519PrivateKey.generate().public_key())


def test_every_decision_can_be_derived_again(written: Client) -> None:
    def find(policy_id: str) -> Any:
        with written.engine.store.work() as work:
            text = work.read(POLICY, policy_id)
        return None if text is None else parse(text)

    made = [decisions.replay(record, find) for record in trail(written)]
    assert [len(each) for each in made] == [0, 0, 1, 0, 1, 0, 1]
    granted = trail(written)[2]
    for changed in (
        {**granted, "outcome": "denied"},
        {**granted, "time": "2026-06-01T12:00:01Z"},
        {**granted, "facts": {**granted["facts"], "claims": {}}},
        {**granted, "decision": {**granted["decision"], "allow": False}},
    ):
        with pytest.raises(decisions.NotReplayed):
            decisions.replay(changed, find)


def test_a_record_says_what_it_takes(written: Client) -> None:
    record = trail(written)[-1]
    uid = record["object"]
    assert record["requester"] == ALICE.owner
    assert record["evidence"][0]["type"] == "tpm"
    assert len(record["evidence"][0]["sha256"]) == 64
    assert record["policies"] == [parse(ANYTHING).id]
    assert (record["operation"], record["purpose"], record["verifier"]) == ("Get", "export", "tpm")
    assert record["facts"]["claims"]["tee"] == "tpm"
    assert record["decision"]["tree"]["children"][0]["result"] == "true"
    assert record["nonce"]
    with written.engine.store.work() as work:
        stored = work.find(ALICE.owner, uid)
    assert stored is not None
