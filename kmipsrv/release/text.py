"""Evidence and endorsements as text: hexadecimal and base64, read strictly. JSON is read by `canonical.py`."""

from __future__ import annotations

import base64
import binascii
import re
import string

_HEX = re.compile(rb"(?:0x)?((?:[0-9A-Fa-f]{2})+)")
_BASE64 = re.compile(rb"[0-9A-Za-z+/]+={0,2}|[0-9A-Za-z_-]+={0,2}")
_SPACE = string.whitespace.encode()


def decoded(content: bytes) -> bytes:
    """Content as bytes: hexadecimal (with or without 0x) and base64 (standard or URL alphabet, lines allowed) are
    undone, once; anything else is returned as it is."""
    if not content.isascii() or b"\0" in content or content.lstrip().startswith(b"-----"):
        return content
    text = content.translate(None, _SPACE)
    if match := _HEX.fullmatch(text):
        return binascii.unhexlify(match[1])
    if _BASE64.fullmatch(text):
        try:
            return from_base64(text)
        except ValueError:
            return content
    return content


def from_base64(text: bytes | str) -> bytes:
    """Base64 of either alphabet (RFC 4648 §4, §5), padded or not, without white space. Raises ValueError."""
    raw = text.encode("ascii") if isinstance(text, str) else text
    if not _BASE64.fullmatch(raw):
        raise ValueError("not base64")
    raw = raw.translate(bytes.maketrans(b"-_", b"+/")).rstrip(b"=")
    return base64.b64decode(raw + b"=" * (-len(raw) % 4), validate=True)
