"""`kmipsrv doctor`: each fault is found and comes with its mend."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from kmipsrv.app import CHECK_RECORD, keyring_settings
from kmipsrv.cli import certificates
from kmipsrv.cli.doctor import Finding, Level, examine
from kmipsrv.config import load
from kmipsrv.keyring import provision
from kmipsrv.release import endorsement_store
from kmipsrv.release.verifiers.certificate import Certificate
from kmipsrv.store.migrate import HEAD
from kmipsrv.store.sqlite import SQLiteStore
from tests.cli.conftest import Runner
from tests.release.verifiers.pki import key, root, spki_pem

NOW = datetime.now(UTC)


def troubles(directory: Path, now: datetime = NOW) -> list[Finding]:
    return [finding for finding in examine(directory / "kmipsrv.yaml", now) if finding.level is not Level.GOOD]


def edit(directory: Path, **values: object) -> None:
    file = directory / "kmipsrv.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text("utf-8")), **values}), "utf-8")


@pytest.fixture
def state(made: Path, tmp_path: Path) -> Path:
    """A whole state directory to break things in, token included (SoftHSM's configuration names the folder)."""
    directory = tmp_path / "state"
    shutil.copytree(made, directory)
    conf = directory / "token/softhsm2.conf"
    conf.write_text(conf.read_text("utf-8").replace(str(made), str(directory)), "utf-8")
    edit(directory, listen="127.0.0.1:0")
    return directory


def test_a_new_directory_is_sound(state: Path, kmipsrv: Runner) -> None:
    run = kmipsrv("doctor", "-c", state / "kmipsrv.yaml")
    assert run.code == 0
    assert all(line.startswith("good ") for line in run.out.splitlines())
    for word in (
        "configuration",
        "server certificate",
        "client CA",
        "PIN file",
        "master key",
        "seal counter",
        "listen",
    ):
        assert word in run.out


def test_a_wrong_configuration_is_the_first_finding(state: Path, kmipsrv: Runner) -> None:
    edit(state, limts={})
    run = kmipsrv("doctor", "-c", state / "kmipsrv.yaml")
    assert run.code == 1
    assert "limts: there is no such setting; did you mean limits?" in run.out


Break = Callable[[Path], object]


def signed(state: Path, name: str, purpose: str, **changes: object) -> None:
    """Replace the server's certificate by another one from the same authority."""
    authority = certificates.read_authority(state / "certs/ca.pem", state / "certs/ca.key")
    key = certificates.read_key(state / "certs/server.key")
    now = changes.get("now", NOW)
    assert isinstance(now, datetime)
    if purpose == "client":
        pair = certificates.client(authority, key, name, now)
    else:
        pair = certificates.server(authority, key, [name], now)
    certificates.write_certificate(pair.certificate, state / "certs/server.pem", replace=True)


@pytest.mark.parametrize(
    ("break_it", "level", "text", "mend"),
    [
        (lambda s: (s / "token/pin").write_text("wrong"), Level.ERROR, "refuses the PIN", ""),
        (lambda s: (s / "token/pin").unlink(), Level.ERROR, "PIN file", ""),
        (lambda s: (s / "token/pin").chmod(0o640), Level.ERROR, "can be read by others", "chmod 600"),
        (lambda s: shutil.rmtree(s / "token/tokens"), Level.ERROR, "token", ""),
        (lambda s: (s / "token/seals").unlink(), Level.ERROR, "seal counter", ""),
        (lambda s: s.chmod(0o755), Level.WARNING, "others may enter", "chmod 700"),
        (lambda s: edit(s, state="nowhere"), Level.ERROR, "is not a directory", "mkdir -m 700"),
        (lambda s: (s / "certs/server.key").unlink(), Level.ERROR, "server.key cannot be read", "tls.key"),
        (lambda s: (s / "certs/server.key").chmod(0o644), Level.ERROR, "can be read by others", "chmod 600"),
        (lambda s: (s / "certs/ca.key").chmod(0o644), Level.ERROR, "can be read by others", "chmod 600"),
        (lambda s: (s / "certs/server.pem").write_text("x"), Level.ERROR, "holds no certificate", "tls.certificate"),
        (
            lambda s: shutil.copy(s / "certs/client.key", s / "certs/server.key"),
            Level.ERROR,
            "is not the key of CN=localhost",
            "tls.key",
        ),
        (lambda s: signed(s, "localhost", "client"), Level.ERROR, "lacks serverAuth", "server-cert -c"),
        (lambda s: signed(s, "localhost", "client"), Level.ERROR, "names no host", "server-cert -c"),
        (
            lambda s: signed(s, "localhost", "server", now=NOW - timedelta(days=900)),
            Level.ERROR,
            "it expired on",
            "server-cert -c",
        ),
        (
            lambda s: signed(s, "localhost", "server", now=NOW + timedelta(days=2)),
            Level.ERROR,
            "it is not valid before",
            "clock",
        ),
        (
            lambda s: signed(s, "localhost", "server", now=NOW - timedelta(days=800)),
            Level.WARNING,
            "it expires on",
            "server-cert -c",
        ),
        (
            lambda s: shutil.copy(s / "certs/server.pem", s / "certs/ca.pem"),
            Level.ERROR,
            "it is not an authority's certificate",
            "authority's own",
        ),
        (lambda s: (s / "certs/ca.pem").unlink(), Level.ERROR, "cannot be read", "tls.client_ca"),
        (lambda s: (s / "certs/client.key").unlink(), Level.WARNING, "client.key cannot be read", "client-cert"),
        (lambda s: edit(s, listen="203.0.113.1:5696"), Level.ERROR, "Cannot assign", "an address of this machine"),
        (lambda s: edit(s, token={"label": "kmipsrv"}), Level.ERROR, "give pin_file or credential", ""),
        (
            lambda s: edit(s, token={"module": "libnothere.so", "pin_file": "token/pin"}),
            Level.ERROR,
            "no PKCS#11 module at libnothere.so",
            "",
        ),
    ],
)
def test_each_fault_is_found_with_its_mend(state: Path, break_it: Break, level: Level, text: str, mend: str) -> None:
    break_it(state)
    found = troubles(state)
    matching = [finding for finding in found if text in f"{finding.subject} {finding.text}"]
    assert len(matching) == 1, found
    assert matching[0].level is level
    assert mend in matching[0].mend


def test_the_database_is_looked_at(state: Path, made: Path) -> None:
    def about_it() -> Finding:
        found = [one for one in examine(state / "kmipsrv.yaml", NOW) if one.subject.startswith("database")]
        assert len(found) == 1
        return found[0]

    assert "not there yet" in about_it().text
    file = state / "kmipsrv.db"
    store = SQLiteStore(file)
    store.close()
    assert about_it().level is Level.GOOD
    assert about_it().text == f"revision {HEAD}"
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    assert about_it().level is Level.WARNING
    assert "revision 9999" in about_it().text
    file.write_bytes(b"not a database" * 100)
    assert about_it().level is Level.ERROR
    assert "does not open" in about_it().text


def test_a_database_that_another_token_sealed(state: Path, tmp_path: Path, kmipsrv: Runner) -> None:
    record = provision.open_keyring(keyring_settings(load(state / "kmipsrv.yaml"))).check_record()
    store = SQLiteStore(state / "kmipsrv.db")
    with store.work() as work:
        work.write(CHECK_RECORD, "1", record)
    store.close()
    assert troubles(state) == []
    other = tmp_path / "other"
    assert kmipsrv("init", other).code == 0
    shutil.copy(state / "kmipsrv.db", other / "kmipsrv.db")
    assert [finding.level for finding in troubles(other)] == [Level.ERROR]
    assert "check record" in troubles(other)[0].text


def test_a_clock_far_ahead_is_seen_in_every_certificate(state: Path) -> None:
    found = troubles(state, NOW + timedelta(days=4000))
    assert sum("it expired on" in finding.text for finding in found) == 3


def test_it_changes_nothing(state: Path, kmipsrv: Runner) -> None:
    before = {path: path.stat().st_mtime_ns for path in state.rglob("*.pem")}
    files = sorted(path for path in state.rglob("*") if path.suffix != ".lock")
    kmipsrv("doctor", "-c", state / "kmipsrv.yaml")
    assert {path: path.stat().st_mtime_ns for path in state.rglob("*.pem")} == before
    assert sorted(path for path in state.rglob("*") if path.suffix != ".lock") == files


def test_a_port_that_another_program_has(state: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        threading.Thread(target=lambda: other.accept()[0].close(), daemon=True).start()
        edit(state, listen=f"127.0.0.1:{other.getsockname()[1]}")
        found = troubles(state)
    assert len(found) == 1
    assert "another program has the port" in found[0].text


def test_a_port_that_this_server_has(state: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(state / "certs/server.pem", state / "certs/server.key")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with context.wrap_socket(connection, server_side=True) as tls:
                tls.recv(1)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        edit(state, listen=f"127.0.0.1:{listener.getsockname()[1]}")
        findings = list(examine(state / "kmipsrv.yaml", NOW))
        thread.join(10)
    assert [finding.text for finding in findings if finding.subject.startswith("listen")] == [
        "this server is serving there"
    ]


# --- the release gate -----------------------------------------------------------------------------------------------


def about_release(state: Path, now: datetime = NOW) -> list[tuple[Level, str]]:
    found = examine(state / "kmipsrv.yaml", now)
    return [(finding.level, finding.text) for finding in found if finding.subject == "release"]


def test_what_evidence_is_verified_by_is_said(state: Path) -> None:
    assert about_release(state) == [(Level.GOOD, "0 rules; types of evidence verified: none")]
    endorsement_store.add(state / "endorsements", "tpm", spki_pem(key("ak")))
    assert about_release(state) == [(Level.GOOD, "0 rules; types of evidence verified: tpm")]


def test_an_endorsement_that_was_changed(state: Path) -> None:
    stored = endorsement_store.add(state / "endorsements", "tpm", spki_pem(key("ak")))
    stored.path.write_bytes(spki_pem(key("another")))
    ((level, text),) = about_release(state)
    assert (level, "was changed" in text) == (Level.ERROR, True)


def test_a_rule_that_nothing_can_satisfy(state: Path) -> None:
    (state / "policies").mkdir()
    (state / "policies" / "snp.json").write_text(
        '{"anyOf": [{"authority": "snp", "allOf": [{"claim": "tee", "exists": true}]}]}'
    )
    edit(state, release={"policies": "policies", "rules": [{"policy": "snp", "name": "vm-*"}]})
    ((level, text),) = about_release(state)
    assert (level, "nothing is pinned" in text) == (Level.WARNING, True)
    edit(state, release={"policies": "policies", "rules": [{"policy": "tdx"}]})
    assert [level for level, _ in about_release(state)] == [Level.ERROR]


def test_an_anchor_that_ends(state: Path) -> None:
    anchor = root("root")
    ends = Certificate(anchor).not_after
    endorsement_store.add(state / "endorsements", "nitro", anchor)
    for now, said in ((ends - timedelta(days=1), "expires on"), (ends + timedelta(days=1), "has expired")):
        ((level, text),) = about_release(state, now)
        assert (level, said in text) == (Level.WARNING, True)
