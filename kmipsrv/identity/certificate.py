"""A verified client certificate -> an Identity (KMIP 2.1 §10.3: the channel authenticates the client).

The rules, in order:

1. *Trust domain.* Every configured file of client CAs is a trust domain. A certificate belongs to the domain of the
   first configured CA on its path, walking up from the certificate and checking each signature, so two CAs that
   issue the same subject never meet. TLS has verified the path before; here it is only found out which one it was.
   A CA may stand in one domain only.
2. *Name.* The one URI of the Subject Alternative Name, or else the full subject as RFC 4514 text. Neither the key
   nor the serial number counts: a renewed certificate is the same client. A URI has a scheme and a subject begins
   with `attribute=`, so neither can be mistaken for the other.
3. *Owner.* `domain:name`, which is injective because domains hold no colon; or what the table of owners says, by
   which several certificates come to one owner.
4. *Denied.* The operator's list of SHA-256 fingerprints: a path with one of these certificates on it leads nowhere.
5. *Validity.* The instants in which every certificate of the path is valid. TLS looks at them once, at the full
   handshake; the server compares them with the clock for every request.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from kmipsrv.domain.identity import Identity

_DOMAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# RFC 3986 §3.1: scheme = ALPHA *( ALPHA / DIGIT / "+" / "-" / "." ); the rest is printable ASCII without spaces.
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[\x21-\x7e]+")
_MAX_NAME = 1024  # characters; the owner stands in every row
_MAX_PATH = 8  # certificates between the client's and the CA
_CACHED = 4096  # identities remembered per process
# What cryptography raises, at loading or at the first look inside, for a certificate that is not one.
_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


class CertificateRefused(Exception):
    """The certificate names no client of this server; the message says why, for the log."""


@dataclass(frozen=True, slots=True)
class TrustDomain:
    """One file of client CAs. All clients that its CAs issue live under `name`, and in the tenant, if one is
    given."""

    name: str
    pem: bytes
    tenant: str = ""


class Identities:
    """Finds the Identity of a certificate; remembers what it found under the SHA-256 of the certificate.

    `owners` maps (domain, name) to an owner: a word of the operator's own, or the `domain:name` of another
    certificate whose objects this one is to share; `denied` holds the SHA-256 of
    certificates that no longer count. Raises ValueError for a bad domain name, a file without a CA, a
    CA in two domains or an owner for a domain that is not configured.
    """

    def __init__(
        self,
        domains: Sequence[TrustDomain],
        owners: Mapping[tuple[str, str], str] | None = None,
        *,
        denied: Collection[bytes] = (),
        remembered: int = _CACHED,
    ) -> None:
        self._owners = dict(owners or {})
        self._denied = frozenset(denied)
        self._anchors: dict[bytes, list[tuple[x509.Certificate, TrustDomain]]] = {}  # by the DER of the subject
        self._found: OrderedDict[bytes, Identity] = OrderedDict()
        self._remembered = remembered
        if not domains:
            raise ValueError("no file of client CAs is configured: nobody could connect")
        homes: dict[tuple[bytes, bytes], str] = {}
        for domain in domains:
            if not _DOMAIN.fullmatch(domain.name):
                raise ValueError(f"{domain.name!r} is not a trust domain's name: use letters, digits and . _ -")
            for anchor in _load(domain):
                subject = anchor.subject.public_bytes()
                key = anchor.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
                home = homes.setdefault((subject, key), domain.name)
                if home != domain.name:
                    text = anchor.subject.rfc4514_string()
                    raise ValueError(f"the CA {text} stands in the trust domains {home} and {domain.name}: keep one")
                self._anchors.setdefault(subject, []).append((anchor, domain))
        names = {domain.name for domain in domains}
        if len(names) != len(domains):
            raise ValueError("two trust domains have the same name")
        for (home, name), owner in self._owners.items():
            if home not in names:
                raise ValueError(f"an owner is given to {name!r} of the trust domain {home!r}, which does not exist")
            if not owner:
                raise ValueError(f"the owner given to {name!r} of {home} is empty")

    @property
    def certificates(self) -> str:
        """All configured CAs as PEM, for the TLS context to verify with."""
        anchors = (anchor for group in self._anchors.values() for anchor, _ in group)
        return "".join(anchor.public_bytes(Encoding.PEM).decode("ascii") for anchor in anchors)

    def identify(self, certificate: bytes, chain: Iterable[bytes] = ()) -> Identity:
        """The Identity of a DER certificate that TLS has verified. `chain` is what else the handshake verified.

        A resumed session brings no chain. Then the certificate is remembered, or its issuer is configured, or it is
        refused: an intermediate CA that only the clients send is known to the process that saw it, so the file of
        client CAs should hold the intermediates too. Raises CertificateRefused.
        """
        fingerprint = hashlib.sha256(certificate).digest()
        found = self._found.get(fingerprint)
        if found is None:
            found = self._identify(certificate, chain)
            self._found[fingerprint] = found
            if len(self._found) > self._remembered:
                self._found.popitem(last=False)
        else:
            self._found.move_to_end(fingerprint)
        return found

    def _identify(self, certificate: bytes, chain: Iterable[bytes]) -> Identity:
        try:
            leaf = x509.load_der_x509_certificate(certificate)
            between = [x509.load_der_x509_certificate(der) for der in chain]
            name = _name(leaf)
            path, domain = self._path(leaf, between)
            for step in path:
                if step.fingerprint(hashes.SHA256()) in self._denied:
                    raise CertificateRefused(f"the certificate of {step.subject.rfc4514_string()} is in tls.denied")
            common_names = leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
            return Identity(
                domain=domain.name,
                name=name,
                owner=self._owners.get((domain.name, name), f"{domain.name}:{name}"),
                tenant=domain.tenant,
                not_before=max(step.not_valid_before_utc.timestamp() for step in path),
                not_after=min(step.not_valid_after_utc.timestamp() for step in path),
                common_name=str(common_names[0].value) if len(common_names) == 1 else "",
            )
        except _UNREADABLE as error:
            raise CertificateRefused(f"the certificate cannot be read: {error}") from error

    def _path(
        self, leaf: x509.Certificate, between: Sequence[x509.Certificate]
    ) -> tuple[list[x509.Certificate], TrustDomain]:
        """The certificates from the client's up to the first configured CA, and that CA's domain."""
        path = [leaf]
        while len(path) <= _MAX_PATH:
            child = path[-1]
            for anchor, domain in self._anchors.get(child.issuer.public_bytes(), ()):
                if _issued(child, anchor):
                    return [*path, anchor], domain
            parent = next((step for step in between if step not in path and _issued(child, step)), None)
            if parent is None:
                break
            path.append(parent)
        raise CertificateRefused(
            "no configured CA has issued the certificate; if an intermediate CA has, add it to the file of client CAs"
        )


def public_key(certificate: bytes) -> bytes:
    """The SubjectPublicKeyInfo of a DER certificate, in DER: what a client's evidence covers. Raises CertificateRefused."""
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
        return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except _UNREADABLE as error:
        raise CertificateRefused(f"the certificate's key cannot be read: {error}") from error


