"""What was acknowledged is there after `kill -9`; and no octet of a key lies in the state directory."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from kmipsrv.spec.enums import Operation, ResultStatus
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V1_4
from kmipsrv.ttlv.codec import STRUCTURE, Item
from tests.harness import Client, name_value, uid_item
from tests.system.conftest import Connection, ServerProcess

ROUNDS, WRITERS = 100, 4


def frame(operation: Operation, *payload: Item) -> bytes:
    return Client(None, V1_4).frame([(operation, list(payload))])  # type: ignore[arg-type]


def item(answer: Item) -> dict[int, object]:
    return {tag: value for tag, _, value in answer[2][1][2]}


def uid_of(answer: Item) -> str:
    found = item(answer)
    assert found[Tag.RESULT_STATUS] == ResultStatus.SUCCESS, answer
    payload = found[Tag.RESPONSE_PAYLOAD]
    assert isinstance(payload, list)
    (uid,) = [value for tag, _, value in payload if tag == Tag.UNIQUE_IDENTIFIER]
    assert isinstance(uid, str)
    return uid


def write_until_killed(server: ServerProcess, acknowledged: dict[str, bytes], first: threading.Event) -> None:
    """Register keys one after the other; note each that the server has acknowledged."""
    speaker = Client(None, V1_4)  # type: ignore[arg-type]
    try:
        with server.connect() as connection:
            while True:
                material = os.urandom(32)
                connection.send(speaker.frame([(Operation.REGISTER, speaker.key(material))]))
                uid = uid_of(connection.receive())
                acknowledged[uid] = material
                first.set()
    except OSError:
        return  # the server is dead, as it has to be


def read(connection: Connection, uid: str) -> bytes:
    connection.send(frame(Operation.GET, uid_item(uid)))
    payload = item(connection.receive())[Tag.RESPONSE_PAYLOAD]
    assert isinstance(payload, list)
    (key,) = [value for tag, _, value in payload if tag == Tag.SYMMETRIC_KEY]
    (value,) = [content for tag, _, content in key[0][2] if tag == Tag.KEY_VALUE]
    material = value[0][2]
    assert isinstance(material, bytes)
    return material


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_hundred_kills_under_load_lose_nothing_acknowledged(server: ServerProcess) -> None:
    total = 0
    for _ in range(ROUNDS):
        acknowledged: dict[str, bytes] = {}
        first = threading.Event()
        writers = [
            threading.Thread(target=write_until_killed, args=(server, acknowledged, first)) for _ in range(WRITERS)
        ]
        for writer in writers:
            writer.start()
        assert first.wait(30)
        server.kill()
        for writer in writers:
            writer.join(30)
            assert not writer.is_alive()
        server.start()
        with server.connect() as connection:
            for uid, material in acknowledged.items():
                assert read(connection, uid) == material
        total += len(acknowledged)
    assert total >= ROUNDS


def test_no_octet_of_a_key_lies_in_the_state_directory(server: ServerProcess) -> None:
    speaker = Client(None, V1_4)  # type: ignore[arg-type]
    secrets = [os.urandom(32) for _ in range(20)]
    uids = []
    with server.connect() as connection:
        for number, secret in enumerate(secrets):
            payload = speaker.key(secret, (Tag.NAME, STRUCTURE, name_value(f"needle {number}")))
            connection.send(speaker.frame([(Operation.REGISTER, payload)]))
            uids.append(uid_of(connection.receive()))
        assert read(connection, uids[0]) == secrets[0]
        connection.send(frame(Operation.DESTROY, uid_item(uids[1])))
        uid_of(connection.receive())
    files = [path for path in server.state.rglob("*") if path.is_file()]
    assert any(b"needle 7" in path.read_bytes() for path in files), "the names are there: the search can find something"
    for path in files:
        _assert_clean(path, secrets)


def _assert_clean(path: Path, secrets: list[bytes]) -> None:
    content = path.read_bytes()
    for secret in secrets:
        for form in (secret, secret.hex().encode(), secret.hex().upper().encode(), secret[:16], secret[16:]):
            assert form not in content, path
