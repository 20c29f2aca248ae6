"""Every operation is classified: what returns or uses key material is refused on a gated object without attestation.

The objects are made on an engine without rules. Then a rule is added that is about every object, with a policy that covers
use: a second engine on the same database has it, so nothing has to be attached to anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kmipsrv.domain.binding import Binding
from kmipsrv.domain.grant import Grant
from kmipsrv.domain.ports import Keyring
from kmipsrv.operations._registry import load_all
from kmipsrv.release.policy import parse
from kmipsrv.release.rules import Rule
from kmipsrv.spec.enums import Operation as O  # noqa: N817
from kmipsrv.spec.enums import ResultReason as R
from kmipsrv.spec.enums import ResultStatus
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import Version
from kmipsrv.ttlv.codec import ENUMERATION, STRUCTURE, Item
from tests.attested import START, attested, capable, challenge_of, gate_settings
from tests.harness import Client, Clock, make_engine, uid_item
from tests.operations.cryptography import ACTIVE, INIT, KEY, correlation, data, iv, parameters
from tests.operations.requests import PAYLOAD, Bench

POLICY = parse(b'{"anyOf": [{"claim": "tee", "exists": true}], "use": true}')
EXPORT_ONLY = parse(b'{"anyOf": [{"claim": "tee", "exists": true}]}')

# What an operation that opens objects opens here.
OPENS: dict[O, Callable[[Bench], list[Item]]] = {
    O.CERTIFY: lambda b: PAYLOAD[O.CERTIFY](b.client, b.public),
    O.CREATE_SPLIT_KEY: lambda b: PAYLOAD[O.CREATE_SPLIT_KEY](b.client, b.key),
    O.DECRYPT: lambda b: PAYLOAD[O.DECRYPT](b.client, b.key),
    O.DERIVE_KEY: lambda b: PAYLOAD[O.DERIVE_KEY](b.client, b.key),
    O.ENCRYPT: lambda b: PAYLOAD[O.ENCRYPT](b.client, b.key),
    O.EXPORT: lambda b: PAYLOAD[O.EXPORT](b.client, b.key),
    O.GET: lambda b: PAYLOAD[O.GET](b.client, b.key),
    O.JOIN_SPLIT_KEY: lambda b: _join(b),
    O.MAC: lambda b: PAYLOAD[O.MAC](b.client, b.key),
    O.MAC_VERIFY: lambda b: PAYLOAD[O.MAC_VERIFY](b.client, b.key),
    O.RE_CERTIFY: lambda b: PAYLOAD[O.RE_CERTIFY](b.client, b.certificate),
    O.SIGN: lambda b: PAYLOAD[O.SIGN](b.client, b.private),
    O.SIGNATURE_VERIFY: lambda b: PAYLOAD[O.SIGNATURE_VERIFY](b.client, b.public),
    O.VALIDATE: lambda b: PAYLOAD[O.VALIDATE](b.client, b.certificate),
}

# These open nothing of a client's, whatever they are asked: attributes, lives, searches, sessions, randomness.
FREE: frozenset[O] = frozenset(
    (
        *(O.ACTIVATE, O.ADD_ATTRIBUTE, O.ADJUST_ATTRIBUTE, O.ARCHIVE, O.CANCEL, O.CHECK, O.CREATE, O.CREATE_CREDENTIAL),
        *(O.CREATE_GROUP, O.CREATE_KEY_PAIR, O.CREATE_USER, O.DEACTIVATE, O.DELEGATED_LOGIN, O.DELETE_ATTRIBUTE),
        *(O.DESTROY, O.DISCOVER_VERSIONS, O.GET_ATTRIBUTES, O.GET_ATTRIBUTE_LIST, O.GET_CONSTRAINTS, O.HASH),
        *(O.GET_USAGE_ALLOCATION, O.INTEROP, O.LOCATE, O.LOG, O.LOGIN, O.LOGOUT, O.MODIFY_ATTRIBUTE, O.OBLITERATE),
        *(O.OBTAIN_LEASE, O.PING, O.PKCS_11, O.QUERY, O.QUERY_ASYNCHRONOUS_REQUESTS, O.RECOVER, O.REVOKE, O.RE_KEY),
        *(O.RE_KEY_KEY_PAIR, O.RE_PROVISION, O.RNG_RETRIEVE, O.RNG_SEED, O.SET_ATTRIBUTE, O.SET_CONSTRAINTS),
        *(O.SET_DEFAULTS, O.SET_ENDPOINT_ROLE),
    )
)
# These process others (Poll, Process) or open what they are given a link to (wrapping keys, passwords): tested by themselves.
INDIRECT: frozenset[O] = frozenset((O.POLL, O.PROCESS, O.REGISTER, O.IMPORT))


def _join(bench: Bench) -> list[Item]:
    first, *rest = (uid_item(uid) for uid in bench.parts()[:2])
    kind, _, attributes = PAYLOAD[O.JOIN_SPLIT_KEY](bench.client, "")
    return [kind, first, *rest, attributes]


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


@pytest.fixture
def free(tmp_path: Path, keyring: Keyring, clock: Clock) -> Iterator[Client]:
    """A client of an engine without rules."""
    engine = make_engine(tmp_path, keyring, clock, release=gate_settings())
    yield Client(engine, Version.V2_1)
    engine.store.close()


@pytest.fixture
def guarded(tmp_path: Path, keyring: Keyring, clock: Clock, free: Client) -> Iterator[Client]:
    """The same client at an engine with the rule."""
    settings = gate_settings(policies={POLICY.id: POLICY}, rules=(Rule(POLICY.id),))
    engine = make_engine(tmp_path, keyring, clock, release=settings)
    yield Client(engine, Version.V2_1)
    engine.store.close()


def records(client: Client) -> int:
    with client.engine.store.work() as work:
        return work.audit_head()[0]


def test_every_operation_is_classified() -> None:
    assert set(load_all()) == set(OPENS) | FREE | INDIRECT
    assert not set(OPENS) & (FREE | INDIRECT)
    assert not FREE & INDIRECT


@pytest.mark.parametrize("operation", OPENS, ids=lambda operation: operation.name)
def test_what_opens_an_object_is_refused_without_attestation(operation: O, free: Client, guarded: Client) -> None:
    payload = OPENS[operation](Bench(free))
    assert guarded.refused(operation, *payload) is R.PERMISSION_DENIED
    fields, (answer,) = guarded.message(guarded.frame([(operation, payload)], *capable()))
    assert (answer.reason, answer.payload) == (R.ATTESTATION_REQUIRED, [])
    assert challenge_of(fields) is not None
    assert records(guarded) == 2


@pytest.mark.parametrize("operation", OPENS, ids=lambda operation: operation.name)
def test_what_opens_an_object_is_done_with_attestation(operation: O, free: Client, guarded: Client) -> None:
    payload = OPENS[operation](Bench(free))
    (answer,) = attested(guarded, [(operation, payload)])
    assert answer.reason not in (R.ATTESTATION_REQUIRED, R.ATTESTATION_FAILED, R.PERMISSION_DENIED), answer.message


@pytest.mark.parametrize("operation", sorted(FREE & set(PAYLOAD)), ids=lambda operation: operation.name)
def test_what_opens_nothing_is_not_asked_for_attestation(operation: O, free: Client, guarded: Client) -> None:
    bench = Bench(free)
    uid = bench.private if operation is O.RE_KEY_KEY_PAIR else bench.key
    before = _Spied(guarded)
    _, (answer,) = guarded.message(guarded.frame([(operation, PAYLOAD[operation](guarded, uid))], *capable()))
    assert answer.reason not in (R.ATTESTATION_REQUIRED, R.PERMISSION_DENIED)
    assert before.opened == []
    assert records(guarded) == 0


class _Spied:
    """Notes what the engine's keyring opens."""

    def __init__(self, client: Client) -> None:
        self.opened: list[str] = []
        dispatcher = client.engine.dispatcher
        inner = dispatcher.keyring

        class Spy:
            seal = inner.seal
            reseal = inner.reseal

            def open(spy, sealed: bytes, binding: Binding, grant: Grant) -> bytes:  # noqa: N805
                self.opened.append(str(binding))
                return inner.open(sealed, binding, grant)

        dispatcher.keyring = Spy()


