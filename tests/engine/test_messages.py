"""Header and batch rules (KMIP 1.4 §6, §11.1; 2.1 §8, §9)."""

from __future__ import annotations

from pathlib import Path

import pytest

from kmipsrv.domain.settings import Settings
from kmipsrv.engine.call import Call, Peer
from kmipsrv.engine.engine import Engine
from kmipsrv.spec.enums import BatchErrorContinuationOption as Option
from kmipsrv.spec.enums import Operation, ResultReason, ResultStatus
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import Version
from kmipsrv.ttlv.codec import (
    BOOLEAN,
    BYTE_STRING,
    DATE_TIME,
    ENUMERATION,
    INTEGER,
    STRUCTURE,
    TEXT_STRING,
    Item,
    decode,
    encode,
)
from tests.harness import ALICE, Client, name_value, option, uid_item

FAILED, SUCCESS, UNDONE = ResultStatus.OPERATION_FAILED, ResultStatus.SUCCESS, ResultStatus.OPERATION_UNDONE
CREATE: list[Item] = [
    (Tag.OBJECT_TYPE, ENUMERATION, 2),
    (
        Tag.TEMPLATE_ATTRIBUTE,
        STRUCTURE,
        [
            (Tag.ATTRIBUTE, STRUCTURE, [(Tag.ATTRIBUTE_NAME, TEXT_STRING, name), (Tag.ATTRIBUTE_VALUE, kind, value)])
            for name, kind, value in (
                ("Cryptographic Algorithm", ENUMERATION, 3),
                ("Cryptographic Length", INTEGER, 256),
                ("Cryptographic Usage Mask", INTEGER, 12),
            )
        ],
    ),
]
MISSING = (Operation.GET, [uid_item("not there")])


@pytest.mark.parametrize("version", Version)
def test_the_answer_is_in_the_version_of_the_request(client: Client, version: Version) -> None:
    header, answers = client.at(version).message(client.at(version).frame([(Operation.DISCOVER_VERSIONS, [])]))
    fields = {tag: value for tag, _, value in header}
    assert [value for _, _, value in fields[Tag.PROTOCOL_VERSION]] == [version.major, version.minor]
    assert answers[0].status is SUCCESS
    assert fields[Tag.TIME_STAMP] == 1_800_000_000
    assert fields.get(Tag.BATCH_COUNT) == (None if version is Version.V3_0 else 1)


def test_versions_are_offered_newest_first_and_narrowed_to_the_clients(client: Client) -> None:
    offered = client.ok(Operation.DISCOVER_VERSIONS).values(Tag.PROTOCOL_VERSION)
    numbers = [tuple(value for _, _, value in version) for version in offered]
    assert numbers == sorted(numbers, reverse=True)
    assert set(numbers) == {(version.major, version.minor) for version in Version}
    one = (
        Tag.PROTOCOL_VERSION,
        STRUCTURE,
        [(Tag.PROTOCOL_VERSION_MAJOR, INTEGER, 1), (Tag.PROTOCOL_VERSION_MINOR, INTEGER, 2)],
    )
    other = (
        Tag.PROTOCOL_VERSION,
        STRUCTURE,
        [(Tag.PROTOCOL_VERSION_MAJOR, INTEGER, 9), (Tag.PROTOCOL_VERSION_MINOR, INTEGER, 9)],
    )
    answer = client.ok(Operation.DISCOVER_VERSIONS, one, other)
    assert answer.payload == [one]


def test_stop_is_the_default_and_leaves_the_rest_unanswered(client: Client) -> None:
    answers = client.batch([(Operation.CREATE, CREATE), MISSING, (Operation.CREATE, CREATE)])
    assert [answer.status for answer in answers] == [SUCCESS, FAILED]
    assert [answer.batch_id for answer in answers] == [bytes(4), b"\0\0\0\1"]
    assert client.locate() == [answers[0].uid]


def test_continue_answers_everything(client: Client) -> None:
    answers = client.batch([(Operation.CREATE, CREATE), MISSING, (Operation.CREATE, CREATE)], option(Option.CONTINUE))
    assert [answer.status for answer in answers] == [SUCCESS, FAILED, SUCCESS]
    assert set(client.locate()) == {answers[0].uid, answers[2].uid}


def test_undo_leaves_nothing_and_answers_with_identifiers_only(client: Client) -> None:
    before = client.create()
    answers = client.batch(
        [
            (Operation.CREATE, CREATE),
            (Operation.ACTIVATE, [uid_item(before)]),
            (Operation.GET, [uid_item(before)]),
            MISSING,
        ],
        option(Option.UNDO),
    )
    assert [answer.status for answer in answers] == [UNDONE, UNDONE, UNDONE, FAILED]
    assert client.locate() == [before]
    assert client.state(before) == 1
    for answer in answers[:3]:
        assert {tag for tag, _, _ in answer.payload} == {Tag.UNIQUE_IDENTIFIER}


