"""`kmipsrv decode`: a message in any of the three encodings as lines for people, secrets left out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import BinaryIO, Final

import click

from kmipsrv.errors import TTLVError
from kmipsrv.spec.names import NAMES
from kmipsrv.ttlv import codec, json, xml
from kmipsrv.ttlv.codec import Item
from kmipsrv.ttlv.text import pretty

_HEX = re.compile(rb"\s*(?:(?:0x)?[0-9A-Fa-f]{2}[\s:,]*)+")
_MAX_BYTES: Final = 64 * 1024 * 1024  # the longest message that a server can be told to take


@click.command()
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--hex", "as_hex", is_flag=True, help="The input is TTLV in hexadecimal, whatever it looks like.")
@click.option("--show-secrets", is_flag=True, help="Show key material, passwords and data too.")
def decode(file: BinaryIO, as_hex: bool, show_secrets: bool) -> None:
    """Show a KMIP message: TTLV (binary or hexadecimal), JSON or XML, from FILE or standard input."""
    data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise click.ClickException(f"{Path(file.name).name}: more than {_MAX_BYTES} bytes are no KMIP message")
    for item in read(data, as_hex=as_hex):
        click.echo(pretty(item, NAMES, show_secrets=show_secrets))


def read(data: bytes, *, as_hex: bool = False) -> list[Item]:
    """The messages in `data`, whose encoding its first bytes tell. Raises TTLVError."""
    start = data.lstrip(b"\xef\xbb\xbf \t\r\n")
    if as_hex or _HEX.fullmatch(data):
        if not _HEX.fullmatch(data):
            raise TTLVError("not hexadecimal")
        data = bytes.fromhex(re.sub(rb"0x|[\s:,]", b"", data).decode("ascii"))
    elif start[:1] == b"<":
        return [xml.decode(start, NAMES)]
    elif start[:1] == b"{":
        return [json.decode(data, NAMES)]
    found = codec.decode_all(data)
    if not found:
        raise TTLVError("there is no message")
    return found
