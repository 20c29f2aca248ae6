"""Release to the attested key only: the bytes are wrapped to the public key that the evidence binds, and the server
signs.

What leaves is a Release (docs/release-policy.md, "What the client gets"): an envelope, a receipt and a signature.

1. The envelope holds the bytes, encrypted so that only the holder of the recipient's private key can open it.
2. The receipt says for what it was made: digest of the request, policy id, nonce id, object, recipient, digest of the
   envelope. The server signs it (`statements.py`), so nobody on the way can put another key in place of the released
   one.
3. The client checks the receipt against what it asked before it decrypts anything (`open_release`).

Methods, by the kind of the recipient's key and the length of the bytes:

    RSA-OAEP             RSA, short enough: RSAES-OAEP with SHA-256 in both places (RFC 8017 §7.1), no label
    RSA-OAEP+A256KWP     RSA, longer: a fresh AES-256 key by RSAES-OAEP, the bytes by AES key wrap with padding (RFC
    5649) HPKE-P256, -X25519   DHKEM, HKDF-SHA256, AES-256-GCM, base mode (RFC 9180); `info` is the context
    ECDH-ES+A256KWP      any of the curves: ephemeral ECDH, HKDF-SHA256 (RFC 5869) over the context, AES key wrap with
    padding

RSA keys can lie in a TPM or an HSM that takes no label, so there the receipt alone ties the bytes to the request;
where there is a key derivation, the context goes into it as well.

The key pairs and seeds inside RSAES-OAEP, HPKE and ECDH-ES are drawn by the cryptographic library itself, which takes
no other source; the AES key of RSA-OAEP+A256KWP comes from the `random` that is given.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, hpke, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, x25519
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import (
    InvalidUnwrap,
    aes_key_unwrap_with_padding,
    aes_key_wrap_with_padding,
)

from kmipsrv.release.canonical import Json, NotJson, dumps, loads
from kmipsrv.release.refusal import Refused
from kmipsrv.release.statements import PrivateKey as SigningKey
from kmipsrv.release.statements import PublicKey as VerifyingKey
from kmipsrv.release.statements import key_id, sign, verify
from kmipsrv.release.verifiers.certificate import MAX_RSA_BITS
from kmipsrv.release.verifiers.jws import base64url, encode_base64url

KIND: Final = "kmipsrv-release-receipt-v1"
PROTOCOL: Final = b"kmipsrv-release-v1"
MAX_PLAINTEXT: Final = 64 * 1024
MAX_RELEASE: Final = 256 * 1024
_KEK_SIZE: Final = 32

RSA_OAEP: Final = "RSA-OAEP"
RSA_OAEP_KWP: Final = "RSA-OAEP+A256KWP"
ECDH_ES_KWP: Final = "ECDH-ES+A256KWP"
HPKE_P256: Final = "HPKE-P256"
HPKE_X25519: Final = "HPKE-X25519"
METHODS: Final = (RSA_OAEP, RSA_OAEP_KWP, HPKE_P256, HPKE_X25519, ECDH_ES_KWP)

_KEMS: Final = {HPKE_P256: hpke.KEM.P256, HPKE_X25519: hpke.KEM.X25519}

Recipient = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | x25519.X25519PublicKey
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | x25519.X25519PrivateKey
RsaDecrypt = Callable[[bytes], bytes]
"""RSAES-OAEP decryption with SHA-256 by a key that does not leave its TPM or HSM."""


class NotReleased(Exception):
    """The client's refusal: the release is not what was asked for, not from this server, or not for this key."""


# --- what the evidence binds --------------------------------------------------------------------------------------


