"""The throw-away authority and the certificates that it signs (RFC 5280; extended key usages: its §4.2.1.12).

EC P-256 keys and ECDSA with SHA-256, which every TLS 1.2 and 1.3 client knows. Clients may sign nothing and servers may
not act as clients: the extended key usage says what a certificate is for, and `doctor` looks at it.
"""

from __future__ import annotations

import datetime
import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kmipsrv.cli import files
from kmipsrv.errors import ConfigError

AUTHORITY_DAYS: Final = 3650
DAYS: Final = 825  # what strict clients accept at most of a server
BACKDATED: Final = datetime.timedelta(hours=1)  # clocks differ
LOCAL: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, which no repr shows."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def new_key() -> ec.EllipticCurvePrivateKey:
    """A fresh EC P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def authority(key: ec.EllipticCurvePrivateKey, now: datetime.datetime) -> Pair:
    """A self-signed authority that may sign end certificates only (path length 0)."""
    name = _subject("kmipsrv throw-away CA")
    builder = (
        _builder(name, name, key.public_key(), now, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
    )
    return Pair(builder.sign(key, hashes.SHA256()), key)


def server(
    issuer: Pair, key: ec.EllipticCurvePrivateKey, hosts: Sequence[str], now: datetime.datetime, days: int = DAYS
) -> Pair:
    """A server's certificate for these host names and addresses; the first is its common name."""
    names: list[x509.GeneralName] = []
    for host in hosts:
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return _end(issuer, key, hosts[0], names, ExtendedKeyUsageOID.SERVER_AUTH, now, days)


def client(
    issuer: Pair, key: ec.EllipticCurvePrivateKey, name: str, now: datetime.datetime, days: int = DAYS, uri: str = ""
) -> Pair:
    """A client's certificate. Who the client is: the URI if there is one, or else the subject, `CN=name`."""
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri)] if uri else []
    return _end(issuer, key, name, names, ExtendedKeyUsageOID.CLIENT_AUTH, now, days)


def _end(
    issuer: Pair,
    key: ec.EllipticCurvePrivateKey,
    name: str,
    names: Sequence[x509.GeneralName],
    purpose: x509.ObjectIdentifier,
    now: datetime.datetime,
    days: int,
) -> Pair:
    builder = (
        _builder(_subject(name), issuer.certificate.subject, key.public_key(), now, days)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return Pair(builder.sign(issuer.key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime.datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


# --- files ----------------------------------------------------------------------------------------------------------


def certificate_name(text: str) -> str:
    """A client's name as it is used for its files and its common name; ValueError unless both can hold it."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}", text) is None:  # RFC 5280 ub-common-name: 64
        raise ValueError("a name has 1 to 64 letters, digits and . _ @ + - and begins with a letter or digit")
    return text


def write_key(key: ec.EllipticCurvePrivateKey, path: Path, *, replace: bool = False) -> None:
    """The private key as PKCS#8 PEM, not encrypted, mode 0600."""
    files.write(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), replace=replace)


def write_certificate(certificate: x509.Certificate, path: Path, *, replace: bool = False) -> None:
    """The certificate as PEM."""
    files.write(path, certificate.public_bytes(Encoding.PEM), replace=replace)


def read_certificates(path: Path) -> list[x509.Certificate]:
    """The certificates in a PEM file; ConfigError if there are none."""
    try:
        return x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror})") from None
    except ValueError:
        raise ConfigError(f"{path} holds no certificate (PEM)") from None


def read_key(path: Path) -> ec.EllipticCurvePrivateKey:
    """An EC private key; ConfigError if there is none."""
    key = _load_key(path)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ConfigError(f"{path} is not an EC key; kmipsrv signs with EC P-256 keys only")
    return key


def read_authority(certificate: Path, key: Path) -> Pair:
    """The authority that signs; ConfigError if the two files do not belong together."""
    pair = Pair(read_certificates(certificate)[0], read_key(key))
    check_pair(pair.certificate, key)
    return pair


def hosts(certificate: x509.Certificate) -> list[str]:
    """The host names and addresses that a server's certificate is for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in names if isinstance(name, x509.DNSName | x509.IPAddress)]


def check_pair(certificate: x509.Certificate, key: Path) -> None:
    """Raise ConfigError unless the private key in this file is the certificate's."""

    spki = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if certificate.public_key().public_bytes(*spki) != _load_key(key).public_key().public_bytes(*spki):
        raise ConfigError(f"{key} is not the key of {certificate.subject.rfc4514_string()}")


def check_issued(certificate: x509.Certificate, issuers: Sequence[x509.Certificate]) -> None:
    """Raise ConfigError unless one of the issuers signed the certificate."""
    for issuer in issuers:
        try:
            certificate.verify_directly_issued_by(issuer)
            return
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            continue
    raise ConfigError(f"{certificate.subject.rfc4514_string()} is signed by none of these authorities")


def _load_key(path: Path) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror})") from None
    except TypeError:
        raise ConfigError(f"{path} is encrypted; the server needs it without a password") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError(f"{path} holds no private key (PEM)") from None
