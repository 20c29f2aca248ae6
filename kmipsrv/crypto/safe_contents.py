"""The bound on what opening a PKCS#12 container may cost, its encrypted parts included (RFC 7292 §4).

A container may ask for key-stretching in three places: its MAC, the encryption of a SafeContents, and, inside that, the
encryption of each key. The last is invisible before the second is undone, and the library undoes all of them in one
call. So the SafeContents are decrypted here first, each under the bound, and looked through. What cannot be looked into is
refused: integrity by signature, encryption to public keys, unknown algorithms, indefinite lengths.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, modes

from kmipsrv.crypto import der, rc2
from kmipsrv.crypto.ciphers import block_cipher
from kmipsrv.crypto.failures import map_errors
from kmipsrv.crypto.iterations import Iterations, bound_iterations
from kmipsrv.crypto.padding import strip
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.enums import CryptographicAlgorithm, PaddingMethod

_A: Final = CryptographicAlgorithm
_CONTEXT_0: Final = 0xA0
_DATA: Final = bytes.fromhex("2a864886f70d010701")  # 1.2.840.113549.1.7.1
_ENCRYPTED_DATA: Final = bytes.fromhex("2a864886f70d010706")
_PBES2: Final = bytes.fromhex("2a864886f70d01050d")
_PBKDF2: Final = bytes.fromhex("2a864886f70d01050c")
_HMAC: Final = {
    # 1.2.840.113549.2.x (RFC 8018 §B.1)
    bytes.fromhex("2a864886f70d0207"): "sha1",
    bytes.fromhex("2a864886f70d0208"): "sha224",
    bytes.fromhex("2a864886f70d0209"): "sha256",
    bytes.fromhex("2a864886f70d020a"): "sha384",
    bytes.fromhex("2a864886f70d020b"): "sha512",
}
_CIPHERS: Final = {
    # RFC 8018 §B.2: object identifier -> cipher, bytes of key
    bytes.fromhex("60864801650304" + "0102"): (_A.AES, 16),
    bytes.fromhex("60864801650304" + "0116"): (_A.AES, 24),
    bytes.fromhex("60864801650304" + "012a"): (_A.AES, 32),
    bytes.fromhex("2a864886f70d0307"): (_A.DES3, 24),
}
_PBE: Final = {
    # RFC 7292 §C, 1.2.840.113549.1.12.1.x with SHA-1 -> cipher, bytes of key
    bytes.fromhex("2a864886f70d010c0103"): (_A.DES3, 24),
    bytes.fromhex("2a864886f70d010c0104"): (_A.DES3, 16),
    bytes.fromhex("2a864886f70d010c0105"): (_A.RC2, 16),
    bytes.fromhex("2a864886f70d010c0106"): (_A.RC2, 5),
}


_MAX_RC2: Final = 64 * 1024
"""Bytes of RC2 that are decrypted (a few microseconds each)."""


def bound_container(material: bytes, password: bytes, iterations: Iterations) -> None:
    """Spend what opening a container asks for; refuse one that asks for more than there is.

    Raises Server Limit Exceeded, Invalid Field for what is no container or cannot be looked into, Bad Password.
    """
    iterations.spend(bound_iterations(material, iterations.left))
    for encrypted in _encrypted_parts(material):
        try:
            with map_errors("open the PKCS#12 container"):
                plain = _decrypt(encrypted, password)
        except KmipError as error:
            raise _wrong_password(error, Cause.CRYPTOGRAPHIC_FAILURE) from error
        try:
            iterations.spend(bound_iterations(plain, iterations.left))
        except KmipError as error:
            raise _wrong_password(error, Cause.INVALID_FIELD) from error


def _wrong_password(error: KmipError, cause: Cause) -> KmipError:
    """A failure of `cause` means that the password is wrong; any other stands for itself."""
    return KmipError(Cause.BAD_PASSWORD, "the PKCS#12 container does not open") if error.cause == cause else error


def _encrypted_parts(material: bytes) -> Iterator[list[tuple[int, bytes]]]:
    """The EncryptedContentInfo of each EncryptedData in the AuthenticatedSafe; other contents are in clear."""
    outer = der.children(material)
    if [tag for tag, _ in outer[:2]] != [der.INTEGER, der.SEQUENCE]:
        raise _unreadable()
    name, content = _content_info(outer[1][1])
    if name != _DATA:
        raise _unreadable()
    safe = der.children(content, der.OCTET_STRING) if content[:1] == bytes((der.OCTET_STRING,)) else []
    if [tag for tag, _ in safe] != [der.SEQUENCE]:
        raise _unreadable()
    for tag, info in der.elements(safe[0][1]):
        if tag != der.SEQUENCE:
            raise _unreadable()
        name, content = _content_info(info)
        if name == _ENCRYPTED_DATA:
            data = der.children(content)
            if [kind for kind, _ in data[:2]] != [der.INTEGER, der.SEQUENCE]:
                raise _unreadable()
            encrypted = list(der.elements(data[1][1]))
            if [kind for kind, _ in encrypted] != [der.OID, der.SEQUENCE, 0x80]:
                raise _unreadable()
            yield encrypted
        elif name != _DATA:
            raise _unreadable()


def _content_info(contents: bytes) -> tuple[bytes, bytes]:
    found = list(der.elements(contents))
    if [tag for tag, _ in found] != [der.OID, _CONTEXT_0]:
        raise _unreadable()
    return found[0][1], found[1][1]


def _decrypt(encrypted: list[tuple[int, bytes]], password: bytes) -> bytes:
    """The SafeContents of an EncryptedContentInfo."""
    algorithm, data = list(der.elements(encrypted[1][1])), encrypted[2][1]
    if len(algorithm) != 2 or algorithm[1][0] != der.SEQUENCE or len(data) % 8 or not data:
        raise _unreadable()
    name, parameters = algorithm[0][1], list(der.elements(algorithm[1][1]))
    if name == _PBES2:
        return _pbes2(parameters, password, data)
    if name not in _PBE or [tag for tag, _ in parameters] != [der.OCTET_STRING, der.INTEGER]:
        raise _unreadable()
    cipher, size = _PBE[name]
    salt, count = parameters[0][1], int.from_bytes(parameters[1][1], "big")
    key, iv = (_stretch(purpose, password, salt, count, n) for purpose, n in ((1, size), (2, 8)))
    if cipher == _A.RC2:
        if len(data) > _MAX_RC2:
            raise KmipError(Cause.SERVER_LIMIT_EXCEEDED, f"RC2 is undone for at most {_MAX_RC2} bytes")
        plain = rc2.decrypt_cbc(key, size * 8, iv, data)
        return plain[:-8] + strip(PaddingMethod.PKCS5, plain[-8:], 8)
    return _cbc(cipher, key, iv, data)


def _pbes2(parameters: list[tuple[int, bytes]], password: bytes, data: bytes) -> bytes:
    """RFC 8018 §6.2 with PBKDF2."""
    if [tag for tag, _ in parameters] != [der.SEQUENCE, der.SEQUENCE]:
        raise _unreadable()
    derivation, scheme = (list(der.elements(contents)) for _, contents in parameters)
    if [tag for tag, _ in derivation] != [der.OID, der.SEQUENCE] or derivation[0][1] != _PBKDF2:
        raise _unreadable()
    if [tag for tag, _ in scheme] != [der.OID, der.OCTET_STRING] or scheme[0][1] not in _CIPHERS:
        raise _unreadable()
    given = list(der.elements(derivation[1][1]))
    if [tag for tag, _ in given[:2]] != [der.OCTET_STRING, der.INTEGER]:
        raise _unreadable()
    prf = [list(der.elements(contents)) for tag, contents in given[2:] if tag == der.SEQUENCE]
    hashing = _HMAC.get(prf[0][0][1]) if prf and prf[0] else "sha1"
    if hashing is None:
        raise _unreadable()
    cipher, size = _CIPHERS[scheme[0][1]]
    key = hashlib.pbkdf2_hmac(hashing, password, given[0][1], int.from_bytes(given[1][1], "big"), size)
    return _cbc(cipher, key, scheme[1][1], data)


def _cbc(algorithm: CryptographicAlgorithm, key: bytes, iv: bytes, data: bytes) -> bytes:
    cipher = block_cipher(algorithm, key)
    size = cipher.block_size // 8
    context = Cipher(cipher, modes.CBC(iv)).decryptor()
    plain = context.update(data) + context.finalize()
    return plain[:-size] + strip(PaddingMethod.PKCS5, plain[-size:], size)


def _stretch(purpose: int, password: bytes, salt: bytes, count: int, size: int) -> bytes:
    """The key derivation of RFC 7292 §B.2 with SHA-1 (u = 20, v = 64): purpose 1 is a key, 2 an IV."""
    secret = password.decode("utf-8", "surrogateescape").encode("utf-16-be", "surrogatepass") + b"\0\0"
    block = _fill(salt) + _fill(secret)
    out = b""
    while len(out) < size:
        digest = bytes((purpose,)) * 64 + block
        for _ in range(count):
            digest = hashlib.sha1(digest, usedforsecurity=False).digest()
        out += digest
        step = int.from_bytes((digest * 4)[:64], "big") + 1
        block = b"".join(
            ((int.from_bytes(block[at : at + 64], "big") + step) % (1 << 512)).to_bytes(64, "big")
            for at in range(0, len(block), 64)
        )
    return out[:size]


def _fill(part: bytes) -> bytes:
    """Repeated to whole blocks of 64 bytes (§B.2 steps 2 and 3)."""
    size = 64 * -(-len(part) // 64)
    return (part * (size // len(part) + 1))[:size] if part else b""


def _unreadable() -> KmipError:
    return KmipError(Cause.INVALID_FIELD, "the PKCS#12 container is protected in a way that is not read by this server")
