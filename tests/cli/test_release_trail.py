"""`kmipsrv audit`, `kmipsrv release apply` and `replay` on a state directory with a real token."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path

import pytest
import yaml

from kmipsrv.app import open_engine, reload
from kmipsrv.config import load
from kmipsrv.engine.gating import gate_settings
from kmipsrv.errors import ConfigError
from kmipsrv.release.policy import parse
from kmipsrv.release.rules import Rule
from kmipsrv.spec.enums import Operation, QueryFunction, ResultReason, ResultStatus
from kmipsrv.spec.tags import Tag
from kmipsrv.spec.versions import Version
from kmipsrv.ttlv.codec import ENUMERATION
from tests.attested import ANYTHING, SNP, capable, gated
from tests.cli.conftest import Runner
from tests.harness import ALICE, Client, uid_item
from tests.release.verifiers.tpm_attesters import make_tpm


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


def test_a_reload_takes_all_over_or_nothing(kmipsrv: Runner, state: Path, tmp_path: Path) -> None:
    config = load(state / "kmipsrv.yaml")
    engine = open_engine(config)
    client = Client(engine, Version.V2_1)
    uid = gated(client, ANYTHING)

    def offered() -> list[int]:
        query = Tag.QUERY_FUNCTION, ENUMERATION, int(QueryFunction.QUERY_ATTESTATION_TYPES)
        found: list[int] = client.ok(Operation.QUERY, query).values(Tag.ATTESTATION_TYPE)
        return found

    assert offered() == []
    (tmp_path / "ak.pem").write_bytes(make_tpm().endorsements[0])
    assert kmipsrv("attest", "import", "-c", state / "kmipsrv.yaml", "tpm", tmp_path / "ak.pem").code == 0
    reload(config, engine)
    assert offered() == [1]
    assert client.batch([(Operation.GET, [uid_item(uid)])], *capable())[0].reason is ResultReason.ATTESTATION_REQUIRED
    (state / "endorsements" / "tpm" / "stray.pem").write_bytes(b"")
    with pytest.raises(ConfigError, match="stray"):
        reload(config, engine)
    assert offered() == [1]
    engine.store.close()


@pytest.mark.parametrize(
    ("release", "mistake"),
    [
        ({"policies": "nowhere"}, "release.policies: "),
        ({"policies": "policies", "rules": [{"policy": "absent"}]}, "release.rules[0].policy: 'absent' is no policy"),
        ({"rules": [{"policy": "sha256:00"}]}, "release.rules[0].policy: 'sha256:00' is no policy"),
        ({"approvers": [{"id": "a", "key": "nowhere"}]}, "release.approvers[0].key: "),
        ({"approvers": [{"id": "a", "key": "kmipsrv.yaml"}]}, "release.approvers[0].key: "),
        ({"policies": "broken"}, "release.policies: "),
    ],
)
def test_a_mistake_in_what_the_configuration_names(tmp_path: Path, release: dict[str, object], mistake: str) -> None:
    for folder, text in (("policies", ANYTHING), ("broken", "{}")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "policy.json").write_text(text)
    (tmp_path / "kmipsrv.yaml").write_text(yaml.safe_dump({"release": release}))
    with pytest.raises(ConfigError) as caught:
        gate_settings(load(tmp_path / "kmipsrv.yaml"))
    assert str(caught.value).startswith(mistake)


def test_rules_name_policies_by_file_and_by_id(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "any.json").write_text(ANYTHING)
    policy = parse(ANYTHING).id
    rules = [{"policy": "any", "tenant": "t"}, {"policy": policy, "name": "vm-*", "object_group": "g"}]
    (tmp_path / "kmipsrv.yaml").write_text(yaml.safe_dump({"release": {"policies": "policies", "rules": rules}}))
    settings = gate_settings(load(tmp_path / "kmipsrv.yaml"))
    assert settings.rules == (Rule(policy, "t"), Rule(policy, None, "g", "vm-*"))
    assert list(settings.policies) == [policy]
