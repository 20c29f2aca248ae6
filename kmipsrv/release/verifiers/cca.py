"""Arm CCA attestation tokens (Realm Management Monitor specification, Arm DEN0137, §A7.2; draft-ffm-rats-cca-token).

1. structure  A collection of a platform token and a realm token, each a COSE_Sign1: tag 399 with the tokens as byte
              strings, or a CMW collection, tag 907, with [content format, token] (draft-ietf-rats-msg-wrap).
2. platform   The platform token is signed by a key that was given as an endorsement (the CPAK). CCA has no certificates:
              the manufacturer's public key for the instance is what an operator enrols.
3. realm      The realm token is signed by the realm attestation key (RAK) that it names.
4. binding    The platform token's challenge is the hash of that key, by the algorithm that the realm token names.
5. claims     Both sets of claims have the members that matter here, and all known members have their types.
6. nonce      The realm token's challenge is the nonce, where one is given.
"""

from __future__ import annotations

import datetime
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec

from kmipsrv.release.canonical import Json
from kmipsrv.release.endorsements import Endorsements
from kmipsrv.release.evidence import Claims, bound_nonce
from kmipsrv.release.refusal import Refused
from kmipsrv.release.verifiers import cose
from kmipsrv.release.verifiers.certificate import PublicKey, spki_of

COLLECTION, CMW_COLLECTION = 399, 907
EAT_CWT: Final = 263  # CoAP content format application/eat+cwt
PLATFORM, REALM = 44234, 44241
_HASHES: Final = {"sha-256": "sha256", "sha-384": "sha384", "sha-512": "sha512"}
_MAX_KEYS: Final = 64

# claim -> name, type, mandatory: those that the steps and the common claims rest on. Versions differ in the others.
_PLATFORM_CLAIMS: Final[dict[int, tuple[str, type, bool]]] = {
    265: ("profile", str, False),
    10: ("challenge", bytes, True),
    2396: ("implementation_id", bytes, True),
    256: ("instance_id", bytes, True),
    2401: ("config", bytes, False),
    2395: ("lifecycle", int, True),
    2399: ("sw_components", list, False),
    2400: ("verification_service", str, False),
    2402: ("hash_algo_id", str, False),
}
_REALM_CLAIMS: Final[dict[int, tuple[str, type, bool]]] = {
    265: ("profile", str, False),
    10: ("challenge", bytes, True),
    44235: ("personalization_value", bytes, False),
    44236: ("hash_algo_id", str, False),
    44237: ("public_key", bytes, True),
    44238: ("initial_measurement", bytes, True),
    44239: ("extensible_measurements", list, False),
    44240: ("public_key_hash_algo_id", str, True),
}
_COMPONENT: Final = {1: "type", 2: "measurement", 4: "version", 5: "signer_id", 6: "hash_algo_id"}

# Security lifecycle: the high byte is the state, the low byte is the implementation's own (the draft, §4.4.5)
LIFECYCLES: Final = {
    0x00: "unknown",
    0x10: "assembly-and-test",
    0x20: "cca-platform-rot-provisioning",
    0x30: "secured",
    0x40: "non-cca-platform-rot-debug",
    0x50: "recoverable-cca-platform-rot-debug",
    0x60: "decommissioned",
}
_DEBUG: Final = {"secured": False, "non-cca-platform-rot-debug": True, "recoverable-cca-platform-rot-debug": True}


def verify(evidence: bytes, endorsements: Endorsements, now: datetime.datetime, nonce: bytes | None = None) -> Claims:
    """The steps above. `now` plays no part: neither tokens nor keys carry dates."""
    del now
    try:  # 1.
        platform_token, realm_token = _collection(cose.decode(evidence))
        platform_message = cose.parse_sign1(cose.decode(platform_token))
        realm_message = cose.parse_sign1(cose.decode(realm_token))
        platform, realm = cose.decode(platform_message.payload), cose.decode(realm_message.payload)
    except ValueError as error:
        raise Refused("structure", str(error)) from error
    key = _verify_platform(platform_message, endorsements)  # 2.
    realm = _typed(realm, _REALM_CLAIMS)  # 5.
    platform = _typed(platform, _PLATFORM_CLAIMS)
    try:  # 3.
        rak = realm_key(realm)
    except ValueError as error:
        raise Refused("realm", "the realm attestation key is malformed") from error
    cose.verify_sign1(realm_message, rak, "realm")
    algorithm = _HASHES.get(realm["public_key_hash_algo_id"])  # 4.
    if algorithm is None:
        raise Refused("binding", "unknown hash algorithm")
    if not hmac.compare_digest(hashlib.new(algorithm, realm["public_key"]).digest(), platform["challenge"]):
        raise Refused("binding", "the platform token is not about this realm's attestation key")
    bound_nonce(nonce, realm["challenge"])  # 6.
    return _claims(platform, realm, key)