def test_undo_keeps_everything_when_nothing_fails(client: Client) -> None:
    answers = client.batch([(Operation.CREATE, CREATE), (Operation.ACTIVATE, [])], option(Option.UNDO))
    assert [answer.status for answer in answers] == [SUCCESS, SUCCESS]
    assert client.state(answers[0].uid) == 2


def test_the_id_placeholder_links_batch_items_and_ends_with_the_message(client: Client) -> None:
    answers = client.batch([(Operation.CREATE, CREATE), (Operation.ACTIVATE, []), (Operation.GET, [])])
    assert [answer.status for answer in answers] == [SUCCESS] * 3
    assert len({answer.uid for answer in answers}) == 1
    assert client.refused(Operation.GET) is ResultReason.ITEM_NOT_FOUND


def test_locating_several_objects_empties_the_placeholder(client: Client) -> None:
    client.create()
    client.create()
    answers = client.batch([(Operation.CREATE, CREATE), (Operation.LOCATE, []), (Operation.GET, [])])
    assert len(answers[1].values(Tag.UNIQUE_IDENTIFIER)) == 3
    assert answers[2].status is FAILED
    one = client.batch([(Operation.LOCATE, [(Tag.MAXIMUM_ITEMS, INTEGER, 1)]), (Operation.GET, [])])
    assert one[1].uid == one[0].uid == answers[0].uid


def test_a_bad_payload_fails_its_item_only(client: Client) -> None:
    bad: list[Item] = [(Tag.OBJECT_TYPE, TEXT_STRING, "SymmetricKey")]
    answers = client.batch(
        [(Operation.CREATE, CREATE), (Operation.CREATE, bad), (Operation.CREATE, CREATE)], option(Option.CONTINUE)
    )
    assert [answer.status for answer in answers] == [SUCCESS, FAILED, SUCCESS]
    assert answers[1].reason is ResultReason.INVALID_MESSAGE


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ([], ResultReason.INVALID_MESSAGE),  # required fields are missing
        ([*CREATE, (Tag.OBJECT_TYPE, ENUMERATION, 2)], ResultReason.INVALID_MESSAGE),  # given twice
        ([*CREATE, (Tag.MAXIMUM_ITEMS, INTEGER, 2)], ResultReason.INVALID_FIELD),  # unknown here
        ([(Tag.OBJECT_TYPE, ENUMERATION, 0x7777), CREATE[1]], ResultReason.INVALID_FIELD),  # unknown enumeration
        ([(Tag.OBJECT_TYPE, INTEGER, 2), CREATE[1]], ResultReason.INVALID_MESSAGE),  # wrong type
    ],
)
def test_bad_payloads_have_the_tables_reasons(client: Client, payload: list[Item], reason: ResultReason) -> None:
    assert client.refused(Operation.CREATE, *payload) is reason


@pytest.mark.parametrize("code", [0x41, 0x7FFFFFFF, 0x80000001, int(Operation.NOTIFY)])
def test_an_operation_that_nobody_serves(client: Client, code: int) -> None:
    answer = client.raw(client.frame([(code, [])]))
    assert answer is not None
    items = {tag: value for tag, _, value in decode(answer)[2][1][2]}
    assert items[Tag.OPERATION] == code
    assert items[Tag.RESULT_REASON] == ResultReason.OPERATION_NOT_SUPPORTED


def test_an_operation_newer_than_the_message_is_not_supported(client: Client) -> None:
    reason = client.at(Version.V1_4).refused(Operation.SET_ATTRIBUTE)
    assert reason is ResultReason.OPERATION_NOT_SUPPORTED


def test_a_critical_message_extension_is_refused_and_another_passed_over(client: Client) -> None:
    def item(critical: bool) -> Item:
        extension = [
            (Tag.VENDOR_IDENTIFICATION, TEXT_STRING, "acme"),
            (Tag.CRITICALITY_INDICATOR, BOOLEAN, critical),
            (Tag.VENDOR_EXTENSION, STRUCTURE, [(0x540001, TEXT_STRING, "x")]),
        ]
        return (
            Tag.BATCH_ITEM,
            STRUCTURE,
            [
                (Tag.OPERATION, ENUMERATION, int(Operation.DISCOVER_VERSIONS)),
                (Tag.REQUEST_PAYLOAD, STRUCTURE, []),
                (Tag.MESSAGE_EXTENSION, STRUCTURE, extension),
            ],
        )

    _, _, (header, _) = decode(client.frame([(Operation.DISCOVER_VERSIONS, [])]))
    for critical, status in ((False, SUCCESS), (True, FAILED)):
        frame = encode((Tag.REQUEST_MESSAGE, STRUCTURE, [header, item(critical)]))
        _, (answer,) = client.message(frame)
        assert answer.status is status
        assert answer.reason is (ResultReason.FEATURE_NOT_SUPPORTED if critical else None)


def test_an_answer_over_the_maximum_response_size_is_refused_and_undone(client: Client) -> None:
    (answer,) = client.batch([(Operation.CREATE, CREATE)], (Tag.MAXIMUM_RESPONSE_SIZE, INTEGER, 64))
    assert (answer.status, answer.reason) == (FAILED, ResultReason.RESPONSE_TOO_LARGE)
    assert client.locate() == []
    (answer,) = client.batch([(Operation.CREATE, CREATE)], (Tag.MAXIMUM_RESPONSE_SIZE, INTEGER, 4096))
    assert client.locate() == [answer.uid]


