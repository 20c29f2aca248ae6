"""`kmipsrv attest`: verify attestation evidence without a server; pin what a server verifies it by (`endorsements.py`).

Exit codes of `verify`: 0 the evidence is authentic; 1 it is refused, with the step of the verification that failed; 2 the
command line is wrong. The result goes to standard output in both cases. Authentic is not good enough: that is
`kmipsrv policy eval`.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final

import click

from kmipsrv.cli.endorsements import import_command, list_command, remove_command
from kmipsrv.cli.moment import Moment
from kmipsrv.release.evidence import MAX_EVIDENCE, TYPES, Endorsements, Refused, verify

_READ_AT_MOST: Final = 4 * MAX_EVIDENCE


class _Hex(click.ParamType[bytes]):
    """Bytes in hexadecimal, at least one."""

    name = "hex"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        if isinstance(value, bytes):
            return value
        try:
            octets = bytes.fromhex(value.removeprefix("0x"))
        except ValueError:
            octets = b""
        if not octets:
            self.fail(f"{value!r} is not hexadecimal", param, ctx)
        return octets


@click.group()
def attest() -> None:
    """Verify attestation evidence, and pin endorsements."""


attest.add_command(import_command)
attest.add_command(list_command)
attest.add_command(remove_command)


@attest.command("verify")
@click.argument("evidence_type", metavar="TYPE", type=click.Choice(list(TYPES)))
@click.argument("file", type=click.File("rb"))
@click.option(
    "endorsements",
    "--endorsements",
    metavar="FILE",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Certificates, chains, CRLs, public keys, JWKs or DCAP collateral; may be repeated.",
)
@click.option("--nonce", type=_Hex(), help="The challenge that the evidence must be bound to, to the byte.")
@click.option("--at", type=Moment(), help="Verify as of this time (ISO 8601) instead of now.")
@click.option("as_json", "--json", is_flag=True, help="Print JSON.")
@click.pass_context
def verify_command(
    ctx: click.Context,
    evidence_type: str,
    file: BinaryIO,
    endorsements: tuple[Path, ...],
    nonce: bytes | None,
    at: datetime | None,
    as_json: bool,
) -> None:
    """Verify evidence of TYPE in FILE (binary, hexadecimal or base64; - is standard input).

    \b
    TYPE is one of snp, tdx, sgx, nitro, tpm, az-snp-vtpm, az-tdx-vtpm, nvidia, cca (evidence of hardware) and
    ear, maa, gcp, ita, jwt (attestation results).
    """
    try:
        content = file.read(_READ_AT_MOST)
        given = [path.read_bytes() for path in endorsements]
    except OSError as error:
        raise click.ClickException(str(error)) from error
    try:
        claims = verify(evidence_type, content, Endorsements.parse(given), at or datetime.now(UTC), nonce)
    except Refused as refused:
        result = {"authentic": False, "type": evidence_type, "step": refused.step, "reason": refused.reason}
        _print(result, [f"refused: {refused.step}: {refused.reason}"], as_json)
        ctx.exit(1)
    _print({"authentic": True, "type": evidence_type, "claims": claims}, ["authentic", *_lines(claims)], as_json)


def _print(result: dict[str, Any], lines: list[str], as_json: bool) -> None:
    click.echo(json.dumps(result, indent=2, sort_keys=True) if as_json else "\n".join(lines))


def _lines(claims: dict[str, Any]) -> list[str]:
    """The common claims, one a line; the vendor's own are for --json."""
    return [
        f"  {name:24} {value if isinstance(value, str) else json.dumps(value, sort_keys=True)}"
        for name, value in sorted(claims.items())
        if name != "raw"
    ]