def _collection(value: Any) -> tuple[bytes, bytes]:
    if not isinstance(value, cbor2.CBORTag) or not isinstance(value.value, Mapping):
        raise ValueError("not a CCA token")
    if value.tag == COLLECTION:
        tokens = [value.value.get(PLATFORM), value.value.get(REALM)]
    elif value.tag == CMW_COLLECTION:
        tokens = [_cmw(value.value.get(PLATFORM)), _cmw(value.value.get(REALM))]
    else:
        raise ValueError("not a CCA token")
    platform, realm = tokens
    if not isinstance(platform, bytes) or not isinstance(realm, bytes):
        raise ValueError("the collection lacks the platform's or the realm's token")
    return platform, realm


def _cmw(value: Any) -> Any:
    """[type, value, ? indicator] with the type as content format number."""
    if not isinstance(value, list | tuple) or len(value) not in (2, 3) or value[0] != EAT_CWT:
        raise ValueError("a member of the collection is not a CBOR token")
    return value[1]


def _verify_platform(message: cose.Sign1, endorsements: Endorsements) -> PublicKey:
    """Step 2: one of the enrolled keys made the signature."""
    curve = cose.ALGORITHMS.get(message.algorithm, (None,))[0]
    if curve is None:
        raise Refused("platform", "the signature algorithm is not allowed")
    fitting = [
        key for key in endorsements.keys if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, curve)
    ]
    for key in fitting[:_MAX_KEYS]:
        try:
            cose.verify_sign1(message, key, "platform")
        except Refused:
            continue
        return key
    raise Refused(
        "platform", "no enrolled platform key made the signature" if fitting else "no platform key is enrolled"
    )


def _typed(claims: Any, table: Mapping[int, tuple[str, type, bool]]) -> dict[str, Any]:
    """Step 5: the claims of the table by name. Others are ignored: profiles grow."""
    if not isinstance(claims, Mapping):
        raise Refused("claims", "the claims are not a map")
    found: dict[str, Any] = {}
    for number, (name, kind, mandatory) in table.items():
        value = claims.get(number)
        if value is None and not mandatory:
            continue
        value = list(value) if isinstance(value, tuple) else value
        if not isinstance(value, kind) or isinstance(value, bool):
            raise Refused("claims", f"the claim {name} is missing or ill-typed")
        found[name] = value
    return found


def realm_key(realm: Mapping[str, Any]) -> ec.EllipticCurvePublicKey:
    """The RAK: a COSE_Key where the realm token has a profile, an uncompressed P-384 point before (DEN0137 1.0-eac5).
    Raises ValueError."""
    raw: bytes = realm["public_key"]
    if "profile" in realm:
        return cose.key_of_cose(cose.decode(raw))
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP384R1(), raw)


def _claims(platform: Mapping[str, Any], realm: Mapping[str, Any], key: PublicKey) -> dict[str, Json]:
    lifecycle = LIFECYCLES.get(platform["lifecycle"] >> 8, "unknown")
    challenge = realm["challenge"].hex()
    claims: dict[str, Json] = {
        "tee": "cca",
        "measurement": realm["initial_measurement"].hex(),
        "rtmrs": {str(index): _json(value) for index, value in enumerate(realm.get("extensible_measurements", []))},
        "report_data": challenge,
        "nonce": challenge,
        "chip_id": platform["instance_id"].hex(),
        "product": platform["implementation_id"].hex(),
        "lifecycle": lifecycle,
        "trust_anchor": hashlib.sha256(spki_of(key)).hexdigest(),
        "versions": {
            str(component.get(1, index)): str(component.get(4, ""))
            for index, component in enumerate(platform.get("sw_components", []))
            if isinstance(component, Mapping)
        },
        "raw": {
            "platform": {name: _json(value) for name, value in platform.items()},
            "realm": {name: _json(value) for name, value in realm.items()},
        },
    }
    if "personalization_value" in realm:
        claims["host_data"] = realm["personalization_value"].hex()
    if lifecycle in _DEBUG:
        claims["debug"] = _DEBUG[lifecycle]
    return claims


def _json(value: Any) -> Json:
    """A CBOR value as JSON: bytes as hexadecimal, the members of software components by name."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple):
        return [_json(item) for item in value]
    if isinstance(value, Mapping):
        return {str(_COMPONENT.get(key, key)): _json(item) for key, item in value.items()}
    return value if isinstance(value, str | int | bool) or value is None else str(value)
