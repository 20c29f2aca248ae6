"""PKCS#12 containers (RFC 7292) as the Key Format Type of a private key (KMIP 2.1 §4.39, §6.1.19 Get, §6.1.43 Register)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization import pkcs12 as library

from kmipsrv.crypto.certificates import load as load_certificate
from kmipsrv.crypto.failures import map_errors
from kmipsrv.crypto.formats import PrivateKey
from kmipsrv.crypto.iterations import Iterations
from kmipsrv.crypto.safe_contents import bound_container
from kmipsrv.errors import Cause, KmipError

DEFAULT_FRIENDLY_NAME: Final = "alias"
"""§4.39: "the server SHOULD use an alias/friendly name of “alias”"."""

DUMP_ITERATIONS: Final = 42_048
"""What `dump` computes: the library's 20000 for the key, the same for the certificates, 2048 for the MAC."""

_MAX_SIZE: Final = 1024 * 1024
_Storable = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | dsa.DSAPrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
)


@dataclass(frozen=True, slots=True)
class Container:
    """What a container holds: the key, the DER of its certificate and of the chain above it, the friendly name."""

    private_key: PrivateKey
    certificate: bytes | None
    chain: tuple[bytes, ...]
    friendly_name: str | None

    def __repr__(self) -> str:
        return f"Container(friendly_name={self.friendly_name!r})"


def load(
    material: bytes, password: bytes, *, friendly_name: str | None = None, iterations: Iterations | None = None
) -> Container:
    """Open a container. Raises Invalid Field (no container, no private key, not the name asked for), Bad Password,
    Server Limit Exceeded for more key-stretching than `iterations` (a million) are left; what is tried is spent."""
    if len(material) > _MAX_SIZE:
        raise KmipError(Cause.INVALID_FIELD, f"a PKCS#12 container is at most {_MAX_SIZE} bytes long")
    bound_container(material, password, iterations or Iterations(1_000_000))
    with map_errors("open the PKCS#12 container", Cause.BAD_PASSWORD), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opened = library.load_pkcs12(material, password)
        if opened.key is None:
            raise KmipError(Cause.INVALID_FIELD, "the PKCS#12 container holds no private key")
        named = opened.cert.friendly_name if opened.cert is not None else None
        found = named.decode("utf-8", "replace") if named is not None else None
        # §4.39: names are compared without regard to case (caseIgnoreMatch).
        if friendly_name is not None and found is not None and friendly_name.casefold() != found.casefold():
            raise KmipError(Cause.INVALID_FIELD, "the PKCS#12 container holds no key of that friendly name")
        return Container(
            opened.key,
            opened.cert.certificate.public_bytes(Encoding.DER) if opened.cert is not None else None,
            tuple(other.certificate.public_bytes(Encoding.DER) for other in opened.additional_certs),
            found,
        )


def dump(
    key: PrivateKey | None,
    certificate: bytes | None,
    chain: Sequence[bytes],
    password: bytes,
    friendly_name: str | None = None,
) -> bytes:
    """A container protected by `password` (PBES2: AES-256, the library's best). Raises Key Format Type Not Supported."""
    if key is not None and not isinstance(key, _Storable):
        raise KmipError(Cause.KEY_FORMAT_TYPE_NOT_SUPPORTED, "a PKCS#12 container cannot hold a key of this algorithm")
    with map_errors("make the PKCS#12 container", Cause.INVALID_FIELD), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return library.serialize_key_and_certificates(
            (friendly_name or DEFAULT_FRIENDLY_NAME).encode(),
            key,
            load_certificate(certificate) if certificate is not None else None,
            [load_certificate(above) for above in chain],
            serialization.BestAvailableEncryption(password),
        )