def report_data(nonce_value: bytes, recipient: bytes, client: bytes, size: int = 64) -> bytes:
    """What our agents put into the evidence's field for it: a digest over nonce, recipient's key and client's key.

    `recipient` is the recipient's SubjectPublicKeyInfo, `client` that of the client's certificate, both in DER;
    either may be empty. SHA-512 where the field has 64 bytes, SHA-256 where it is shorter. `eat_nonce` carries it
    base64url-encoded.
    """
    message = PROTOCOL + b"".join(struct.pack(">I", len(part)) + part for part in (nonce_value, recipient, client))
    if size == 64:
        return hashlib.sha512(message).digest()
    if size == 32:
        return hashlib.sha256(message).digest()
    raise ValueError("report data has 32 or 64 bytes")


def bound_recipient(claims: Mapping[str, Json]) -> bytes:
    """The SubjectPublicKeyInfo of the key that verified evidence binds (claim `key_binding`). Raises
    Refused("recipient").
    """
    binding = claims.get("key_binding")
    text = binding.get("spki") if isinstance(binding, Mapping) else None
    if not isinstance(text, str):
        raise Refused("recipient", "the evidence binds no key")
    try:
        spki = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise Refused("recipient", "the bound key is malformed") from None
    load_recipient(spki)
    return spki


def load_recipient(spki: bytes) -> Recipient:
    """A key that bytes may be wrapped to: RSA of 2048 bits or more, P-256, P-384, P-521, X25519. Raises
    Refused("recipient").
    """
    try:
        key = serialization.load_der_public_key(spki)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise Refused("recipient", "not a public key") from None
    if isinstance(key, rsa.RSAPublicKey) and 2048 <= key.key_size <= MAX_RSA_BITS:
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1):
        return key
    if isinstance(key, x25519.X25519PublicKey):
        return key
    raise Refused("recipient", "a key of a kind or strength that nothing is wrapped to")


# --- context, envelope, release -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Context:
    """What a release belongs to."""

    request: bytes
    """SHA-256 of the request message as it arrived."""
    policy: str
    nonce: bytes
    """The nonce's identifier."""
    object: str
    recipient: bytes
    """The recipient's SubjectPublicKeyInfo in DER."""

    def body(self) -> dict[str, Json]:
        """Its JSON form: part of the receipt."""
        return {
            "request": self.request.hex(),
            "policy": self.policy,
            "nonce": encode_base64url(self.nonce),
            "object": self.object,
            "recipient": hashlib.sha256(self.recipient).hexdigest(),
        }

    def encode(self) -> bytes:
        """What goes into key derivations."""
        return PROTOCOL + b"\0" + dumps(self.body())


@dataclass(frozen=True, slots=True)
class Envelope:
    """The wrapped bytes. `wrapped_key` and `ephemeral` are empty where the method has none."""

    method: str
    ciphertext: bytes
    wrapped_key: bytes = b""
    ephemeral: bytes = b""

    def body(self) -> dict[str, Json]:
        """Its JSON form."""
        body: dict[str, Json] = {"method": self.method, "ciphertext": encode_base64url(self.ciphertext)}
        if self.wrapped_key:
            body["wrapped_key"] = encode_base64url(self.wrapped_key)
        if self.ephemeral:
            body["ephemeral"] = encode_base64url(self.ephemeral)
        return body

    def digest(self) -> str:
        """SHA-256 of its canonical form, in hexadecimal."""
        return hashlib.sha256(dumps(self.body())).hexdigest()


def release(
    plaintext: bytes, context: Context, server_key: SigningKey, random: Callable[[int], bytes], method: str = ""
) -> bytes:
    """`plaintext` wrapped to the recipient of `context`, with the signed receipt: canonical JSON.

    `method` is one of METHODS; by default what fits key and length. Raises Refused("recipient") when the key is of no
    use.
    """
    envelope = wrap(plaintext, context, random, method)
    receipt = {**context.body(), "wrapped": envelope.digest()}
    signature = sign(server_key, KIND, receipt)
    return dumps(
        {
            "envelope": envelope.body(),
            "receipt": receipt,
            "signer": key_id(server_key.public_key()),
            "signature": encode_base64url(signature),
        }
    )


