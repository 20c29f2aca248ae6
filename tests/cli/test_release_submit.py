"""`kmipsrv release key` and `submit`, on a state directory with a real token."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kmipsrv.app import open_engine, open_store
from kmipsrv.cli.main import run
from kmipsrv.config import load
from kmipsrv.engine.ledger import APPROVAL
from kmipsrv.release.approvals import Approval
from kmipsrv.release.gate import Gate
from kmipsrv.release.statements import load_public_key
from tests.cli.conftest import Runner

LATER = (datetime.now(UTC) + timedelta(hours=1)).isoformat()


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state directory with one enrolled approver, whose key lies beside it."""
    folder = tmp_path_factory.mktemp("release")
    assert run(["init", str(folder / "state")]) == 0
    for name in ("ada", "eve"):
        assert run(["release", "keygen", str(folder / name)]) == 0
    with (folder / "state" / "kmipsrv.yaml").open("a") as file:
        file.write(f"release:\n  approvers:\n    - id: ada\n      key: {folder}/ada.pub\n")
    return folder


def config(state: Path) -> Path:
    return state / "state" / "kmipsrv.yaml"


def approval(state: Path, kmipsrv: Runner, out: Path, key: str = "ada", expires: str = LATER) -> Path:
    facts = ["--object", "u-1", "--policy", "sha256:00", "--requester", "default:CN=agent", "--expires", expires]
    assert kmipsrv("release", "approve", "--key", state / f"{key}.key", "--as", "ada", *facts, "--out", out).code == 0
    return out


def kept(state: Path) -> list[bytes]:
    store = open_store(load(config(state)))
    try:
        with store.work() as work:
            return [value for _, value in work.records(APPROVAL, "u-1")]
    finally:
        store.close()


def test_the_key_is_the_one_that_the_server_signs_with(state: Path, kmipsrv: Runner) -> None:
    printed = kmipsrv("release", "key", "-c", config(state))
    assert printed.code == 0
    assert kmipsrv("release", "key", "-c", config(state)).out == printed.out
    engine = open_engine(load(config(state)))
    gate = engine.dispatcher.gate
    assert isinstance(gate, Gate)
    assert load_public_key(printed.out.encode()) == gate.signing_key.public_key()
    engine.store.close()
    assert "PRIVATE" not in printed.out


def test_an_approval_reaches_the_gate_s_ledger_once(state: Path, kmipsrv: Runner, tmp_path: Path) -> None:
    file = approval(state, kmipsrv, tmp_path / "approval")
    for _ in range(2):
        done = kmipsrv("release", "submit", "-c", config(state), file)
        assert (done.code, done.out.startswith("ada approves u-1 for default:CN=agent until ")) == (0, True)
    assert [Approval.decode(each).approver for each in kept(state)] == ["ada"]


def test_what_is_not_taken(state: Path, kmipsrv: Runner, tmp_path: Path) -> None:
    before = kept(state)
    forged = approval(state, kmipsrv, tmp_path / "forged", key="eve")  # signed by another key than ada's
    good = json.loads(approval(state, kmipsrv, tmp_path / "good").read_text())
    for name, changes in {
        "another object": {"object": "u-2"},
        "another approver": {"approver": "bob"},
        "expired": {"expiry": "2001-01-01T00:00:00Z"},
        "more": {"comment": "please"},
    }.items():
        (tmp_path / name).write_text(json.dumps(good | changes))
    for file in (forged, *(tmp_path / name for name in ("another object", "another approver", "expired", "more"))):
        refused = kmipsrv("release", "submit", "-c", config(state), file)
        assert (refused.code, refused.out) == (1, ""), file
    assert kept(state) == before
