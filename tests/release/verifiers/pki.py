"""Test keys and certificates: what the attesters sign with."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID, ObjectIdentifier

NOW = datetime.datetime(2026, 6, 1, 12, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@functools.cache
def key(name: str, curve: type[ec.EllipticCurve] = ec.SECP384R1) -> ec.EllipticCurvePrivateKey:
    """A test key by name; the same name is the same key for the whole run."""
    return ec.generate_private_key(curve())


@functools.cache
def rsa_key(name: str) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def spki(of: Key) -> bytes:
    return of.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def spki_pem(of: Key) -> bytes:
    return of.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def certificate(
    subject: str,
    subject_key: Key,
    issuer: str,
    issuer_key: Key,
    *,
    ca: bool = False,
    path_length: int | None = None,
    not_before: datetime.datetime = NOW - 30 * DAY,
    not_after: datetime.datetime = NOW + 30 * DAY,
    extensions: Mapping[str, bytes] | None = None,
    critical: Sequence[str] = (),
    usage: bool = True,
    purposes: Sequence[str] = (),
    serial_number: int = 4711,
) -> bytes:
    """A certificate in DER. `extensions` maps OIDs to their values; `critical` names those among them that are."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(subject_key.public_key())
        .serial_number(serial_number)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
    )
    if ca:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
    if usage:
        builder = builder.add_extension(
            x509.KeyUsage(
                digital_signature=not ca,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=ca,
                crl_sign=ca,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ObjectIdentifier(oid) for oid in purposes]), False)
    for oid, value in (extensions or {}).items():
        extension = x509.UnrecognizedExtension(ObjectIdentifier(oid), value)
        builder = builder.add_extension(extension, critical=oid in critical)
    return builder.sign(issuer_key, hashes.SHA384()).public_bytes(Encoding.DER)


def root(common_name: str, **changes: Any) -> bytes:
    """A self-signed CA certificate; its key is `key(common_name)`."""
    return certificate(common_name, key(common_name), common_name, key(common_name), ca=True, **changes)


def with_serial_zero(der: bytes, issuer_key: ec.EllipticCurvePrivateKey) -> bytes:
    """The same certificate with serial number 0, signed again: what AMD issues and the builder refuses to make."""
    parsed = x509.load_der_x509_certificate(der)
    tbs = parsed.tbs_certificate_bytes
    number = parsed.serial_number.to_bytes(2)
    at = tbs.index(b"\x02\x02" + number)
    zero = tbs[:at] + b"\x02\x01\x00" + tbs[at + 4 :]
    header = 2 + (zero[1] & 0x7F if zero[1] & 0x80 else 0)
    inner = sequence(zero[header:])
    algorithm = parsed.signature_algorithm_oid
    assert algorithm == x509.SignatureAlgorithmOID.ECDSA_WITH_SHA384
    identifier = bytes.fromhex("300a06082a8648ce3d040303")
    signature = issuer_key.sign(inner, ec.ECDSA(hashes.SHA384()))
    return sequence(inner + identifier + tlv(0x03, b"\0" + signature))


def tlv(tag: int, value: bytes) -> bytes:
    """A DER element."""
    size = len(value)
    if size < 0x80:
        return bytes((tag, size)) + value
    octets = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes((tag, 0x80 | len(octets))) + octets + value


def sequence(value: bytes) -> bytes:
    return tlv(0x30, value)


def pem(*ders: bytes) -> bytes:
    return b"".join(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in ders)


def raw_signature(
    signer: ec.EllipticCurvePrivateKey,
    message: bytes,
    algorithm: hashes.HashAlgorithm,
    size: int,
    order: Literal["big", "little"] = "big",
) -> bytes:
    """r and s, `size` bytes each."""
    r, s = decode_dss_signature(signer.sign(message, ec.ECDSA(algorithm)))
    return r.to_bytes(size, order) + s.to_bytes(size, order)
