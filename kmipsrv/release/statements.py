"""Signed statements: a canonical JSON object, what kind it is, and one signature over both.

Approvals, orders and release receipts are statements. The kind is part of what is signed, so that a signature given
for one purpose is worth nothing for another. Keys are Ed25519 (RFC 8032) or ECDSA over P-256 with SHA-256, its
signature as r and s of 32 bytes each (RFC 7518 §3.4). A key's id is the hash of its SubjectPublicKeyInfo: it names
itself, no registry can exchange it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from kmipsrv.release.canonical import Json, dumps
from kmipsrv.release.refusal import Refused

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey

_COMPONENT: Final = 32
_KIND: Final = "kind"


def key_id(key: PublicKey) -> str:
    """`sha256:` and the hexadecimal SHA-256 of the SubjectPublicKeyInfo in DER."""
    spki = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return "sha256:" + hashlib.sha256(spki).hexdigest()


def load_public_key(data: bytes) -> PublicKey:
    """An enrolled key from PEM or DER (SubjectPublicKeyInfo). Raises ValueError for any other kind of key."""
    pem = data.lstrip().startswith(b"-----BEGIN ")
    key = (serialization.load_pem_public_key if pem else serialization.load_der_public_key)(data)
    return check_public_key(key)


def check_public_key(key: object) -> PublicKey:
    """`key` itself when statements can be signed with it. Raises ValueError."""
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise ValueError("the key must be Ed25519 or ECDSA over P-256")


def sign(key: PrivateKey, kind: str, body: Mapping[str, Json]) -> bytes:
    """The signature over `body` as a statement of `kind`: 64 bytes."""
    message = _message(kind, body)
    check_public_key(key.public_key())
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(_COMPONENT, "big") + s.to_bytes(_COMPONENT, "big")


def verify(key: PublicKey, kind: str, body: Mapping[str, Json], signature: bytes) -> None:
    """Raises Refused("signature") unless `signature` is the key's over `body` as a statement of `kind`."""
    message = _message(kind, body)
    if len(signature) != 2 * _COMPONENT:
        raise Refused("signature", "not a signature of 64 bytes")
    try:
        if isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, message)
        else:
            r, s = (int.from_bytes(half, "big") for half in (signature[:_COMPONENT], signature[_COMPONENT:]))
            key.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise Refused("signature", "the signature does not verify") from None


def _message(kind: str, body: Mapping[str, Json]) -> bytes:
    if _KIND in body:
        raise ValueError("a statement's body does not say its kind; the caller does")
    return dumps({_KIND: kind, **body})