def open_release(
    data: bytes, context: Context, server_key: VerifyingKey, private_key: PrivateKey | RsaDecrypt
) -> bytes:
    """The released bytes, on the client's side.

    `context` is what the client asked with; its `policy` may be empty when the client does not care which one let it
    pass. `server_key` is known beforehand, never taken from the release. Raises NotReleased.
    """
    try:
        body = loads(data, limit=MAX_RELEASE)
        receipt, envelope = body["receipt"], _read_envelope(body["envelope"])
        if not isinstance(receipt, dict) or set(body) != {"envelope", "receipt", "signer", "signature"}:
            raise NotReleased("not a release")
        if body["signer"] != key_id(server_key):
            raise NotReleased("the release is not signed by the server that was asked")
        verify(server_key, KIND, receipt, base64url(body["signature"]))
    except Refused:
        raise NotReleased("the release is not signed by the server that was asked") from None
    except (NotJson, ValueError, TypeError, LookupError, AttributeError):
        raise NotReleased("not a release") from None
    policy = context.policy or receipt.get("policy")
    if not isinstance(policy, str):
        raise NotReleased("not a release")
    asked = Context(context.request, policy, context.nonce, context.object, context.recipient)
    # Every member of the receipt is compared, so nothing in it goes unread.
    if receipt != {**asked.body(), "wrapped": envelope.digest()}:
        raise NotReleased("the release belongs to another request, object, policy, nonce or key")
    return unwrap(envelope, asked, private_key)


def _read_envelope(body: Json) -> Envelope:
    if set(body) - {"method", "ciphertext", "wrapped_key", "ephemeral"}:
        raise NotReleased("not a release")
    parts = {name: base64url(body.get(name, "")) for name in ("ciphertext", "wrapped_key", "ephemeral")}
    return Envelope(method=str(body["method"]), **parts)


# --- wrapping -----------------------------------------------------------------------------------------------------

_OAEP: Final = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)


def oaep_capacity(key: rsa.RSAPublicKey) -> int:
    """The longest message for RSAES-OAEP with SHA-256 (RFC 8017 §7.1.1: k - 2hLen - 2)."""
    return key.key_size // 8 - 2 * hashes.SHA256.digest_size - 2


def wrap(plaintext: bytes, context: Context, random: Callable[[int], bytes], method: str = "") -> Envelope:
    """The envelope alone. Raises Refused("recipient") when key and method do not go together."""
    if not 1 <= len(plaintext) <= MAX_PLAINTEXT:
        raise ValueError(f"1 to {MAX_PLAINTEXT} bytes can be released")
    key = load_recipient(context.recipient)
    method = method or _choose(key, len(plaintext))
    if isinstance(key, rsa.RSAPublicKey):
        if method == RSA_OAEP and len(plaintext) <= oaep_capacity(key):
            return Envelope(method, key.encrypt(plaintext, _OAEP))
        if method == RSA_OAEP_KWP:
            kek = random(_KEK_SIZE)
            if len(kek) != _KEK_SIZE:
                raise ValueError("the source of randomness gave another length than asked for")
            return Envelope(method, aes_key_wrap_with_padding(kek, plaintext), wrapped_key=key.encrypt(kek, _OAEP))
    elif method in _KEMS and method == _hpke_method(key):
        return Envelope(method, _suite(method).encrypt(plaintext, key, context.encode()))
    elif method == ECDH_ES_KWP:
        return _wrap_ecdh(plaintext, key, context)
    raise Refused("recipient", "the method does not fit the bound key")


