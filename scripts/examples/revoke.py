"""Revoke an active object, because it is not needed any longer: revoke.py UNIQUE_IDENTIFIER."""

from __future__ import annotations

from connection import arguments, connect
from kmip import enums

options = arguments(__doc__, "unique_identifier")
with connect(options) as client:
    client.revoke(enums.RevocationReasonCode.CESSATION_OF_OPERATION, options.unique_identifier)
    print("deactivated")
