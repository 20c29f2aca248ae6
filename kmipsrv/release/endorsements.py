"""Endorsements (RFC 9334 §8.2) and trust anchors: all that an operator gives so that evidence can be verified.

A bag, filled from files in any order: certificates (DER, PEM), chains of them, CRLs, public keys (PEM, DER), JWK and
JWKS, AMD's host certificate JSON (THIM) and DCAP collateral JSON. Binary files may come as hexadecimal or base64 text.

What is an anchor is decided here, once, for all verifiers:

1. A self-issued CA certificate in a file of CA certificates is an anchor: somebody meant it as one.
2. A chain that comes with a device (a file that also holds an end-entity certificate, a THIM file, DCAP collateral)
   brings certificates to build paths with, but its root is an anchor only if it is one of the vendors' well-known
   roots, pinned below by fingerprint, and only where no anchor has been given by (1).
3. Bare public keys and JWKs are anchors themselves.

Nothing in the evidence ever enters the bag.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from kmipsrv.release.canonical import Json, loads
from kmipsrv.release.refusal import Refused
from kmipsrv.release.text import decoded, from_base64
from kmipsrv.release.verifiers import der
from kmipsrv.release.verifiers.certificate import Certificate, PublicKey, checked_public_key, public_key_from_spki

MAX_FILE = 4 * 1024 * 1024
MAX_ITEMS = 1024

# SHA-256 of the certificate in DER, as the vendors publish it.
WELL_KNOWN_ROOTS: dict[str, str] = {
    "44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3": "Intel SGX Root CA",
    "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b": "AWS Nitro Enclaves Root G1",
    "102bf659d5419614c9d8e6aecebc80454eb26b1df6a769ac720b9a690b167b48": "NVIDIA Device Identity CA",
    "69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd": "AMD ARK-Milan",
    "4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1": "AMD ARK-Genoa",
    "1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a": "AMD ARK-Turin",
}

_LABEL = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----")
_COLLATERAL = {
    "pck_crl_issuer_chain",
    "root_ca_crl",
    "pck_crl",
    "tcb_info_issuer_chain",
    "tcb_info",
    "tcb_info_signature",
    "qe_identity_issuer_chain",
    "qe_identity",
    "qe_identity_signature",
}


@dataclass(frozen=True, slots=True)
class Endorsements:
    """The bag. `anchors` holds the certificates of rule 1, `pinned` those of rule 2; use `roots`."""

    certificates: tuple[Certificate, ...] = ()
    anchors: tuple[Certificate, ...] = ()
    pinned: tuple[Certificate, ...] = ()
    crls: tuple[x509.CertificateRevocationList, ...] = ()
    public_keys: tuple[PublicKey, ...] = ()
    jwks: tuple[dict[str, Json], ...] = ()
    collateral: tuple[dict[str, str], ...] = ()

    @property
    def roots(self) -> tuple[Certificate, ...]:
        """Where a path may end: in what was given as an anchor, or else in well-known roots that came along."""
        return self.anchors or self.pinned

    @property
    def keys(self) -> tuple[PublicKey, ...]:
        """The bare public keys, those given as JWK included where they are of a kind that verifies signatures here."""
        return self.public_keys + tuple(key for key in map(_key_of_jwk, self.jwks) if key is not None)

    def __add__(self, other: Endorsements) -> Endorsements:
        return Endorsements(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    @classmethod
    def parse(cls, files: Iterable[bytes]) -> Endorsements:
        """Read the contents of files. Raises Refused("endorsements") when one is nothing that is known here."""
        bag = cls()
        for content in files:
            try:
                bag += _parse(content)
            except (ValueError, TypeError, LookupError, RecursionError, UnsupportedAlgorithm, JoseError) as error:
                raise Refused("endorsements", "not certificates, keys, CRLs, JWKs or DCAP collateral") from error
            if sum(len(getattr(bag, field.name)) for field in fields(bag)) > MAX_ITEMS:
                raise Refused("endorsements", f"more than {MAX_ITEMS} items")
        return bag


def _parse(content: bytes) -> Endorsements:
    if len(content) > MAX_FILE:
        raise ValueError("file too large")
    content = decoded(content)
    if content.lstrip()[:1] in (b"{", b"["):
        return _parse_json(loads(content, limit=MAX_FILE))
    if b"-----BEGIN " in content:
        return _parse_pem(content)
    bag = Endorsements()
    certificates: list[Certificate] = []
    offset = 0
    while offset < len(content):
        element = der.read(content, offset)
        kind = _kind_of_der(element)
        if kind == "CERTIFICATE":
            certificates.append(Certificate(element.encoded))
        else:
            bag += _parse_block(kind, element.encoded)
        offset = element.end
    if not content:
        raise ValueError("empty file")
    return bag + _chain(certificates)


def _kind_of_der(element: der.Element) -> str:
    """Tells the three things apart by the shape of their first field (RFC 5280 §4.1, §5.1, §4.1.2.7)."""
    children = list(element.children()) if element.tag == der.SEQUENCE else []
    if len(children) == 2 and children[1].tag == der.BIT_STRING:
        return "PUBLIC KEY"
    inner = list(children[0].children()) if len(children) == 3 and children[0].tag == der.SEQUENCE else []
    if inner and inner[0].tag == 0xA0:
        return "CERTIFICATE"
    if inner and inner[0].tag == der.INTEGER:
        return "X509 CRL"
    raise ValueError("DER of an unknown kind")


def _parse_pem(content: bytes) -> Endorsements:
    bag = Endorsements()
    certificates: list[Certificate] = []
    for label, data in pem_blocks(content, MAX_ITEMS):
        if label == b"CERTIFICATE":
            certificates.append(Certificate(data))
        else:
            bag += _parse_block(label.decode("ascii"), data)
    if not certificates and bag == Endorsements():
        raise ValueError("PEM without a block")
    return bag + _chain(certificates)


def certificates_of_pem(content: bytes, limit: int = MAX_ITEMS) -> list[Certificate]:
    """The certificates of a PEM text, in their order. Raises ValueError, also where there are more than `limit`."""
    return [Certificate(data) for label, data in pem_blocks(content, limit) if label == b"CERTIFICATE"]


def pem_blocks(content: bytes, limit: int) -> Iterator[tuple[bytes, bytes]]:
    """The blocks of a PEM text (RFC 7468 §3) with their labels; text around them is skipped. One pass over the text:
    a block that does not end is an error, not a reason to look further. Raises ValueError."""
    offset = 0
    for _ in range(limit):
        begin = content.find(b"-----BEGIN ", offset)
        if begin < 0:
            return
        match = _LABEL.match(content, begin)
        if match is None:
            raise ValueError("PEM: malformed label")
        footer = b"-----END " + match[1] + b"-----"
        end = content.find(footer, match.end())
        if end < 0:
            raise ValueError("PEM: a block does not end")
        yield match[1], from_base64(b"".join(content[match.end() : end].split()))
        offset = end + len(footer)
    if content.find(b"-----BEGIN ", offset) >= 0:
        raise ValueError("PEM: too many blocks")


def _parse_block(label: str, data: bytes) -> Endorsements:
    if label == "PUBLIC KEY":
        return Endorsements(public_keys=(public_key_from_spki(data),))
    if label == "X509 CRL":
        try:
            return Endorsements(crls=(x509.load_der_x509_crl(data),))
        except x509.InvalidVersion as error:
            raise ValueError("a CRL of an unknown version") from error
    raise ValueError("a block of this kind is not an endorsement")  # private keys above all


def _chain(certificates: list[Certificate], *, device: bool = False) -> Endorsements:
    """Rules 1 and 2 of the module."""
    device = device or not all(certificate.is_ca for certificate in certificates)
    roots = tuple(certificate for certificate in certificates if certificate.is_ca and certificate.self_issued)
    known = tuple(root for root in roots if root.fingerprint in WELL_KNOWN_ROOTS)
    return Endorsements(tuple(certificates), () if device else roots, known if device else ())


def _parse_json(value: Json) -> Endorsements:
    if not isinstance(value, dict):
        raise ValueError("JSON of an unknown kind")
    keys = value.get("keys")
    if isinstance(keys, list):  # JWK Set, RFC 7517 §5
        # A set can be bound to its issuer (no member of RFC 7517 says whose keys these are): its keys sign for no other.
        issuer = {"issuer": value["issuer"]} if "issuer" in value else {}
        return Endorsements(jwks=tuple({**_jwk(key), **issuer} for key in keys))
    if "kty" in value:
        return Endorsements(jwks=(_jwk(value),))
    if value.keys() >= _COLLATERAL:
        return _parse_collateral(value)
    if "vcekCert" in value and "certificateChain" in value:  # AMD host certificates as Azure's THIM hands them out
        text = f"{value['vcekCert']}\n{value['certificateChain']}".encode()
        return _chain(certificates_of_pem(text), device=True)
    raise ValueError("JSON of an unknown kind")


def _parse_collateral(value: dict[str, Json]) -> Endorsements:
    collateral: dict[str, str] = {}
    for name, text in value.items():
        if not isinstance(text, str):
            raise ValueError("DCAP collateral: not a string")
        collateral[name] = text
    chains = "".join(collateral[name] for name in sorted(_COLLATERAL) if name.endswith("_chain")).encode()
    certificates = list(dict.fromkeys(certificates_of_pem(chains)))
    return _chain(certificates, device=True) + Endorsements(collateral=(collateral,))


_JWK_KINDS: dict[str, type[ECKey] | type[RSAKey] | type[OKPKey]] = {"EC": ECKey, "RSA": RSAKey, "OKP": OKPKey}


def _jwk(value: Json) -> dict[str, Json]:
    """A public JWK (RFC 7517 §4) as it came. Private and symmetric keys are refused: they are no endorsements."""
    if not isinstance(value, dict) or not isinstance(value.get("kty"), str):
        raise ValueError("not a JWK")
    if "d" in value or value["kty"] == "oct":
        raise ValueError("a JWK that holds a secret is not an endorsement")
    return value


def _key_of_jwk(jwk: dict[str, Json]) -> PublicKey | None:
    kind = _JWK_KINDS.get(str(jwk["kty"]))
    try:
        return checked_public_key(kind.import_key(jwk).public_key) if kind else None
    except (ValueError, TypeError, LookupError, JoseError):
        return None  # of no use, and harmless: a key set may hold keys for other purposes