def unwrap(envelope: Envelope, context: Context, private_key: PrivateKey | RsaDecrypt) -> bytes:
    """The bytes in `envelope`. Raises NotReleased with one message for all that can go wrong inside."""
    try:
        if callable(private_key) or isinstance(private_key, rsa.RSAPrivateKey):
            return _unwrap_rsa(envelope, private_key)
        if envelope.method in _KEMS:
            return _suite(envelope.method).decrypt(envelope.ciphertext, private_key, context.encode())
        if envelope.method == ECDH_ES_KWP:
            kek = _derive(_agree(private_key, envelope.ephemeral), envelope.ephemeral, context)
            return aes_key_unwrap_with_padding(kek, envelope.ciphertext)
    except (ValueError, TypeError, InvalidTag, InvalidUnwrap, UnsupportedAlgorithm, Refused):
        pass
    raise NotReleased("the release does not open with this key")


def _choose(key: Recipient, length: int) -> str:
    if isinstance(key, rsa.RSAPublicKey):
        return RSA_OAEP if length <= oaep_capacity(key) else RSA_OAEP_KWP
    return _hpke_method(key) or ECDH_ES_KWP


def _hpke_method(key: ec.EllipticCurvePublicKey | x25519.X25519PublicKey) -> str:
    if isinstance(key, x25519.X25519PublicKey):
        return HPKE_X25519
    return HPKE_P256 if isinstance(key.curve, ec.SECP256R1) else ""


def _suite(method: str) -> hpke.Suite:
    return hpke.Suite(_KEMS[method], hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)


def _unwrap_rsa(envelope: Envelope, private_key: rsa.RSAPrivateKey | RsaDecrypt) -> bytes:
    def decrypt(ciphertext: bytes) -> bytes:
        return (
            private_key.decrypt(ciphertext, _OAEP)
            if isinstance(private_key, rsa.RSAPrivateKey)
            else private_key(ciphertext)
        )

    if envelope.method == RSA_OAEP:
        return decrypt(envelope.ciphertext)
    if envelope.method == RSA_OAEP_KWP:
        return aes_key_unwrap_with_padding(decrypt(envelope.wrapped_key), envelope.ciphertext)
    raise ValueError("method")


def _wrap_ecdh(plaintext: bytes, key: ec.EllipticCurvePublicKey | x25519.X25519PublicKey, context: Context) -> Envelope:
    if isinstance(key, x25519.X25519PublicKey):
        own = x25519.X25519PrivateKey.generate()
        shared, public = own.exchange(key), own.public_key()
        ephemeral = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    else:
        pair = ec.generate_private_key(key.curve)
        shared = pair.exchange(ec.ECDH(), key)
        ephemeral = pair.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    kek = _derive(shared, ephemeral, context)
    return Envelope(ECDH_ES_KWP, aes_key_wrap_with_padding(kek, plaintext), ephemeral=ephemeral)


def _agree(private_key: ec.EllipticCurvePrivateKey | x25519.X25519PrivateKey, ephemeral: bytes) -> bytes:
    public = load_recipient(ephemeral)
    if isinstance(private_key, x25519.X25519PrivateKey) and isinstance(public, x25519.X25519PublicKey):
        return private_key.exchange(public)  # refuses the all-zero result (RFC 7748 §6.1)
    if isinstance(private_key, ec.EllipticCurvePrivateKey) and isinstance(public, ec.EllipticCurvePublicKey):
        return private_key.exchange(ec.ECDH(), public)
    raise ValueError("the ephemeral key is of another kind")


def _derive(shared: bytes, ephemeral: bytes, context: Context) -> bytes:
    """The key-wrapping key: bound to the method, to both public keys (the recipient is in the context) and the
    request.
    """
    info = ECDH_ES_KWP.encode("ascii") + hashlib.sha256(ephemeral).digest() + context.encode()
    return HKDF(algorithm=hashes.SHA256(), length=_KEK_SIZE, salt=None, info=info).derive(shared)


def same_recipient(one: bytes, other: bytes) -> None:
    """Raises Refused("recipient") unless both are the SubjectPublicKeyInfo of one key."""
    if not hmac.compare_digest(one, other):
        raise Refused("recipient", "not the key that the evidence binds")
