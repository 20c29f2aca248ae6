"""`kmipsrv decode` takes every encoding, and keeps secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from kmipsrv.cli.main import run
from kmipsrv.spec.names import NAMES
from kmipsrv.spec.tags import Tag
from kmipsrv.ttlv import codec, json, xml
from kmipsrv.ttlv.codec import BYTE_STRING, STRUCTURE, Item

ITEM: Item = (Tag.REQUEST_PAYLOAD, STRUCTURE, [(Tag.DATA, BYTE_STRING, b"plain"), (Tag.MAC_DATA, BYTE_STRING, b"tag")])
BINARY = codec.encode(ITEM)
FORMS = {
    "binary": BINARY,
    "hex": BINARY.hex().encode(),
    "spaced": BINARY.hex(" ").upper().encode() + b"\n",
    "colons": BINARY.hex(":").encode(),
    "xml": xml.encode(ITEM, NAMES),
    "json": json.encode(ITEM, NAMES),
}


@pytest.mark.parametrize("form", sorted(FORMS))
def test_every_form_is_recognised(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "message"
    file.write_bytes(FORMS[form])
    assert run(["decode", str(file)]) == 0
    shown = capsys.readouterr().out
    assert shown == "RequestPayload\n  Data (ByteString): <5 bytes hidden>\n  MACData (ByteString): 746167\n"
    assert run(["decode", "--show-secrets", str(file)]) == 0
    assert b"plain".hex() in capsys.readouterr().out


@pytest.mark.parametrize("data", [b"", b"<a", b"{", b"\x42\x00", b"zz"])
def test_what_is_no_message_is_one_clear_line(data: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "message"
    file.write_bytes(data)
    assert run(["decode", str(file)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_hex_is_taken_at_its_word(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "message"
    file.write_bytes(b"<no hex>")
    assert run(["decode", "--hex", str(file)]) == 1
    assert "not hexadecimal" in capsys.readouterr().err
