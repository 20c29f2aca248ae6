"""Destroy an object that is not active: destroy.py UNIQUE_IDENTIFIER."""

from __future__ import annotations

from connection import arguments, connect

options = arguments(__doc__, "unique_identifier")
with connect(options) as client:
    client.destroy(options.unique_identifier)
    print("destroyed")
