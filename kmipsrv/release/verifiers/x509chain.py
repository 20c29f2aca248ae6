"""Certification paths (RFC 5280 §6.1), strict and bounded: from one end-entity certificate to one given anchor.

1. Every certificate of the path, the anchor included, is valid at `now` (§4.1.2.5). A caller may let the validity of the
   end-entity certificate begin a little early (`lead`), never end late.
2. Every issuer is a CA by its basic constraints (§4.2.1.9), may sign certificates by its key usage (§4.2.1.3), and its
   path length constraint holds.
3. Each signature verifies with the issuer's key, by an algorithm that is still good.
4. No certificate has a critical extension that is not understood here (§4.2).
5. Where CRLs of an issuer are given, one of them is current, all verify, and none lists the certificate (§6.3).
6. The path ends in an anchor. Anchors are an argument; a root that merely came along is a certificate like any other.

Names are compared as DER. Key identifiers are hints that this search does not need.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519

from kmipsrv.release.canonical import Json
from kmipsrv.release.refusal import Refused
from kmipsrv.release.verifiers.certificate import (
    BASIC_CONSTRAINTS,
    EXTENDED_KEY_USAGE,
    KEY_USAGE,
    Certificate,
    verify_with_parameters,
)

MAX_PATH: Final = 8
MAX_SIGNATURES: Final = 32  # bounds the work on a bag of certificates that all have one name

# Critical extensions that do no harm here, or are applied: what a certificate is for, whose it is, where to ask about it.
# Name and policy constraints are not among them.
_UNDERSTOOD: Final = {
    BASIC_CONSTRAINTS,
    KEY_USAGE,
    EXTENDED_KEY_USAGE,
    "2.5.29.14",  # subjectKeyIdentifier
    "2.5.29.17",  # subjectAltName
    "2.5.29.31",  # cRLDistributionPoints
    "2.5.29.32",  # certificatePolicies
    "2.5.29.35",  # authorityKeyIdentifier
}

Path = tuple[Certificate, ...]


class _Search:
    def __init__(
        self,
        candidates: Iterable[Certificate],
        anchors: Sequence[Certificate],
        now: datetime.datetime,
        crls: Sequence[x509.CertificateRevocationList],
    ) -> None:
        self.anchors = anchors
        self.candidates = [certificate for certificate in dict.fromkeys(candidates) if certificate not in anchors]
        self.now = now
        self.crls = crls
        self.signatures = 0
        self.problem = "no path to a trust anchor"

    def extend(self, path: Path) -> Path | None:
        """The path, continued to an anchor, or None with `problem` set."""
        last = path[-1]
        for issuer in (*self.anchors, *self.candidates):
            if issuer.subject != last.issuer or issuer in path:
                continue
            if not issuer.self_issued and len(path) >= MAX_PATH:
                self.problem = "path too long"
                continue
            try:
                self.check_issuer(issuer, path)
            except ValueError as error:
                self.problem = str(error)
                continue
            extended = (*path, issuer)
            if issuer in self.anchors:  # 6.
                return extended
            if (found := self.extend(extended)) is not None:
                return found
        return None

    def check_issuer(self, issuer: Certificate, path: Path) -> None:
        check_validity(issuer, self.now)  # 1.
        check_extensions(issuer)  # 4.
        constraints, usage = issuer.basic_constraints, issuer.key_usage
        if constraints is None or not constraints.ca:  # 2.
            raise ValueError("an issuer is not a CA")
        # §4.2.1.9: "the maximum number of non-self-issued intermediate certificates that may follow this certificate"
        followers = sum(not certificate.self_issued for certificate in path[1:])
        if constraints.path_length is not None and followers > constraints.path_length:
            raise ValueError("a path length constraint is exceeded")
        if usage is not None and not usage.key_cert_sign:
            raise ValueError("an issuer may not sign certificates")
        self.signatures += 1
        if self.signatures > MAX_SIGNATURES:
            raise ValueError("too many certificates of one name")
        path[-1].verify_signed_by(issuer)  # 3.
        check_revocation(path[-1], issuer, self.crls, self.now)  # 5.


def build_path(
    leaf: Certificate,
    candidates: Iterable[Certificate],
    anchors: Sequence[Certificate],
    now: datetime.datetime,
    crls: Sequence[x509.CertificateRevocationList] = (),
    lead: datetime.timedelta = datetime.timedelta(0),
) -> Path:
    """The path from `leaf` (first) to one of `anchors` (last). Raises Refused("chain")."""
    if not anchors:
        raise Refused("chain", "no trust anchor has been given")
    try:
        check_validity(leaf, now, lead)
        check_extensions(leaf)
    except ValueError as error:
        raise Refused("chain", str(error)) from error
    if leaf in anchors:
        raise Refused("chain", "the end-entity certificate is itself an anchor")
    search = _Search(candidates, anchors, now, crls)
    path = search.extend((leaf,))
    if path is None:
        raise Refused("chain", search.problem)
    return path


def check_validity(
    certificate: Certificate, now: datetime.datetime, lead: datetime.timedelta = datetime.timedelta(0)
) -> None:
    if now < certificate.not_before - lead:
        raise ValueError("a certificate is not valid yet")
    if now > certificate.not_after:
        raise ValueError("a certificate has expired")


def check_extensions(certificate: Certificate) -> None:
    for oid, extension in certificate.extensions.items():
        if extension.critical and oid not in _UNDERSTOOD:
            raise ValueError("a certificate has a critical extension that is not understood")


def check_revocation(
    certificate: Certificate,
    issuer: Certificate,
    crls: Sequence[x509.CertificateRevocationList],
    now: datetime.datetime,
) -> None:
    """§6.3 with the CRLs that were given; where none is given for an issuer, nothing is demanded."""
    current = False
    relevant = [crl for crl in crls if crl.issuer.public_bytes() == issuer.subject]
    for crl in relevant:
        key = issuer.public_key
        if issuer.key_usage is not None and not issuer.key_usage.crl_sign:
            raise ValueError("a CRL is signed by a key that may not sign CRLs")
        verify_with_parameters(
            key,
            crl.signature,
            crl.tbs_certlist_bytes,
            crl.signature_hash_algorithm,
            None if isinstance(key, ed25519.Ed25519PublicKey) else crl.signature_algorithm_parameters,
        )
        if crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
            raise ValueError("a certificate is revoked")
        current |= crl.next_update_utc is not None and crl.last_update_utc <= now <= crl.next_update_utc
    if relevant and not current:
        raise ValueError("no CRL of an issuer is current")


def path_claims(path: Path) -> dict[str, Json]:
    """What a path says: its anchor, and the time in which all of it is valid (seconds since 1970)."""
    return {
        "trust_anchor": path[-1].fingerprint,
        "endorsements_not_before": max(int(certificate.not_before.timestamp()) for certificate in path),
        "endorsements_not_after": min(int(certificate.not_after.timestamp()) for certificate in path),
    }
