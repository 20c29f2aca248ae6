"""`kmipsrv release keygen`, `approve`, `order`, `show`: what approvers and administrators sign (docs/release-policy.md).

The public key is enrolled in the server's configuration; its id can also stand in a policy, which then needs no trust in
the configuration. A private key is PKCS#8 in PEM, mode 0600, under a passphrase if one is given.
"""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import click
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from kmipsrv.cli import files
from kmipsrv.cli.moment import Moment
from kmipsrv.release import approvals, orders
from kmipsrv.release.refusal import Refused
from kmipsrv.release.statements import PrivateKey, PublicKey, check_public_key, key_id, load_public_key, verify

MAX_STATEMENT: Final = max(approvals.MAX_APPROVAL, orders.MAX_ORDER)
_PATH: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_KEY: Final = click.option("key", "--key", type=_PATH, required=True, help="Your private key (PEM).")
_OUT: Final = click.option(
    "out",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write it to this file, not to standard output.",
)
_PASSPHRASE: Final = click.option(
    "passphrase",
    "--passphrase-file",
    type=_PATH,
    help="A file whose first line is the key's passphrase.",
)


@click.command()
@click.argument("name", type=click.Path(dir_okay=False, path_type=Path))
@_PASSPHRASE
def keygen(name: Path, passphrase: Path | None) -> None:
    """Make NAME.key and NAME.pub, an Ed25519 key pair; print the key's id."""
    key = ed25519.Ed25519PrivateKey.generate()
    secret = _passphrase(passphrase)
    content = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(secret) if secret else serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for path, data in ((_named(name, ".key"), content), (_named(name, ".pub"), public)):
        try:
            files.write(path, data)
        except FileExistsError:
            raise click.ClickException(f"{path} is there already") from None
    click.echo(key_id(key.public_key()))


@click.command()
@_KEY
@_PASSPHRASE
@click.option("uid", "--object", metavar="UID", required=True, help="The object that may be released.")
@click.option("policy", "--policy", metavar="ID", required=True, help="Its release policy, or the order to approve.")
@click.option("--requester", metavar="IDENTITY", required=True, help="Who may get it; for an order, the administrator.")
@click.option("expires", "--expires", metavar="TIME", type=Moment(), required=True, help="Until when (ISO 8601).")
@click.option(
    "approver", "--as", metavar="NAME", default="", help="The name your key is enrolled under, if not its id."
)
@_OUT
def approve(
    key: Path,
    passphrase: Path | None,
    uid: str,
    policy: str,
    requester: str,
    expires: datetime,
    approver: str,
    out: Path | None,
) -> None:
    """Sign that REQUESTER may get the object under its release policy, until TIME."""
    _in_future(expires)
    try:
        signed = approvals.approve(
            _private_key(key, passphrase),
            object_identifier=uid,
            policy_id=policy,
            requester=requester,
            expiry=expires,
            approver=approver,
        )
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    _put(signed.encode(), out)


@click.command()
@_KEY
@_PASSPHRASE
@click.option("uid", "--object", metavar="UID", required=True, help="The object whose policy changes.")
@click.option("old", "--from", metavar="ID", required=True, help="The policy that it has.")
@click.option("new", "--to", metavar="ID", default="", help="The policy that it shall have; without it, none.")
@click.option(
    "expires", "--expires", metavar="TIME", type=Moment(), help="Until when it can be carried out; by default a day."
)
@click.option(
    "administrator", "--as", metavar="NAME", default="", help="The name your key is enrolled under, if not its id."
)
@_OUT
def order(
    key: Path,
    passphrase: Path | None,
    uid: str,
    old: str,
    new: str,
    expires: datetime | None,
    administrator: str,
    out: Path | None,
) -> None:
    """Sign that the object's release policy is replaced, or removed. Its id, for approvals, goes to standard error."""
    now = datetime.now(UTC)
    expires = expires or now + timedelta(days=1)
    _in_future(expires)
    try:
        signed = orders.order(
            _private_key(key, passphrase),
            object_identifier=uid,
            old=old,
            new=new,
            issued=now,
            expiry=expires,
            serial=secrets.token_bytes(orders.SERIAL_SIZE),
            administrator=administrator,
        )
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    _put(signed.encode(), out)
    click.echo(f"order {signed.id}", err=True)


@click.command()
@click.argument("file", type=_PATH)
@click.option("public", "--key", type=_PATH, help="The public key (PEM) of whoever should have signed it.")
def show(file: Path, public: Path | None) -> None:
    """Show the approval or order in FILE; with --key, check its signature. Exit code 1 when it does not hold."""
    content = read(file)
    try:
        statement: approvals.Approval | orders.Order = approvals.Approval.decode(content)
        kind = approvals.KIND
    except Refused:
        try:
            statement, kind = orders.Order.decode(content), orders.KIND
        except Refused:
            raise click.ClickException(f"{file}: neither an approval nor an order") from None
    signer = statement.approver if isinstance(statement, approvals.Approval) else statement.administrator
    body = {"kind": kind, **statement.body(), "signer": signer}
    if isinstance(statement, orders.Order):
        body["id"] = statement.id
    click.echo(json.dumps(body, indent=2, ensure_ascii=False))
    if public is not None:
        known = _public_key(public)
        try:
            verify(known, kind, statement.body(), statement.signature)
        except Refused as refused:
            raise click.ClickException(f"{file}: {refused.reason}") from None
        click.echo(f"signed by {key_id(known)}")


def read(file: Path) -> bytes:
    """A statement's file, bounded. Raises OSError."""
    with file.open("rb") as stream:
        return stream.read(MAX_STATEMENT + 1).strip()


def _named(name: Path, suffix: str) -> Path:
    return name.with_name(name.name + suffix)


def _passphrase(path: Path | None) -> bytes | None:
    if path is None:
        return None
    line = path.read_bytes().partition(b"\n")[0].rstrip(b"\r")
    if not line:
        raise click.ClickException(f"{path}: its first line is empty")
    return line


def _private_key(path: Path, passphrase: Path | None) -> PrivateKey:
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), _passphrase(passphrase))
        check_public_key(key.public_key())
    except TypeError:
        raise click.ClickException(f"{path}: it has a passphrase, or none: see --passphrase-file") from None
    except (ValueError, UnsupportedAlgorithm):
        raise click.ClickException(f"{path}: not a private key (Ed25519, P-256) that this passphrase opens") from None
    assert isinstance(key, ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey)
    return key


def _public_key(path: Path) -> PublicKey:
    try:
        return load_public_key(path.read_bytes())
    except (ValueError, UnsupportedAlgorithm):
        raise click.ClickException(f"{path}: not a public key (Ed25519, P-256)") from None


def _in_future(expires: datetime) -> None:
    if expires <= datetime.now(UTC):
        raise click.BadParameter("this time has passed", param_hint="--expires")


def _put(content: bytes, out: Path | None) -> None:
    if out is None:
        click.echo(content)
        return
    try:
        files.write(out, content + b"\n")
    except FileExistsError:
        raise click.ClickException(f"{out} is there already") from None
