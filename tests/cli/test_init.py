"""`kmipsrv init` on a real SoftHSM token."""

from __future__ import annotations

import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from kmipsrv.app import keyring_settings
from kmipsrv.cli.init import merged
from kmipsrv.config import load
from kmipsrv.keyring import provision
from tests.cli.conftest import Runner


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def purposes(path: Path) -> list[x509.ObjectIdentifier]:
    return list(certificate(path).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def snapshot(directory: Path) -> dict[str, tuple[int, int, bytes]]:
    return {
        str(path.relative_to(directory)): (path.stat().st_mode, path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def test_it_makes_everything_that_the_configuration_names(made: Path) -> None:
    config = load(made / "kmipsrv.yaml")
    assert config.state == made
    assert config.listen == ("127.0.0.1", 5696)
    names = [config.tls.certificate, config.tls.key, config.tls.client_ca[0].file, config.token.pin_file]
    assert all(name is not None and name.is_file() for name in [*names, config.token.softhsm2_conf])
    assert {path.name for path in (made / "certs").iterdir()} == {
        f"{name}.{kind}" for name in ("ca", "server", "client") for kind in ("pem", "key")
    }


def test_nobody_else_can_read_any_of_it(made: Path) -> None:
    paths = [made, *made.rglob("*")]
    assert len(paths) > 15
    assert [str(path) for path in paths if path.stat().st_mode & 0o077] == []


def test_the_token_holds_a_master_key_that_works_and_cannot_leave(made: Path) -> None:
    findings = provision.check(keyring_settings(load(made / "kmipsrv.yaml")))
    assert len(findings) == 4
    assert [finding for finding in findings if finding.trouble] == []  # an extractable key would be one


def test_each_certificate_is_for_one_thing(made: Path) -> None:
    certs = made / "certs"
    assert purposes(certs / "server.pem") == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert purposes(certs / "client.pem") == [ExtendedKeyUsageOID.CLIENT_AUTH]
    for name, authority in (("ca", True), ("server", False), ("client", False)):
        extensions = certificate(certs / f"{name}.pem").extensions
        assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca is authority
        assert extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign is authority
        certificate(certs / f"{name}.pem").verify_directly_issued_by(certificate(certs / "ca.pem"))
    now = datetime.now(UTC)
    for path in certs.glob("*.pem"):
        assert certificate(path).not_valid_before_utc < now - timedelta(minutes=50)
        assert certificate(path).not_valid_after_utc > now + timedelta(days=800)


def test_the_server_is_known_under_its_local_names(made: Path) -> None:
    names = certificate(made / "certs/server.pem").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> ssl.SSLObject:
    """A TLS handshake in memory; the client's end of it."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert ends[0].version() is not None
    return ends[1]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_openssl_takes_the_certificates_in_a_handshake(made: Path, host: str) -> None:
    certs = made / "certs"
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certs / "ca.pem")
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_cert_chain(certs / "server.pem", certs / "server.key")
    client = ssl.create_default_context(cafile=certs / "ca.pem")
    client.load_cert_chain(certs / "client.pem", certs / "client.key")
    peer = handshake(server, client, host).getpeercert()
    assert peer is not None
    assert peer["subject"] == ((("commonName", "client"),),)


def test_the_server_certificate_is_no_client_and_the_other_way_round(made: Path) -> None:
    certs = made / "certs"
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certs / "ca.pem")
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_cert_chain(certs / "server.pem", certs / "server.key")
    client = ssl.create_default_context(cafile=certs / "ca.pem")
    client.load_cert_chain(certs / "server.pem", certs / "server.key")
    with pytest.raises(ssl.SSLCertVerificationError, match="unsuitable certificate purpose"):
        handshake(server, client, "localhost")


def test_a_second_run_changes_nothing_and_says_what_is_there(made: Path, kmipsrv: Runner) -> None:
    before = snapshot(made)
    again = kmipsrv("init", made)
    assert again.code == 0
    assert f"there already: {made}/kmipsrv.yaml" in again.out
    assert f"there already: {made}/token/pin" in again.out
    assert "nothing to do" in again.out
    assert snapshot(made) == before


def test_a_second_run_repairs_nothing(copy: Path, kmipsrv: Runner) -> None:
    (copy / "certs/server.key").unlink()
    before = snapshot(copy)
    again = kmipsrv("init", copy)
    assert again.code == 1
    assert f"MISSING: {copy}/certs/server.key" in again.err
    assert f"MISSING: {copy}/token/pin" in again.err
    assert "nothing was made or repaired" in again.err
    assert snapshot(copy) == before


def test_an_interrupted_run_is_taken_up_again(tmp_path: Path, kmipsrv: Runner) -> None:
    state = tmp_path / "state"
    assert kmipsrv("init", state).code == 0
    key, authority = (state / "certs/server.key").read_bytes(), (state / "certs/ca.pem").read_bytes()
    for lost in ("kmipsrv.yaml", "certs/server.pem", "certs/client.pem", "certs/client.key"):
        (state / lost).unlink()
    again = kmipsrv("init", state)
    assert again.code == 0
    assert f"kept the token in {state}/token" in again.out
    assert f"kept {state}/certs/ca.pem" in again.out
    assert f"made {state}/certs/server.pem" in again.out
    assert (state / "certs/server.key").read_bytes() == key
    assert (state / "certs/ca.pem").read_bytes() == authority
    assert kmipsrv("doctor", "-c", state / "kmipsrv.yaml").code == 0


def test_a_certificate_without_its_key_is_not_replaced(copy: Path, kmipsrv: Runner, tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert kmipsrv("init", state).code == 0
    (state / "kmipsrv.yaml").unlink()
    (state / "certs/ca.key").unlink()
    again = kmipsrv("init", state)
    assert again.code == 78
    assert "ca.pem is there but" in again.err


def test_a_database_without_its_token_gets_no_new_one(tmp_path: Path, kmipsrv: Runner) -> None:
    (tmp_path / "kmipsrv.db").touch()
    run = kmipsrv("init", tmp_path)
    assert run.code == 78
    assert "its token is not: restore" in run.err
    assert not (tmp_path / "token").exists()


def test_no_drafts_are_left(made: Path) -> None:
    assert list(made.rglob(".*")) == []


# --- overlays -------------------------------------------------------------------------------------------------------


def test_an_overlay_is_merged_in(tmp_path: Path, kmipsrv: Runner) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(
        "interop: true\nlimits: {connections: 9}\ntls: {min_version: 1.3}\nlisten: kms.example:1\n", "utf-8"
    )
    state = tmp_path / "state"
    assert kmipsrv("init", state, "--config", overlay, "--host", "10.0.0.7").code == 0
    config = load(state / "kmipsrv.yaml")
    assert config.interop is True
    assert config.limits.connections == 9
    assert config.tls.min_version == "1.3"
    assert config.tls.certificate == state / "certs/server.pem"
    names = (
        certificate(state / "certs/server.pem").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    )
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "kms.example"]
    assert str(names.get_values_for_type(x509.IPAddress)[-1]) == "10.0.0.7"
    again = kmipsrv("init", state, "--config", overlay)
    assert again.code == 78
    assert "--config is for a new directory" in again.err


def test_a_wrong_overlay_makes_nothing(tmp_path: Path, kmipsrv: Runner) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("limts: {connections: 9}\n", "utf-8")
    run = kmipsrv("init", tmp_path / "state", "--config", overlay)
    assert run.code == 78
    assert "limts: there is no such setting; did you mean limits?" in run.err
    assert str(overlay) in run.err
    assert list((tmp_path / "state").iterdir()) == []
    overlay.write_text("[]", "utf-8")
    assert kmipsrv("init", tmp_path / "state", "--config", overlay).code == 78


def test_certificates_of_your_own_are_not_made(tmp_path: Path, kmipsrv: Runner) -> None:
    overlay = tmp_path / "overlay.yaml"
    values = {"tls": {"certificate": "/pki/a.pem", "key": "/pki/a.key", "client_ca": [{"file": "/pki/ca.pem"}]}}
    overlay.write_text(yaml.safe_dump(values), "utf-8")
    assert kmipsrv("init", tmp_path / "state", "--config", overlay).code == 0
    assert not (tmp_path / "state/certs").exists()


def test_another_token_is_the_operators(tmp_path: Path, made: Path, kmipsrv: Runner) -> None:
    module = load(made / "kmipsrv.yaml").token.module_path()
    token = merged({"token": {"module": str(module), "label": "theirs"}})["token"]
    assert "softhsm2_conf" not in token
    assert "pin_file" not in token
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(yaml.safe_dump({"token": {"module": str(module), "label": "theirs"}}), "utf-8")
    run = kmipsrv("init", tmp_path / "state", "--config", overlay)
    assert run.code == 78
    assert "token: give pin_file or credential" in run.err


def test_where_it_may_not_write_it_says_so(tmp_path: Path, kmipsrv: Runner) -> None:
    (tmp_path / "file").touch()
    run = kmipsrv("init", tmp_path / "file" / "state")
    assert run.code == 1
    assert run.err.startswith("kmipsrv: ")
    assert "Not a directory" in run.err
    assert os.linesep not in run.err.strip()
