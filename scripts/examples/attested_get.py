"""Get a gated key on a machine with a TPM and print its octets: attested_get.py UNIQUE_IDENTIFIER --server-key FILE.

The TPM quotes its PCRs over the server's nonce, and the key comes wrapped: to an RSA key that stays in the TPM
(--recipient-key), or to one that lives as long as this program. FILE is what `kmipsrv release key` printed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from kmipsrv.client import Recipient, connect, get_attested, material
from kmipsrv.client.tpm import Tpm, TpmAttester
from kmipsrv.release.statements import load_public_key

ROOT = Path(__file__).resolve().parent.parent.parent

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("unique_identifier")
parser.add_argument("--server-key", type=Path, required=True, help="the server's public signing key (PEM)")
parser.add_argument("--attestation-key", default="0x81010002", help="handle of the enrolled attestation key")
parser.add_argument("--recipient-key", help="handle of an RSA key in the TPM that decrypts")
parser.add_argument("--pcrs", default="0,7", help="PCRs of the SHA-256 bank (0,7)")
parser.add_argument("--tcti", help="another TPM than the kernel's, such as swtpm:path=SOCKET")
parser.add_argument("--state", type=Path, default=ROOT / "var", help="where the certificates are (var)")
parser.add_argument("--port", type=int, default=5696)
options = parser.parse_args()

tpm = Tpm(options.tcti)
attester = TpmAttester(tpm, options.attestation_key, {"sha256": [int(index) for index in options.pcrs.split(",")]})
server_key = load_public_key(options.server_key.read_bytes())
if options.recipient_key:
    handle = options.recipient_key
    recipient = Recipient(tpm.public_key(handle), lambda ciphertext: tpm.decrypt(handle, ciphertext), server_key)
else:
    recipient = Recipient.of(X25519PrivateKey.generate(), server_key)

certs = options.state / "certs"
with connect("127.0.0.1", options.port, certs / "client.pem", certs / "client.key", certs / "ca.pem") as client:
    certificate = (certs / "client.pem").read_bytes()
    print(material(get_attested(client, options.unique_identifier, attester, certificate, recipient)).hex())
