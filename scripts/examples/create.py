"""Create an AES-256 key with a name and print its unique identifier: create.py NAME."""

from __future__ import annotations

from connection import arguments, connect
from kmip import enums

options = arguments(__doc__, "name")
with connect(options) as client:
    print(
        client.create(
            enums.CryptographicAlgorithm.AES,
            256,
            name=options.name,
            cryptographic_usage_mask=[enums.CryptographicUsageMask.ENCRYPT, enums.CryptographicUsageMask.DECRYPT],
        )
    )
