"""`kmipsrv attest import`, `list`, `remove`."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Runner
from tests.release import tokens
from tests.release.verifiers.attesters import make_snp
from tests.release.verifiers.pki import key, spki_pem


def config(folder: Path) -> Path:
    file = folder / "kmipsrv.yaml"
    file.write_text("state: state\n")
    return file


def test_import_list_remove(tmp_path: Path, kmipsrv: Runner) -> None:
    file = config(tmp_path)
    (tmp_path / "ak.pem").write_bytes(spki_pem(key("ak")))
    imported = kmipsrv("attest", "import", "-c", file, "tpm", tmp_path / "ak.pem")
    assert imported.code == 0
    kind, identifier = imported.out.splitlines()[0].split()
    assert kind == "tpm"
    assert [path.name for path in (tmp_path / "state" / "endorsements" / "tpm").iterdir()] == [f"{identifier}.pem"]
    listed = kmipsrv("attest", "list", "-c", file)
    assert (listed.code, listed.out) == (0, imported.out)
    assert kmipsrv("attest", "list", "-c", file, "snp").out == ""
    removed = kmipsrv("attest", "remove", "-c", file, "tpm", identifier[:12])
    assert (removed.code, removed.out) == (0, f"removed tpm {identifier}\n")
    assert kmipsrv("attest", "list", "-c", file).out == ""


def test_a_chain_says_what_in_it_is_an_anchor(tmp_path: Path, kmipsrv: Runner) -> None:
    names = []
    for number, content in enumerate(make_snp().endorsements):
        (tmp_path / str(number)).write_bytes(content)
        names.append(tmp_path / str(number))
    shown = kmipsrv("attest", "import", "-c", config(tmp_path), "snp", *names)
    assert shown.code == 0
    assert len([line for line in shown.out.splitlines() if line.startswith("  anchor: ")]) == 1
    assert "  certificate: " in shown.out


def test_a_key_set_needs_its_issuer(tmp_path: Path, kmipsrv: Runner) -> None:
    file = config(tmp_path)
    (tmp_path / "jwks").write_text(json.dumps({"keys": [tokens.jwk(tokens.ec_key(), kid="k1")]}))
    refused = kmipsrv("attest", "import", "-c", file, "jwt", tmp_path / "jwks")
    assert refused.code == 1
    assert "--issuer" in refused.err
    given = kmipsrv("attest", "import", "-c", file, "jwt", "--issuer", "https://one.example", tmp_path / "jwks")
    assert given.code == 0
    assert "kid k1, issuer https://one.example" in given.out


def test_what_is_refused(tmp_path: Path, kmipsrv: Runner) -> None:
    file = config(tmp_path)
    (tmp_path / "bad").write_bytes(b"nothing of use")
    refused = kmipsrv("attest", "import", "-c", file, "tpm", tmp_path / "bad")
    assert refused.code == 1
    assert "bad: not certificates" in refused.err
    assert not (tmp_path / "state").exists()
    assert kmipsrv("attest", "remove", "-c", file, "tpm", "00").code == 1
    assert kmipsrv("attest", "import", "-c", file, "sample", tmp_path / "bad").code == 2