def test_a_policy_for_export_only_lets_the_server_compute(
    tmp_path: Path, keyring: Keyring, clock: Clock, free: Client
) -> None:
    bench = Bench(free)
    payloads = {operation: OPENS[operation](bench) for operation in (O.GET, O.EXPORT, O.ENCRYPT, O.MAC, O.DERIVE_KEY)}
    settings = gate_settings(policies={EXPORT_ONLY.id: EXPORT_ONLY}, rules=(Rule(EXPORT_ONLY.id),))
    engine = make_engine(tmp_path, keyring, clock, release=settings)
    client = Client(engine, Version.V2_1)
    denied = {each for each, payload in payloads.items() if client.call(each, *payload).reason is R.PERMISSION_DENIED}
    engine.store.close()
    assert denied == {O.GET, O.EXPORT}


KEY_WRAP = parameters(block_cipher_mode=0x0D)  # NIST Key Wrap


def wrapping(uid: str) -> Item:
    """Key Wrapping Specification with AES key wrap under this key."""
    information = [uid_item(uid), KEY_WRAP]
    return (
        Tag.KEY_WRAPPING_SPECIFICATION,
        STRUCTURE,
        [(Tag.WRAPPING_METHOD, ENUMERATION, 1), (Tag.ENCRYPTION_KEY_INFORMATION, STRUCTURE, information)],
    )


