"""CBOR Web Tokens (RFC 8392) in COSE_Sign1 (RFC 9052 §4.2), read as claims by their JSON names.

1. structure   One CBOR item in its shortest encoding, no map key twice, nothing behind it, bounded (`cose.decode`).
2. header      The protected header names an asymmetric algorithm of the list; no `crit`.
3. key         As in `jws.py`: a public key that an operator gave.
4. signature   It signed Signature1 (RFC 9052 §4.4).
5. payload     A map; its integer labels become the names that the JSON form has.
6. time        As in `jws.py`.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Final

import cbor2

from kmipsrv.release.canonical import Json, NotJson, check
from kmipsrv.release.endorsements import Endorsements
from kmipsrv.release.refusal import Refused
from kmipsrv.release.verifiers.cose import decode, parse_sign1
from kmipsrv.release.verifiers.jws import (
    MAX_TOKEN,
    Token,
    candidates,
    check_times,
    encode_base64url,
    exact,
    find_signer,
    thumbprint,
)

CWT: Final = 61  # RFC 8392 §6

# COSE algorithms (RFC 9053 §2, RFC 8230 §2) -> the names they have in JOSE
_ALGORITHMS: Final = {
    -7: "ES256",
    -35: "ES384",
    -36: "ES512",
    -8: "EdDSA",
    -37: "PS256",
    -38: "PS384",
    -39: "PS512",
}
_KID: Final = 4  # RFC 9052 §3.1

# labels -> names: RFC 8392 §4, RFC 8747 §3, RFC 9711 §4, draft-ietf-rats-ear
_CLAIMS: Final[Mapping[Json, str]] = {
    1: "iss",
    2: "sub",
    3: "aud",
    4: "exp",
    5: "nbf",
    6: "iat",
    7: "cti",
    8: "cnf",
    10: "eat_nonce",
    265: "eat_profile",
    266: "submods",
    1002: "ear_raw_evidence",
    1004: "ear_verifier_id",
}
_VERIFIER: Final[Mapping[Json, str]] = {0: "developer", 1: "build"}
_SUBMODULE: Final[Mapping[Json, str]] = {
    10: "eat_nonce",
    1000: "ear_status",
    1001: "ear_trustworthiness_vector",
    1003: "ear_appraisal_policy_ids",
}
_VECTOR: Final[Mapping[Json, str]] = {
    0: "instance-identity",
    1: "configuration",
    2: "executables",
    3: "file-system",
    4: "hardware",
    5: "runtime-opaque",
    6: "storage-opaque",
    7: "sourced-data",
}
# COSE_Key (RFC 9052 §7, RFC 9053 §7) -> JWK
_KEY: Final[Mapping[Json, str]] = {1: "kty", 2: "kid", -1: "crv", -2: "x", -3: "y"}
_KEY_TYPES: Final = {1: "OKP", 2: "EC"}
_CURVES: Final = {1: "P-256", 2: "P-384", 3: "P-521", 4: "X25519"}


def verify_cwt(token: bytes, endorsements: Endorsements, now: datetime.datetime) -> Token:
    """Steps 1 to 6. Raises Refused."""
    if len(token) > MAX_TOKEN:
        raise Refused("size", f"more than {MAX_TOKEN} bytes")
    try:
        item = decode(token)  # 1.
        if isinstance(item, cbor2.CBORTag) and item.tag == CWT:
            item = item.value
        message = parse_sign1(item)  # 2.
        header = decode(message.protected)
        unprotected = (item.value if isinstance(item, cbor2.CBORTag) else item)[1]
    except ValueError as error:
        raise Refused("structure", str(error)) from None
    algorithm = _ALGORITHMS.get(message.algorithm)
    if algorithm is None:
        raise Refused("algorithm", "alg is not one of the asymmetric algorithms accepted here")
    kid = header.get(_KID, unprotected.get(_KID))
    name = kid.decode("utf-8", "replace") if isinstance(kid, bytes) else None
    found = candidates(algorithm, name, endorsements)  # 3.
    signed = cbor2.dumps(["Signature1", message.protected, b"", message.payload])  # RFC 9052 §4.4
    signer = find_signer(found, algorithm, signed, message.signature)  # 4.
    try:
        claims = _claims(decode(message.payload))  # 5.
    except ValueError as error:
        raise Refused("payload", str(error)) from None
    check_times(claims, now)  # 6.
    return Token({"alg": algorithm}, claims, thumbprint(signer.key), signer.issuer)


def _claims(item: Json) -> dict[str, Json]:
    claims = _named(item, _CLAIMS)
    if isinstance(claims.get("ear_verifier_id"), Mapping):
        claims["ear_verifier_id"] = _named(claims["ear_verifier_id"], _VERIFIER)
    submodules = claims.get("submods")
    if isinstance(submodules, Mapping):
        claims["submods"] = {
            name: _submodule(body) if isinstance(body, Mapping) else body for name, body in submodules.items()
        }
    confirmation = claims.get("cnf")
    if isinstance(confirmation, Mapping) and isinstance(confirmation.get(1), Mapping):  # RFC 8747 §3.1: COSE_Key
        claims["cnf"] = {"jwk": _jwk(confirmation[1])}
    converted: dict[str, Json] = {name: _json(value) for name, value in claims.items()}
    try:
        check(converted)
    except NotJson as error:
        raise Refused("payload", f"the claims have no JSON form: {error}") from None
    assert isinstance(converted, Mapping)
    return converted


def _submodule(body: Json) -> dict[str, Json]:
    named = _named(body, _SUBMODULE)
    if isinstance(named.get("ear_trustworthiness_vector"), Mapping):
        named["ear_trustworthiness_vector"] = _named(named["ear_trustworthiness_vector"], _VECTOR)
    return named


def _jwk(key: Mapping[Json, Json]) -> dict[str, Json]:
    named = _named(key, _KEY)
    for member, meanings in (("kty", _KEY_TYPES), ("crv", _CURVES)):
        value = named.get(member)
        named[member] = meanings.get(value) if isinstance(value, int) else None
    return named


def _named(body: Json, names: Mapping[Json, str]) -> dict[str, Json]:
    """A map with its labels written as names; two labels that come to one name are refused."""
    if not isinstance(body, Mapping):
        raise Refused("payload", "not a map of claims")
    named: dict[str, Json] = {}
    for label, value in body.items():
        if isinstance(label, bool) or not isinstance(label, int | str):
            raise Refused("payload", "a label that is neither an integer nor a text")
        named[names.get(label, str(label))] = value
    if len(named) != len(body):
        raise Refused("payload", "a claim stands there twice, by label and by name")
    return named


def _json(value: Json) -> Json:
    """CBOR values in the JSON form that RFC 9711 §7 gives them: byte strings as base64url."""
    if isinstance(value, bytes):
        return encode_base64url(value)
    if isinstance(value, Mapping):
        return {name: _json(member) for name, member in _named(value, {}).items()}
    if isinstance(value, list | tuple):
        return [_json(member) for member in value]
    return exact(value)
