"""Certification paths: each rule of RFC 5280 that the search applies, broken alone."""

from __future__ import annotations

import datetime
import itertools
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from kmipsrv.release.refusal import Refused
from kmipsrv.release.verifiers import x509chain
from kmipsrv.release.verifiers.certificate import Certificate
from kmipsrv.release.verifiers.x509chain import Path, build_path, path_claims
from tests.release.verifiers.pki import DAY, NOW, certificate, key, name, root, with_serial_zero

ROOT, CA, LEAF = "root", "ca", "leaf"


def made(subject: str, issuer: str, **changes: Any) -> Certificate:
    return Certificate(certificate(subject, key(subject), issuer, key(issuer), **changes))


def path(
    *certificates: Certificate,
    anchors: tuple[Certificate, ...] | None = None,
    now: datetime.datetime = NOW,
    **more: Any,
) -> Path:
    """The path of the first certificate, the others being candidates."""
    given = (Certificate(root(ROOT)),) if anchors is None else anchors
    return build_path(certificates[0], certificates[1:], given, now, **more)


def reason(*certificates: Certificate, **arguments: Any) -> str:
    with pytest.raises(Refused) as caught:
        path(*certificates, **arguments)
    assert caught.value.step == "chain"
    return caught.value.reason


def test_a_path() -> None:
    leaf, ca = made(LEAF, CA), made(CA, ROOT, ca=True, path_length=0, not_after=NOW + 5 * DAY)
    found = path(leaf, ca)
    assert [member.common_name for member in found] == [LEAF, CA, ROOT]
    claims = path_claims(found)
    assert claims["trust_anchor"] == found[-1].fingerprint
    assert claims["endorsements_not_after"] == (NOW + 5 * DAY).timestamp()
    assert claims["endorsements_not_before"] == (NOW - 30 * DAY).timestamp()


def test_an_intermediate_can_be_the_anchor() -> None:
    leaf, ca = made(LEAF, CA), made(CA, ROOT, ca=True)
    assert path(leaf, anchors=(ca,)) == (leaf, ca)


@pytest.mark.parametrize("broken", [LEAF, CA, ROOT])
@pytest.mark.parametrize(
    ("dates", "expected"),
    [
        ({"not_before": NOW - 9 * DAY, "not_after": NOW - datetime.timedelta(seconds=1)}, "a certificate has expired"),
        ({"not_before": NOW + datetime.timedelta(seconds=1)}, "a certificate is not valid yet"),
    ],
)
def test_validity(broken: str, dates: dict[str, Any], expected: str) -> None:
    leaf = made(LEAF, CA, **(dates if broken == LEAF else {}))
    ca = made(CA, ROOT, ca=True, **(dates if broken == CA else {}))
    anchor = Certificate(root(ROOT, **(dates if broken == ROOT else {})))
    assert reason(leaf, ca, anchors=(anchor,)) == expected


def test_validity_to_the_second() -> None:
    leaf = made(LEAF, ROOT, not_before=NOW - DAY, not_after=NOW)
    assert path(leaf)[0] == leaf
    assert path(leaf, now=NOW - DAY)[0] == leaf
    assert reason(leaf, now=NOW + datetime.timedelta(seconds=1)) == "a certificate has expired"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ca": False}, "an issuer is not a CA"),
        ({"ca": False, "usage": False}, "an issuer is not a CA"),
        ({"ca": True, "extensions": {"1.2.3.4": b"\x05\x00"}, "critical": ["1.2.3.4"]}, "a certificate has a critical"),
    ],
)
def test_an_issuer_that_may_not_issue(changes: dict[str, Any], expected: str) -> None:
    assert reason(made(LEAF, CA), made(CA, ROOT, **changes)).startswith(expected)


def test_an_extension_that_is_not_critical_does_not_matter() -> None:
    assert len(path(made(LEAF, ROOT, extensions={"1.2.3.4": b"\x05\x00"}))) == 2
    critical = made(LEAF, ROOT, extensions={"1.2.3.4": b"\x05\x00"}, critical=["1.2.3.4"])
    assert reason(critical).startswith("a certificate has a critical")


def test_path_length() -> None:
    leaf, lower = made(LEAF, "lower"), made("lower", CA, ca=True)
    assert len(path(leaf, lower, made(CA, ROOT, ca=True, path_length=1))) == 4
    assert reason(leaf, lower, made(CA, ROOT, ca=True, path_length=0)) == "a path length constraint is exceeded"


def test_a_long_path() -> None:
    names = [f"ca{number}" for number in range(x509chain.MAX_PATH + 1)]
    chain = [made(subject, issuer, ca=True) for subject, issuer in itertools.pairwise([*names, ROOT])]
    assert reason(made(LEAF, names[0]), *chain) == "path too long"


def test_signatures() -> None:
    impostor = Certificate(certificate(CA, key("other"), ROOT, key(ROOT), ca=True))
    assert reason(made(LEAF, CA), impostor) == "signature does not verify"
    # of two certificates with one name the one whose key fits is found
    assert len(path(made(LEAF, CA), impostor, made(CA, ROOT, ca=True))) == 3
    false_root = Certificate(certificate(ROOT, key("other"), ROOT, key("other"), ca=True))
    assert reason(made(LEAF, ROOT), false_root, anchors=(false_root,)) == "signature does not verify"


