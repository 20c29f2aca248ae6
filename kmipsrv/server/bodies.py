"""The bodies of the HTTPS door that are not TTLV: the JSON and XML encodings, with the standard's names."""

from __future__ import annotations

from kmipsrv.server.http import JSON, Bodies
from kmipsrv.spec.names import NAMES
from kmipsrv.ttlv import codec, json, xml


def bodies(nesting: int = codec.MAX_DEPTH) -> Bodies:
    """Both ways between an encoding and TTLV; `nesting`: structures within structures in one request."""

    def decode(content_type: str, body: bytes) -> bytes:
        read = json.decode if content_type == JSON else xml.decode
        return codec.encode(read(body, NAMES, max_depth=nesting))

    def encode(content_type: str, answer: bytes) -> bytes:
        write = json.encode if content_type == JSON else xml.encode
        return write(codec.decode(answer), NAMES)

    return Bodies(decode, encode)