@pytest.mark.parametrize(
    "frame",
    [
        encode((Tag.REQUEST_MESSAGE, STRUCTURE, [])),
        encode((Tag.REQUEST_MESSAGE, STRUCTURE, [(Tag.REQUEST_HEADER, STRUCTURE, [])])),
        encode((Tag.REQUEST_MESSAGE, STRUCTURE, [(Tag.REQUEST_HEADER, BYTE_STRING, b"")])),
        encode((Tag.REQUEST_MESSAGE, INTEGER, 1)),
        b"\x42\x00\x78\x01\x00\x00\x00\x08\x42\x00\x77\x01\xff\xff\xff\xff",
    ],
)
def test_a_message_that_cannot_be_read_is_answered_without_an_operation(client: Client, frame: bytes) -> None:
    _, (answer,) = client.message(frame)
    assert (answer.operation, answer.status, answer.reason) == (None, FAILED, ResultReason.INVALID_MESSAGE)


def test_another_major_version_is_an_invalid_message(client: Client) -> None:
    frame = bytearray(client.frame([(Operation.DISCOVER_VERSIONS, [])]))
    at = frame.index(bytes.fromhex("42006a02000000040000000100000000"))
    frame[at + 11] = 7
    _, (answer,) = client.message(bytes(frame))
    assert (answer.status, answer.reason) == (FAILED, ResultReason.INVALID_MESSAGE)


def test_batch_count_must_agree(client: Client) -> None:
    _, _, (header, item) = decode(client.frame([(Operation.DISCOVER_VERSIONS, [])]))
    frame = encode((Tag.REQUEST_MESSAGE, STRUCTURE, [header, item, item]))
    _, (answer,) = client.message(frame)
    assert (answer.status, answer.reason) == (FAILED, ResultReason.INVALID_MESSAGE)


def test_batches_are_bounded(client: Client, engine: Engine) -> None:
    items: list[tuple[int, list[Item]]] = [(int(Operation.DISCOVER_VERSIONS), [])] * (engine.settings.batch_items + 1)
    _, (answer,) = client.message(client.frame(items))
    assert answer.status is FAILED


def test_a_group_of_calls_is_answered_in_order_and_a_failure_stays_with_its_own(client: Client, engine: Engine) -> None:
    peer = Peer(ALICE, "127.0.0.1")
    frames = [
        client.frame([(Operation.CREATE, CREATE)]),
        b"garbage!",
        client.frame([MISSING]),
        client.frame([(Operation.LOCATE, [])]),
    ]
    answers = engine.answer([Call(frame, peer) for frame in frames])
    statuses = []
    for answer in answers:
        assert answer is not None
        statuses.append({tag: value for tag, _, value in decode(answer)[2][1][2]}[Tag.RESULT_STATUS])
    assert statuses == [SUCCESS, FAILED, FAILED, SUCCESS]


def test_time_stamps_are_judged_only_where_configured(tmp_path: Path, client: Client, engine: Engine) -> None:
    old: Item = (Tag.TIME_STAMP, DATE_TIME, 1_000_000_000)
    assert client.batch([(Operation.DISCOVER_VERSIONS, [])], old)[0].status is SUCCESS
    engine.dispatcher.settings = Settings(time_stamp_skew=60)
    assert client.batch([(Operation.DISCOVER_VERSIONS, [])], old)[0].status is FAILED
    recent: Item = (Tag.TIME_STAMP, DATE_TIME, 1_800_000_030)
    assert client.batch([(Operation.DISCOVER_VERSIONS, [])], recent)[0].status is SUCCESS


def test_an_internal_error_says_nothing_of_itself(
    client: Client, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("a secret text")

    monkeypatch.setattr("kmipsrv.operations._context.Context.new_identifier", broken)
    answer = client.call(Operation.CREATE, *CREATE)
    assert (answer.status, answer.reason) == (FAILED, ResultReason.GENERAL_FAILURE)
    assert "secret" not in (answer.message or "")


def test_a_failed_item_leaves_nothing_behind(client: Client) -> None:
    """The second half of the pair has a Name that is taken: the first half must not stay."""
    client.create((Tag.NAME, STRUCTURE, name_value("taken")))
    payload = [
        client.attributes(
            (Tag.CRYPTOGRAPHIC_ALGORITHM, ENUMERATION, 4),
            (Tag.CRYPTOGRAPHIC_LENGTH, INTEGER, 2048),
            tag_1x=Tag.COMMON_TEMPLATE_ATTRIBUTE,
        ),
        client.attributes((Tag.NAME, STRUCTURE, name_value("taken")), tag_1x=Tag.PRIVATE_KEY_TEMPLATE_ATTRIBUTE),
    ]
    assert client.refused(Operation.CREATE_KEY_PAIR, *payload) is ResultReason.INVALID_FIELD
    assert len(client.locate()) == 1
