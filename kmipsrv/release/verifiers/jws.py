"""JSON Web Signatures and JSON Web Tokens (RFC 7515, RFC 7519), read as strictly as RFC 8725 asks.

1. structure   Three base64url parts, each the only spelling of its bytes (no padding, no spare bits), of bounded
   size.
2. header      One JSON object; `alg` is on the list (never `none`, never a MAC: RFC 8725 §3.1, §3.2); no `crit`, no
   `b64`.
3. key         A public key that an operator gave: by `kid`, fitting `alg`, allowed to verify. `jwk`, `jku`, `x5u` and
   `x5c`
               in the header are not keys; only where the caller asks for it, `x5c` is a path to an anchor that was
               given.
4. signature   One of those keys signed header and payload.
5. payload     One JSON object, no member name twice.
6. time        `exp`, `nbf` and `iat` are integers, and hold at `now`.

The caller checks who the issuer is, and what the claims mean.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from kmipsrv.release.canonical import MAX_SAFE_INTEGER, Json, NotJson, loads
from kmipsrv.release.endorsements import Endorsements
from kmipsrv.release.refusal import Refused
from kmipsrv.release.verifiers.certificate import MAX_RSA_BITS, Certificate, PublicKey, checked_public_key, spki_of
from kmipsrv.release.verifiers.x509chain import Path, build_path

KIB: Final = 1024
MAX_TOKEN: Final = 256 * KIB
MAX_HEADER: Final = 32 * KIB  # room for an x5c chain
MAX_SIGNATURE: Final = 2 * KIB
MAX_CANDIDATES: Final = 8  # keys that are tried where the token does not name one
MAX_CHAIN: Final = 8
SKEW: Final = 60
"""Seconds by which an issuer's clock may run ahead of ours. `exp` gets none: late is late."""

ALGORITHMS: Final = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    "ES256": "secp256r1",
    "ES384": "secp384r1",
    "ES512": "secp521r1",
    "Ed25519": "Ed25519",
    "EdDSA": "Ed25519",  # the older name of RFC 8037, deprecated by RFC 9864 and still what most issuers write
}
_CURVES = {"P-256": "secp256r1", "P-384": "secp384r1", "P-521": "secp521r1"}


@dataclass(frozen=True, slots=True)
class Token:
    """A token whose signature and times hold."""

    header: dict[str, Json]
    claims: dict[str, Json]
    key_id: str
    """SHA-256 of the SubjectPublicKeyInfo of the key that verified it, or of the anchor of its chain; hexadecimal."""
    issuer: str | None
    """The issuer that the operator bound the key to, where the endorsement says one."""
    path: Path = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A key that may have signed, whom it was given for, and the path that certifies it (an anchor last)."""

    key: PublicKey
    issuer: str | None = None
    path: Path = ()


def verify_jws(token: bytes, endorsements: Endorsements, now: datetime.datetime, *, x5c: bool = False) -> Token:
    """Steps 1 to 6 over a compact JWS. Raises Refused."""
    header, payload = _parts(token)  # 1. 2.
    algorithm = str(header["alg"])
    if x5c and "x5c" in header:  # 3.
        found = [_chained(header["x5c"], algorithm, endorsements, now)]
    else:
        found = candidates(algorithm, header.get("kid"), endorsements)
    signed, _, signature = token.rpartition(b".")
    signer = find_signer(found, algorithm, signed, base64url(signature))  # 4.
    claims = json_object(payload, "payload")  # 5.
    check_times(claims, now)  # 6.
    key_id = signer.path[-1].fingerprint if signer.path else thumbprint(signer.key)
    return Token(header, claims, key_id, signer.issuer, signer.path)


def base64url(text: bytes | str) -> bytes:
    """RFC 7515 §2: "with all trailing '=' characters omitted", and here without spare bits. Raises ValueError."""
    raw = text.encode("ascii") if isinstance(text, str) else text
    data = base64.urlsafe_b64decode(raw + b"=" * (-len(raw) % 4))
    # The decoder skips foreign characters and ignores spare bits; the one spelling is what the encoder writes.
    if encode_base64url(data).encode("ascii") != raw:
        raise ValueError("not the one base64url spelling of these bytes")
    return data


def encode_base64url(data: bytes) -> str:
    """Base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def json_object(text: bytes, step: str) -> dict[str, Json]:
    """A JSON object, strictly read; integers that have no canonical form come out as claims have them. Raises Refused(step)."""
    try:
        value = loads(text, limit=MAX_TOKEN)
    except NotJson as error:
        raise Refused(step, f"not acceptable JSON: {error}") from None
    if not isinstance(value, dict):
        raise Refused(step, "not a JSON object")
    return {name: exact(member) for name, member in value.items()}


