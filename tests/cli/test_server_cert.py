"""`kmipsrv server-cert`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from kmipsrv.cli import certificates
from kmipsrv.cli.doctor import at_start
from kmipsrv.config import load
from tests.cli.conftest import Run, Runner


@pytest.fixture
def renew(copy: Path, kmipsrv: Runner) -> Runner:
    def run(*arguments: object) -> Run:
        return kmipsrv("server-cert", "-c", copy / "kmipsrv.yaml", *arguments)

    return run


def shown(copy: Path) -> x509.Certificate:
    (certificate,) = certificates.read_certificates(copy / "certs/server.pem")
    certificates.check_pair(certificate, copy / "certs/server.key")
    return certificate


def test_it_renews_for_the_same_names_with_the_same_key(copy: Path, renew: Runner) -> None:
    before, key = shown(copy), (copy / "certs/server.key").read_bytes()
    run = renew("--host", "kms.example", "--days", "90")
    assert (run.code, "takes it up on SIGHUP" in run.out) == (0, True)
    after = shown(copy)
    assert after.serial_number != before.serial_number
    assert certificates.hosts(after) == [*certificates.hosts(before), "kms.example"]
    assert certificates.hosts(before) == ["localhost", "127.0.0.1", "::1"]
    assert timedelta(days=89) < after.not_valid_after_utc - datetime.now(UTC) < timedelta(days=91)
    assert (copy / "certs/server.key").read_bytes() == key
    assert (copy / "certs/server.pem").stat().st_mode & 0o777 == 0o600


def test_it_makes_a_new_key_on_request_and_where_there_is_none(copy: Path, renew: Runner) -> None:
    before = shown(copy)
    assert renew("--new-key").code == 0
    second = shown(copy)
    assert second.public_key() != before.public_key()
    (copy / "certs/server.key").unlink()
    (copy / "certs/server.pem").unlink()
    assert renew().code == 0
    assert shown(copy).public_key() != second.public_key()


def test_anothers_certificate_is_left_alone(
    copy: Path, made: Path, tmp_path: Path, kmipsrv: Runner, renew: Runner
) -> None:
    now = datetime.now(UTC)
    other = certificates.authority(certificates.new_key(), now)
    pair = certificates.server(other, certificates.read_key(copy / "certs/server.key"), ["kms"], now)
    certificates.write_certificate(pair.certificate, copy / "certs/server.pem", replace=True)
    run = renew()
    assert (run.code, "another authority has issued it; let that one renew it" in run.err) == (78, True)
    assert shown(copy) == pair.certificate


def test_a_server_says_at_its_start_what_will_keep_clients_out(copy: Path, renew: Runner) -> None:
    config, now = load(copy / "kmipsrv.yaml"), datetime.now(UTC)
    assert at_start(config, now) == []
    assert renew("--days", "20").code == 0
    (soon,) = at_start(config, now)
    assert "it expires on" in soon.text
    assert f"server-cert -c {(copy / 'kmipsrv.yaml').resolve()}" in soon.mend
    (expired,) = at_start(config, now + timedelta(days=21))
    assert "it expired on" in expired.text
    assert renew().code == 0
    (copy / "certs/ca.key").chmod(0o644)
    (readable,) = at_start(config, now)
    assert readable.mend == f"chmod 600 {copy.resolve()}/certs/ca.key"
