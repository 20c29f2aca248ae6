"""Certificates, requests and containers: what is read, what is issued, what holds, what is refused."""

from __future__ import annotations

import hashlib
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import Encoding, PrivateFormat
from cryptography.hazmat.primitives.serialization import pkcs12 as library_pkcs12
from cryptography.hazmat.primitives.serialization.pkcs12 import PBES
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from kmipsrv.crypto import certificates, certify, formats, keygen, pkcs12, rc2
from kmipsrv.crypto.der import encode
from kmipsrv.crypto.iterations import Iterations
from kmipsrv.errors import Cause, KmipError
from kmipsrv.spec.enums import CertificateRequestType as R
from kmipsrv.spec.enums import CryptographicAlgorithm as A
from kmipsrv.spec.enums import CryptographicUsageMask as U
from kmipsrv.spec.enums import DigitalSignatureAlgorithm as D
from kmipsrv.spec.enums import KeyFormatType as F
from kmipsrv.spec.enums import ValidityIndicator as V

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


class Ca:
    """A certification authority made for one test."""

    def __init__(self, common_name: str, parent: Ca | None = None, ca: bool = True, path: int | None = None) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        issuer = parent or self
        self.subject = name(common_name)
        made = (
            x509.CertificateBuilder()
            .subject_name(self.subject)
            .issuer_name(issuer.subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - 10 * DAY)
            .not_valid_after(NOW + 10 * DAY)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=path), critical=True)
            .sign(issuer.key, hashes.SHA256())
        )
        self.der = made.public_bytes(Encoding.DER)

    @property
    def authority(self) -> certify.Authority:
        return certify.Authority(self.der, self.key)


