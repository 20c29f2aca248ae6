"""Endorsements on disk: what is kept and how, what is found changed, what is bound to an issuer."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from kmipsrv.release import endorsement_store as store
from kmipsrv.release.endorsements import Endorsements
from kmipsrv.release.evidence import verify
from kmipsrv.release.refusal import Refused
from tests.release import tokens
from tests.release.verifiers.attesters import make_snp
from tests.release.verifiers.pki import NOW, key, pem, root, spki_pem
from tests.release.verifiers.tpm_attesters import make_tpm

ROOT = root("root")  # signatures are made anew at every call
JWK = tokens.jwk(tokens.ec_key(), kid="1")
SET = json.dumps({"keys": [JWK]}).encode()


def test_what_was_kept_verifies_evidence_after_a_reload(tmp_path: Path) -> None:
    for kind, made in (("tpm", make_tpm()), ("snp", make_snp())):
        for content in made.endorsements:
            store.add(tmp_path, kind, content)
        assert verify(kind, made.evidence, store.load(tmp_path, kind), NOW)["evidence_type"] == kind


def test_types_are_apart(tmp_path: Path) -> None:
    store.add(tmp_path, "nitro", pem(ROOT))
    assert store.load(tmp_path, "nitro").anchors
    assert store.load(tmp_path, "snp") == Endorsements()


def test_files_are_private_named_by_content_and_there_once(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "endorsements"
    first = store.add(folder, "tpm", spki_pem(key("ak")))
    again = store.add(folder, "tpm", spki_pem(key("ak")))
    assert first == again
    assert [stored.id for stored in store.entries(folder)] == [first.id]
    assert first.path.name == f"{first.id}.pem"
    assert first.path.stat().st_mode & 0o777 == 0o600
    assert first.path.parent.stat().st_mode & 0o777 == 0o700
    assert sorted(first.path.parent.iterdir()) == [first.path]  # no draft is left


@pytest.mark.parametrize("form", [ROOT.hex().encode(), base64.encodebytes(ROOT), ROOT])
def test_text_forms_of_one_certificate_are_one_entry(tmp_path: Path, form: bytes) -> None:
    assert store.add(tmp_path, "snp", form).id == store.add(tmp_path, "snp", ROOT).id


def test_a_changed_file_shuts_the_gate(tmp_path: Path) -> None:
    stored = store.add(tmp_path, "tpm", spki_pem(key("ak")))
    stored.path.write_bytes(spki_pem(key("another")))
    with pytest.raises(Refused, match="changed"):
        store.load(tmp_path, "tpm")


def test_a_foreign_file_shuts_the_gate(tmp_path: Path) -> None:
    stored = store.add(tmp_path, "tpm", spki_pem(key("ak")))
    (stored.path.parent / "another.pem").write_bytes(spki_pem(key("another")))
    with pytest.raises(Refused, match="attest import"):
        store.load(tmp_path, "tpm")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    stored = store.add(tmp_path, "tpm", spki_pem(key("ak")))
    stored.path.rename(tmp_path / "elsewhere")
    stored.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        store.load(tmp_path, "tpm")


@pytest.mark.parametrize(
    "content",
    [b"", b"nothing", b"{}", b'{"keys": []}', b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"],
)
def test_what_is_no_endorsement_is_not_kept(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(Refused):
        store.add(tmp_path, "tpm", content)
    assert list(store.entries(tmp_path)) == []


def test_an_unknown_type(tmp_path: Path) -> None:
    with pytest.raises(Refused):
        store.add(tmp_path, "../tpm", spki_pem(key("ak")))
    assert list(tmp_path.iterdir()) == []


def test_remove_takes_the_one_that_is_meant(tmp_path: Path) -> None:
    one, two = (store.add(tmp_path, "tpm", spki_pem(key(name))) for name in ("ak", "another"))
    for wrong in ("", "zz"):
        with pytest.raises(Refused):
            store.remove(tmp_path, "tpm", wrong)
    store.remove(tmp_path, "tpm", one.id[:16])
    assert [stored.id for stored in store.entries(tmp_path)] == [two.id]


# --- issuers ------------------------------------------------------------------------------------------------------


def keys_of(folder: Path, kind: str) -> list[dict[str, Any]]:
    return list(store.load(folder, kind).jwks)


def test_a_key_set_is_bound_to_the_issuer_that_was_named(tmp_path: Path) -> None:
    store.add(tmp_path, "jwt", SET, "https://one.example")
    assert [jwk["issuer"] for jwk in keys_of(tmp_path, "jwt")] == ["https://one.example"]
    good = tokens.token(tokens.ec_key(), tokens.jwt_claims(iss="https://one.example"), header={"kid": "1"})
    assert verify("jwt", good, store.load(tmp_path, "jwt"), tokens.NOW)["issuer"] == "https://one.example"
    other = tokens.token(tokens.ec_key(), tokens.jwt_claims(iss="https://two.example"), header={"kid": "1"})
    with pytest.raises(Refused, match="another issuer"):
        verify("jwt", other, store.load(tmp_path, "jwt"), tokens.NOW)


def test_a_single_key_becomes_a_set(tmp_path: Path) -> None:
    store.add(tmp_path, "jwt", json.dumps(JWK).encode(), "https://one.example")
    assert [(jwk["kid"], jwk["issuer"]) for jwk in keys_of(tmp_path, "jwt")] == [("1", "https://one.example")]


@pytest.mark.parametrize("kind", sorted(store.BOUND))
def test_a_key_that_could_sign_for_any_issuer_is_refused(tmp_path: Path, kind: str) -> None:
    for content in (SET, json.dumps(JWK).encode(), tokens.pem(tokens.ec_key())):
        with pytest.raises(Refused):
            store.add(tmp_path, kind, content)
    assert list(store.entries(tmp_path)) == []


def test_an_issuer_is_for_key_sets_only_and_is_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="JWK Set"):
        store.add(tmp_path, "tpm", spki_pem(key("ak")), "https://one.example")
    named = json.dumps({"keys": [JWK], "issuer": "https://two.example"}).encode()
    with pytest.raises(Refused, match="another issuer"):
        store.add(tmp_path, "jwt", named, "https://one.example")
    store.add(tmp_path, "jwt", named)
    assert [jwk["issuer"] for jwk in keys_of(tmp_path, "jwt")] == ["https://two.example"]
