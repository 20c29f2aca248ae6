"""Get a key and print its octets: get.py UNIQUE_IDENTIFIER."""

from __future__ import annotations

from connection import arguments, connect

options = arguments(__doc__, "unique_identifier")
with connect(options) as client:
    print(client.get(options.unique_identifier).value.hex())
