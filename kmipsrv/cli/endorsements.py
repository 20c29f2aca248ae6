"""`kmipsrv attest import`, `list` and `remove`: the endorsements and trust anchors that the release gate goes by.

They lie in the state directory, in one folder for each type of evidence (`release/endorsement_store.py`); a server reads
them at its start and on SIGHUP.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from kmipsrv.config import load
from kmipsrv.release import endorsement_store
from kmipsrv.release.endorsements import MAX_FILE, Endorsements
from kmipsrv.release.evidence import TYPES
from kmipsrv.release.refusal import Refused
from kmipsrv.release.verifiers.certificate import spki_of

FOLDER: Final = "endorsements"
_TYPE: Final = click.Choice(list(TYPES))
_CONFIG: Final = click.option(
    "-c", "--config", "file", type=click.Path(path_type=Path), required=True, help="The configuration file."
)


def folder(file: Path) -> Path:
    """Where the endorsements of the server with this configuration file lie."""
    return load(file).state / FOLDER


@click.command("import")
@_CONFIG
@click.option("--issuer", default="", help="Whose keys a JWK Set holds: the tokens' `iss`.")
@click.argument("evidence_type", metavar="TYPE", type=_TYPE)
@click.argument(
    "files", metavar="FILE...", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
def import_command(file: Path, issuer: str, evidence_type: str, files: tuple[Path, ...]) -> None:
    """Pin endorsements for evidence of TYPE.

    FILE holds certificates or chains (PEM, DER), CRLs, public keys, a JWK Set, DCAP collateral, or AMD's host
    certificates. What is a trust anchor is said in docs/attestation-claims.md; pin only what is meant for this type.
    """
    place = folder(file)
    for path in files:
        with path.open("rb") as stream:
            content = stream.read(MAX_FILE + 1)
        try:
            stored = endorsement_store.add(place, evidence_type, content, issuer)
        except Refused as refused:
            raise click.ClickException(f"{path}: {refused.reason}") from None
        _show(stored)


@click.command("list")
@_CONFIG
@click.argument("evidence_type", metavar="[TYPE]", required=False, type=_TYPE)
def list_command(file: Path, evidence_type: str | None) -> None:
    """Show what is pinned, for TYPE or for all types."""
    try:
        for stored in endorsement_store.entries(folder(file), evidence_type):
            _show(stored)
    except Refused as refused:
        raise click.ClickException(refused.reason) from None


@click.command("remove")
@_CONFIG
@click.argument("evidence_type", metavar="TYPE", type=_TYPE)
@click.argument("identifier", metavar="ID")
def remove_command(file: Path, evidence_type: str, identifier: str) -> None:
    """Unpin the one entry of TYPE whose id begins with ID."""
    try:
        stored = endorsement_store.remove(folder(file), evidence_type, identifier)
    except Refused as refused:
        raise click.ClickException(refused.reason) from None
    click.echo(f"removed {stored.evidence_type} {stored.id}")


def _show(stored: endorsement_store.Stored) -> None:
    try:
        bag = Endorsements.parse([endorsement_store.read(stored)])
    except Refused as refused:
        raise click.ClickException(f"{stored.path}: {refused.reason}") from None
    click.echo(f"{stored.evidence_type} {stored.id}")
    for line in _lines(bag):
        click.echo(f"  {line}")


def _lines(bag: Endorsements) -> Iterator[str]:
    """What a bag holds, for people."""
    for certificate in dict.fromkeys((*bag.certificates, *bag.anchors)):
        role = "anchor" if certificate in bag.anchors else "known root" if certificate in bag.pinned else "certificate"
        yield f"{role}: {certificate.common_name or '(no common name)'}, until {certificate.not_after:%F}"
    for crl in bag.crls:
        yield f"CRL, next update {crl.next_update_utc or 'unknown'}"
    for key in bag.public_keys:
        yield f"public key: {hashlib.sha256(spki_of(key)).hexdigest()}"
    for jwk in bag.jwks:
        yield f"JWK: kid {jwk.get('kid', '(none)')}, issuer {jwk.get('issuer', '(any)')}"
    for collateral in bag.collateral:
        yield f"DCAP collateral: {len(collateral)} parts"