def test_wrapping_is_export_of_the_one_and_use_of_the_other(free: Client, guarded: Client) -> None:
    """Gated material under an ungated key leaves, so the gate is asked; a gated key that wraps is used, so it is too."""
    bench = Bench(free)
    subject, wrapper = bench.key, free.register_key(KEY, ACTIVE, KEY_WRAP, mask=0xFFFFF)
    payload = [uid_item(subject), wrapping(wrapper)]
    assert free.ok(O.GET, *payload).uid == subject
    assert guarded.refused(O.GET, *payload) is R.PERMISSION_DENIED
    answers = attested(guarded, [(O.GET, payload)])
    assert answers[0].reason is None, answers[0].message
    assert records(guarded) == 4  # incapable, challenged, export of the one, use of the other


def test_asynchronous_requests_have_no_evidence(free: Client, guarded: Client) -> None:
    """By the time that they are processed the message and its evidence are gone: they stay shut."""
    uid = Bench(free).key
    mandatory = Tag.ASYNCHRONOUS_INDICATOR, ENUMERATION, 1
    (pending,) = guarded.batch([(O.GET, [uid_item(uid)])], mandatory)
    assert pending.status is ResultStatus.OPERATION_PENDING
    assert records(guarded) == 0


def test_every_part_of_a_stream_is_a_use(free: Client, guarded: Client) -> None:
    """What the first part has proved holds for the first part: a later one without evidence is refused."""
    uid = uid_item(Bench(free).key)
    cbc = parameters(block_cipher_mode=1, padding_method=3)
    (first,) = attested(guarded, [(O.ENCRYPT, [uid, cbc, data(bytes(16)), iv(bytes(16)), INIT])])
    rest = [uid, data(bytes(16)), correlation(first.one(Tag.CORRELATION_VALUE))]
    assert guarded.refused(O.ENCRYPT, *rest) is R.PERMISSION_DENIED
    (second,) = attested(guarded, [(O.ENCRYPT, rest)])
    assert second.status is ResultStatus.SUCCESS, second.message