def request(*extensions: x509.ExtensionType, key: ec.EllipticCurvePrivateKey | None = None) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(name("client"))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    made = builder.sign(key or ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    return made.public_bytes(Encoding.DER)


def issue(authority: certify.Authority, *extensions: x509.ExtensionType, usage: U | None = None) -> bytes:
    return certify.issue(
        certify.load_request(R.PKCS_10, request(*extensions)),
        authority,
        serial_number=0x9BBA23D1B6A48F97,
        not_before=NOW - DAY,
        not_after=NOW + DAY,
        usage=usage,
    )


ALTERNATIVE = x509.SubjectAlternativeName([x509.DNSName("a.example"), x509.RFC822Name("a@b.example")])


def test_an_issued_certificate_says_what_it_should() -> None:
    ca = Ca("KMIP")
    value = issue(ca.authority, ALTERNATIVE, usage=U.SIGN | U.ENCRYPT)
    facts = certificates.describe(value)
    assert (facts.subject.text, facts.issuer.text) == ("CN=client", "CN=KMIP")
    assert facts.subject.fields == {"cn": ("client",)}
    assert facts.subject.der == name("client").public_bytes()
    assert [a.text for a in facts.subject.alternative_names] == ["a.example", "a@b.example"]
    assert facts.subject.alternative_names[0].der == b"\x82\x09a.example"
    assert facts.serial_number.hex() == "0209009bba23d1b6a48f97"
    assert facts.serial_text == "9BBA23D1B6A48F97"
    assert (facts.not_before, facts.not_after) == (NOW - DAY, NOW + DAY)
    assert facts.length == len(value)
    assert facts.key is not None
    assert (facts.key.algorithm, facts.key.length) == (A.EC, 256)
    assert facts.signature_algorithm == D.ECDSA_WITH_SHA256
    assert facts.public_key == formats.dump_public(certificates.public_key(value), F.X_509)
    usage = certificates.load(value).extensions.get_extension_for_class(x509.KeyUsage).value
    assert (usage.digital_signature, usage.data_encipherment, usage.key_cert_sign) == (True, True, False)


def test_what_a_request_names_is_used() -> None:
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    value = issue(Ca("CA").authority, usage, ALTERNATIVE)
    extensions = certificates.load(value).extensions
    assert extensions.get_extension_for_class(x509.ExtendedKeyUsage).value == usage
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_a_certificate_does_not_outlive_its_authority() -> None:
    ca = Ca("CA")
    value = certify.issue(
        certify.load_request(R.PKCS_10, request()),
        ca.authority,
        serial_number=1,
        not_before=NOW,
        not_after=NOW + 400 * DAY,
    )
    assert certificates.describe(value).not_after == NOW + 10 * DAY


def test_a_key_can_sign_for_itself() -> None:
    key = keygen.generate_pair(A.ED25519)
    made = certify.Request(certify.subject_from_fields({"cn": ("me",), "c": ("DE",)}), formats.public_of(key))
    value = certify.issue(made, None, serial_number=1, not_before=NOW, not_after=NOW + DAY, self_signing_key=key)
    assert certificates.describe(value).subject.text == "CN=me,C=DE"
    assert certify.subject_of(value) == certify.subject_from_der(made.subject.public_bytes())
    with pytest.raises(KmipError) as refused:
        certify.issue(
            made, None, serial_number=1, not_before=NOW, not_after=NOW + DAY,
            self_signing_key=keygen.generate_pair(A.ED25519),
        )  # fmt: skip
    assert refused.value.cause == Cause.INVALID_CSR


@pytest.mark.parametrize(
    "extension",
    [
        x509.BasicConstraints(ca=True, path_length=None),
        x509.KeyUsage(True, False, False, False, False, True, False, False, False),
        x509.OCSPNoCheck(),
    ],
)
def test_requests_for_more_than_is_issued(extension: x509.ExtensionType) -> None:
    with pytest.raises(KmipError) as refused:
        certify.load_request(R.PKCS_10, request(extension))
    assert refused.value.cause == Cause.INVALID_CSR


def test_requests_that_are_none() -> None:
    sound = request()
    pem = x509.load_der_x509_csr(sound).public_bytes(Encoding.PEM)
    assert certify.load_request(R.PEM, pem).subject == name("client")
    damaged = sound[:-1] + bytes([sound[-1] ^ 1])
    for kind, value, cause in (
        (R.PKCS_10, b"garbage", Cause.INVALID_CSR),
        (R.PKCS_10, damaged, Cause.INVALID_CSR),
        (R.PEM, sound, Cause.INVALID_CSR),
        (R.PKCS_10, bytes(70000), Cause.INVALID_CSR),
        (R.CRMF, sound, Cause.UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS),
        (R.PGP, sound, Cause.UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS),
    ):
        with pytest.raises(KmipError) as refused:
            certify.load_request(kind, value)
        assert refused.value.cause == cause


def test_an_authority_signs_with_its_own_key() -> None:
    ca, other = Ca("CA"), Ca("other")
    with pytest.raises(KmipError) as refused:
        issue(certify.Authority(ca.der, other.key))
    assert refused.value.cause == Cause.CRYPTOGRAPHIC_FAILURE
    assert "Authority()" in repr(ca.authority)


def test_keys_that_cannot_be_certified_are_refused() -> None:
    made = certify.Request(name("kem"), formats.public_of(keygen.generate_pair(A.ML_KEM_768)))
    with pytest.raises(KmipError) as refused:
        certify.issue(made, Ca("CA").authority, serial_number=1, not_before=NOW, not_after=NOW + DAY)
    assert refused.value.cause == Cause.UNSUPPORTED_CRYPTOGRAPHIC_PARAMETERS


def test_chains() -> None:
    root = Ca("root")
    middle = Ca("middle", root)
    leaf = issue(middle.authority)
    chain = [leaf, middle.der, root.der]
    assert certificates.validate(chain, [root.der], NOW) == V.VALID
    assert certificates.validate(chain[::-1], [root.der], NOW) == V.VALID
    assert certificates.validate(chain[:2], [root.der], NOW) == V.VALID
    assert certificates.validate([leaf], [middle.der], NOW) == V.VALID
    assert certificates.validate([root.der], [root.der], NOW) == V.VALID
    assert certificates.validate(chain, [], NOW) == V.UNKNOWN
    assert certificates.validate(chain[:2], [], NOW) == V.UNKNOWN
    assert certificates.validate([leaf], [root.der], NOW) == V.UNKNOWN
    assert certificates.validate(chain, [root.der], NOW + 2 * DAY) == V.INVALID
    assert certificates.validate(chain, [root.der], NOW - 20 * DAY) == V.INVALID


def test_chains_that_do_not_hold() -> None:
    root, impostor = Ca("root"), Ca("root")
    leaf = issue(root.authority)
    assert certificates.validate([leaf, impostor.der], [impostor.der], NOW) == V.INVALID
    no_ca = Ca("middle", root, ca=False)
    assert certificates.validate([issue(no_ca.authority), no_ca.der], [root.der], NOW) == V.INVALID
    short = Ca("short", root, path=0)
    below = Ca("below", short)
    assert certificates.validate([issue(below.authority), below.der, short.der], [root.der], NOW) == V.INVALID
    for wrong in ([], [leaf] + [Ca(f"{n}").der for n in range(10)], [leaf, Ca("stranger").der], [b"garbage"]):
        with pytest.raises(KmipError) as refused:
            certificates.validate(wrong, [root.der], NOW)
        assert refused.value.cause == Cause.INVALID_FIELD


@given(at=st.integers(0, 400), byte=st.integers(0, 255))
def test_a_damaged_certificate_is_described_or_refused(at: int, byte: int) -> None:
    whole = DAMAGED
    value = whole[:at] + bytes([byte]) + whole[at + 1 :]
    assert outcome(value) in (None, Cause.INVALID_FIELD)


DAMAGED = Ca("damaged").der


def outcome(value: bytes) -> Cause | None:
    try:
        certificates.describe(value)
    except KmipError as refused:
        return refused.cause
    return None


def test_a_container_leads_back() -> None:
    ca = Ca("CA")
    key = keygen.generate_pair(A.RSA, 2048)
    made = certify.Request(name("client"), formats.public_of(key))
    value = certify.issue(made, ca.authority, serial_number=1, not_before=NOW, not_after=NOW + DAY)
    container = pkcs12.dump(key, value, [ca.der], b"secret")
    opened = pkcs12.load(container, b"secret", friendly_name="ALIAS")
    assert formats.dump_private(opened.private_key, F.PKCS_8) == formats.dump_private(key, F.PKCS_8)
    assert (opened.certificate, opened.chain, opened.friendly_name) == (value, (ca.der,), "alias")
    for password, friendly, limit, cause in (
        (b"wrong", None, 10**6, Cause.BAD_PASSWORD),
        (b"secret", "another", 10**6, Cause.INVALID_FIELD),
        (b"secret", None, 100, Cause.SERVER_LIMIT_EXCEEDED),
    ):
        with pytest.raises(KmipError) as refused:
            pkcs12.load(container, password, friendly_name=friendly, iterations=Iterations(limit))
        assert refused.value.cause == cause
    with pytest.raises(KmipError) as refused:
        pkcs12.load(pkcs12.dump(None, value, [], b"secret"), b"secret")
    assert refused.value.cause == Cause.INVALID_FIELD
    with pytest.raises(KmipError) as refused:
        pkcs12.dump(keygen.generate_pair(A.ML_DSA_44), None, [], b"secret")
    assert refused.value.cause == Cause.KEY_FORMAT_TYPE_NOT_SUPPORTED


def nested(iterations: int) -> bytes:
    """A container whose key asks for its iterations inside an encrypted part, where only decryption shows them."""

    def pbes2(salt: bytes, count: int, iv: bytes) -> bytes:
        kdf = encode(0x04, salt) + encode(0x02, count.to_bytes(4, "big")) + encode(0x30, SHA256_PRF + encode(0x05, b""))
        return encode(
            0x30,
            encode(0x06, bytes.fromhex("2a864886f70d01050d"))
            + encode(
                0x30,
                encode(0x30, encode(0x06, bytes.fromhex("2a864886f70d01050c")) + encode(0x30, kdf))
                + encode(0x30, encode(0x06, bytes.fromhex("60864801650304012a")) + encode(0x04, iv)),
            ),
        )

    key = encode(0x30, pbes2(b"saltsalt", iterations, bytes(16)) + encode(0x04, bytes(48)))
    shrouded = encode(0x06, bytes.fromhex("2a864886f70d010c0a0102")) + encode(0xA0, key)
    plain = encode(0x30, encode(0x30, shrouded))
    plain += bytes([16 - len(plain) % 16]) * (16 - len(plain) % 16)
    secret = hashlib.pbkdf2_hmac("sha256", b"secret", b"saltsalt", 10, 32)
    cipher = Cipher(algorithms.AES(secret), modes.CBC(bytes(16))).encryptor()
    data = encode(0x06, bytes.fromhex("2a864886f70d010701"))
    info = encode(0x30, data + pbes2(b"saltsalt", 10, bytes(16)) + encode(0x80, cipher.update(plain)))
    part = encode(0x06, bytes.fromhex("2a864886f70d010706")) + encode(0xA0, encode(0x30, b"\x02\x01\0" + info))
    safe = encode(0x04, encode(0x30, encode(0x30, part)))
    return encode(0x30, b"\x02\x01\x03" + encode(0x30, data + encode(0xA0, safe)))


SHA256_PRF = encode(0x06, bytes.fromhex("2a864886f70d0209"))


def test_iterations_that_only_decryption_shows_are_bounded() -> None:
    with pytest.raises(KmipError) as refused:
        pkcs12.load(nested(2**31 - 1), b"secret")
    assert refused.value.cause == Cause.SERVER_LIMIT_EXCEEDED
    with pytest.raises(KmipError) as refused:
        pkcs12.load(nested(20), b"secret", iterations=Iterations(25))
    assert refused.value.cause == Cause.SERVER_LIMIT_EXCEEDED
    with pytest.raises(KmipError) as refused:  # within the bound the library decides; there is no MAC to satisfy it
        pkcs12.load(nested(20), b"secret", iterations=Iterations(30))
    assert refused.value.cause == Cause.BAD_PASSWORD
    with pytest.raises(KmipError) as refused:
        pkcs12.load(nested(2**31 - 1), b"wrong")
    assert refused.value.cause == Cause.BAD_PASSWORD


@pytest.mark.parametrize(
    ("algorithm", "options"),
    [
        ("3DES", PBES.PBESv1SHA1And3KeyTripleDESCBC),
        ("AES", PBES.PBESv2SHA256AndAES256CBC),
    ],
)
def test_containers_of_each_protection_open(algorithm: str, options: PBES) -> None:
    ca = Ca("CA")
    protection = (
        PrivateFormat.PKCS12.encryption_builder().key_cert_algorithm(options).kdf_rounds(1000).build(b"p\xc3\xa4ss")
    )
    container = library_pkcs12.serialize_key_and_certificates(
        b"alias", ca.key, certificates.load(ca.der), None, protection
    )
    assert pkcs12.load(container, b"p\xc3\xa4ss").certificate == ca.der
    with pytest.raises(KmipError) as refused:
        pkcs12.load(container, b"another")
    assert refused.value.cause == Cause.BAD_PASSWORD


def test_rc2_of_rfc_2268() -> None:
    # RFC 2268 §5: key, effective bits, plaintext, ciphertext
    for key, bits, plain, cipher in (
        ("0000000000000000", 63, "0000000000000000", "ebb773f993278eff"),
        ("ffffffffffffffff", 64, "ffffffffffffffff", "278b27e42e2f0d49"),
        ("3000000000000000", 64, "1000000000000001", "30649edf9be7d2c2"),
        ("88", 64, "0000000000000000", "61a8a244adacccf0"),
        ("88bca90e90875a", 64, "0000000000000000", "6ccf4308974c267f"),
        ("88bca90e90875a7f0f79c384627bafb2", 64, "0000000000000000", "1a807d272bbe5db1"),
        ("88bca90e90875a7f0f79c384627bafb2", 128, "0000000000000000", "2269552ab0f85ca6"),
    ):
        assert rc2.decrypt_cbc(bytes.fromhex(key), bits, bytes(8), bytes.fromhex(cipher)).hex() == plain


@pytest.mark.parametrize("material", [b"", b"garbage", b"\x30\x80", b"\x30\x03\x02\x01\x03", bytes(2**20 + 1)])
def test_containers_that_are_none(material: bytes) -> None:
    with pytest.raises(KmipError) as refused:
        pkcs12.load(material, b"secret")
    assert refused.value.cause in (Cause.INVALID_FIELD, Cause.BAD_PASSWORD)


@pytest.mark.shared
def test_the_certificates_of_the_conformance_cases(shared: Path) -> None:
    text = next((shared / "oasis").glob("1.1/*/TC-134-11.xml")).read_text()
    value = bytes.fromhex(re.findall(r'CertificateValue type="ByteString" value="(\w+)"', text)[0])
    facts = certificates.describe(value)
    assert facts.subject.text == "CN=Client,OU=KMIP,O=ACME,C=US"
    assert facts.issuer.text == "CN=KMIP,OU=OASIS,O=TEST,C=US"
    assert (facts.serial_number.hex(), facts.serial_text) == ("0209009bba23d1b6a48f97", "9BBA23D1B6A48F97")
    assert facts.signature_algorithm == D.SHA_256_WITH_RSA_ENCRYPTION
    assert facts.length == 635
    assert facts.issuer.der.hex() in text.lower()
    asked = bytes.fromhex(re.findall(r'CertificateRequest type="ByteString" value="(\w+)"', text)[0])
    assert certify.load_request(R.PKCS_10, asked, allow_legacy=True).subject.rfc4514_string() == facts.subject.text
    with pytest.raises(KmipError) as refused:  # it is signed with SHA-1
        certify.load_request(R.PKCS_10, asked)
    assert refused.value.cause == Cause.INVALID_CSR


@pytest.mark.shared
def test_the_container_of_the_conformance_cases(shared: Path) -> None:
    text = next((shared / "oasis").glob("2.0/*/TC-PKCS12-2-20.xml")).read_text()
    materials = [bytes.fromhex(m) for m in re.findall(r'KeyMaterial type="ByteString" value="(\w+)"', text)]
    container = next(m for m in materials if m[4:7] == b"\x02\x01\x03")
    opened = pkcs12.load(container, b"password", friendly_name="alias")
    assert formats.dump_private(opened.private_key, F.PKCS_8) in materials
    assert opened.certificate is not None
    assert opened.certificate.hex() in text.lower()