def exact(value: Json) -> Json:
    """`value` with integers beyond 2^53-1 as text, `0x…`, so that claims always have a canonical form (RFC 7493 §2.2)."""
    if isinstance(value, dict):
        return {name: exact(member) for name, member in value.items()}
    if isinstance(value, list):
        return [exact(member) for member in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > MAX_SAFE_INTEGER:
        return hex(value)
    return value


def thumbprint(key: PublicKey) -> str:
    """SHA-256 of the SubjectPublicKeyInfo in hexadecimal: how keys are named in claims."""
    return hashlib.sha256(spki_of(key)).hexdigest()


def _parts(token: bytes) -> tuple[dict[str, Json], bytes]:
    if len(token) > MAX_TOKEN:
        raise Refused("size", f"more than {MAX_TOKEN} bytes")
    parts = token.split(b".")
    if len(parts) != 3:
        raise Refused("structure", "not a compact JWS of three parts")
    if len(parts[0]) > MAX_HEADER or len(parts[2]) > MAX_SIGNATURE:
        raise Refused("size", "header or signature too large")
    try:
        header_bytes, payload, signature = (base64url(part) for part in parts)
    except (ValueError, binascii.Error):
        raise Refused("structure", "a part is not base64url without padding") from None
    if not header_bytes or not payload or not signature:
        raise Refused("structure", "a part is empty")
    header = json_object(header_bytes, "header")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise Refused("algorithm", "alg is not one of the asymmetric algorithms accepted here")
    # RFC 7515 §4.1.11: extensions marked critical must be understood, and none is; RFC 7797's b64 changes what is
    # signed.
    if "crit" in header or "b64" in header:
        raise Refused("header", "the header asks for an extension that is not understood")
    return header, payload


# --- keys ---------------------------------------------------------------------------------------------------------


def candidates(algorithm: str, kid: Json, endorsements: Endorsements) -> list[Candidate]:
    """The keys given that a signature by `algorithm` could be by: those of this `kid`; where none has it (or the
    token names none), those without. Raises Refused("key") when there are none."""
    if kid is not None and not isinstance(kid, str):
        raise Refused("header", "kid is not a string")
    named = [jwk for jwk in endorsements.jwks if kid is not None and jwk.get("kid") == kid]
    nameless = [jwk for jwk in endorsements.jwks if kid is None or "kid" not in jwk]
    found = [candidate for jwk in named or nameless if (candidate := _of_jwk(jwk, algorithm)) is not None]
    if not named:
        found += [Candidate(key) for key in endorsements.public_keys if _fits(key, algorithm)]
    if not found:
        raise Refused("key", "no key was given that this token could be signed with")
    return found[:MAX_CANDIDATES]


def _of_jwk(jwk: dict[str, Json], algorithm: str) -> Candidate | None:
    """The key of a JWK that was given, when `algorithm` is what it is for (RFC 7517 §4.2-4.4; RFC 8725 §3.1)."""
    if jwk.get("use", "sig") != "sig" or "verify" not in jwk.get("key_ops", ["verify"]):
        return None
    if jwk.get("alg", algorithm) != algorithm and {jwk.get("alg"), algorithm} != {"EdDSA", "Ed25519"}:
        return None
    key = public_key_of_jwk(jwk)
    if not _fits(key, algorithm):
        return None
    issuer = jwk.get("issuer")
    if issuer is not None and not isinstance(issuer, str):
        raise Refused("endorsements", "the issuer of a JWK is not a string")
    return Candidate(key, issuer or _named_in_certificate(jwk))


def public_key_of_jwk(jwk: dict[str, Json]) -> PublicKey:
    """The public key of a JWK, from its members, or from `x5c` where it has no others (as Microsoft's key sets).

    Raises Refused("key").
    """
    try:
        kind = jwk.get("kty")
        if kind == "RSA" and "n" in jwk:
            return checked_public_key(rsa_of_jwk(jwk))
        if kind == "EC" and "x" in jwk and jwk.get("crv") in _CURVES:
            return checked_public_key(ECKey.import_key({m: jwk[m] for m in ("kty", "crv", "x", "y")}).public_key)
        if kind == "OKP" and jwk.get("crv") == "Ed25519":
            return checked_public_key(OKPKey.import_key({m: jwk[m] for m in ("kty", "crv", "x")}).public_key)
        return _leaf(jwk).public_key
    except (ValueError, TypeError, LookupError, JoseError) as error:
        raise Refused("key", "a JWK that is not a usable public key") from error


def rsa_of_jwk(jwk: dict[str, Json]) -> rsa.RSAPublicKey:
    """The RSA public key of a JWK of 2048 to MAX_RSA_BITS bits. Raises ValueError before the library looks at others."""
    modulus = base64url(jwk["n"]).lstrip(b"\0")
    if not 2048 <= int.from_bytes(modulus, "big").bit_length() <= MAX_RSA_BITS:
        raise ValueError("the strength of the RSA key is not allowed")
    return RSAKey.import_key({member: jwk[member] for member in ("kty", "n", "e")}).public_key


def _leaf(jwk: dict[str, Json]) -> Certificate:
    return Certificate(base64.b64decode(jwk["x5c"][0], validate=True))


def _named_in_certificate(jwk: dict[str, Json]) -> str | None:
    """Microsoft's signing certificates name the issuer whose tokens they sign as https:// common name."""
    try:
        name = _leaf(jwk).common_name
    except (ValueError, TypeError, LookupError, x509.ExtensionNotFound):
        return None
    return name if name.startswith("https://") else None


def _fits(key: PublicKey, algorithm: str) -> bool:
    kind = ALGORITHMS[algorithm]
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.curve.name == kind
    if isinstance(key, ed25519.Ed25519PublicKey):
        return kind == "Ed25519"
    return isinstance(key, rsa.RSAPublicKey) and kind == "RSA"


def _chained(x5c: Json, algorithm: str, endorsements: Endorsements, now: datetime.datetime) -> Candidate:
    """RFC 7515 §4.1.6, believed only because it ends in an anchor that an operator gave for this."""
    if not isinstance(x5c, list) or not 1 <= len(x5c) <= MAX_CHAIN or not all(isinstance(c, str) for c in x5c):
        raise Refused("chain", "x5c is not a chain of certificates")
    try:
        chain = [Certificate(base64.b64decode(c, validate=True)) for c in x5c]
        leaf_key = chain[0].public_key
    except ValueError as error:
        raise Refused("chain", "x5c is not a chain of certificates") from error
    path = build_path(chain[0], (*chain, *endorsements.certificates), endorsements.anchors, now, endorsements.crls)
    if not _fits(leaf_key, algorithm):
        raise Refused("key", "the certified key does not fit alg")
    return Candidate(leaf_key, None, path)


def find_signer(found: list[Candidate], algorithm: str, message: bytes, signature: bytes) -> Candidate:
    """The one of the candidates whose key signed `message`. Raises Refused("signature")."""
    # RFC 9864 renames EdDSA over Ed25519; the two names mean one algorithm.
    model = JWSRegistry.algorithms["Ed25519" if algorithm == "EdDSA" else algorithm]
    for candidate in found:
        try:
            key = _joserfc_key(candidate.key)
            model.check_key(key)
            if model.verify(message, signature, key):
                return candidate
        except (JoseError, InvalidSignature, ValueError, TypeError):
            continue
    raise Refused("signature", "the signature does not verify with a key that was given")


def _joserfc_key(key: PublicKey) -> RSAKey | ECKey | OKPKey:
    if isinstance(key, rsa.RSAPublicKey):
        return RSAKey.import_key(key)
    return ECKey.import_key(key) if isinstance(key, ec.EllipticCurvePublicKey) else OKPKey.import_key(key)


# --- time ---------------------------------------------------------------------------------------------------------


def check_times(claims: dict[str, Json], now: datetime.datetime) -> None:
    """RFC 7519 §4.1.4-4.1.6 at `now`. Which of them must be there is the caller's business. Raises Refused("time")."""
    seconds = now.timestamp()
    times: dict[str, int] = {}
    for name in ("exp", "nbf", "iat"):
        value = claims.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**40:
            raise Refused("time", f"{name} is not an integer number of seconds")
        times[name] = value
    # "the expiration time on or after which the JWT MUST NOT be accepted"
    if "exp" in times and seconds >= times["exp"]:
        raise Refused("time", "the token has expired")
    if "nbf" in times and seconds + SKEW < times["nbf"]:
        raise Refused("time", "the token is not valid yet")
    if "iat" in times and seconds + SKEW < times["iat"]:
        raise Refused("time", "the token was issued in the future")


def require(claims: Mapping[str, Json], *names: str) -> None:
    """Raises Refused("payload") unless each of the claims is there."""
    for name in names:
        if claims.get(name) is None:
            raise Refused("payload", f"the claim {name} is missing")