def _load(domain: TrustDomain) -> list[x509.Certificate]:
    try:
        anchors = x509.load_pem_x509_certificates(domain.pem)
    except ValueError as error:
        raise ValueError(f"the client CAs of the trust domain {domain.name} are not PEM certificates") from error
    for anchor in anchors:
        try:
            authority = anchor.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        except x509.ExtensionNotFound:
            authority = False
        if not authority:
            text = anchor.subject.rfc4514_string()
            raise ValueError(f"{text} among the client CAs of {domain.name} is not the certificate of a CA")
    return anchors


def _issued(child: x509.Certificate, parent: x509.Certificate) -> bool:
    """Whether `parent` is who signed `child`."""
    try:
        child.verify_directly_issued_by(parent)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _name(leaf: x509.Certificate) -> str:
    """The URI of the Subject Alternative Name, or else the subject. Raises CertificateRefused."""
    try:
        alternative = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = alternative.get_values_for_type(x509.UniformResourceIdentifier)
    except x509.ExtensionNotFound:
        uris = []
    if len(uris) > 1:
        raise CertificateRefused("the certificate has more than one URI: which of them is the client?")
    if uris and not _URI.fullmatch(uris[0]):
        raise CertificateRefused("the URI in the certificate's Subject Alternative Name is not a URI")
    name = uris[0] if uris else leaf.subject.rfc4514_string()
    if not name:
        raise CertificateRefused("the certificate has neither a subject nor a URI")
    if len(name) > _MAX_NAME:
        raise CertificateRefused(f"the certificate's name is longer than {_MAX_NAME} characters")
    return name