def test_the_root_must_be_given() -> None:
    leaf, anchor = made(LEAF, ROOT), Certificate(root(ROOT))
    assert reason(leaf, anchor, anchors=()) == "no trust anchor has been given"
    assert reason(leaf, anchor, anchors=(Certificate(root("other")),)) == "no path to a trust anchor"
    assert reason(anchor, anchors=(anchor,)) == "the end-entity certificate is itself an anchor"
    itself = Certificate(certificate(LEAF, key(LEAF), LEAF, key(LEAF)))
    assert reason(itself, itself) == "no path to a trust anchor"


def test_two_cas_that_vouch_for_each_other() -> None:
    one, two = made(CA, "cb", ca=True), made("cb", CA, ca=True)
    assert reason(made(LEAF, CA), one, two) == "no path to a trust anchor"


def test_many_certificates_of_one_name() -> None:
    crowd = [
        Certificate(certificate(CA, key("other"), ROOT, key(ROOT), ca=True, serial_number=1000 + number))
        for number in range(x509chain.MAX_SIGNATURES + 5)
    ]
    assert reason(made(LEAF, CA), *crowd) == "too many certificates of one name"


def test_weak_signatures() -> None:
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(LEAF))
        .issuer_name(name(ROOT))
        .public_key(key(LEAF).public_key())
        .serial_number(1)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
    )
    weak = Certificate(builder.sign(key(ROOT), hashes.SHA224()).public_bytes(Encoding.DER))
    assert reason(weak) == "signature: hash algorithm is not allowed"


def crl(
    issuer: str, *serials: int, last: datetime.datetime = NOW - DAY, after: datetime.timedelta = 2 * DAY, by: str = ""
) -> x509.CertificateRevocationList:
    builder = x509.CertificateRevocationListBuilder(name(issuer), last, last + after)
    for serial in serials:
        revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(last).build()
        builder = builder.add_revoked_certificate(revoked)
    return builder.sign(key(by or issuer), hashes.SHA384())


def test_revocation() -> None:
    leaf, ca = made(LEAF, CA, serial_number=77), made(CA, ROOT, ca=True, serial_number=78)
    good = (crl(CA, 1, 2), crl(ROOT, 77))  # the root's list is about the root's certificates
    assert len(path(leaf, ca, crls=good)) == 3
    assert reason(leaf, ca, crls=(crl(CA, 77),)) == "a certificate is revoked"
    assert reason(leaf, ca, crls=(crl(ROOT, 78),)) == "a certificate is revoked"
    assert reason(leaf, ca, crls=(crl(CA, by="other"),)) == "signature does not verify"
    stale = crl(CA, last=NOW - 9 * DAY)
    assert reason(leaf, ca, crls=(stale,)) == "no CRL of an issuer is current"
    assert reason(leaf, ca, crls=(crl(CA, last=NOW + DAY),)) == "no CRL of an issuer is current"
    assert len(path(leaf, ca, crls=(stale, crl(CA)))) == 3
    assert reason(leaf, ca, crls=(crl(CA, 77, last=NOW - 9 * DAY), crl(CA))) == "a certificate is revoked"


# --- the certificate itself -------------------------------------------------------------------------------------------


def test_serial_number_zero_is_read_without_a_warning() -> None:
    zero = Certificate(with_serial_zero(certificate(LEAF, key(LEAF), ROOT, key(ROOT)), key(ROOT)))
    assert zero.serial_number == 0
    assert len(path(zero)) == 2  # the signature is over the bytes as they came
    assert len(path(zero, crls=(crl(ROOT, 1),))) == 2


@pytest.mark.parametrize("cut", [0, 1, 20, -1])
def test_malformed_certificates(cut: int) -> None:
    der = certificate(LEAF, key(LEAF), ROOT, key(ROOT))
    with pytest.raises(ValueError, match=r".+"):
        Certificate(der[:cut])
    with pytest.raises(ValueError, match="trailing"):
        Certificate(der + b"\0")


@pytest.mark.parametrize("version", [0, 1, 3, 9])
def test_other_versions(version: int) -> None:
    der = certificate(LEAF, key(LEAF), ROOT, key(ROOT))
    other = der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01" + bytes((version,)), 1)
    assert other != der
    with pytest.raises(ValueError, match=r".+"):
        Certificate(other)


def test_the_two_algorithms_of_a_certificate_are_one() -> None:
    der = certificate(LEAF, key(LEAF), ROOT, key(ROOT))
    identifier = bytes.fromhex("06082a8648ce3d040303")
    at = der.rindex(identifier)
    other = der[:at] + bytes.fromhex("06082a8648ce3d040302") + der[at + len(identifier) :]
    with pytest.raises(ValueError, match="differ"):
        Certificate(other)


@pytest.mark.parametrize("weak", [ec.generate_private_key(ec.SECP192R1()), rsa.generate_private_key(65537, 1024)])
def test_keys_that_are_too_weak(weak: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> None:
    of_weak_key = Certificate(certificate(CA, weak, ROOT, key(ROOT), ca=True))
    with pytest.raises(ValueError, match="not allowed"):
        _ = of_weak_key.public_key
    leaf = Certificate(certificate(LEAF, key(LEAF), CA, weak))
    assert "not allowed" in reason(leaf, of_weak_key)
