"""Certificates made on the spot: CAs, servers and clients, with whatever a test needs to be odd about them."""

from __future__ import annotations

import datetime
import time
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Key = ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Certified:
    """A certificate, its key and the intermediate certificates that belong with it."""

    certificate: x509.Certificate
    key: Key
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def pem(self) -> bytes:
        return b"".join(one.public_bytes(Encoding.PEM) for one in (self.certificate, *self.chain))

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def save(self, folder: Path, name: str) -> tuple[Path, Path]:
        certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
        certificate.write_bytes(self.pem)
        key.write_bytes(self.key_pem)
        return certificate, key


def subject(text: str) -> x509.Name:
    return x509.Name.from_rfc4514_string(text)


@dataclass(frozen=True)
class CA(Certified):
    """A certificate authority."""

    def issue(
        self,
        name: str,
        *,
        uris: tuple[str, ...] = (),
        server: bool = False,
        authority: bool = False,
        days: tuple[float, float] = (-1, 30),
        key: Key | None = None,
    ) -> Certified:
        """`name`: the subject as RFC 4514 text; `days`: validity relative to now."""
        return _certificate(name, self, uris, server, authority, days, key)

    def intermediate(self, name: str) -> CA:
        made = _certificate(name, self, (), False, True, (-1, 30), None)
        return CA(made.certificate, made.key, made.chain)


def authority(name: str = "CN=Test CA") -> CA:
    made = _certificate(name, None, (), False, True, (-1, 30), None)
    return CA(made.certificate, made.key)


def _certificate(
    name: str,
    issuer: CA | None,
    uris: tuple[str, ...],
    server: bool,
    is_authority: bool,
    days: tuple[float, float],
    key: Key | None,
) -> Certified:
    key = key or ec.generate_private_key(ec.SECP256R1())
    signer = issuer.key if issuer else key
    now = datetime.datetime.fromtimestamp(time.time(), datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject(name))
        .issuer_name(issuer.certificate.subject if issuer else subject(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=days[0]))
        .not_valid_after(now + datetime.timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if not is_authority:
        usage = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(uri) for uri in uris]
    if server:
        names.append(x509.DNSName(str(subject(name).get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    chain = () if issuer is None or _is_root(issuer) else (issuer.certificate, *issuer.chain)
    return Certified(builder.sign(signer, hashes.SHA256()), key, chain)


def _is_root(one: CA) -> bool:
    return one.certificate.issuer == one.certificate.subject
