"""Test keys and self-made tokens, good and bad."""

from __future__ import annotations

import base64
import datetime
import functools
import json
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from kmipsrv.release.evidence import Endorsements

NOW = datetime.datetime(2026, 11, 23, 10, 30, tzinfo=datetime.UTC)
SECONDS = int(NOW.timestamp())
SigningKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@functools.cache
def rsa_key(bits: int = 2048, number: int = 0) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


@functools.cache
def ec_key(curve: type[ec.EllipticCurve] = ec.SECP256R1, number: int = 0) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve())


@functools.cache
def ed_key(number: int = 0) -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


def number(value: int, size: int | None = None) -> str:
    return b64(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def jwk(key: SigningKey, **members: Any) -> dict[str, Any]:
    """The public JWK of a key."""
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.public_key().public_numbers()
        body: dict[str, Any] = {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        point = key.public_key().public_numbers()
        size = (key.key_size + 7) // 8
        curve = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}[key.curve.name]
        body = {"kty": "EC", "crv": curve, "x": number(point.x, size), "y": number(point.y, size)}
    else:
        raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        body = {"kty": "OKP", "crv": "Ed25519", "x": b64(raw)}
    return body | members


def pem(key: SigningKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def keys(*jwks: dict[str, Any]) -> Endorsements:
    return Endorsements.parse([json.dumps({"keys": list(jwks)}).encode()])


HASHES: dict[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


def sign_bytes(key: SigningKey, algorithm: str, message: bytes) -> bytes:
    """A JWS signature (RFC 7518 §3), made without the code under test."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    digest = HASHES[algorithm[2:]]
    if isinstance(key, ec.EllipticCurvePrivateKey):
        size = (key.key_size + 7) // 8
        r, s = decode_dss_signature(key.sign(message, ec.ECDSA(digest)))
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    scheme = padding.PSS(padding.MGF1(digest), digest.digest_size) if algorithm[0] == "P" else padding.PKCS1v15()
    return key.sign(message, scheme, digest)


def token(
    key: SigningKey, claims: dict[str, Any] | str, algorithm: str = "", header: dict[str, Any] | str | None = None
) -> bytes:
    """A compact JWS; `claims` and `header` may be texts, to be as wrong as a test wants them."""
    if isinstance(key, rsa.RSAPrivateKey):
        algorithm = algorithm or "RS256"
    algorithm = algorithm or ("EdDSA" if isinstance(key, ed25519.Ed25519PrivateKey) else "ES256")
    head = header if isinstance(header, str) else json.dumps({"alg": algorithm, "typ": "JWT"} | (header or {}))
    body = claims if isinstance(claims, str) else json.dumps(claims)
    signed = f"{b64(head.encode())}.{b64(body.encode())}".encode()
    return signed + b"." + b64(sign_bytes(key, algorithm, signed)).encode()


TIMES = {"iat": SECONDS - 10, "nbf": SECONDS - 10, "exp": SECONDS + 600}


def jwt_claims(**claims: Any) -> dict[str, Any]:
    return {"iss": "https://issuer.example", **TIMES, **claims}


def maa_claims(**claims: Any) -> dict[str, Any]:
    flat = {
        "x-ms-attestation-type": "sevsnpvm",
        "x-ms-sevsnpvm-is-debuggable": False,
        "x-ms-sevsnpvm-launchmeasurement": "ab" * 48,
        "x-ms-sevsnpvm-reportdata": "cd" * 64,
        "x-ms-sevsnpvm-snpfw-svn": 8,
    }
    return {"iss": "https://mine.weu.attest.azure.net", **TIMES, **flat, **claims}


def gcp_claims(**claims: Any) -> dict[str, Any]:
    body = {
        "iss": "https://confidentialcomputing.googleapis.com",
        "aud": "https://kmip.example",
        "hwmodel": "GCP_INTEL_TDX",
        "dbgstat": "disabled-since-boot",
        "secboot": True,
        "submods": {"container": {"image_digest": "sha256:" + "ab" * 32}},
    }
    return {**body, **TIMES, **claims}


def ita_claims(**claims: Any) -> dict[str, Any]:
    body = {
        "iss": "https://portal.trustauthority.intel.com",
        "attester_type": "TDX",
        "tdx_mrtd": "ab" * 48,
        "tdx_is_debuggable": False,
        "attester_tcb_status": "UpToDate",
        "attester_tcb_date": "2024-03-13T00:00:00Z",
        "attester_advisory_ids": [],
        "policy_ids_matched": [{"id": "p", "version": "v1"}],
    }
    return {**body, **TIMES, **claims}


def ear_claims(status: Any = "affirming", vector: dict[str, Any] | None = None, **claims: Any) -> dict[str, Any]:
    appraisal = {"ear_status": status, "ear_trustworthiness_vector": vector or {"hardware": 2, "executables": 3}}
    body = {
        "eat_profile": "tag:ietf.org,2026:rats/ear#03",
        "iat": SECONDS - 10,
        "ear_verifier_id": {"developer": "https://verifier.example", "build": "1.0"},
        "submods": {"cpu": appraisal},
    }
    return {**body, **claims}


def trustee_claims(evidence: dict[str, Any], **appraisal: Any) -> dict[str, Any]:
    body = {"ear.status": "affirming", "ear.veraison.annotated-evidence": evidence, **appraisal}
    return {
        "eat_profile": "tag:github.com,2024:confidential-containers/Trustee",
        "iat": SECONDS - 10,
        "exp": SECONDS + 300,
        "ear.verifier-id": {"developer": "https://trustee.example", "build": "1.0"},
        "submods": {"cpu0": body},
    }


COSE_ALGORITHMS = {"ES256": -7, "ES384": -35, "ES512": -36, "EdDSA": -8, "PS256": -37}


def cwt(
    key: SigningKey,
    claims: dict[Any, Any] | bytes,
    algorithm: str = "ES256",
    kid: bytes | None = None,
    tagged: bool = True,
) -> bytes:
    """A COSE_Sign1 (RFC 9052 §4.2)."""
    protected = cbor2.dumps({1: COSE_ALGORITHMS[algorithm]})
    payload = claims if isinstance(claims, bytes) else cbor2.dumps(claims)
    message = cbor2.dumps(["Signature1", protected, b"", payload])
    item: Any = [protected, {} if kid is None else {4: kid}, payload, sign_bytes(key, algorithm, message)]
    return cbor2.dumps(cbor2.CBORTag(18, item) if tagged else item)


def ear_cwt_claims(status: int = 2, **extra: Any) -> dict[Any, Any]:
    # the layout of the draft's CBOR example
    return {
        265: "tag:ietf.org,2026:rats/ear#03",
        6: SECONDS - 10,
        1004: {0: "https://veraison-project.org", 1: "vts 0.0.1"},
        266: {"PSA": {1000: status, 1001: {0: 2, 4: 2}, 1003: ["https://veraison.example/policy/1/60a0068d"], **extra}},
    }


EC = ec_key()
KEYS = keys(jwk(EC, kid="k1"))
NONCE = bytes(range(64))


def spki(key: Any) -> str:
    der: bytes = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return base64.b64encode(der).decode()


def signed(claims: dict[str, Any], **header: Any) -> bytes:
    return token(EC, claims, header={"kid": "k1", **header})
