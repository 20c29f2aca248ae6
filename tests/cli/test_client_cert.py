"""`kmipsrv client-cert`."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from kmipsrv.identity.certificate import Identities, TrustDomain
from tests.cli.conftest import Runner


def test_it_issues_a_client_certificate_and_its_key(made: Path, tmp_path: Path, kmipsrv: Runner) -> None:
    run = kmipsrv("client-cert", "-c", made / "kmipsrv.yaml", "db-1", "--out", tmp_path / "out")
    assert run.code == 0
    assert "CN=db-1, until" in run.out
    certificate = x509.load_pem_x509_certificate((tmp_path / "out/db-1.pem").read_bytes())
    key = load_pem_private_key((tmp_path / "out/db-1.key").read_bytes(), None)
    assert certificate.public_key() == key.public_key()
    assert certificate.subject.rfc4514_string() == "CN=db-1"
    purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate((made / "certs/ca.pem").read_bytes()))
    assert all((tmp_path / f"out/db-1.{kind}").stat().st_mode & 0o777 == 0o600 for kind in ("pem", "key"))


def test_the_identity_room_knows_it(made: Path, tmp_path: Path, kmipsrv: Runner) -> None:
    identities = Identities([TrustDomain("default", (made / "certs/ca.pem").read_bytes())])

    def owner(*more: str) -> str:
        assert kmipsrv("client-cert", "-c", made / "kmipsrv.yaml", "a", "--out", tmp_path, "--force", *more).code == 0
        pem = (tmp_path / "a.pem").read_bytes()
        return identities.identify(x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)).owner

    assert owner() == owner() == "default:CN=a"  # renewed, it is the same client
    assert owner("--uri", "spiffe://example/a") == "default:spiffe://example/a"


def test_it_replaces_only_on_request(made: Path, tmp_path: Path, kmipsrv: Runner) -> None:
    arguments = ["client-cert", "-c", str(made / "kmipsrv.yaml"), "db", "--out", str(tmp_path)]
    assert kmipsrv(*arguments).code == 0
    first = (tmp_path / "db.pem").read_bytes()
    again = kmipsrv(*arguments)
    assert again.code == 78
    assert "use --force" in again.err
    assert (tmp_path / "db.pem").read_bytes() == first
    assert kmipsrv(*arguments, "--force").code == 0
    assert (tmp_path / "db.pem").read_bytes() != first


@pytest.mark.parametrize("name", ["../evil", "a/b", "", "-x", ".hidden", "a b", "ü", "a" * 65, "a\nb"])
def test_a_name_that_could_be_a_path_is_refused(made: Path, tmp_path: Path, kmipsrv: Runner, name: str) -> None:
    run = kmipsrv("client-cert", "-c", made / "kmipsrv.yaml", "--out", tmp_path / "out", "--", name)
    assert run.code == 2
    assert "a name has 1 to 64 letters" in run.err
    assert not (tmp_path / "out").exists()


def test_a_uri_must_be_one(made: Path, tmp_path: Path, kmipsrv: Runner) -> None:
    run = kmipsrv("client-cert", "-c", made / "kmipsrv.yaml", "a", "--out", tmp_path, "--uri", "no uri")
    assert run.code == 2


def test_without_the_authoritys_key_it_says_who_issues(copy: Path, tmp_path: Path, kmipsrv: Runner) -> None:
    (copy / "certs/ca.key").unlink()
    run = kmipsrv("client-cert", "-c", copy / "kmipsrv.yaml", "a", "--out", tmp_path)
    assert run.code == 78
    assert "no authority to sign with" in run.err


def test_an_unknown_domain_names_the_known_ones(made: Path, tmp_path: Path, kmipsrv: Runner) -> None:
    run = kmipsrv("client-cert", "-c", made / "kmipsrv.yaml", "a", "--out", tmp_path, "--domain", "x")
    assert run.code == 78
    assert "there is default" in run.err
