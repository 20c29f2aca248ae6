"""The server's TLS context: TLS 1.2 and 1.3, a client certificate always (KMIP 2.1 §10.4, KMIP Profiles §3).

One context serves all workers of a process group: it is made before the fork, so a session ticket of one worker is
good at every other. Resumption therefore needs nothing more; the session-id context that OpenSSL insists on where
client certificates are required is set by Python for every server context.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from kmipsrv.errors import ConfigError
from kmipsrv.identity.certificate import Identities

# Forward secrecy only. The CBC suites stand last: the PyKMIP client offers nothing else to a server with an RSA key.
# The suites of the KMIP profiles without forward secrecy (TLS_RSA_WITH_AES_*) can be added in the configuration.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES:!SHA1:!aNULL"


@dataclass(frozen=True, slots=True)
class Trust:
    """What a reload replaces: the server's own certificate and who may connect."""

    context: ssl.SSLContext
    identities: Identities


def trust(certificate: Path, key: Path, identities: Identities, ciphers: str = CIPHERS) -> Trust:
    """Read the server's certificate chain and key. Raises ConfigError with the mend."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    try:
        context.set_ciphers(ciphers)
    except ssl.SSLError as error:
        raise ConfigError(f"the cipher list {ciphers!r} selects nothing that this OpenSSL has") from error
    for path, what in ((certificate, "certificate"), (key, "private key")):
        try:
            path.read_bytes()
        except OSError as error:
            raise ConfigError(f"the server's {what} {path} cannot be read: {error.strerror}") from error
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(
            f"{certificate} and {key} are not a PEM certificate chain and its unencrypted private key"
        ) from error
    context.verify_mode = ssl.CERT_REQUIRED
    # The file of client CAs may hold an intermediate CA alone: then it is the anchor, and its root's other clients
    # stay out.
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=identities.certificates)
    return Trust(context, identities)


def certificates(tls: ssl.SSLObject) -> tuple[bytes, list[bytes]]:
    """The client's certificate and the certificates that the handshake verified it with, as DER.

    A resumed session remembers the first and not the others. Raises ValueError if there is no client certificate.
    """
    leaf = tls.getpeercert(binary_form=True)
    if leaf is None:
        raise ValueError("the client has no certificate")
    if hasattr(tls, "get_verified_chain"):  # public from Python 3.13 on
        return leaf, list(cast(Callable[[], list[bytes]], tls.get_verified_chain)())
    encoding_der = 2  # _ssl.ENCODING_DER
    chain = tls._sslobj.get_verified_chain() or []  # type: ignore[attr-defined]
    return leaf, [step.public_bytes(encoding_der) for step in chain]


def _no_password() -> bytes:
    """Without this OpenSSL would ask for the password of an encrypted key on the terminal."""
    raise ValueError("the private key is encrypted")
