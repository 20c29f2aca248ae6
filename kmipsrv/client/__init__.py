"""A small synchronous KMIP client over the server's own messages: for the command line, tests, examples, and agents.

    with connect("kms.example", 5696, certificate, key, ca) as client:
        uid = client.create(CryptographicAlgorithm.AES, 256, CryptographicUsageMask.ENCRYPT)
        octets = material(client.get(uid))

What the server refuses is `OperationFailed`, with the Result Reason; `attestation.py` is KMIP's attestation handshake.
"""

from kmipsrv.client.attestation import Attester, Evidence, Recipient, get_attested
from kmipsrv.client.client import Client, connect, material
from kmipsrv.client.failures import AttestationRequired, OperationFailed, ProtocolFailure

__all__ = [
    "AttestationRequired",
    "Attester",
    "Client",
    "Evidence",
    "OperationFailed",
    "ProtocolFailure",
    "Recipient",
    "connect",
    "get_attested",
    "material",
]
