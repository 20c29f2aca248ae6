"""Key wrapping (KMIP 2.1 §3.3 Key Wrapping Data, §7.18 Key Wrapping Specification; 1.4 §2.1.5, §2.1.6).

What is wrapped is bytes: the TTLV-encoded Key Value or the bare Key Material, as the Encoding Option says; that choice and
the encoding are the caller's. Encryption is by a symmetric key (AES Key Wrap, RFC 3394, unless a Block Cipher Mode is
named; RFC 5649; any mode of `ciphers`) or an RSA public key (OAEP, PKCS#1); authentication is by a MAC or a signature.

Two things that the texts leave open: Key Wrapping Data has no field for an Authenticated Encryption Tag, so the tag
follows the ciphertext, as RFC 5116 has it; and the MAC or signature of MAC/sign-then-encrypt is one of the Key Value in clear and
stands, unencrypted, in the MAC/Signature field, the only place there is for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from kmipsrv.crypto import asymmetric, ciphers, macs, signatures
from kmipsrv.crypto.failures import NotAuthentic, bad, failure, unsupported
from kmipsrv.crypto.formats import PrivateKey, PublicKey
from kmipsrv.crypto.padding import Random
from kmipsrv.crypto.parameters import NONE, Parameters, check_role
from kmipsrv.spec.enums import BlockCipherMode, CryptographicAlgorithm, WrappingMethod

_W: Final = WrappingMethod
_ENCRYPTS: Final = frozenset({_W.ENCRYPT, _W.ENCRYPT_THEN_MAC_SIGN, _W.MAC_SIGN_THEN_ENCRYPT})
_AUTHENTICATES: Final = frozenset({_W.MAC_SIGN, _W.ENCRYPT_THEN_MAC_SIGN, _W.MAC_SIGN_THEN_ENCRYPT})

SERVED: Final = _ENCRYPTS | _AUTHENTICATES
"""The Wrapping Methods of this server (TR-31 is not one)."""


@dataclass(frozen=True, slots=True)
class WrappingKey:
    """A key of the Encryption or MAC/Signature Key Information with its Cryptographic Parameters.

    `key` is bytes for a symmetric key of `algorithm`, or a key pair's half: public to encrypt and to verify, private to
    sign and to decrypt.
    """

    algorithm: CryptographicAlgorithm
    key: bytes | PrivateKey | PublicKey
    parameters: Parameters = NONE

    def __repr__(self) -> str:
        return f"WrappingKey({self.algorithm.text})"


@dataclass(frozen=True, slots=True)
class Wrapped:
    """What goes into the Key Block: the wrapped bytes, and the fields of Key Wrapping Data that arose."""

    data: bytes
    iv: bytes | None = None
    mac_signature: bytes | None = None


def wrap(
    method: WrappingMethod,
    value: bytes,
    *,
    encryption: WrappingKey | None = None,
    authentication: WrappingKey | None = None,
    random: Random,
    allow_legacy: bool = False,
) -> Wrapped:
    """Wrap a Key Value. An IV that the mode needs is always generated: the specification has no field to ask for one.

    Raises Bad and Unsupported Cryptographic Parameters, Cryptographic Failure.
    """
    _check(method, encryption, authentication)
    if method == _W.MAC_SIGN:
        return Wrapped(value, mac_signature=_authenticate(authentication, value, allow_legacy))
    data, iv = _encrypt(encryption, value, random, allow_legacy)
    if method == _W.ENCRYPT:
        return Wrapped(data, iv)
    covered = data if method == _W.ENCRYPT_THEN_MAC_SIGN else value
    return Wrapped(data, iv, _authenticate(authentication, covered, allow_legacy))


def unwrap(
    method: WrappingMethod,
    data: bytes,
    *,
    encryption: WrappingKey | None = None,
    authentication: WrappingKey | None = None,
    iv: bytes | None = None,
    mac_signature: bytes | None = None,
    allow_legacy: bool = False,
) -> bytes:
    """The Key Value inside; `NotAuthentic` (Cryptographic Failure) when MAC, signature or integrity check fail."""
    _check(method, encryption, authentication)
    if (mac_signature is not None) != (method in _AUTHENTICATES):
        raise bad("the wrapping method and the MAC/signature do not go together")
    if method == _W.ENCRYPT_THEN_MAC_SIGN:
        # the order matters: nothing is decrypted that is not authentic
        _verify(authentication, data, mac_signature, allow_legacy)
    value = _decrypt(encryption, data, iv, allow_legacy) if method in _ENCRYPTS else data
    if method in (_W.MAC_SIGN, _W.MAC_SIGN_THEN_ENCRYPT):
        _verify(authentication, value, mac_signature, allow_legacy)
    return value


def _check(method: WrappingMethod, encryption: WrappingKey | None, authentication: WrappingKey | None) -> None:
    if method not in SERVED:
        raise unsupported(f"the wrapping method {method.text} is not available on this server")
    if (encryption is not None) != (method in _ENCRYPTS):
        raise bad(f"the wrapping method {method.text} and the encryption key information do not go together")
    if (authentication is not None) != (method in _AUTHENTICATES):
        raise bad(f"the wrapping method {method.text} and the MAC/signature key information do not go together")


def _parameters(key: WrappingKey) -> Parameters:
    """The parameters of the wrapping cipher: RFC 3394 for an AES key that names no mode; the role has done its work."""
    check_role("wrap", key.parameters.key_role_type)
    given = replace(key.parameters, key_role_type=None)
    if given.block_cipher_mode is None and key.algorithm == CryptographicAlgorithm.AES:
        return replace(given, block_cipher_mode=BlockCipherMode.NIST_KEY_WRAP)
    return given


def _encrypt(key: WrappingKey | None, value: bytes, random: Random, allow_legacy: bool) -> tuple[bytes, bytes | None]:
    assert key is not None  # _check
    given = _parameters(key)
    if not isinstance(key.key, bytes):
        return asymmetric.encrypt(key.key, given, value, random=random, allow_legacy=allow_legacy), None  # type: ignore[arg-type]
    if ciphers.iv_bytes(key.algorithm, given):
        given = replace(given, random_iv=True)
    made = ciphers.encrypt(key.algorithm, key.key, given, value, random=random, allow_legacy=allow_legacy)
    return made.data + (made.tag or b""), made.iv


def _decrypt(key: WrappingKey | None, data: bytes, iv: bytes | None, allow_legacy: bool) -> bytes:
    assert key is not None  # _check
    given = _parameters(key)
    if not isinstance(key.key, bytes):
        if iv:
            raise bad("the wrapping key has no initialization vector")
        return asymmetric.decrypt(key.key, given, data, allow_legacy=allow_legacy)  # type: ignore[arg-type]
    size = ciphers.tag_bytes(key.algorithm, given)
    if len(data) < size:
        raise failure("the wrapped key is shorter than its tag")
    tag = data[len(data) - size :] if size else None
    return ciphers.decrypt(
        key.algorithm, key.key, given, data[: len(data) - size], iv=iv, tag=tag, allow_legacy=allow_legacy
    )


def _authenticate(key: WrappingKey | None, data: bytes, allow_legacy: bool) -> bytes:
    assert key is not None  # _check
    if isinstance(key.key, bytes):
        return macs.mac(key.algorithm, key.key, key.parameters, data, allow_legacy=allow_legacy)
    return signatures.sign(key.key, key.parameters, data, allow_legacy=allow_legacy)  # type: ignore[arg-type]


def _verify(key: WrappingKey | None, data: bytes, mac_signature: bytes | None, allow_legacy: bool) -> None:
    assert key is not None  # _check
    if not mac_signature:
        raise NotAuthentic("the wrapped key has no MAC or signature")
    if isinstance(key.key, bytes):
        macs.verify_mac(key.algorithm, key.key, key.parameters, data, mac_signature, allow_legacy=allow_legacy)
    else:
        signatures.verify(key.key, key.parameters, mac_signature, data, allow_legacy=allow_legacy)  # type: ignore[arg-type]
