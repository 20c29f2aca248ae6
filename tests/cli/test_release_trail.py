"""`kmipsrv audit`, `kmipsrv release apply` and `replay` on a state directory with a real token."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path

import pytest
import yaml

from kmipsrv.app import open_engine
from kmipsrv.config import load
from kmipsrv.release.policy import parse
from kmipsrv.spec.enums import Operation, ResultReason, ResultStatus
from kmipsrv.spec.versions import Version
from tests.attested import ANYTHING, SNP, gated
from tests.cli.conftest import Runner
from tests.harness import ALICE, Client, uid_item


@pytest.fixture
def state(kmipsrv: Runner, tmp_path: Path) -> Path:
    """A new state directory, with an administrator enrolled and an approver whose approval orders need."""
    folder = tmp_path / "state"
    assert kmipsrv("init", folder).code == 0
    for name in ("root", "ann"):
        assert kmipsrv("release", "keygen", folder / name).code == 0
    file = folder / "kmipsrv.yaml"
    values = yaml.safe_load(file.read_text("utf-8"))
    values["release"] = {
        "administrators": [{"id": "root", "key": "root.pub"}],
        "approvers": [{"id": "ann", "key": "ann.pub"}],
        "order_approvals": 1,
    }
    file.write_text(yaml.safe_dump(values), "utf-8")
    return folder


def test_an_order_from_the_signature_to_the_trail(kmipsrv: Runner, state: Path, tmp_path: Path) -> None:
    config = state / "kmipsrv.yaml"
    engine = open_engine(load(config))
    client = Client(engine, Version.V2_1)
    uid, _ = gated(client, SNP), gated(client, ANYTHING)
    assert client.refused(Operation.GET, uid_item(uid)) is ResultReason.PERMISSION_DENIED
    engine.store.close()

    facts = ("--object", uid, "--from", parse(SNP).id, "--out", tmp_path / "order")
    made = kmipsrv("release", "order", "--key", state / "root.key", "--as", "root", *facts)
    identifier = made.err.split()[-1]
    apply = ("release", "apply", "-c", config, "--owner", ALICE.owner, tmp_path / "order")
    refused = kmipsrv(*apply)
    assert (refused.code, "approvals: 0 of 1" in refused.err) == (1, True), refused.err
    approved = ("--object", uid, "--policy", identifier, "--requester", "root", "--expires", "2100-01-01T00:00:00Z")
    approval = tmp_path / "approval"
    assert (
        kmipsrv("release", "approve", "--key", state / "ann.key", "--as", "ann", *approved, "--out", approval).code == 0
    )
    done = kmipsrv(*apply, approval)
    assert (done.code, done.out.strip()) == (0, f"{uid} has no release policy any longer"), done.err
    assert kmipsrv(*apply, approval).code == 1

    engine = open_engine(load(config))
    assert Client(engine, Version.V2_1).ok(Operation.GET, uid_item(uid)).status is ResultStatus.SUCCESS
    engine.store.close()

    shown = kmipsrv("audit", "show", "-c", config)
    kinds = [json.loads(line)["kind"] for line in shown.out.splitlines()]
    assert kinds == ["release", "order"]
    replayed = kmipsrv("release", "replay", "-c", config)
    assert replayed.code == 0
    assert f"Get {uid}: denied (capable:" in replayed.out
    assert kmipsrv("release", "replay", "-c", config, "3").code == 1

    verified = kmipsrv("audit", "verify", "-c", config)
    assert (verified.code, "2 records are as they were written" in verified.out) == (0, True)
    (head,) = re.findall(r"^head (\S+)$", verified.out, re.MULTILINE)
    key = tmp_path / "server.pem"
    key.write_text(kmipsrv("release", "key", "-c", config).out)
    assert kmipsrv("audit", "verify", "-c", config, "--key", key, "--head", head).code == 0
    assert kmipsrv("audit", "verify", "-c", config, "--key", key, "--head", head[:-1] + "x").code == 2
    other = head[:-1] + ("0" if head[-1] != "0" else "1")
    assert kmipsrv("audit", "verify", "-c", config, "--key", key, "--head", other).code == 1

    with sqlite3.connect(state / "kmipsrv.db") as database:
        database.execute("UPDATE audit SET body = replace(CAST(body AS TEXT), 'denied', 'granted') WHERE number = 1")
    database.close()
    broken = kmipsrv("audit", "verify", "-c", config)
    assert (broken.code, "record 1" in broken.err) == (1, True), broken.err
    assert kmipsrv("release", "replay", "-c", config).code == 1
