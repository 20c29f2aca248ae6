"""What binds a token to one conversation and one machine: nonces (RFC 9711 §4.1) and keys (RFC 7800).

The claim `key_binding` has one form for every kind of evidence: `{"spki": base64 of a SubjectPublicKeyInfo in DER,
"source": where the evidence says so}`. `recipient.py` wraps to it.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterable
from typing import Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa, x25519
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey

from kmipsrv.release.canonical import Json
from kmipsrv.release.refusal import Refused
from kmipsrv.release.text import from_base64
from kmipsrv.release.verifiers.certificate import MAX_RSA_BITS
from kmipsrv.release.verifiers.jws import encode_base64url, rsa_of_jwk

MAX_NONCES: Final = 16
_CURVES = ("P-256", "P-384", "P-521")


def check_nonce(nonce: bytes | None, texts: Iterable[Json]) -> None:
    """One of the token's `texts` must carry `nonce`, where one is given. Raises Refused("nonce").

    A text carries a nonce as the same octets, as their base64url (RFC 9711 §4.1, in JSON) or base64, in hexadecimal
    (NVIDIA), or as the base64 of such a text, which is what Azure makes of a client's payload.
    """
    if nonce is None:
        return
    wanted = (nonce, encode_base64url(nonce).encode("ascii"), nonce.hex().encode("ascii"))
    for text in list(texts)[:MAX_NONCES]:
        if isinstance(text, str) and any(
            hmac.compare_digest(form, octets) for form in _forms(text) for octets in wanted
        ):
            return
    raise Refused("nonce", "the nonce is not the one in the token")


def eat_nonces(value: Json) -> list[Json]:
    """`eat_nonce` as a list: one string or an array of them. Raises Refused("nonce").

    RFC 9711 §4.1 bounds the lengths: in JSON 8 to 88 characters.
    """
    nonces = [] if value is None else value if isinstance(value, list) else [value]
    if len(nonces) > MAX_NONCES or not all(isinstance(nonce, str) and 8 <= len(nonce) <= 88 for nonce in nonces):
        raise Refused("nonce", "eat_nonce is not one or several strings of 8 to 88 characters")
    return nonces


def _forms(text: str) -> list[bytes]:
    forms = [text.encode("utf-8", "replace")]
    try:
        forms.append(from_base64(text))
    except ValueError:
        pass
    return forms


def bind_jwk(jwk: Json, source: str) -> dict[str, Json] | None:
    """`key_binding` for a JWK in verified claims; None when it is not a public key one could wrap to."""
    if not isinstance(jwk, dict) or "d" in jwk:
        return None
    key: object
    try:
        kind = jwk.get("kty")
        if kind == "RSA":
            key = rsa_of_jwk(jwk)
        elif kind == "EC" and jwk.get("crv") in _CURVES:
            key = ECKey.import_key({m: jwk[m] for m in ("kty", "crv", "x", "y")}).public_key
        elif kind == "OKP" and jwk.get("crv") == "X25519":
            key = OKPKey.import_key({m: jwk[m] for m in ("kty", "crv", "x")}).public_key
        else:
            return None
    except (ValueError, TypeError, LookupError, JoseError):
        return None
    return bind_key(key, source)


def bind_spki(spki: bytes, source: str) -> dict[str, Json] | None:
    """`key_binding` for a SubjectPublicKeyInfo in verified claims; None when it is not a key one could wrap to."""
    try:
        return bind_key(serialization.load_der_public_key(spki), source)
    except (ValueError, TypeError):
        return None


def bind_key(key: object, source: str) -> dict[str, Json] | None:
    """`key_binding` for a public key that is strong enough, and of a kind that `recipient.py` wraps to."""
    if isinstance(key, rsa.RSAPublicKey):
        if not 2048 <= key.key_size <= MAX_RSA_BITS:
            return None
    elif isinstance(key, ec.EllipticCurvePublicKey):
        if not isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1):
            return None
    elif not isinstance(key, x25519.X25519PublicKey):
        return None
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return {"spki": base64.b64encode(der).decode("ascii"), "source": source}
