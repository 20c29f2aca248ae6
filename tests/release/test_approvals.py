"""Approvals and orders: what an enrolled key signed counts, and nothing else does."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from kmipsrv.release.approvals import MAX_APPROVALS, Approval, approve, count_approvals, verify_approval
from kmipsrv.release.facts import Facts
from kmipsrv.release.orders import Order, order, verify_order
from kmipsrv.release.policy import evaluate, parse
from kmipsrv.release.refusal import Refused
from kmipsrv.release.statements import PublicKey, check_public_key, key_id, load_public_key, sign, verify

NOW = datetime.datetime(2026, 11, 23, 10, 30, tzinfo=datetime.UTC)
LATER = NOW + datetime.timedelta(hours=1)
ALICE, BOB, MALLORY = (
    ed25519.Ed25519PrivateKey.generate(),
    ec.generate_private_key(ec.SECP256R1()),
    (ed25519.Ed25519PrivateKey.generate()),
)
APPROVERS: dict[str, PublicKey] = {"alice": ALICE.public_key(), "bob": BOB.public_key()}
SCOPE = {"object_identifier": "uid-1", "policy_id": "sha256:p", "requester": "CN=vm"}


def given(key: Any = ALICE, approver: str = "alice", expiry: datetime.datetime = LATER, **scope: str) -> Approval:
    return approve(key, approver=approver, expiry=expiry, **{**SCOPE, **scope})


@pytest.mark.parametrize(("key", "approver"), [(ALICE, "alice"), (BOB, "bob")])
def test_an_approval_verifies_and_survives_storage(key: Any, approver: str) -> None:
    stored = given(key, approver).encode()
    assert Approval.decode(stored) == given(key, approver) or approver == "bob"  # ECDSA signatures are never the same
    verify_approval(Approval.decode(stored), APPROVERS, now=NOW, **SCOPE)
    assert count_approvals([Approval.decode(stored)], APPROVERS, now=NOW, **SCOPE) == {approver}


FORGERIES: dict[str, tuple[str, Callable[[], Approval]]] = {
    "signed by somebody else": ("signature", lambda: given(MALLORY)),
    "not enrolled": ("approver", lambda: given(MALLORY, "mallory")),
    "in another's name": ("signature", lambda: given(BOB, "alice")),
    "for another object": ("scope", lambda: given(object_identifier="uid-2")),
    "for another policy": ("scope", lambda: given(policy_id="sha256:q")),
    "for another requester": ("scope", lambda: given(requester="CN=other")),
    "expired": ("time", lambda: given(expiry=NOW)),
    "object changed after signing": ("signature", lambda: replace(given(object_identifier="uid-2"), object="uid-1")),
    "requester changed after signing": ("signature", lambda: replace(given(requester="x"), requester="CN=vm")),
    "expiry changed after signing": ("signature", lambda: replace(given(expiry=NOW), expiry=LATER)),
    "signature cut": ("signature", lambda: replace(given(), signature=given().signature[:-1])),
    "signature empty": ("signature", lambda: replace(given(), signature=b"")),
    "signature zero": ("signature", lambda: replace(given(BOB, "bob"), signature=bytes(64))),
}


@pytest.mark.parametrize(("step", "forge"), FORGERIES.values(), ids=FORGERIES)
def test_writing_to_the_database_forges_nothing(step: str, forge: Callable[[], Approval]) -> None:
    with pytest.raises(Refused) as refused:
        verify_approval(forge(), APPROVERS, now=NOW, **SCOPE)
    assert refused.value.step == step
    assert count_approvals([forge()], APPROVERS, now=NOW, **SCOPE) == frozenset()


def test_every_flipped_byte_of_a_stored_approval_is_refused() -> None:
    stored = given().encode()
    for offset in range(len(stored)):
        damaged = bytearray(stored)
        damaged[offset] ^= 1
        with pytest.raises(Refused):
            verify_approval(Approval.decode(bytes(damaged)), APPROVERS, now=NOW, **SCOPE)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'"x"',
        b"\xff",
        given().encode()[:-1] + b',"extra":1}',
        given().encode().replace(b'"object":"uid-1"', b'"object":""'),
        given().encode().replace(b'"object":"uid-1"', b'"object":1'),
        given().encode().replace(b"11:30:00Z", b"11:30:00"),
        b" " * 10_000 + given().encode(),
    ],
)
def test_what_is_not_an_approval(data: bytes) -> None:
    with pytest.raises(Refused) as refused:
        Approval.decode(data)
    assert refused.value.step == "form"


def test_one_key_under_two_names_is_one_person() -> None:
    twice: dict[str, PublicKey] = {"alice": ALICE.public_key(), "alicia": ALICE.public_key(), "bob": BOB.public_key()}
    approvals = [given(), given(approver="alicia"), given()]
    assert count_approvals(approvals, twice, now=NOW, **SCOPE) == {"alice"}
    assert count_approvals([*approvals, given(BOB, "bob")], twice, now=NOW, **SCOPE) == {"alice", "bob"}


def test_an_id_that_is_a_hash_is_the_hash_of_the_key() -> None:
    own = key_id(ALICE.public_key())
    named = approve(ALICE, expiry=LATER, **SCOPE)
    assert named.approver == own
    verify_approval(named, {own: ALICE.public_key()}, now=NOW, **SCOPE)
    exchanged = replace(approve(MALLORY, approver=own, expiry=LATER, **SCOPE))
    with pytest.raises(Refused, match="enrolled key"):
        verify_approval(exchanged, {own: MALLORY.public_key()}, now=NOW, **SCOPE)


def test_more_approvals_than_anybody_needs_are_not_looked_at() -> None:
    approvals = [given(MALLORY)] * MAX_APPROVALS + [given()]
    assert count_approvals(approvals, APPROVERS, now=NOW, **SCOPE) == frozenset()


def test_m_of_n_in_a_decision() -> None:
    policy = parse(
        '{"allOf": [{"claim": "a", "equals": 1}], "conditions": {"approvals": {"m": 2, "of": ["alice", "bob", "carol"]}}}'
    )
    scope = {**SCOPE, "policy_id": policy.id}
    one = [given(policy_id=policy.id), given(policy_id=policy.id), given(MALLORY, "carol", policy_id=policy.id)]
    two = [*one, given(BOB, "bob", policy_id=policy.id)]
    for approvals, allow in ((one, False), (two, True)):
        counted = count_approvals(approvals, APPROVERS, now=NOW, **scope)
        assert evaluate(policy, Facts(claims={"a": 1}, now=NOW, approvals=counted)).allow is allow


def test_an_approval_must_name_everything() -> None:
    for missing in SCOPE:
        with pytest.raises(ValueError, match="names an object"):
            approve(ALICE, expiry=LATER, **{**SCOPE, missing: ""})


# --- statements -----------------------------------------------------------------------------------------------------------


def test_a_signature_for_one_purpose_is_none_for_another() -> None:
    for key in (ALICE, BOB):
        signature = sign(key, "one", {"a": 1})
        verify(key.public_key(), "one", {"a": 1}, signature)
        for kind, body in (("two", {"a": 1}), ("one", {"a": 2}), ("one", {"a": True}), ("one", {})):
            with pytest.raises(Refused):
                verify(key.public_key(), kind, body, signature)
    with pytest.raises(ValueError, match="kind"):
        sign(ALICE, "one", {"kind": "two"})


def test_keys_that_sign_no_statements() -> None:
    for key in (rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1())):
        with pytest.raises(ValueError, match="Ed25519"):
            check_public_key(key.public_key())
        with pytest.raises(ValueError, match="Ed25519"):
            sign(key, "one", {})  # type: ignore[arg-type]


def test_enrolled_keys_are_read_from_pem_and_der() -> None:
    for encoding in (serialization.Encoding.PEM, serialization.Encoding.DER):
        data = BOB.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
        assert key_id(load_public_key(data)) == key_id(BOB.public_key())
    with pytest.raises(ValueError, match=r"\w"):
        load_public_key(b"nonsense")


# --- orders ---------------------------------------------------------------------------------------------------------------

OLD = parse('{"allOf": [{"claim": "a", "equals": 1}]}')
NEW = parse('{"anyOf": [{"claim": "a", "exists": true}]}')
IMMUTABLE = parse('{"allOf": [{"claim": "a", "equals": 1}], "immutable": true}')
ADMINISTRATORS: dict[str, PublicKey] = {"root": ALICE.public_key()}
SERIAL = bytes(range(16))


def ordered(key: Any = ALICE, **change: Any) -> Order:
    facts: dict[str, Any] = {
        "object_identifier": "uid-1",
        "old": OLD.id,
        "new": NEW.id,
        "issued": NOW,
        "expiry": LATER,
        "serial": SERIAL,
        "administrator": "root",
    }
    return order(key, **{**facts, **change})


def test_an_order_replaces_or_removes_a_policy() -> None:
    for new in (NEW.id, ""):
        stored = Order.decode(ordered(new=new).encode())
        assert stored == ordered(new=new)
        verify_order(stored, ADMINISTRATORS, object_identifier="uid-1", present=OLD, now=NOW)
    assert ordered().id != ordered(serial=bytes(16)).id
    assert ordered(BOB).id == ordered().id


ORDERS: dict[str, tuple[str, Callable[[], Order]]] = {
    "by somebody else": ("signature", lambda: ordered(MALLORY)),
    "not enrolled": ("administrator", lambda: ordered(MALLORY, administrator="mallory")),
    "for another object": ("scope", lambda: ordered(object_identifier="uid-2")),
    "overtaken": ("scope", lambda: ordered(old=NEW.id, new=OLD.id)),
    "expired": ("time", lambda: ordered(expiry=NOW)),
    "from the future": ("time", lambda: ordered(issued=LATER)),
    "another policy written in": ("signature", lambda: replace(ordered(), new="")),
    "another serial written in": ("signature", lambda: replace(ordered(), serial=bytes(16))),
}


@pytest.mark.parametrize(("step", "make"), ORDERS.values(), ids=ORDERS)
def test_orders_that_are_refused(step: str, make: Callable[[], Order]) -> None:
    with pytest.raises(Refused) as refused:
        verify_order(make(), ADMINISTRATORS, object_identifier="uid-1", present=OLD, now=NOW)
    assert refused.value.step == step


def test_nothing_takes_the_place_of_an_immutable_policy() -> None:
    with pytest.raises(Refused) as refused:
        verify_order(ordered(old=IMMUTABLE.id), ADMINISTRATORS, object_identifier="uid-1", present=IMMUTABLE, now=NOW)
    assert refused.value.step == "immutable"


@pytest.mark.parametrize(
    "change",
    [
        {"old": ""},
        {"new": OLD.id},
        {"object": ""},
        {"serial": "AAAA"},
        {"serial": 5},
        {"issued": "yesterday"},
        {"extra": 1},
    ],
)
def test_what_is_not_an_order(change: dict[str, Any]) -> None:
    body = {**json.loads(ordered().encode()), **change}
    with pytest.raises(Refused) as refused:
        Order.decode(json.dumps(body).encode())
    assert refused.value.step == "form"


def test_an_approval_of_an_order_names_its_id() -> None:
    made = ordered()
    scope = {"object_identifier": "uid-1", "policy_id": made.id, "requester": "root"}
    agreed = approve(BOB, approver="bob", expiry=LATER, **scope)
    assert count_approvals([agreed], APPROVERS, now=NOW, **scope) == {"bob"}
    other = {**scope, "policy_id": ordered(serial=bytes(16)).id}
    assert count_approvals([agreed], APPROVERS, now=NOW, **other) == frozenset()
