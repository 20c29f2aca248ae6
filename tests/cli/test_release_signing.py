"""`kmipsrv release keygen`, `approve`, `order`, `show`: what is signed verifies, and nothing else is signed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kmipsrv.release.approvals import Approval, count_approvals, verify_approval
from kmipsrv.release.orders import Order, verify_order
from kmipsrv.release.policy import parse
from kmipsrv.release.refusal import Refused
from kmipsrv.release.statements import PublicKey, key_id, load_public_key
from tests.cli.conftest import Runner

POLICY = parse(b'{"anyOf": [{"claim": "tee", "equals": "snp"}]}')
NOW = datetime.now(UTC)
LATER = (NOW + timedelta(hours=1)).isoformat()


def made(folder: Path, kmipsrv: Runner, name: str = "ada", *options: object) -> tuple[Path, PublicKey]:
    """A key pair -> its private key's file, its public key."""
    done = kmipsrv("release", "keygen", folder / name, *options)
    assert done.code == 0
    public = load_public_key((folder / f"{name}.pub").read_bytes())
    assert done.out.strip() == key_id(public)
    return folder / f"{name}.key", public


def approval(key: Path, *options: object) -> list[object]:
    facts = ["--object", "u-1", "--policy", POLICY.id, "--requester", "default:CN=agent", "--expires", LATER]
    return ["release", "approve", "--key", key, *facts, *options]


def test_an_approval_counts_for_the_gate(tmp_path: Path, kmipsrv: Runner) -> None:
    key, public = made(tmp_path, kmipsrv)
    assert key.stat().st_mode & 0o777 == 0o600
    done = kmipsrv(*approval(key))
    signed = Approval.decode(done.out.strip().encode())
    facts = {"object_identifier": "u-1", "policy_id": POLICY.id, "requester": "default:CN=agent", "now": NOW}
    assert count_approvals([signed], {key_id(public): public}, **facts) == {key_id(public)}  # type: ignore[arg-type]
    named = Approval.decode(kmipsrv(*approval(key, "--as", "ada")).out.strip().encode())
    verify_approval(named, {"ada": public}, **facts)  # type: ignore[arg-type]
    with pytest.raises(Refused, match="another object"):
        verify_approval(named, {"ada": public}, **(facts | {"object_identifier": "u-2"}))  # type: ignore[arg-type]


def test_an_order_fits_the_policy_it_names(tmp_path: Path, kmipsrv: Runner) -> None:
    key, public = made(tmp_path, kmipsrv)
    out = tmp_path / "order.json"
    done = kmipsrv("release", "order", "--key", key, "--object", "u-1", "--from", POLICY.id, "--out", out)
    assert (done.code, done.out) == (0, "")
    assert out.stat().st_mode & 0o777 == 0o600
    signed = Order.decode(out.read_bytes().strip())
    assert done.err == f"order {signed.id}\n"
    assert signed.new == ""
    verify_order(signed, {key_id(public): public}, object_identifier="u-1", present=POLICY, now=NOW)
    again = kmipsrv("release", "order", "--key", key, "--object", "u-1", "--from", POLICY.id)
    assert Order.decode(again.out.strip().encode()).id != signed.id  # two orders that say the same are two


def test_a_key_under_a_passphrase(tmp_path: Path, kmipsrv: Runner) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse\nsecond line\n")
    key, _ = made(tmp_path, kmipsrv, "eve", "--passphrase-file", secret)
    assert b"ENCRYPTED" in key.read_bytes()
    assert kmipsrv(*approval(key)).code == 1
    assert kmipsrv(*approval(key, "--passphrase-file", secret)).code == 0
    secret.write_text("wrong\n")
    assert kmipsrv(*approval(key, "--passphrase-file", secret)).code == 1


def test_a_p256_key_of_ones_own(tmp_path: Path, kmipsrv: Runner) -> None:
    own = ec.generate_private_key(ec.SECP256R1())
    content = own.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "own.key").write_bytes(content)
    assert kmipsrv(*approval(tmp_path / "own.key")).code == 0
    weak = ec.generate_private_key(ec.SECP192R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "own.key").write_bytes(weak)
    refused = kmipsrv(*approval(tmp_path / "own.key"))
    assert (refused.code, "not a private key" in refused.err) == (1, True)


def test_nothing_is_overwritten(tmp_path: Path, kmipsrv: Runner) -> None:
    key, _ = made(tmp_path, kmipsrv)
    before = key.read_bytes()
    assert kmipsrv("release", "keygen", tmp_path / "ada").code == 1
    assert key.read_bytes() == before
    assert kmipsrv(*approval(key, "--out", key)).code == 1
    assert key.read_bytes() == before


def test_what_is_not_signed(tmp_path: Path, kmipsrv: Runner) -> None:
    key, _ = made(tmp_path, kmipsrv)
    past = ["--object", "u-1", "--policy", POLICY.id, "--requester", "x", "--expires", "2001-01-01"]
    assert kmipsrv("release", "approve", "--key", key, *past).code == 2
    empty = ["--object", "", "--policy", POLICY.id, "--requester", "x", "--expires", LATER]
    assert kmipsrv("release", "approve", "--key", key, *empty).code == 1
    same = ["--object", "u-1", "--from", POLICY.id, "--to", POLICY.id]
    assert kmipsrv("release", "order", "--key", key, *same).code == 1


def test_show_tells_a_good_signature_from_another(tmp_path: Path, kmipsrv: Runner) -> None:
    key, public = made(tmp_path, kmipsrv)
    made(tmp_path, kmipsrv, "eve")
    file = tmp_path / "approval"
    assert kmipsrv(*approval(key, "--out", file)).code == 0
    shown = kmipsrv("release", "show", file, "--key", tmp_path / "ada.pub")
    assert shown.code == 0
    assert json.loads(shown.out[: shown.out.rindex("}") + 1])["requester"] == "default:CN=agent"
    assert shown.out.endswith(f"signed by {key_id(public)}\n")
    assert kmipsrv("release", "show", file, "--key", tmp_path / "eve.pub").code == 1
    file.write_text("{}")
    assert kmipsrv("release", "show", file).code == 1
