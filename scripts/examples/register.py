"""Register a key of one's own (hexadecimal, 16, 24 or 32 octets) and print its unique identifier: register.py HEX [NAME]."""

from __future__ import annotations

from connection import arguments, connect
from kmip import enums
from kmip.pie.objects import SymmetricKey

options = arguments(__doc__, "key", "name?")
value = bytes.fromhex(options.key)
key = SymmetricKey(
    enums.CryptographicAlgorithm.AES,
    8 * len(value),
    value,
    masks=[enums.CryptographicUsageMask.ENCRYPT, enums.CryptographicUsageMask.DECRYPT],
    name=options.name or "registered",
)
with connect(options) as client:
    print(client.register(key))
