"""Start, stop, restart, a token that goes away, and a token that is not the right one."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from kmipsrv.cli.main import run
from kmipsrv.spec.enums import Operation, ResultStatus
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import V1_4
from tests.harness import Client, uid_item
from tests.system.conftest import DEADLINE, ServerProcess
from tests.system.test_durability import frame, item, read, uid_of


def created(server: ServerProcess) -> str:
    speaker = Client(None, V1_4)  # type: ignore[arg-type]
    with server.connect() as connection:
        connection.send(speaker.frame([(Operation.REGISTER, speaker.key(bytes(range(16))))]))
        return uid_of(connection.receive())


def fresh(folder: Path) -> ServerProcess:
    state = folder / "state"
    assert run(["init", str(state)]) == 0
    server = ServerProcess(state)
    server.start()
    return server


def test_sigterm_ends_it_and_a_restart_knows_everything(tmp_path: Path) -> None:
    server = fresh(tmp_path)
    uid = created(server)
    assert server.stop() == 0
    server.start()
    with server.connect() as connection:
        assert read(connection, uid) == bytes(range(16))
    assert server.stop() == 0


def test_a_token_that_goes_away_is_an_error_and_comes_back_by_itself(tmp_path: Path) -> None:
    server = fresh(tmp_path)
    uid = created(server)
    tokens = server.state / "token" / "tokens"
    hidden = server.state / "token" / "hidden"
    with server.connect() as connection:
        assert read(connection, uid) == bytes(range(16))
        tokens.rename(hidden)
        connection.send(frame(Operation.GET, uid_item(uid)))
        away = item(connection.receive())
        hidden.rename(tokens)
        deadline = time.monotonic() + DEADLINE
        while True:
            connection.send(frame(Operation.GET, uid_item(uid)))
            back = item(connection.receive())
            if back[Tag.RESULT_STATUS] == ResultStatus.SUCCESS:
                break
            assert time.monotonic() < deadline, back
            time.sleep(0.05)
    # SoftHSM keeps an open key in memory for a while; if it noticed, the answer was a KMIP error.
    assert away[Tag.RESULT_STATUS] in (ResultStatus.SUCCESS, ResultStatus.OPERATION_FAILED)
    assert server.stop() == 0


def test_it_never_starts_with_another_master_key(tmp_path: Path) -> None:
    server = fresh(tmp_path)
    created(server)
    assert server.stop() == 0
    other = tmp_path / "other"
    assert run(["init", str(other)]) == 0
    shutil.rmtree(server.state / "token" / "tokens")
    shutil.copytree(other / "token" / "tokens", server.state / "token" / "tokens")
    shutil.copy(other / "token" / "pin", server.state / "token" / "pin")
    with pytest.raises(RuntimeError, match="master key"):
        server.start()
